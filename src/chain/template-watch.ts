import { type Clock, sleep, type Timer, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { displayHash, parseDisplayHash } from '../bitcoin/header.ts';
import { branchesForCoinbase } from '../bitcoin/merkle.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { Logger } from '../log/logger.ts';
import { type BlockFacts, factsOfParent, isLateBlock, type ParentBlock } from './block-facts.ts';
import type { BlockTemplate, TemplateTransaction } from './block-template.ts';
import type { ChainSource } from './source.ts';

export type TemplateWatchOptions = {
  readonly network: NetworkName;
  /** Templates whose transactions are kept, 1 or more. */
  readonly kept: number;
  /** Time in ms between templates of one tip. */
  readonly pollMs?: number;
};

export type TemplateWatchDeps = {
  readonly chain: Pick<ChainSource, 'header' | 'blocks' | 'watchTip'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

const POLL_MS = 30_000;
/** Time in ms that who needs a newer template waits for it; a node that takes longer is not waited for. */
const SOON_MS = 1_000;
/** Blocks whose facts are kept: work on older ones is not credited, backlog apart. */
const MAX_BLOCKS = 144;
/**
 * Time in ms for which work need not claim the fees that came since: a pool makes its jobs anew every half
 * minute or so, and a share is on its way for some.
 */
const FEES_LAG_MS = 5 * 60_000;
/** Templates of one tip whose fees are kept: some hours of them. */
const MAX_SAMPLES = 1_000;
/** Looks that may fail, or be missed, before it is not known what could be claimed meanwhile. */
const MISSED_LOOKS = 2;

type Sample = {
  readonly atMs: number;
  readonly feesSat: bigint;
  readonly waitingFeesSat: bigint | undefined;
};

/** What was seen of the block after one parent. */
type Seen = {
  readonly height: number;
  readonly parentTimeSeconds: number | undefined;
  bits: number | undefined;
  minTimeSeconds: number;
  samples: readonly Sample[];
};

type Kept = { readonly transactions: readonly TemplateTransaction[]; branches?: string };

/**
 * A watcher of what the own node would mine: facts of the next block by its parent, and the transactions of
 * the newest templates. A node that gives no template is no fault: then less is known (`factsOfParent`).
 */
export class TemplateWatch {
  /** Monotonic time in ms of the last template; undefined before the first. */
  templateAtMs: number | undefined;
  readonly #options: TemplateWatchOptions;
  readonly #deps: TemplateWatchDeps;
  /** By parent as displayed, oldest first. */
  readonly #seen = new Map<string, Seen>();
  #kept: readonly Kept[] = [];
  #newest: string | undefined;
  #looking: Promise<void> | undefined;
  #isDueAgain = false;
  #isFailing = false;
  /** The parent of which a template was waited for in vain. */
  #missing: string | undefined;
  #timer: Timer | undefined;
  #stopTip: (() => void) | undefined;

  constructor(options: TemplateWatchOptions, deps: TemplateWatchDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#deps.timers.every(this.#options.pollMs ?? POLL_MS, () => void this.look());
    this.#stopTip = this.#deps.chain.watchTip(() => void this.look());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#stopTip?.();
  }

  /** The parent of the newest template as displayed. */
  get parentHash(): string | undefined {
    return this.#newest;
  }

  /** Asks for a template that is newer than this call. Never rejects; resolves when it is known. */
  look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#isDueAgain = true;
      return this.#looking;
    }
    this.#looking = this.#lookAgain().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Looks, and waits for it, a little: whoever asks goes on without a node that is slow or gives none. */
  async lookSoon(): Promise<void> {
    const { chain, timers } = this.#deps;
    if (this.#isFailing || chain.blocks === undefined) return;
    const ended = new AbortController();
    await Promise.race([this.look(), sleep(timers, SOON_MS, ended.signal)]);
    ended.abort();
  }

  /** Looks for the template on the tip (as displayed), where none was seen; once in vain is enough. */
  async see(tipHash: string): Promise<void> {
    if (this.hasSeen(tipHash) || this.#missing === tipHash) return;
    await this.lookSoon();
    if (!this.hasSeen(tipHash)) this.#missing = tipHash;
  }

  async #lookAgain(): Promise<void> {
    do {
      this.#isDueAgain = false;
      await this.#lookOnce();
    } while (this.#isDueAgain);
  }

  async #lookOnce(): Promise<void> {
    const { chain, log, clock } = this.#deps;
    if (chain.blocks === undefined) return;
    try {
      const template = await chain.blocks.template();
      const waitingFeesSat = await chain.blocks.waitingFeesSat();
      const known = this.#seen.get(template.previousHash);
      const header = known === undefined ? await chain.header(template.previousHash) : undefined;
      this.#take(template, waitingFeesSat, header?.timeSeconds);
      this.templateAtMs = clock.monotonicMs();
      this.#isFailing = false;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const { code, message: detail } = error;
      if (!this.#isFailing)
        log.warn({ code, detail }, 'the node gives no block template: work is checked by less');
      this.#isFailing = true;
    }
  }

  #take(
    template: BlockTemplate,
    waitingFeesSat: bigint | undefined,
    headerTimeSeconds: number | undefined,
  ): void {
    const { previousHash, height, minTimeSeconds, feesSat, bits, timeSeconds } = template;
    const atMs = this.#deps.clock.monotonicMs();
    const known = this.#seen.get(previousHash);
    const parentTimeSeconds = known?.parentTimeSeconds ?? headerTimeSeconds;
    const isLate = isLateBlock(this.#options.network, { height, parentTimeSeconds }, timeSeconds);
    const samples = [...(known?.samples ?? this.#unseen(atMs)), { atMs, feesSat, waitingFeesSat }];
    this.#seen.delete(previousHash);
    this.#seen.set(previousHash, {
      ...{ height, parentTimeSeconds, minTimeSeconds },
      bits: isLate === true ? known?.bits : bits,
      samples: samples.slice(-MAX_SAMPLES),
    });
    if (this.#seen.size > MAX_BLOCKS) this.#seen.delete(this.#seen.keys().next().value!);
    this.#newest = previousHash;
    this.#keep(template.transactions);
  }

  /** What is known of a parent before its first template, which may be long after it: no fees are due. */
  #unseen(atMs: number): readonly Sample[] {
    const sinceMs = this.templateAtMs ?? Number.NEGATIVE_INFINITY;
    const isLong = atMs - sinceMs > MISSED_LOOKS * (this.#options.pollMs ?? POLL_MS);
    return isLong ? [{ atMs: sinceMs, feesSat: 0n, waitingFeesSat: 0n }] : [];
  }

  /** Texts that an earlier template has are not kept twice. */
  #keep(transactions: readonly TemplateTransaction[]): void {
    const known = new Map(this.#kept[0]?.transactions.map((each) => [each.txid, each]));
    const shared = transactions.map((each) => known.get(each.txid) ?? each);
    this.#kept = [{ transactions: shared }, ...this.#kept].slice(0, this.#options.kept);
  }

  /** True for a parent that the own node would have mined on. */
  hasSeen(parentHash: string): boolean {
    return this.#seen.has(parentHash);
  }

  /** Facts of the block on a parent (as displayed); `sinceMs` see `seenFactsOf`. */
  factsOf(parentHash: string, parent: ParentBlock, sinceMs?: number): BlockFacts {
    const byParent = factsOfParent(this.#options.network, parent);
    const seen = this.seenFactsOf(parentHash, sinceMs);
    return seen === undefined ? byParent : { ...seen, bits: seen.bits ?? byParent.bits };
  }

  /**
   * Facts of the block on a parent (as displayed) of a template; undefined for any other parent.
   * @param sinceMs monotonic time in ms of the work, where it is older than the newest template
   */
  seenFactsOf(parentHash: string, sinceMs = Number.POSITIVE_INFINITY): BlockFacts | undefined {
    const seen = this.#seen.get(parentHash);
    if (seen === undefined) return undefined;
    const { height, bits, parentTimeSeconds, minTimeSeconds } = seen;
    const samples = samplesSince(seen.samples, sinceMs);
    const feesSat = samples.reduce(
      (least, each) => (each.feesSat < least ? each.feesSat : least),
      samples[0]!.feesSat,
    );
    const waiting = samples.flatMap(({ waitingFeesSat, feesSat: sat }) => waitingFeesSat ?? sat);
    const waitingFeesSat = waiting.reduce((most, sat) => (sat > most ? sat : most));
    return { height, bits, parentTimeSeconds, minTimeSeconds, feesSat, waitingFeesSat };
  }

  /** The transactions of the newest template. */
  get transactions(): readonly TemplateTransaction[] {
    return this.#kept[0]?.transactions ?? [];
  }

  /** The transactions of a job with these merkle branches; undefined where no template kept has them. */
  transactionsOf(branches: readonly Uint8Array[]): readonly TemplateTransaction[] | undefined {
    if (branches.length === 0) return [];
    const wanted = textOf(branches);
    return this.#kept.find((kept) => {
      kept.branches ??= textOf(branchesOf(kept.transactions.map(({ txid }) => txid)));
      return kept.branches === wanted;
    })?.transactions;
  }
}

/** The samples since a time, less the lag; the newest one before that holds at its beginning. */
function samplesSince(samples: readonly Sample[], sinceMs: number): readonly Sample[] {
  const fromMs = Math.min(samples.at(-1)!.atMs, sinceMs) - FEES_LAG_MS;
  const first = samples.findIndex(({ atMs }) => atMs > fromMs);
  return samples.slice(Math.max(0, first - 1));
}

/** The merkle branches of a coinbase before these transactions (txids as displayed). */
export function branchesOf(txids: readonly string[]): Uint8Array[] {
  return branchesForCoinbase(txids.map(parseDisplayHash));
}

function textOf(branches: readonly Uint8Array[]): string {
  return branches.map(displayHash).join('');
}
