import type { Socket } from 'node:net';
import type { ErrorCode } from '../../base/errors.ts';
import type { JobTable } from '../../jobs/job-table.ts';
import type { ShareTarget } from '../../shares/share.ts';
import type { SharedFramer } from '../../stratum/framing.ts';
import type { SubmitFields } from '../../stratum/submit-parser.ts';
import type { LadderOptions, LadderStep } from '../server/bans.ts';
import type { Identity, SessionMemory } from '../server/identities.ts';
import type { DownstreamStats } from '../server/stats.ts';
import type { Rate } from '../server/token-bucket.ts';
import type { SentJob } from './prepared-job.ts';
import type { Session } from './session.ts';
import type { DownstreamSubmission } from './submission.ts';

/** Why a connection ended: a code of the table, or an ordinary end. */
export type CloseReason =
  | Extract<ErrorCode, 'line_too_long' | 'session_limit' | 'idle_timeout' | 'banned' | 'slow_reader'>
  | 'closed_by_miner'
  | 'socket_error'
  | 'not_stratum'
  /** The miner came back by another connection before this one was seen to be gone. */
  | 'resumed'
  /** It works on with other extranonces, of which its miner cannot be told. */
  | 'moved'
  | 'shutdown';

/** What all sessions of a server share. */
export type SessionContext = {
  readonly fields: SubmitFields;
  readonly framer: SharedFramer;
  readonly stats: DownstreamStats;
  readonly jobs: Pick<JobTable, 'isKnown'>;
  readonly versionMask: number;
  readonly extranonce2Size: number;
  readonly ntimeAheadSeconds: number;
  readonly writeBytes: number;
  readonly sharesInFlight: number;
  readonly ladder: LadderOptions;
  /** Lines of one session; no bound without it. */
  readonly lineRate: Rate | undefined;
  readonly agentVersion: string;
  /** Wall time, at most a tick old: enough for idle times and ntime windows. */
  nowMs: number;
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
  place(session: Session): 'ready' | 'waiting';
  /** A job of before as it was sent; undefined when it is no longer known. */
  sentBefore(jobId: number, difficulty: number): SentJob | undefined;
  shareTarget(difficulty: number): ShareTarget;
  mayAuthorize(session: Session, worker: string, password: string): boolean;
  onAuthorized(session: Session, worker: string): void;
  /** Subscribed and authorised for the first time: gives it a destination and its first job. */
  onReady(session: Session): void;
  submit(submission: DownstreamSubmission): void;
  /** The session sent too much that is not valid. */
  onInvalid(session: Session, step: Exclude<LadderStep, 'none'>): void;
  /** The session sent more than it may: it is paused until the next tick at least. */
  onThrottled(session: Session): void;
  onClosed(session: Session, reason: CloseReason): void;
  /** The socket has something left to write; it is destroyed when that is done, or took too long. */
  linger(socket: Socket): void;
};
