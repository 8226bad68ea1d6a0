import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256d } from '../base/hash.ts';
import { LIMITS } from '../base/limits.ts';
import { displayHash, parseHeader } from '../bitcoin/header.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { canFollow } from '../bitcoin/next-bits.ts';
import { hashToNumber, targetOfCompact } from '../bitcoin/target.ts';
import { isSchnorrSignature } from '../channel/signer.ts';
import { nodeIdOf } from '../contract/sides.ts';
import type { ContractTerms } from '../contract/terms.ts';
import {
  firstTipHead,
  type TipEntry,
  type Tips,
  tipHeadAfter,
  tipHeadDigest,
} from '../settlement/tip-log.ts';

/** Time in ms by which a header may be ahead of the clock of whoever takes it, and that clock wrong. */
const MOST_AHEAD_MS = 3 * 3_600_000;

/** What a tip log says of one block, by shares of its side's stream. */
type TippedBlock = {
  readonly height: number;
  readonly bits: number;
  /** Shares when it first was the tip for a while; undefined where it never was. */
  settledSeq?: number;
  /** Shares when the grace after it was over: the first time, and the last. */
  graceSeq?: number;
  lateSeq?: number;
  /** Wall time in ms when it was replaced last. */
  replacedAtMs?: number;
};

/** The audit of a tip log: that it was signed, and hangs together. What it says is its side's word. */
export class TipAudit {
  /** Why nothing follows from the log, though its side signed it; undefined where it hangs together. */
  flaw: string | undefined;
  readonly #role: 'miner' | 'maker';
  readonly #terms: ContractTerms;
  readonly #blocks = new Map<string, TippedBlock>();
  #head: Uint8Array;
  #signature: string | undefined;
  #firstSeq: number | undefined;
  #last: TipEntry | undefined;
  /** The tip by the newest entry, where the run that saw it come goes on. */
  #tip: string | undefined;
  #count = 0;

  constructor(contractId: string, terms: ContractTerms, role: 'miner' | 'maker') {
    this.#role = role;
    this.#terms = terms;
    this.#head = firstTipHead(contractId, role);
  }

  /** Takes the next part of the log. Throws `bad_evidence` for more than any side writes. */
  take({ entries, signature }: Tips): void {
    for (const entry of entries) {
      this.#count += Math.max(1, entry.headers.length);
      if (this.#count > 2 * LIMITS.tipLogEntries)
        throw new CodedError('bad_evidence', 'the file has too long a tip log');
      this.#head = tipHeadAfter(this.#head, entry);
      this.flaw ??= this.#flawOf(entry);
      if (this.flaw === undefined) this.#follow(entry);
      this.#last = entry;
    }
    this.#signature = signature;
  }

  get hasLog(): boolean {
    return this.#last !== undefined;
  }

  /** Ends the log. Throws `bad_signature` where its side did not sign all of it, `bad_sequence`. */
  end(shares: number): void {
    if (this.#last === undefined) return;
    const nodeId = fromHex(nodeIdOf(this.#terms, this.#role), 32);
    const digest = tipHeadDigest(this.#head);
    if (this.#signature === undefined || !isSchnorrSignature(digest, nodeId, fromHex(this.#signature, 64)))
      throw new CodedError('bad_signature', 'the tip log is not what its side signed');
    if (this.#last.seq > shares)
      throw new CodedError('bad_sequence', `the tip log is of ${this.#last.seq} shares`);
  }

  /** What it says of a block (as displayed). */
  of(hash: string): TippedBlock | undefined {
    return this.#blocks.get(hash);
  }

  /** True where the log had begun when a share was found: it has each block of the chain since. */
  covers(seq: number): boolean {
    return this.#firstSeq !== undefined && seq >= this.#firstSeq;
  }

  #flawOf(entry: TipEntry): string | undefined {
    const last = this.#last;
    if (last !== undefined && entry.seq < last.seq) return 'its shares go back';
    if (last === undefined && entry.type !== 'start') return 'it does not begin with a start';
    if (entry.type === 'grace' || entry.type === 'settled') return this.#markFlaw(entry);
    if (entry.type === 'tip' && this.#tip === undefined) return 'it follows no tip';
    return this.#addHeaders(entry);
  }

  #markFlaw({ type, hash, headers }: TipEntry): string | undefined {
    if (headers.length > 0) return `a ${type} has headers`;
    if (type === 'settled') return this.#tip === hash ? undefined : `${hash} settled, and was not the tip`;
    if (this.#tip === hash || this.#blocks.get(hash)?.replacedAtMs === undefined)
      return `the grace of ${hash} is over, which was not replaced`;
    return undefined;
  }

  #addHeaders({ type, atMs, hash, height, headers }: TipEntry): string | undefined {
    const network = this.#terms.network as NetworkName;
    let above = height - headers.length;
    let before: string | undefined;
    for (const hex of headers) {
      const bytes = fromHex(hex, 80);
      const { prevHash, bits, time } = parseHeader(bytes);
      const [digest, parentHash] = [sha256d(bytes), displayHash(prevHash)];
      const here = displayHash(digest);
      above += 1;
      if (hashToNumber(digest) > targetOfCompact(bits)) return `${here} has no proof of work`;
      if (time * 1000 > atMs + MOST_AHEAD_MS) return `${here} was seen hours before its time`;
      if (before !== undefined && before !== parentHash) return `${here} is not on the block before it`;
      const parent = this.#blocks.get(parentHash);
      if (parent === undefined && before === undefined && type === 'tip')
        return `${here} is on a block that it does not have`;
      if (parent !== undefined && (parent.height !== above - 1 || !canFollow(bits, parent, network)))
        return `${here} cannot follow the block before it`;
      if (!this.#blocks.has(here)) this.#blocks.set(here, { height: above, bits });
      before = here;
    }
    if ((before ?? hash) !== hash || this.#blocks.get(hash)?.height !== height)
      return `its headers do not end with ${hash}`;
    return undefined;
  }

  #follow({ type, seq, atMs, hash }: TipEntry): void {
    const block = this.#blocks.get(hash)!;
    if (type === 'settled') {
      block.settledSeq ??= seq;
      return;
    }
    if (type === 'grace') {
      block.graceSeq ??= seq;
      block.lateSeq = seq;
      return;
    }
    this.#firstSeq ??= seq;
    if (type === 'tip') {
      const replaced = this.#blocks.get(this.#tip!)!;
      replaced.replacedAtMs = atMs;
    }
    delete block.lateSeq;
    this.#tip = hash;
  }
}
