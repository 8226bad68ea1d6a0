import { CodedError, type ErrorCode } from '../base/errors.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { type Extranonce, upstreamExtranonce2 as paddedExtranonce2 } from '../stratum/extranonce.ts';
import type { DestinationHealth } from './failover.ts';
import type {
  ReadingGuess,
  UpstreamOutcome,
  UpstreamShare,
  UpstreamVerdict,
  VerdictCallback,
} from './upstream-share.ts';
import type { VerdictMatrix } from './verdict-matrix.ts';
import type { VersionReadingOption } from './version-reading.ts';

/** Whether an upstream's extranonce2 can be divided between sessions, or each needs a connection. */
export type LinkMode = 'shared' | 'per_session';

/**
 * A named place to mine to: it gives jobs by its listener, takes shares, and knows its health. A pool or node
 * behind a connection of its own is one kind (`PoolDestination`); whoever mines to it needs to know no more.
 */
export type Destination = {
  readonly name: string;
  /** Undefined until the upstream has said how much extranonce2 it leaves. */
  readonly mode: LinkMode | undefined;
  readonly health: DestinationHealth;
  /** The newest job that is still valid. In `per_session` mode it only shows that there is one. */
  readonly lastJob: UpstreamJob | undefined;
  /** Connections of single sessions; undefined where it can only be shared. */
  readonly links: DestinationLinks | undefined;
  readonly figures: DestinationFigures;
  /** Idempotent. */
  start(): void;
  /** For good; shares without a verdict are resolved as lost. Idempotent. */
  stop(): void;
  /**
   * Sends a share at once and never blocks. `done` is called exactly once, never from within this call.
   * @param token stands for the share in `judged`; without one it is not counted in `figures.verdicts`
   * @param link of the session, in `per_session` mode
   */
  submit(share: UpstreamShare, done?: VerdictCallback, token?: object, link?: DestinationLink): void;
  /**
   * Our own verdict on a share, which may come before or after the destination's. May be called for every
   * share: one that was not forwarded here is ignored.
   */
  judged(token: object, isAccepted: boolean): void;
};

/** What a destination tells. Callbacks run in order and may call the destination. */
export type DestinationListener = {
  readonly onUp?: (destination: Destination) => void;
  readonly onDown?: (destination: Destination, code: ErrorCode, detail: string) => void;
  readonly onJob?: (destination: Destination, job: UpstreamJob) => void;
  /** These are void, by `UpstreamJob.upstreamJobId`; `onJob` or `onDown` follows where all are. */
  readonly onGone?: (destination: Destination, upstreamJobIds: ReadonlySet<string>) => void;
  readonly onVerdict?: (destination: Destination, verdict: UpstreamVerdict, share: UpstreamShare) => void;
  readonly onDifficulty?: (destination: Destination, difficulty: number) => void;
  /** For a histogram. */
  readonly observeRttSeconds?: (destination: Destination, seconds: number) => void;
  /** What the links of sessions tell; their verdicts come by `onVerdict`. */
  readonly links?: DestinationLinkListener;
};

/** The connections of a destination that belong to one session each. */
export type DestinationLinks = {
  /** No session more can be attached. */
  readonly full: boolean;
  /**
   * A link for a session that has none, ready at once where a spare one is; else `onReady` follows, or
   * `onClosed`. Undefined when there are too many.
   * @param session the proxy's own number of the session
   * @param emptyExtranonce1 see `DestinationLink.extranonceOf`
   */
  attach(session: number, emptyExtranonce1?: boolean): DestinationLink | undefined;
  /**
   * The session is gone. Its link ends when the shares in flight are answered.
   * @param keepMs shares of it may still come for so long
   */
  detach(session: number, keepMs?: number): void;
  of(session: number): DestinationLink | undefined;
  /** By `Job.destination`. Also a link whose session is gone, as long as its shares may be in flight. */
  byName(name: string): DestinationLink | undefined;
};

/** A connection for one session. */
export type DestinationLink = {
  /** For the job table and the session's destination. */
  readonly name: string;
  /** The session it is attached to; undefined for a spare one, or after its session is gone. */
  readonly session: number | undefined;
  /** Its session can be given an extranonce and a job. */
  readonly ready: boolean;
  readonly lastJob: UpstreamJob | undefined;
  /** As the miner has to know it for a job: with an empty extranonce1 where that was asked for. */
  extranonceOf(job: UpstreamJob): Extranonce;
  /** Its session sent a share, whether the destination wants it or not. */
  touch(): void;
  /** See `Destination.submit`. */
  submit(share: UpstreamShare, done?: VerdictCallback): void;
};

export type LinkEnd = Extract<ErrorCode, 'idle_timeout' | 'upstream_timeout'>;

export type DestinationLinkListener = {
  /** An attached link that was not ready can be used: its `lastJob` is there. */
  readonly onReady?: (link: DestinationLink) => void;
  /** A job after that; its extranonce may be another than before. */
  readonly onJob?: (link: DestinationLink, job: UpstreamJob) => void;
  /** Its jobs are void until the next; the link connects again by itself. */
  readonly onDown?: (link: DestinationLink, code: ErrorCode, detail: string) => void;
  /** The link is gone while its session is there: the miner must connect again. */
  readonly onClosed?: (session: number, code: LinkEnd) => void;
};

/** Counts for status and metrics; made to be read now and then, not for each share. */
export type DestinationFigures = {
  /** Shares sent to it, by its verdict. */
  readonly shares: Readonly<Record<UpstreamOutcome, number>>;
  /** Without a verdict yet. */
  readonly sharesInFlight: number;
  /** Forwarded shares by our verdict and theirs; counts on. */
  readonly verdicts: Readonly<VerdictMatrix>;
  /** Why the last refused share was refused. */
  readonly lastRefusal: string | undefined;
  /** Of a destination that is a pool or node behind connections of its own. */
  readonly connection: ConnectionFigures | undefined;
  readonly links: LinkFigures | undefined;
};

export type ConnectionFigures = {
  readonly isTls: boolean;
  readonly connects: number;
  readonly disconnects: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly resumed: number;
  /** Requests to connect to another host that were not followed. */
  readonly redirectsRefused: number;
  /** Lines that made no sense. */
  readonly droppedLines: number;
  /** Why the last connection or attempt ended. */
  readonly lastFailure: string | undefined;
  /** How it reads version bits; under `auto`, as far as it is known. */
  readonly versionReading: {
    readonly option: VersionReadingOption;
    readonly guess: ReadingGuess;
    readonly confirmed: boolean;
  };
};

/** Connections of single sessions and spare ones, and sessions that got none. */
export type LinkFigures = { readonly attached: number; readonly spare: number; readonly refused: number };

/**
 * The extranonce2 an upstream gets for a share of one of many sessions: `zeros || session id || miner's
 * extranonce2`. Throws `extranonce_too_small` when the upstream's does not hold both.
 * @param layout the upstream job the share belongs to
 */
export function upstreamExtranonce2(
  layout: { readonly extranonce2Size: number },
  sessionAndMinerExtranonce: Uint8Array,
): Uint8Array {
  const { extranonce2Size } = layout;
  if (sessionAndMinerExtranonce.length > extranonce2Size)
    throw new CodedError(
      'extranonce_too_small',
      `the upstream leaves ${extranonce2Size} bytes, ${sessionAndMinerExtranonce.length} are needed`,
    );
  return paddedExtranonce2(sessionAndMinerExtranonce, extranonce2Size);
}
