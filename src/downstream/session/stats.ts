import type { ErrorCode } from '../../base/errors.ts';
import type { CloseReason } from './close-reason.ts';
import type { SubmitCode } from './submit-errors.ts';

/** Counters since start; plain numbers, read on scrape. */
export type DownstreamStats = {
  connections: number;
  /** Of these, turned away for any reason. */
  connectionsRefused: number;
  readonly refusedByAddress: { denied: number; banned: number };
  /** Connections refused while miners were let go. */
  refusedLetGo: number;
  /** Connections of balancers that did not say whom they bring. */
  badProxyHeaders: number;
  /** Addresses banned. */
  bans: number;
  /** Sessions that went on where an earlier connection ended. */
  resumed: number;
  keepAlives: number;
  lines: number;
  notifies: number;
  sharesSubmitted: number;
  sharesAccepted: number;
  /** Sum of the difficulties of accepted shares; display only. */
  acceptedDifficulty: number;
  readonly rejected: Record<SubmitCode, number>;
  /** Requests other than submits that were answered with an error, by code. */
  readonly refused: Partial<Record<ErrorCode, number>>;
  readonly closed: Partial<Record<CloseReason, number>>;
  vardiffUp: number;
  vardiffDown: number;
  readonly limitHits: {
    sessions: number;
    sessionsPerAddress: number;
    extraWorkers: number;
    acceptsPerSecond: number;
    acceptsPerSecondPerAddress: number;
    sessionLinesPerSecond: number;
    resumableSessions: number;
    downstreamLineBytes: number;
    downstreamGarbageLines: number;
    newcomerBytes: number;
    /** Jobs not sent to miners that had not read those before. */
    sessionUnreadBytes: number;
    sessionWriteBytes: number;
    sessionSharesInFlight: number;
  };
};

export function emptyStats(): DownstreamStats {
  return {
    connections: 0,
    connectionsRefused: 0,
    refusedByAddress: { denied: 0, banned: 0 },
    refusedLetGo: 0,
    badProxyHeaders: 0,
    bans: 0,
    resumed: 0,
    keepAlives: 0,
    lines: 0,
    notifies: 0,
    sharesSubmitted: 0,
    sharesAccepted: 0,
    acceptedDifficulty: 0,
    rejected: {
      malformed: 0,
      not_subscribed: 0,
      not_authorized: 0,
      unknown_job: 0,
      bad_extranonce2: 0,
      bad_ntime: 0,
      bad_version: 0,
      overload: 0,
      stale: 0,
      low_difficulty: 0,
      duplicate: 0,
    },
    refused: {},
    closed: {},
    vardiffUp: 0,
    vardiffDown: 0,
    limitHits: {
      sessions: 0,
      sessionsPerAddress: 0,
      extraWorkers: 0,
      acceptsPerSecond: 0,
      acceptsPerSecondPerAddress: 0,
      sessionLinesPerSecond: 0,
      resumableSessions: 0,
      downstreamLineBytes: 0,
      downstreamGarbageLines: 0,
      newcomerBytes: 0,
      sessionUnreadBytes: 0,
      sessionWriteBytes: 0,
      sessionSharesInFlight: 0,
    },
  };
}
