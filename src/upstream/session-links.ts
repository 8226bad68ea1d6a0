import { assert } from '../base/assert.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Logger } from '../log/logger.ts';
import { type Extranonce, isSameExtranonce } from '../stratum/extranonce.ts';
import { UpstreamClient, type UpstreamClientOptions } from './client.ts';
import type {
  DestinationLink,
  DestinationLinkListener,
  DestinationLinks,
  LinkEnd,
  LinkMode,
} from './destination.ts';
import type { UpstreamStats } from './stats.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';

/** Pure. @param sizes what a shared connection takes of the upstream's extranonce2 */
export function linkMode(
  extranonce2Size: number,
  sizes: { readonly sessionIdSize: number; readonly minerExtranonce2Size: number },
): LinkMode {
  return extranonce2Size < sizes.sessionIdSize + sizes.minerExtranonce2Size ? 'per_session' : 'shared';
}

const NO_BYTES = new Uint8Array(0);
const SEPARATOR = '#';

/** The name under which the job table and the sessions know a link: a destination of one session. */
export function linkName(destination: string, key: number): string {
  return `${destination}${SEPARATOR}${key}`;
}

/** The destination a link, or a destination, belongs to: for accounts, metrics and views. */
export function destinationOfLink(name: string): string {
  const at = name.lastIndexOf(SEPARATOR);
  return at < 0 ? name : name.slice(0, at);
}

export type SessionLinksOptions = {
  /** As for the destination; `name` is its name. */
  readonly client: UpstreamClientOptions;
  /** Connections in all. */
  readonly maxLinks?: number;
  /** Kept ready for miners to come, so that their subscribe is answered at once. */
  readonly spareLinks?: number;
  /** Connections being made at the same time; more wait their turn. */
  readonly opening?: number;
  /** A session whose miner sends no share for this long loses its link. */
  readonly idleMs?: number;
  /** A link without extranonce and job after this time is given up; so is one that is down for as long. */
  readonly readyMs?: number;
  /** How long answers to shares in flight are waited for when the session is gone. */
  readonly lingerMs?: number;
  readonly tickMs?: number;
};

export type SessionLinkListener = DestinationLinkListener & {
  readonly onVerdict?: (link: SessionLink, verdict: UpstreamVerdict, share: UpstreamShare) => void;
  readonly onRtt?: (rttMs: number) => void;
};

export type SessionLinksDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly listener: SessionLinkListener;
  /** Counted into by all links together. */
  readonly stats?: UpstreamStats;
};

export type SessionLinksStats = {
  opened: number;
  /** Sessions refused since there were too many links. */
  refused: number;
  /** That miners had to be told of. */
  extranonceChanges: number;
  /** Links that got the extranonce1 of another: their miners find each other's shares. */
  sameExtranonces: number;
  closed: Partial<Record<LinkEnd, number>>;
};

const DEFAULTS = {
  maxLinks: 256,
  spareLinks: 2,
  opening: 16,
  idleMs: 15 * 60_000,
  readyMs: 15_000,
  lingerMs: 5_000,
  tickMs: 250,
};

/** One connection upstream for one session, or a spare one. */
export class SessionLink implements DestinationLink {
  readonly name: string;
  readonly client: UpstreamClient;
  session: number | undefined;
  /**
   * The miner has an empty extranonce1 and the upstream's goes into coinb1: then no change of it concerns
   * the miner. Not all firmware takes it.
   */
  emptyExtranonce1 = false;
  lastJob: UpstreamJob | undefined;
  /** Monotonic, like all times here: since when its session waits for it; undefined while it is ready. */
  waitingSinceMs: number | undefined;
  shareAtMs: number;
  /** The extranonce its session was given last. */
  lastExtranonce: Extranonce | undefined;
  /** Set when its session is gone: it ends when its shares are answered, or then. */
  endAtMs: number | undefined;
  /** But not before. */
  keptUntilMs = 0;
  started = false;
  ended = false;
  readonly #clock: Clock;

  constructor(name: string, client: UpstreamClient, clock: Clock) {
    this.name = name;
    this.client = client;
    this.#clock = clock;
    this.shareAtMs = clock.monotonicMs();
  }

  /** Its session can be given an extranonce and a job. */
  get ready(): boolean {
    return this.lastJob !== undefined && !this.ended;
  }

  extranonceOf({ extranonce1, extranonce2Size }: UpstreamJob): Extranonce {
    return { extranonce1: this.emptyExtranonce1 ? NO_BYTES : extranonce1, extranonce2Size };
  }

  touch(): void {
    this.shareAtMs = this.#clock.monotonicMs();
  }

  submit(share: UpstreamShare, done?: VerdictCallback): void {
    this.touch();
    this.client.submit(share, done);
  }
}

/**
 * Connections to one destination whose extranonce2 is too small to be shared (a Braidpool node in audit
 * mode leaves one byte): one for each session, bounded, with a few ready in advance. A link is never used
 * for a second session: its extranonce1 would make the next miner find the same shares again.
 */
export class SessionLinks implements DestinationLinks {
  readonly stats: SessionLinksStats = {
    opened: 0,
    refused: 0,
    extranonceChanges: 0,
    sameExtranonces: 0,
    closed: {},
  };
  readonly #options: Required<SessionLinksOptions>;
  readonly #deps: SessionLinksDeps;
  readonly #links = new Map<string, SessionLink>();
  readonly #bySession = new Map<number, SessionLink>();
  #nextKey = 1;
  #ticker: Timer | undefined;

  constructor(options: SessionLinksOptions, deps: SessionLinksDeps) {
    this.#options = { ...DEFAULTS, ...options };
    this.#deps = deps;
  }

  /** Connections, spare ones too. */
  get size(): number {
    return this.#links.size;
  }

  /** Shares of all links without a verdict. */
  get sharesInFlight(): number {
    let shares = 0;
    for (const { client } of this.#links.values()) shares += client.sharesInFlight;
    return shares;
  }

  get attached(): number {
    return this.#bySession.size;
  }

  get full(): boolean {
    return this.#links.size >= this.#options.maxLinks && ![...this.#links.values()].some(isSpare);
  }

  /** Ready and without a session. */
  get spare(): number {
    return [...this.#links.values()].filter((link) => isSpare(link) && link.ready).length;
  }

  /** Begins to keep spare links. Idempotent. */
  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = this.#deps.timers.every(this.#options.tickMs, () => this.#tick());
    this.#tick();
  }

  /** Ends all links; sessions are not told. Idempotent. */
  stop(): void {
    if (this.#ticker === undefined) return;
    this.#ticker.cancel();
    this.#ticker = undefined;
    this.#bySession.clear();
    for (const link of this.#links.values()) this.#remove(link);
  }

  attach(session: number, emptyExtranonce1 = false): SessionLink | undefined {
    assert(!this.#bySession.has(session), 'session_has_no_link', session);
    const spares = [...this.#links.values()].filter(isSpare);
    const link = spares.find((spare) => spare.ready) ?? spares[0] ?? this.#open();
    if (link === undefined || this.#ticker === undefined) {
      this.stats.refused += 1;
      return undefined;
    }
    const now = this.#now();
    link.session = session;
    link.emptyExtranonce1 = emptyExtranonce1;
    link.lastExtranonce = link.ready ? link.extranonceOf(link.lastJob!) : undefined;
    link.waitingSinceMs = link.ready ? undefined : now;
    link.shareAtMs = now;
    this.#bySession.set(session, link);
    this.#refill();
    this.#startWaiting();
    return link;
  }

  detach(session: number, keepMs = 0): void {
    const link = this.#bySession.get(session);
    if (link === undefined) return;
    this.#bySession.delete(session);
    link.session = undefined;
    const now = this.#now();
    link.endAtMs = now + this.#options.lingerMs;
    link.keptUntilMs = now + keepMs;
    if (keepMs === 0 && link.client.sharesInFlight === 0) this.#remove(link);
  }

  of(session: number): SessionLink | undefined {
    return this.#bySession.get(session);
  }

  byName(name: string): SessionLink | undefined {
    return this.#links.get(name);
  }

  #now(): number {
    return this.#deps.clock.monotonicMs();
  }

  #tick(): void {
    const now = this.#now();
    const { readyMs, idleMs } = this.#options;
    for (const link of this.#links.values()) {
      const { waitingSinceMs } = link;
      if (link.endAtMs !== undefined) {
        const isAnswered = now >= link.keptUntilMs && link.client.sharesInFlight === 0;
        if (isAnswered || now >= link.endAtMs) this.#remove(link);
      } else if (link.session === undefined) continue;
      else if (waitingSinceMs !== undefined && now - waitingSinceMs >= readyMs)
        this.#close(link, 'upstream_timeout');
      else if (now - link.shareAtMs >= idleMs) this.#close(link, 'idle_timeout');
    }
    this.#refill();
    this.#startWaiting();
  }

  #refill(): void {
    if (this.#ticker === undefined) return;
    let spares = 0;
    for (const link of this.#links.values()) if (isSpare(link)) spares += 1;
    while (spares < this.#options.spareLinks && this.#open() !== undefined) spares += 1;
  }

  /** Those with a session first. */
  #startWaiting(): void {
    const links = [...this.#links.values()];
    let opening = links.filter((link) => link.started && !link.ready).length;
    const waiting = links.filter((link) => !link.started);
    waiting.sort((a, b) => Number(a.session === undefined) - Number(b.session === undefined));
    for (const link of waiting) {
      if (opening >= this.#options.opening) return;
      opening += 1;
      link.started = true;
      link.client.start();
    }
  }

  #open(): SessionLink | undefined {
    if (this.#links.size >= this.#options.maxLinks) return undefined;
    const { client } = this.#options;
    const name = linkName(client.name, this.#nextKey++);
    const { clock, timers, random, stats, listener } = this.#deps;
    const log = quietLog(this.#deps.log);
    const link: SessionLink = new SessionLink(
      name,
      new UpstreamClient(
        { ...client, name },
        {
          ...{ clock, timers, random, log },
          ...(stats === undefined ? {} : { stats }),
          listener: {
            onJob: (job) => this.#onJob(link, job),
            onDown: (code, detail) => this.#onDown(link, code, detail),
            onVerdict: (verdict, share) => listener.onVerdict?.(link, verdict, share),
            onRtt: (rttMs) => listener.onRtt?.(rttMs),
          },
        },
      ),
      clock,
    );
    this.stats.opened += 1;
    this.#links.set(name, link);
    if (this.#ticker !== undefined) this.#startWaiting();
    return link;
  }

  #onJob(link: SessionLink, job: UpstreamJob): void {
    if (link.ended) return;
    const { listener } = this.#deps;
    const before = link.lastExtranonce;
    const extranonce = link.extranonceOf(job);
    if (link.lastJob === undefined || !isSameExtranonce(link.lastJob, job)) this.#compare(link, job);
    link.lastJob = job;
    link.waitingSinceMs = undefined;
    if (link.session === undefined) return;
    link.lastExtranonce = extranonce;
    if (before === undefined) {
      listener.onReady?.(link);
      return;
    }
    if (!isSameExtranonce(before, extranonce)) this.stats.extranonceChanges += 1;
    listener.onJob?.(link, job);
  }

  /** Braidpool before its pull request 472 gave the same one to everybody. */
  #compare(link: SessionLink, job: UpstreamJob): void {
    for (const other of this.#links.values()) {
      if (other === link || other.lastJob === undefined || !isSameExtranonce(other.lastJob, job)) continue;
      this.stats.sameExtranonces += 1;
      const reason =
        'several connections have the same extranonce1, so miners repeat the work of each other';
      this.#deps.log.warn({ code: 'upstream_protocol', target: this.#options.client.name }, reason);
      return;
    }
  }

  /** A spare one goes on trying too, with its growing delays. */
  #onDown(link: SessionLink, code: ErrorCode, detail: string): void {
    link.lastJob = undefined;
    if (link.session === undefined) return;
    link.waitingSinceMs = this.#now();
    this.#deps.listener.onDown?.(link, code, detail);
  }

  #close(link: SessionLink, code: LinkEnd): void {
    const { session } = link;
    assert(session !== undefined, 'closed_link_has_session');
    this.stats.closed[code] = (this.stats.closed[code] ?? 0) + 1;
    this.#bySession.delete(session);
    this.#remove(link);
    this.#deps.listener.onClosed?.(session, code);
  }

  #remove(link: SessionLink): void {
    if (link.ended) return;
    link.ended = true;
    link.session = undefined;
    this.#links.delete(link.name);
    link.client.stop();
  }
}

/** What befalls an upstream is said once, by the destination: the same of each link is for debugging. */
function quietLog(log: Logger): Logger {
  const debug: Logger['debug'] = (fields, message) => log.debug(fields, message);
  return {
    ...{ debug, info: debug, warn: debug },
    error: (fields, message) => log.error(fields, message),
    child: (fields) => quietLog(log.child(fields)),
  };
}

function isSpare(link: SessionLink): boolean {
  return link.session === undefined && link.endAtMs === undefined && !link.ended;
}
