import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { sha256d } from '../base/hash.ts';
import { LIMITS } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { ChainHeader, ChainSource, ChainTip } from '../chain/source.ts';
import type { Signer } from '../channel/signer.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { SHARE_KIND } from '../work/evidence.ts';
import {
  firstTipHead,
  loadTips,
  TIPS_PER_DOCUMENT,
  type TipEntry,
  type TipLogRole,
  tipHeadAfter,
  tipHeadDigest,
  tipsEntry,
} from './tip-log.ts';

/** A contract whose work is of blocks of its miner's choice. */
export type TippedContract = { readonly contractId: string; readonly graceSeconds: number };

export type TipLogKeeperOptions = {
  readonly role: TipLogRole;
  /** Contracts whose shares may come now. */
  readonly contracts: () => readonly TippedContract[];
};

export type TipLogKeeperDeps = {
  readonly ledger: Pick<Ledger, 'list' | 'logRange' | 'appendNow'>;
  readonly chain: Pick<ChainSource, 'header' | 'watchTip'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly signer: Pick<Signer, 'signSchnorr'>;
};

/**
 * Time in ms by which each side's mark at the end of a grace errs to its own disadvantage: what the maker
 * counts came before the end, what the miner leaves out was found after it.
 */
const MARK_SLACK_MS = 2_000;
/** Time in ms within which the maker has on disk what it judged. */
const SETTLED_MS = 30_000;
/** Time in ms between looks for contracts that began. */
const LOOK_MS = 10_000;
/** Headers of the first entry: blocks on which shares may still come. */
const FIRST_HEADERS = 6;

/** The log of one contract as it is on disk. */
type Log = {
  head: Uint8Array;
  /** Entries in all, and those of the newest document. */
  count: number;
  newest: readonly TipEntry[];
  /** Blocks of it, the newest last. */
  readonly known: Set<string>;
  /** The newest tip that this run logged; undefined before its first. */
  tip: ChainTip | undefined;
};

/**
 * The writer of tip logs: each tip of the own node for each contract, with how far its shares were. It
 * decides nothing, and nothing waits for it; what the disk does not take is left out.
 */
export class TipLogKeeper {
  readonly #options: TipLogKeeperOptions;
  readonly #deps: TipLogKeeperDeps;
  readonly #serial = new SerialQueue();
  readonly #logs = new Map<string, Log>();
  /** Entries to come, by contract, type and block. */
  readonly #marks = new Map<string, Timer>();
  #stopTip: (() => void) | undefined;
  #timer: Timer | undefined;
  #isFailing = false;
  /** The newest tip, and when it came. */
  #seen: { readonly tip: ChainTip; readonly atMs: number } | undefined;

  constructor(options: TipLogKeeperOptions, deps: TipLogKeeperDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  start(): void {
    const { chain, clock, timers } = this.#deps;
    this.#stopTip ??= chain.watchTip((tip) => {
      this.#seen = { tip, atMs: clock.nowMs() };
      this.#look();
    });
    // A contract that opens has its first entry at once, and what was left out is tried again.
    this.#timer ??= timers.every(LOOK_MS, () => this.#look());
  }

  #look(): void {
    const seen = this.#seen;
    if (seen === undefined) return;
    for (const contract of this.#options.contracts()) {
      if (this.#logs.get(contract.contractId)?.tip?.hash !== seen.tip.hash)
        this.#later(() => this.#onTip(contract, seen.tip, seen.atMs));
    }
  }

  async stop(): Promise<void> {
    this.#stopTip?.();
    this.#timer?.cancel();
    for (const mark of this.#marks.values()) mark.cancel();
    await this.#serial.run(async () => {});
  }

  /** One after the other, and others have their turn between: each entry is signed. */
  #later(write: () => Promise<void>): void {
    const { timers, log } = this.#deps;
    this.#serial
      .run(async () => {
        await new Promise<void>((resolve) => timers.afterTurn(resolve));
        await write();
        this.#isFailing = false;
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        // It is tried again each few seconds: said once.
        if (!this.#isFailing)
          log.warn({ code: codeOf(error) }, 'a block could not be written to the tip log');
        this.#isFailing = true;
      });
  }

  async #onTip(contract: TippedContract, tip: ChainTip, atMs: number): Promise<void> {
    const { contractId } = contract;
    const log = await this.#logOf(contractId);
    const before = log.tip;
    if (before?.hash === tip.hash) return;
    const isFirst = log.known.size === 0;
    const headers = await this.#headers(tip.hash, isFirst ? new Set() : log.known, isFirst);
    if (headers === undefined) return;
    const type = before === undefined || !headers.isLinked ? 'start' : 'tip';
    const { hash, height } = tip;
    await this.#write(contractId, log, { type, atMs, hash, height, headers: headers.hexes });
    for (const each of headers.hashes) known(log, each);
    log.tip = tip;
    // A block that is the best again has no grace that ends.
    this.#unmark(contractId, 'grace', hash);
    this.#settle(contract, log, tip);
    if (before === undefined) return;
    this.#unmark(contractId, 'settled', before.hash);
    if (type === 'tip') this.#mark(contract, log, before);
  }

  /** Headers up to a block from the first that is not known; undefined where the node does not tell them. */
  async #headers(
    tip: string,
    known: ReadonlySet<string>,
    isFirst: boolean,
  ): Promise<
    { readonly hexes: string[]; readonly hashes: string[]; readonly isLinked: boolean } | undefined
  > {
    const [hexes, hashes]: [string[], string[]] = [[], []];
    const most = isFirst ? FIRST_HEADERS : LIMITS.tipLogHeaders;
    let at = tip;
    while (hexes.length < most && !known.has(at)) {
      const header: ChainHeader | undefined = await this.#deps.chain.header(at);
      if (header?.headerHex === undefined) break;
      hexes.unshift(header.headerHex);
      hashes.unshift(at);
      at = header.previousHash;
    }
    if (hexes.length === 0 && !known.has(tip)) return undefined;
    return { hexes, hashes, isLinked: known.has(at) };
  }

  /** Writes how far the shares were when the grace of a block was over. */
  #mark({ contractId, graceSeconds }: TippedContract, log: Log, { hash, height }: ChainTip): void {
    const slackMs = this.#options.role === 'maker' ? -MARK_SLACK_MS : MARK_SLACK_MS;
    const dueMs = graceSeconds * 1000 + slackMs;
    if (dueMs > 0) this.#writeLater(contractId, log, dueMs, { type: 'grace', hash, height });
  }

  #settle({ contractId }: TippedContract, log: Log, { hash, height }: ChainTip): void {
    if (this.#options.role === 'maker')
      this.#writeLater(contractId, log, SETTLED_MS, { type: 'settled', hash, height });
  }

  #writeLater(
    contractId: string,
    log: Log,
    dueMs: number,
    said: Pick<TipEntry, 'type' | 'hash' | 'height'>,
  ): void {
    const { clock, timers } = this.#deps;
    const key = `${contractId}:${said.type}:${said.hash}`;
    this.#marks.get(key)?.cancel();
    const write = (): void => {
      this.#marks.delete(key);
      const entry = { ...said, atMs: clock.nowMs(), headers: [] };
      this.#later(() => this.#write(contractId, log, entry));
    };
    this.#marks.set(key, timers.after(dueMs, write));
  }

  #unmark(contractId: string, type: TipEntry['type'], hash: string): void {
    const key = `${contractId}:${type}:${hash}`;
    this.#marks.get(key)?.cancel();
    this.#marks.delete(key);
  }

  async #write(contractId: string, log: Log, said: Omit<TipEntry, 'seq'>): Promise<void> {
    if (log.count >= LIMITS.tipLogEntries) return;
    const { ledger, signer } = this.#deps;
    const { end: seq } = await ledger.logRange(SHARE_KIND, contractId);
    const entry: TipEntry = { ...said, seq };
    const head = tipHeadAfter(log.head, entry);
    const isNew = log.count % TIPS_PER_DOCUMENT === 0;
    const entries = isNew ? [entry] : [...log.newest, entry];
    const signature = toHex(signer.signSchnorr('node', tipHeadDigest(head)));
    const document = Math.floor(log.count / TIPS_PER_DOCUMENT);
    await ledger.appendNow([tipsEntry(contractId, document, { version: 1, entries, signature })]);
    Object.assign(log, { head, newest: entries, count: log.count + 1 });
  }

  async #logOf(contractId: string): Promise<Log> {
    const open = this.#logs.get(contractId);
    if (open !== undefined) return open;
    const documents = await loadTips(this.#deps.ledger, contractId);
    const entries = documents.flatMap((tips) => tips.entries);
    const log: Log = {
      head: entries.reduce(tipHeadAfter, firstTipHead(contractId, this.#options.role)),
      ...{
        count: entries.length,
        newest: documents.at(-1)?.entries ?? [],
        known: new Set(),
        tip: undefined,
      },
    };
    const headers = entries.slice(-2 * LIMITS.tipLogHeaders).flatMap((entry) => entry.headers);
    for (const hex of headers) known(log, displayHash(sha256d(fromHex(hex))));
    this.#logs.set(contractId, log);
    return log;
  }
}

/** Takes a block for known; as many as headers are looked for, and as many again. */
function known({ known: blocks }: Log, hash: string): void {
  blocks.delete(hash);
  blocks.add(hash);
  if (blocks.size > 2 * LIMITS.tipLogHeaders) blocks.delete(blocks.keys().next().value!);
}
