import type { Extranonce } from '../stratum/extranonce.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { NotifyParams } from '../stratum/server-messages.ts';
/**
 * Work as an upstream sent it, parsed. Byte strings are as they go into the coinbase or header (internal
 * order).
 */
export type UpstreamJob = Omit<NotifyParams, 'jobId'> &
  /** The extranonce in force when this job arrived. */
  Extranonce & {
    /** The upstream's own job id, echoed in `mining.submit`. */
    readonly upstreamJobId: string;
    /**
     * A share at or below this target is wanted by the upstream (its difficulty, or nBits where it has none).
     */
    readonly target: bigint;
    /** Version bits the upstream lets us roll; 0 without version rolling. */
    readonly versionMask: number;
    /** Of work that its buyer gives; left out where a pool or node does. */
    readonly bought?: BoughtWork;
    /** What its coinbase commits to, as its node encodes it; left out where that is not known. */
    readonly metadata?: Uint8Array;
    /** Why its metadata is not known though it was asked for, in words. */
    readonly metadataFault?: string;
  };

/** What the buyer of work says of a job that it gives. */
export type BoughtWork = {
  /** Its own id of the job. */
  readonly jobId: JobId;
  /** Of every share of it. */
  readonly difficulty: number;
};

/** One piece of work as every session of a destination gets it. Immutable; its life is in the job table. */
export type Job = {
  /** Unique for the life of the ledger, never reused. `wireId` is its lower-case hex. */
  readonly id: JobId;
  readonly wireId: string;
  readonly destination: string;
  /** The evidence stream its shares are credited to: a contract id, or `own:<destination>`. */
  readonly stream: string;
  readonly prevHash: Uint8Array;
  /**
   * `upstream coinb1 || upstream extranonce1 || zeros`: what `mining.notify` carries (`WIRE.md`,
   * Extranonce).
   */
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  /**
   * With the bits of `versionMask` cleared, so that replace, OR and XOR readings agree (`WIRE.md`).
   */
  readonly version: number;
  readonly versionMask: number;
  readonly bits: number;
  readonly time: number;
  readonly clean: boolean;
  /** Bytes between coinb1 and coinb2: session id + the miner's extranonce2. */
  readonly extranonceSize: number;
  /**
   * Of a job for one session alone: bytes at the end of `coinb1` that its miner has as its extranonce1, so
   * that `mining.notify` carries coinb1 without them. Left out where the session id is the extranonce1.
   */
  readonly minerExtranonce1Size?: number;
  /**
   * What every session is asked for, because its buyer names one target, in the terms or with the job;
   * undefined where each session has its own.
   */
  readonly fixedDifficulty: number | undefined;
  /** nBits expanded: a hash at or below it solves a block. */
  readonly networkTarget: bigint;
  readonly upstreamTarget: bigint;
  readonly upstream: UpstreamJob;
  /** By the monotonic clock: its age is a duration. */
  readonly createdAtMonotonicMs: number;
};
