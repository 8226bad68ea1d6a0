import type { Session } from '../session/session.ts';
import type { SessionContext } from '../session/session-context.ts';

type Now = Pick<SessionContext<never>, 'nowMs' | 'monotonicMs'>;

/** Workers of one session in the status. */
const WORKERS_LISTED = 8;

export type WorkerSnapshot = {
  readonly name: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly acceptedDifficulty: number;
  /** Over some five minutes. */
  readonly hashesPerSecond: number;
  readonly hashesPerSecondOneMinute: number;
  readonly hashesPerSecondOneHour: number;
  /** 0 before the first. */
  readonly lastShareAtMs: number;
};

export type SessionSnapshot = {
  readonly id: number;
  readonly address: string;
  readonly listener: number;
  readonly userAgentClass: string;
  readonly userAgent: string;
  readonly destination: string;
  /** The first of them: names are the miner's to make up. */
  readonly workers: readonly WorkerSnapshot[];
  readonly workerCount: number;
  readonly difficulty: number;
  readonly hashesPerSecond: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly inFlight: number;
  readonly versionRolling: boolean;
  readonly connectedAtMs: number;
  /** Whatever became of the wall clock meanwhile. */
  readonly connectedForMs: number;
  readonly lastSeenMs: number;
  readonly lastShareAtMs: number;
};

/**
 * A session as it is now, for the status. Its dates are of the wall clock as it is set now: what is kept of
 * them is how long ago they were.
 */
export function snapshotOf(session: Session, now: Now): SessionSnapshot {
  const { id, address, listener, userAgentClass, userAgent, destination, difficulty } = session;
  const { accepted, rejected, inFlight, hasVersionRolling: versionRolling } = session;
  const dateOf = (monotonicMs: number): number => Math.round(now.nowMs - (now.monotonicMs - monotonicMs));
  const all = session.workers;
  const workers = all.slice(0, WORKERS_LISTED).map((worker) => ({
    name: worker.name,
    accepted: worker.accepted,
    rejected: worker.rejected,
    acceptedDifficulty: worker.acceptedDifficulty,
    hashesPerSecond: worker.hashesPerSecond,
    hashesPerSecondOneMinute: worker.hashesPerSecondOneMinute,
    hashesPerSecondOneHour: worker.hashesPerSecondOneHour,
    lastShareAtMs: worker.lastShareAtMs,
  }));
  return {
    ...{ id, address, listener, userAgentClass, userAgent, destination, workers, difficulty },
    ...{ accepted, rejected, inFlight, versionRolling, workerCount: all.length },
    connectedAtMs: dateOf(session.connectedAtMonotonicMs),
    connectedForMs: now.monotonicMs - session.connectedAtMonotonicMs,
    lastSeenMs: dateOf(session.seenAtMonotonicMs),
    hashesPerSecond: all.reduce((sum, worker) => sum + worker.hashesPerSecond, 0),
    lastShareAtMs: all.reduce((last, worker) => Math.max(last, worker.lastShareAtMs), 0),
  };
}
