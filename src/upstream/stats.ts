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
  /** Sessions the upstream took up again, with the extranonce1 they had. */
  resumed: number;
  /** Shares in flight at a disconnect, or made during it, that were sent again after a resume. */
  resent: number;
  /** Of `resent`: called a duplicate, so the first copy had arrived and only its answer was `lost`. */
  resentDuplicates: number;
  jobs: number;
  /** Notifies replaced by a later one before they were given out, since they came too fast. */
  jobsSkipped: number;
  /** Notifies that said nothing new. */
  repeatedJobs: number;
  extranonceChanges: number;
  garbageLines: number;
  unknownMethods: number;
  /** Replies to nothing that is waited for, such as a verdict after its time-out. */
  unknownReplies: number;
  /** `client.reconnect` to another host, not followed. */
  redirectsRefused: number;
  /** How often the reading of version bits was given up for the other, under `auto`. */
  readingChanges: number;
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
    resumed: 0,
    resent: 0,
    resentDuplicates: 0,
    jobs: 0,
    jobsSkipped: 0,
    repeatedJobs: 0,
    extranonceChanges: 0,
    garbageLines: 0,
    unknownMethods: 0,
    unknownReplies: 0,
    redirectsRefused: 0,
    readingChanges: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}
