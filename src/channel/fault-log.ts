import { assert } from '../base/assert.ts';
import { bigToBe, bigToLe, concat } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import type { ShareRecord } from '../work/evidence.ts';

/** The head of a fault log without entries, 32 bytes. */
export const EMPTY_FAULT_LOG: Uint8Array = taggedHash('sharestream/fault-log/1', new Uint8Array(0));

/**
 * What the digest of a fault covers: the refused shares and their jobs; the shares alone, of a job that the
 * maker does not have; nothing, where it has lost them.
 */
export const FAULT_EVIDENCE = ['shares', 'jobless', 'none'] as const;
export type FaultEvidence = (typeof FAULT_EVIDENCE)[number];

/** Consecutive shares of the miner's stream that the maker refused for one reason. */
export type FaultRange = {
  /** The code that the miner was told. */
  readonly code: string;
  /** Seq of the first. */
  readonly first: number;
  readonly count: number;
  readonly evidence: FaultEvidence;
};

/** An entry of the fault log. */
export type Fault = FaultRange & {
  /** Work of the shares by their difficulties; 0 where they are lost. */
  readonly workHashes: bigint;
  /** 32 bytes; zeros where they are lost. */
  readonly digest: Uint8Array;
};

/** What a refused share is known by: all that it was sent with. */
export type RefusedContent = Omit<ShareRecord, 'hash'>;

const NOTHING: Uint8Array = new Uint8Array(32);

/** A fault of no shares, to be extended. */
export function noShares(code: string, first: number, evidence: FaultEvidence): Fault {
  return { code, first, count: 0, evidence, workHashes: 0n, digest: NOTHING };
}

/** A fault of shares that the maker lost, or refused before it kept a log. */
export function lostFault(code: string, first: number, count: number): Fault {
  return { ...noShares(code, first, 'none'), count };
}

/**
 * The fault with one share more: its digest is a chain, so that a batch later is no batch read again.
 * @param leaf of the share's job (`jobLeaf`), where the fault covers it
 * @param workHashes of the share
 */
export function withShare(
  fault: Fault,
  share: RefusedContent,
  leaf: Uint8Array | undefined,
  workHashes: bigint,
): Fault {
  assert(fault.evidence !== 'none', 'fault_of_shares');
  const count = fault.count + 1;
  const digest = taggedHash(
    'sharestream/refused/1',
    concat(fault.digest, contentOf(share), fault.evidence === 'shares' ? leaf! : NOTHING),
  );
  return { ...fault, count, digest, workHashes: fault.workHashes + workHashes };
}

/** Job id u64, difficulty f64, ntime, nonce, version u32, all little-endian, then the whole extranonce. */
function contentOf(share: RefusedContent): Uint8Array {
  const { jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version } = share;
  const head = new Uint8Array(28);
  const view = new DataView(head.buffer);
  view.setBigUint64(0, BigInt(jobId), true);
  view.setFloat64(8, difficulty, true);
  view.setUint32(16, ntime, true);
  view.setUint32(20, nonce, true);
  view.setUint32(24, version, true);
  return concat(head, Uint8Array.of(extranonce1.length + extranonce2.length), extranonce1, extranonce2);
}

/** The head of a fault log after more entries. */
export function faultLogHead(before: Uint8Array, faults: readonly Fault[]): Uint8Array {
  return faults.reduce((head, { code, first, count, evidence, workHashes, digest }) => {
    return taggedHash(
      'sharestream/fault/1',
      concat(
        head,
        bigToLe(BigInt(first), 8),
        bigToLe(BigInt(count), 8),
        bigToBe(workHashes, 40),
        digest,
        Uint8Array.of(FAULT_EVIDENCE.indexOf(evidence)),
        new TextEncoder().encode(code),
      ),
    );
  }, before);
}

/**
 * Computes the faults of a segment again, from the shares of another log than that of who refused them: each
 * refused share once, in their order.
 */
export class FaultRecount {
  readonly #ranges: readonly FaultRange[];
  readonly #faults: Fault[] = [];
  #at = 0;

  /** @param ranges ascending and disjoint */
  constructor(ranges: readonly FaultRange[]) {
    this.#ranges = ranges;
  }

  /** The range that has this share; seqs may not descend. */
  rangeOf(seq: number): FaultRange | undefined {
    while (this.#at < this.#ranges.length && seq >= endOf(this.#ranges[this.#at]!)) this.#at += 1;
    const range = this.#ranges[this.#at];
    return range !== undefined && seq >= range.first ? range : undefined;
  }

  /** Takes the next share of a range. Arguments as of `withShare`. */
  take(range: FaultRange, share: RefusedContent, leaf: Uint8Array | undefined, workHashes: bigint): void {
    if (range.evidence === 'none') return;
    const last = this.#faults.at(-1);
    const isNew = last === undefined || last.first !== range.first;
    const fault = isNew ? noShares(range.code, range.first, range.evidence) : this.#faults.pop()!;
    this.#faults.push(withShare(fault, share, leaf, workHashes));
  }

  /** All faults, once every share was taken. */
  get faults(): readonly Fault[] {
    const computed = new Map(this.#faults.map((fault) => [fault.first, fault]));
    return this.#ranges.map(
      ({ code, first, count }) => computed.get(first) ?? lostFault(code, first, count),
    );
  }
}

function endOf({ first, count }: FaultRange): number {
  return first + count;
}
