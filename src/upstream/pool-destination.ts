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
import { JobMetadata, type JobMetadataDeps } from './job-metadata.ts';
import { PROFILES } from './profile.ts';
import { linkMode, SessionLinks, type SessionLinksOptions } from './session-links.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';
import { VerdictHealth } from './verdict-health.ts';
import { VerdictMatrixCounter } from './verdict-matrix.ts';

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
  /** Asks the node behind it what a job commits to; see `JobMetadata`. Default: jobs are given without. */
  readonly askMetadata?: JobMetadataDeps['ask'];
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
  readonly #verdicts: VerdictHealth;
  readonly #metadata: JobMetadata | undefined;
  #mode: LinkMode | undefined;
  #lastJob: UpstreamJob | undefined;

  constructor(options: PoolDestinationOptions, deps: PoolDestinationDeps) {
    this.name = options.name;
    this.#isTls = options.tls !== undefined;
    this.#jobAgeLimitMs = options.jobAgeLimitMs ?? PROFILES[options.profile].jobAgeLimitMs;
    this.#listener = deps.listener;
    this.#verdicts = new VerdictHealth(deps.clock);
    this.#sharing = options.sharing ?? { sessionIdSize: 4, minerExtranonce2Size: 4 };
    const { askMetadata: ask } = deps;
    const give = (job: UpstreamJob): void => this.#giveJob(job);
    this.#metadata = ask === undefined ? undefined : new JobMetadata({ ask, timers: deps.timers }, give);
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
    return {
      ...this.#verdicts.health,
      name: this.name,
      // Without a job it gives no work yet, though its connection does.
      isUp: this.client.up && (this.#metadata === undefined || this.#lastJob !== undefined),
      jobAgeMs: this.client.jobAgeMs,
      jobAgeLimitMs: this.#jobAgeLimitMs,
      shapeChanges: this.client.shapeChanges,
    };
  }

  start(): void {
    this.client.start();
  }

  stop(): void {
    this.#metadata?.clear();
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
      lastRefusal: this.#verdicts.lastRefusal,
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
        this.#verdicts.forget();
        if (this.mode === 'per_session') this.links.start();
        listener.onUp?.(this);
      },
      onDown: (code, detail) => {
        this.#lastJob = undefined;
        this.#metadata?.clear();
        listener.onDown?.(this, code, detail);
      },
      onJob: (job) => {
        if (this.#metadata === undefined) this.#giveJob(job);
        else this.#metadata.add(job);
      },
      onVerdict: (verdict, share) => this.#onVerdict(verdict, share),
      onDifficulty: (difficulty) => listener.onDifficulty?.(this, difficulty),
      onRtt: (rttMs) => this.#onRtt(rttMs),
    };
  }

  #giveJob(job: UpstreamJob): void {
    this.#lastJob = job;
    if (this.mode === 'per_session') this.links.start();
    this.#listener.onJob?.(this, job);
  }

  #onVerdict(verdict: UpstreamVerdict, share: UpstreamShare): void {
    this.#verdicts.judged(verdict);
    this.#listener.onVerdict?.(this, verdict, share);
  }

  #onRtt(rttMs: number): void {
    this.#verdicts.answered(rttMs);
    this.#listener.observeRttSeconds?.(this, rttMs / 1000);
  }
}
