/** What a simulated ASIC does wrong, if anything. */
export type AsicBehaviour =
  | 'honest'
  /** Sends each fifth share twice. */
  | 'duplicate'
  /** Sends each fifth share again in other words: upper-case hex, no leading zeros. */
  | 'respelled'
  /** After a clean job goes on with the old one until it found one more share (at most ten seconds). */
  | 'stale'
  /** After each third share sends one that misses the target. */
  | 'low_difficulty'
  /** Hangs up at random, each ten seconds in the mean. */
  | 'flaky'
  /** Stops reading for seconds, as often. */
  | 'slow_reader'
  /** Sends a line of nonsense each two seconds in the mean. */
  | 'garbage';

export type AsicSpec = {
  readonly host: string;
  readonly port: number;
  /** User name of `mining.authorize`. */
  readonly worker: string;
  readonly password?: string;
  /** Default `honest`. */
  readonly behaviour?: AsicBehaviour;
  /** Default 120 000. 0 is connected but idle. */
  readonly hashesPerSecond?: number;
  /** Fixes the extranonces, version bits and back-off. Default: the position in the list. */
  readonly seed?: number;
  /** Configures and rolls version bits. Default true. */
  readonly versionRolling?: boolean;
  /** Asks to be told of another extranonce1. It takes one in any case. Default false. */
  readonly extranonceSubscribe?: boolean;
  /** Until the first `mining.set_difficulty`. Default 1, as in real firmware. */
  readonly initialDifficulty?: number;
  /** Sent in `mining.subscribe`. */
  readonly userAgent?: string;
};

export type AsicReport = {
  readonly worker: string;
  readonly behaviour: AsicBehaviour;
  readonly connected: boolean;
  /** Connections made so far. */
  readonly connections: number;
  readonly submitted: number;
  readonly accepted: number;
  /** Expected hashes of the accepted shares, each at the target its job came with. */
  readonly workHashes: bigint;
  /** By error number or, where the answer has none, by its text; `false` for a bare `false`. */
  readonly rejected: Readonly<Record<string, number>>;
  /** Submits that wait for their answer. */
  readonly pending: number;
  /** Submits whose connection died before the answer; never sent again. */
  readonly unanswered: number;
  readonly hashes: number;
  /** How often it did what its behaviour is about, where that is not seen in its shares. */
  readonly misdeeds: number;
  /** In force for the current job. */
  readonly difficulty: number;
  readonly jobs: number;
};

/** Between the program and its ASIC thread. */
export type AsicCommand =
  | { readonly type: 'report'; readonly request: number }
  | { readonly type: 'rate'; readonly index: number; readonly hashesPerSecond: number }
  | { readonly type: 'stop'; readonly request: number };

export type AsicMessage = {
  readonly reports: readonly AsicReport[];
  /** Header hashes as displayed, accepted since the last message, per ASIC; only when tracked. */
  readonly accepted: readonly (readonly string[])[];
  /** The same of submits whose connection died before the answer. */
  readonly unanswered: readonly (readonly string[])[];
  readonly request?: number;
};

export type AsicThreadData = {
  readonly specs: readonly AsicSpec[];
  readonly trackAccepted: boolean;
  readonly reportIntervalMs: number;
  readonly maxHashesPerSecond: number;
  readonly rampMs: number;
};

export const DEFAULT_HASHES_PER_SECOND = 120_000;
