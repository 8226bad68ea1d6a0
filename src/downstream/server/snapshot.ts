import type { Session } from '../session/session.ts';

export type WorkerSnapshot = {
  readonly name: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly acceptedDifficulty: number;
  readonly hashesPerSecond: number;
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
  readonly workers: readonly WorkerSnapshot[];
  readonly difficulty: number;
  readonly hashesPerSecond: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly inFlight: number;
  readonly versionRolling: boolean;
  readonly connectedAtMs: number;
  readonly lastSeenMs: number;
  readonly lastShareAtMs: number;
};

/** A session as it is now, for the status. */
export function snapshotOf(session: Session): SessionSnapshot {
  const { id, address, listener, userAgentClass, userAgent, destination, difficulty } = session;
  const { accepted, rejected, inFlight, versionRolling, connectedAtMs, lastSeenMs } = session;
  const workers = session.workers.map((worker) => ({
    name: worker.name,
    accepted: worker.accepted,
    rejected: worker.rejected,
    acceptedDifficulty: worker.acceptedDifficulty,
    hashesPerSecond: worker.hashesPerSecond,
    lastShareAtMs: worker.lastShareAtMs,
  }));
  return {
    ...{ id, address, listener, userAgentClass, userAgent, destination, workers, difficulty },
    ...{ accepted, rejected, inFlight, versionRolling, connectedAtMs, lastSeenMs },
    hashesPerSecond: workers.reduce((sum, worker) => sum + worker.hashesPerSecond, 0),
    lastShareAtMs: workers.reduce((last, worker) => Math.max(last, worker.lastShareAtMs), 0),
  };
}
