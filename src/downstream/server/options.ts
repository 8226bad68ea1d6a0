import type { Clock, Random, Timers } from '../../base/clock.ts';
import type { Rate } from '../../base/token-bucket.ts';
import type { JobTable } from '../../jobs/job-table.ts';
import type { Logger } from '../../log/logger.ts';
import type { SanctionOptions } from '../session/bans.ts';
import type { CloseReason } from '../session/close-reason.ts';
import type { JobRouting } from '../session/job-routing.ts';
import type { Session, SessionSubmission } from '../session/session.ts';
import type { AdmissionOptions } from './admission.ts';
import type { ListenerOptions } from './listeners.ts';

export type DownstreamOptions = AdmissionOptions & {
  readonly listeners: readonly ListenerOptions[];
  /** What miners see; other sizes break firmware. The same as the job table's. */
  readonly extranonce2Size: 4 | 8;
  readonly versionMask: number;
  readonly subscribeTimeoutMs?: number;
  readonly authorizeTimeoutMs?: number;
  /** Silence of a miner; it is asked for a sign of life at half of it. */
  readonly idleTimeoutMs?: number;
  /** A miner that got no job for so long gets the present one again with a later time. */
  readonly keepAliveMs?: number;
  /** Session ids rest as long as jobs of their sessions can live. */
  readonly quarantineMs?: number;
  /** How long a session can be resumed by its id after its connection ended. */
  readonly resumeMs?: number;
  /** Ended sessions kept for that; 0 keeps none. */
  readonly resumable?: number;
  readonly lineBytes?: number;
  /** Lines of one session, submits and others; above it the session is read more slowly. */
  readonly lineRate?: Rate;
  readonly writeBytes?: number;
  readonly sharesInFlight?: number;
  /** Names beyond one of each session, default `LIMITS.extraWorkers`. */
  readonly extraWorkers?: number;
  /** What refusals without an accepted share between them lead to. */
  readonly sanctions?: Partial<SanctionOptions>;
  readonly drainMs?: number;
  /** Miners are told to connect anew when the server closes, so that they do not wait for a time-out. */
  readonly reconnectAtClose?: boolean;
  /** Reply to `client.get_version`. */
  readonly agentVersion?: string;
};

/**
 * Decides how a session gets the work of a destination: at its subscribe, since the reply names the
 * extranonces, and at each move. Jobs of a feed it had before end by themselves.
 */
export type ChooseJobRouting = (session: Session, destination: string) => JobRouting;

export type DownstreamDeps = {
  readonly jobs: Pick<JobTable, 'byId' | 'current' | 'isKnown' | 'refresh'>;
  readonly engine: { submit(submission: SessionSubmission): void };
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** The destination of a session that just became ready. */
  readonly route: (session: Session) => string;
  /** Without it all sessions of a destination share its jobs. */
  readonly chooseRouting?: ChooseJobRouting;
  /** Refuses a worker by returning false; all are taken without it. */
  readonly mayAuthorize?: (session: Session, worker: string, password: string) => boolean;
  readonly onAuthorized?: (session: Session, worker: string) => void;
  readonly onClosed?: (session: Session, reason: CloseReason) => void;
};

export const DEFAULT_SANCTIONS: SanctionOptions = { resendAfter: 100, reconnectAfter: 300, banAfter: 1000 };

/** Why miners are better served elsewhere: nothing can be kept, there is no work, or it was asked for. */
export type LetGoCause = 'ledger' | 'upstream' | 'drained';
