import type { Clock } from '../base/clock.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import {
  UpstreamClient,
  type UpstreamClientDeps,
  type UpstreamClientOptions,
  type UpstreamListener,
} from './client.ts';
import type {
  Destination,
  DestinationFigures,
  DestinationLink,
  DestinationListener,
  LinkMode,
} from './destination.ts';
import type { DestinationHealth } from './failover.ts';
import { PROFILES } from './profile.ts';
import { linkMode, SessionLinks, type SessionLinksOptions } from './session-links.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';
import { VerdictMatrixCounter } from './verdict-matrix.ts';

/** One verdict weighs 1/64: some seventy verdicts forget the past by two thirds. */
const REJECT_WEIGHT = 1 / 64;

/** After this time without an answer the past is forgotten, so that an avoided upstream is tried again. */
const MEMORY_MS = 10 * 60_000;

/** As TCP smooths its round-trip times (RFC 6298). */
const RTT_WEIGHT = 1 / 8;

export type PoolDestinationOptions = UpstreamClientOptions & {
  /** Job age at which it counts as stuck; the profile's by default. */
  readonly jobAgeLimitMs?: number;
  /** What sharing one connection takes of the upstream's extranonce2; 4 and 4 bytes by default. */
  readonly sharing?: { readonly sessionIdSize: number; readonly minerExtranonce2Size: number };
  /** For an upstream that leaves less than that: one connection for each session. */
  readonly links?: Omit<SessionLinksOptions, 'client'>;
};

export type PoolDestinationDeps = Omit<UpstreamClientDeps, 'listener'> & {
  readonly listener: DestinationListener;
};

/** A pool or node behind a Stratum connection of our own, with an account there. */
export class PoolDestination implements Destination {
  readonly name: string;
  /** The shared connection. In `per_session` mode its jobs cannot be mined: it only shows the health. */
  readonly client: UpstreamClient;
  /** One connection for each session; started when the upstream turns out to need that. */
  readonly links: SessionLinks;
  readonly #sharing: { readonly sessionIdSize: number; readonly minerExtranonce2Size: number };
  readonly #verdictMatrix = new VerdictMatrixCounter();
  readonly #isTls: boolean;
  readonly #jobAgeLimitMs: number;
  readonly #listener: DestinationListener;
  readonly #clock: Clock;
  #mode: LinkMode | undefined;
  #lastJob: UpstreamJob | undefined;
  #rttMs: number | undefined;
  #rttAtMs = Number.NEGATIVE_INFINITY;
  #rejectRatio = 0;
  #verdicts = 0;
  #verdictAtMs = Number.NEGATIVE_INFINITY;
  #lastRefusal: string | undefined;

  constructor(options: PoolDestinationOptions, deps: PoolDestinationDeps) {
    this.name = options.name;
    this.#isTls = options.tls !== undefined;
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

  /** By the last subscribe reply. */
  get mode(): LinkMode | undefined {
    const { extranonce } = this.client;
    if (extranonce !== undefined) this.#mode = linkMode(extranonce.extranonce2Size, this.#sharing);
    return this.#mode;
  }

  /** The newest job of the live connection. */
  get lastJob(): UpstreamJob | undefined {
    return this.#lastJob;
  }

  get health(): DestinationHealth {
    const monotonicMs = this.#clock.monotonicMs();
    const remembered = monotonicMs - this.#verdictAtMs < MEMORY_MS;
    return {
      name: this.name,
      isUp: this.client.up,
      jobAgeMs: this.client.jobAgeMs,
      jobAgeLimitMs: this.#jobAgeLimitMs,
      rejectRatio: remembered ? this.#rejectRatio : 0,
      verdicts: remembered ? this.#verdicts : 0,
      rttMs: monotonicMs - this.#rttAtMs < MEMORY_MS ? this.#rttMs : undefined,
      shapeChanges: this.client.shapeChanges,
    };
  }

  start(): void {
    this.client.start();
  }

  stop(): void {
    this.client.stop();
    this.links.stop();
  }

  get figures(): DestinationFigures {
    const { client, links } = this;
    const { accepted, refused, timeout, lost } = client.stats;
    const { connects, disconnects, resumed, redirectsRefused } = client.stats;
    const droppedLines = client.stats.garbageLines + client.stats.unknownMethods;
    const { option, guess, isConfirmed } = client.versionReading;
    return {
      shares: { accepted, refused, timeout, lost },
      sharesInFlight: client.sharesInFlight + links.sharesInFlight,
      verdicts: this.#verdictMatrix.counts,
      lastRefusal: this.#lastRefusal,
      connection: {
        ...{ isTls: this.#isTls, connects, disconnects, resumed, redirectsRefused, droppedLines },
        lastFailure: client.lastFailure,
        versionReading: { option, guess, confirmed: isConfirmed },
      },
      links: { attached: links.attached, spare: links.spare, refused: links.stats.refused },
    };
  }

  submit(share: UpstreamShare, done?: VerdictCallback, token?: object, link?: DestinationLink): void {
    const sender = link ?? this.client;
    if (token === undefined) {
      sender.submit(share, done);
      return;
    }
    this.#verdictMatrix.forwarded(token);
    sender.submit(share, (verdict) => {
      this.#verdictMatrix.resolved(token, verdict.outcome);
      done?.(verdict);
    });
  }

  judged(token: object, isAccepted: boolean): void {
    this.#verdictMatrix.judged(token, isAccepted);
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
        this.#lastJob = undefined;
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
    if (monotonicMs - this.#rttAtMs >= MEMORY_MS) this.#rttMs = undefined;
    this.#rttAtMs = monotonicMs;
    this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
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
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#verdictAtMs >= MEMORY_MS) this.#forget();
    this.#verdictAtMs = monotonicMs;
    this.#verdicts += 1;
    const weight = Math.max(REJECT_WEIGHT, 1 / this.#verdicts);
    this.#rejectRatio += ((verdict.outcome === 'accepted' ? 0 : 1) - this.#rejectRatio) * weight;
  }
}
