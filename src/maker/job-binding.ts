import type { ContractTerms } from '../contract/terms.ts';
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { FoundBlocksStatus } from './found-blocks.ts';
import type { ShareCases } from './share-cases.ts';
import type { WorkStatus } from './work-status.ts';

/** Beads of a contract. */
export type BeadStatus = {
  /** What the credited work is worth in beads. */
  readonly worth: number;
  readonly paid: number;
  readonly missing: number;
  readonly open: number;
  /** The payout address of a bead that pays another; undefined where there is none. */
  readonly stolen: string | undefined;
};

/**
 * The binding of one contract's work: what makes a share worth something to this maker and to nobody else.
 * One implementation for each binding of the terms.
 */
export type JobBinding = {
  /**
   * Judges a job by itself, once: the fault of all its shares, undefined when good.
   * @param sourceId our own job that the miner says it was made of, where jobs are ours; undefined also for a
   *   job of our ledger
   * @param isOld true for a job of our ledger, which was good when its shares were credited
   */
  judgeJob(job: JobRecord, sourceId: JobId | undefined, isOld?: boolean): ShareCode | undefined;
  /**
   * Judges a good job again with each batch that has shares of it, before they are hashed: why nothing of it
   * is credited now. May ask the own node, and wait for it.
   * @param awaySinceMs monotonic time in ms since which the miner was away, while its backlog is taken
   */
  judgeNow?(job: JobRecord, awaySinceMs: number | undefined): Promise<ShareCode | undefined>;
  /**
   * True where jobs are ours, and `judgeNow` says until when their shares are credited: then the age of their
   * block does not.
   */
  readonly ownsJobs?: boolean;
  /** Where the shares of a good job are credited as a backlog alone: the code of those it has no room for. */
  lateCode?(job: JobRecord): ShareCode | undefined;
  /** What every share of a good job is assigned; undefined leaves it to the terms. */
  shareTarget?(job: JobRecord): bigint | undefined;
  /** The target of the own upstream that a good job came from, if it came from one. */
  upstreamTarget?(job: JobRecord): bigint | undefined;
  /**
   * Judges the good shares of one batch once more, in their order, when they are hashed: gives a code to each
   * that is not credited now. May ask the own node, and wait for it.
   */
  judgeShares?(cases: ShareCases): Promise<void>;
  /**
   * Entries of what `judgeShares` counted, and of what is credited, which are the shares without a code: they
   * come to the disk with the batch.
   */
  counts?(cases: ShareCases): readonly LedgerEntry[];
  /** Takes note of a batch, which is on disk: shares without a code are credited. */
  judged?(cases: ShareCases): void;
  /** Takes note of credited shares, those without a code, which are on disk. */
  credited?(cases: ShareCases): void;
  /** What came of it so far, where beads are counted. */
  readonly beads?: BeadStatus;
  /** Reads what it kept, before anything else is asked of it. */
  load?(): Promise<void>;
  readonly work?: WorkStatus;
  /** The work of all processes of the miner is brought, or is not: its channel is connected. */
  delivers?(isThere: boolean): void;
  /** Answers `work.subscribe` and `work.solution`, where jobs are ours. */
  subscribe?(peer: RpcPeer, params: Params<'work.subscribe'>): Result<'work.subscribe'>;
  solve?(params: Params<'work.solution'>): Promise<Result<'work.solution'>>;
  /** What became of the blocks of the miner's own jobs, where they pay us. */
  readonly blocks?: FoundBlocksStatus;
  /** Answers `work.block`, where blocks of the miner's own jobs pay us. */
  showBlock?(params: Params<'work.block'>): Promise<Result<'work.block'>>;
  /** Ends what it holds; idempotent. */
  stop?(): void;
};

/** The binding by what the coinbase pays alone. */
export function coinbaseBinding(terms: ContractTerms): JobBinding {
  return { judgeJob: (job) => checkJob(terms, job) };
}
