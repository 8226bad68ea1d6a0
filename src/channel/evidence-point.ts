import { assert } from '../base/assert.ts';
import { concat } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { type JobRecord, jobDocument } from '../work/evidence.ts';
import { ShareTree } from './share-tree.ts';
import { NO_WEIGHTS, ShareWeights } from './share-weights.ts';

const JOB_SET_TAG = 'sharestream/job-set/1';

/** The job set root before any work, 32 bytes. */
export const EMPTY_JOB_SET: Uint8Array = taggedHash(JOB_SET_TAG, new Uint8Array(0));

/** The leaf of a job in a job set, 32 bytes. */
export function jobLeaf(job: JobRecord): Uint8Array {
  return taggedHash('sharestream/job/1', new TextEncoder().encode(jobDocument(job)));
}

/**
 * A digest of everything credited up to some share of a stream. The next commitment builds on it without
 * reading the shares again.
 */
export type EvidencePoint = {
  /** Seq of the miner's stream: every share before it was judged, and is in the tree if it was credited. */
  readonly nextSeq: number;
  /** Work of the shares in the tree, hashes; a state pays at most the contract's total of it. */
  readonly workHashes: bigint;
  /** Tree over the hashes of all credited shares, in order. */
  readonly tree: ShareTree;
  /** Over what each of them is credited for. */
  readonly weightsHead: Uint8Array;
  /** See `EvidenceSegment.end`. */
  readonly jobSetRoot: Uint8Array;
};

/** The evidence point before any work. */
export function noEvidence(): EvidencePoint {
  return {
    nextSeq: 0,
    workHashes: 0n,
    tree: new ShareTree(),
    weightsHead: NO_WEIGHTS,
    jobSetRoot: EMPTY_JOB_SET,
  };
}

/**
 * The evidence from one commitment to the next. Keeps one hash for each job of the segment, whatever the
 * length of the contract.
 */
export class EvidenceSegment {
  readonly #base: EvidencePoint;
  readonly #tree: ShareTree;
  readonly #weights: ShareWeights;
  readonly #jobs = new Set<number>();
  readonly #jobTree = new ShareTree();
  #workHashes: bigint;

  constructor(base: EvidencePoint) {
    this.#base = base;
    this.#tree = ShareTree.parse(base.tree.toJson());
    this.#weights = new ShareWeights(base.weightsHead);
    this.#workHashes = base.workHashes;
  }

  /** Work of all credited shares so far in hashes, those before the segment included. */
  get workHashes(): bigint {
    return this.#workHashes;
  }

  /** True until `addJob` was called with this job, which comes before its first share in the segment. */
  lacksJob(jobId: number): boolean {
    return !this.#jobs.has(jobId);
  }

  /**
   * Adds a job to the segment.
   * @param leaf of `jobLeaf`
   */
  addJob(jobId: number, leaf: Uint8Array): void {
    assert(!this.#jobs.has(jobId), 'segment_job_twice');
    this.#jobs.add(jobId);
    this.#jobTree.append(leaf);
  }

  /** Appends a credited share. Throws `malformed` for a hash that is not 32 bytes. */
  credit(jobId: number, hash: Uint8Array, workHashes: bigint): void {
    assert(this.#jobs.has(jobId), 'segment_job_before_share');
    this.#tree.append(hash);
    this.#weights.add(workHashes, 1);
    this.#workHashes += workHashes;
  }

  /**
   * Appends credited shares of jobs that were added.
   * @param hashes 32 bytes each
   * @param workHashes of each of them
   */
  creditAll(
    hashes: Uint8Array,
    workHashes: bigint,
    kernel: Pick<ShareKernel, 'capacity' | 'hashTree'>,
  ): void {
    const count = hashes.length / 32;
    this.#tree.appendAll(hashes, kernel);
    this.#weights.add(workHashes, count);
    this.#workHashes += workHashes * BigInt(count);
  }

  /**
   * The point at the end of the segment. Its job set root is the tagged hash of the root before it and of
   * the tree of the segment's job leaves, in the order in which credited shares first used them: a chain,
   * so that a job used in two segments is in both, and nothing before the segment has to be known.
   */
  end(nextSeq: number): EvidencePoint {
    assert(nextSeq >= this.#base.nextSeq, 'segment_goes_forward');
    return {
      nextSeq,
      workHashes: this.#workHashes,
      tree: this.#tree,
      weightsHead: this.#weights.head,
      jobSetRoot: taggedHash(JOB_SET_TAG, concat(this.#base.jobSetRoot, this.#jobTree.root())),
    };
  }
}
