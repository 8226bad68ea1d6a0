import type { ErrorCode } from '../base/errors.ts';

/** Plain counters of one destination, over all its connections. */
export type UpstreamStats = {
  connects: number;
  /** Ends of connections and failed attempts, by reason. */
  disconnects: Partial<Record<ErrorCode, number>>;
  accepted: number;
  refused: number;
  timeout: number;
  lost: number;
  /** Of `lost`: given up because too many were unanswered. */
  evicted: number;
  jobs: number;
  /** Notifies that said nothing new. */
  repeatedJobs: number;
  extranonceChanges: number;
  garbageLines: number;
  unknownMethods: number;
  /** Replies to nothing that is waited for, such as a verdict after its time-out. */
  unknownReplies: number;
  /** `client.reconnect` to another host, not followed. */
  redirectsRefused: number;
  bytesIn: number;
  bytesOut: number;
};

export function newUpstreamStats(): UpstreamStats {
  return {
    connects: 0,
    disconnects: {},
    accepted: 0,
    refused: 0,
    timeout: 0,
    lost: 0,
    evicted: 0,
    jobs: 0,
    repeatedJobs: 0,
    extranonceChanges: 0,
    garbageLines: 0,
    unknownMethods: 0,
    unknownReplies: 0,
    redirectsRefused: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}
