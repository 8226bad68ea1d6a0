import type { Clock } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { upstreamExtranonce2 as paddedExtranonce2 } from '../stratum/extranonce.ts';
import {
  UpstreamClient,
  type UpstreamClientDeps,
  type UpstreamClientOptions,
  type UpstreamListener,
} from './client.ts';
import type { DestinationHealth } from './failover.ts';
import { PROFILES } from './profile.ts';
import {
  type LinkMode,
  linkMode,
  type SessionLink,
  type SessionLinkListener,
  SessionLinks,
  type SessionLinksOptions,
} from './session-links.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';
import { type VerdictMatrix, VerdictMatrixCounter } from './verdict-matrix.ts';

/** One verdict weighs 1/64: some seventy verdicts forget the past by two thirds. */
const REJECT_WEIGHT = 1 / 64;

/** After this time without an answer the past is forgotten, so that an avoided upstream is tried again. */
const MEMORY_MS = 10 * 60_000;

/** As TCP smooths its round-trip times (RFC 6298). */
const RTT_WEIGHT = 1 / 8;

export type DestinationOptions = UpstreamClientOptions & {
  /** The evidence stream of its shares: a contract id, or `own:<name>`. */
  readonly stream: string;
  /** Job age at which it counts as stuck; the profile's by default. */
  readonly jobAgeLimitMs?: number;
  /** What sharing one connection takes of the upstream's extranonce2; 4 and 4 bytes by default. */
  readonly sharing?: { readonly sessionIdSize: number; readonly minerExtranonce2Size: number };
  /** For an upstream that leaves less than that: one connection for each session. */
  readonly links?: Omit<SessionLinksOptions, 'client'>;
};

export type DestinationListener = {
  readonly onUp?: (destination: Destination) => void;
  readonly onDown?: (destination: Destination, code: ErrorCode, detail: string) => void;
  readonly onJob?: (destination: Destination, job: UpstreamJob) => void;
  readonly onVerdict?: (destination: Destination, verdict: UpstreamVerdict, share: UpstreamShare) => void;
  readonly onDifficulty?: (destination: Destination, difficulty: number) => void;
  /** For a histogram. */
  readonly observeRttSeconds?: (destination: Destination, seconds: number) => void;
  /** What the links of sessions tell; their verdicts come by `onVerdict`. */
  readonly links?: Omit<SessionLinkListener, 'onVerdict' | 'onRtt'>;
};

export type DestinationDeps = Omit<UpstreamClientDeps, 'listener'> & {
  readonly listener: DestinationListener;
};

/**
 * A named place to mine to: an upstream, the account on it, the stream of evidence of its shares, its
 * health.
 */
export class Destination {
  readonly name: string;
  readonly stream: string;
  /** The shared connection. In `per_session` mode its jobs cannot be mined: it only shows the health. */
  readonly client: UpstreamClient;
  /** One connection for each session; started when the upstream turns out to need that. */
  readonly links: SessionLinks;
  readonly #sharing: { readonly sessionIdSize: number; readonly minerExtranonce2Size: number };
  readonly #combinations = new VerdictMatrixCounter();
  readonly #jobAgeLimitMs: number;
  readonly #listener: DestinationListener;
  readonly #clock: Clock;
  #mode: LinkMode | null = null;
  #lastJob: UpstreamJob | null = null;
  #rttMs: number | null = null;
  #rttAtMs = Number.NEGATIVE_INFINITY;
  #rejectRatio = 0;
  #verdicts = 0;
  #verdictAtMs = Number.NEGATIVE_INFINITY;
  #lastRefusal: string | null = null;

  constructor(options: DestinationOptions, deps: DestinationDeps) {
    this.name = options.name;
    this.stream = options.stream;
    this.#jobAgeLimitMs = options.jobAgeLimitMs ?? PROFILES[options.profile].jobAgeLimitMs;
    this.#listener = deps.listener;
    this.#clock = deps.clock;
    this.#sharing = options.sharing ?? { sessionIdSize: 4, minerExtranonce2Size: 4 };
    this.client = new UpstreamClient(options, { ...deps, listener: this.#clientListener() });
    const { clock, timers, random, log, listener } = deps;
    this.links = new SessionLinks(
      { ...options.links, client: options },
      {
        ...{ clock, timers, random, log, stats: this.client.stats },
        listener: {
          ...listener.links,
          onVerdict: (_link, verdict, share) => this.#onVerdict(verdict, share),
          onRtt: (rttMs) => this.#onRtt(rttMs),
        },
      },
    );
  }

  /** By the last subscribe reply; null before the first. */
  get mode(): LinkMode | null {
    const { extranonce } = this.client;
    if (extranonce !== null) this.#mode = linkMode(extranonce.extranonce2Size, this.#sharing);
    return this.#mode;
  }

  /** The newest job of the live connection; null while there is none. */
  get lastJob(): UpstreamJob | null {
    return this.#lastJob;
  }

  /** Why the last refused share was refused. */
  get lastRefusal(): string | null {
    return this.#lastRefusal;
  }

  get health(): DestinationHealth {
    const monotonicMs = this.#clock.monotonicMs();
    const remembered = monotonicMs - this.#verdictAtMs < MEMORY_MS;
    return {
      name: this.name,
      up: this.client.up,
      jobAgeMs: this.client.jobAgeMs,
      jobAgeLimitMs: this.#jobAgeLimitMs,
      rejectRatio: remembered ? this.#rejectRatio : 0,
      verdicts: remembered ? this.#verdicts : 0,
      rttMs: monotonicMs - this.#rttAtMs < MEMORY_MS ? this.#rttMs : null,
    };
  }

  start(): void {
    this.client.start();
  }

  stop(): void {
    this.client.stop();
    this.links.stop();
  }

  /** Forwarded shares by our verdict and theirs. */
  get combinations(): Readonly<VerdictMatrix> {
    return this.#combinations.counts;
  }

  /**
   * See `UpstreamClient.submit`.
   * @param token stands for the share in `judged`; without one it is not counted in `combinations`
   * @param link of the session, in `per_session` mode
   */
  submit(
    share: UpstreamShare,
    done: VerdictCallback | null = null,
    token: object | null = null,
    link: SessionLink | null = null,
  ): void {
    const sender = link ?? this.client;
    if (token === null) {
      sender.submit(share, done);
      return;
    }
    this.#combinations.forwarded(token);
    sender.submit(share, (verdict) => {
      this.#combinations.resolved(token, verdict.outcome);
      done?.(verdict);
    });
  }

  /**
   * Our own verdict on a share, which may come before or after the upstream's. May be called for every
   * share: one that was not forwarded here is ignored.
   */
  judged(token: object, accepted: boolean): void {
    this.#combinations.judged(token, accepted);
  }

  #clientListener(): UpstreamListener {
    const listener = this.#listener;
    return {
      onUp: () => {
        this.#forget();
        if (this.mode === 'per_session') this.links.start();
        listener.onUp?.(this);
      },
      onDown: (code, detail) => {
        this.#lastJob = null;
        listener.onDown?.(this, code, detail);
      },
      onJob: (job) => {
        this.#lastJob = job;
        if (this.mode === 'per_session') this.links.start();
        listener.onJob?.(this, job);
      },
      onVerdict: (verdict, share) => this.#onVerdict(verdict, share),
      onDifficulty: (difficulty) => listener.onDifficulty?.(this, difficulty),
      onRtt: (rttMs) => this.#onRtt(rttMs),
    };
  }

  #onVerdict(verdict: UpstreamVerdict, share: UpstreamShare): void {
    this.#weigh(verdict);
    this.#listener.onVerdict?.(this, verdict, share);
  }

  #onRtt(rttMs: number): void {
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#rttAtMs >= MEMORY_MS) this.#rttMs = null;
    this.#rttAtMs = monotonicMs;
    this.#rttMs = this.#rttMs === null ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
    this.#listener.observeRttSeconds?.(this, rttMs / 1000);
  }

  #forget(): void {
    this.#rejectRatio = 0;
    this.#verdicts = 0;
  }

  /** A lost share says nothing about the upstream's judgement. The first verdicts weigh as a plain mean. */
  #weigh(verdict: UpstreamVerdict): void {
    if (verdict.outcome === 'refused') this.#lastRefusal = verdict.reason;
    if (verdict.outcome === 'lost') return;
    const now = this.#clock.monotonicMs();
    if (now - this.#verdictAtMs >= MEMORY_MS) this.#forget();
    this.#verdictAtMs = now;
    this.#verdicts += 1;
    const weight = Math.max(REJECT_WEIGHT, 1 / this.#verdicts);
    this.#rejectRatio += ((verdict.outcome === 'accepted' ? 0 : 1) - this.#rejectRatio) * weight;
  }
}

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
