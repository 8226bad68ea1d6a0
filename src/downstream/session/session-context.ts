import type { Socket } from 'node:net';
import type { Rate } from '../../base/token-bucket.ts';
import type { JobTable } from '../../jobs/job-table.ts';
import type { ShareTarget } from '../../shares/share.ts';
import type { SharedFramer } from '../../stratum/framing.ts';
import type { JobId } from '../../stratum/job-id.ts';
import type { SubmitFields } from '../../stratum/submit-parser.ts';
import type { Sanction, SanctionOptions } from './bans.ts';
import type { CloseReason } from './close-reason.ts';
import type { Identity, SessionMemory } from './identities.ts';
import type { SentJob } from './prepared-job.ts';
import type { DownstreamStats } from './stats.ts';
import type { DownstreamSubmission } from './submission.ts';

/** What all sessions of a server share; `Session` is the class of the sessions. */
export type SessionContext<Session> = {
  readonly fields: SubmitFields;
  readonly framer: SharedFramer;
  readonly stats: DownstreamStats;
  readonly jobs: Pick<JobTable, 'isKnown'>;
  readonly versionMask: number;
  /** Bits that a miner on this listener may roll though it did not ask (`mining.configure`). */
  unaskedMask(listener: number): number;
  readonly extranonce2Size: number;
  readonly writeBytes: number;
  readonly sharesInFlight: number;
  sanctions: SanctionOptions;
  /** Lines of one session; no bound without it. */
  lineRate: Rate | undefined;
  readonly agentVersion: string;
  /** Wall time, at most a tick old: enough for the ntime window. */
  nowMs: number;
  /** Monotonic time, as old: for idle times, budgets and the difficulty. */
  monotonicMs: number;
  /** The session has something to write or to start in this turn. */
  markDirty(session: Session): void;
  /**
   * Who the session is: who it was, with what it left behind, when it names a session id that may be
   * resumed. Undefined when no id is free.
   */
  identify(
    session: Session,
    token: string | undefined,
  ): { readonly identity: Identity; readonly memory?: SessionMemory } | undefined;
  /** Whether its subscribe can be answered now. May close the session. */
  prepareSubscribe(session: Session): 'ready' | 'waiting';
  /** A job of before as it was sent; undefined when it is no longer known. */
  sentBefore(jobId: JobId, difficulty: number): SentJob | undefined;
  shareTarget(difficulty: number): ShareTarget;
  mayAuthorize(session: Session, worker: string, password: string): boolean;
  onAuthorized(session: Session, worker: string): void;
  /** Subscribed and authorised for the first time: gives it a destination and its first job. */
  onReady(session: Session): void;
  submit(submission: DownstreamSubmission<Session>): void;
  /** The session sent too much that is not valid. */
  onInvalid(session: Session, step: Exclude<Sanction, 'none'>): void;
  /** The session sent more than it may: it is paused until the next tick at least. */
  onThrottled(session: Session): void;
  onClosed(session: Session, reason: CloseReason): void;
  /** The socket has something left to write; it is destroyed when that is done, or took too long. */
  linger(socket: Socket): void;
};
