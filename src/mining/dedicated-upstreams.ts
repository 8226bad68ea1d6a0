import type { Clock } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { DestinationConfig } from '../config/config.ts';
import type { DownstreamServer } from '../downstream/server/server.ts';
import { type JobRouting, type SessionFeed, SHARED } from '../downstream/session/job-routing.ts';
import type { Session } from '../downstream/session/session.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import type { JobTable } from '../jobs/job-table.ts';
import type { Logger } from '../log/logger.ts';
import type { Destination, DestinationLink, DestinationListener } from '../upstream/destination.ts';
import { type FailoverPolicy, isHealthy } from '../upstream/failover.ts';
import { destinationOfLink } from '../upstream/session-links.ts';
import { NOWHERE } from './routing.ts';

/** Firmware that gives up at an empty extranonce1: NerdMiner and its many children. */
const NEEDS_EXTRANONCE1 = /nerdminer|nmminer|leafminer|microminer|sparkminer|esp32|esp8266|arduino/i;
/** Between a submit and the moment its share is forwarded at most. */
const SUBMIT_MS = 1_000;

const STAY: JobRouting = { kind: 'stay' };
const WAITING: JobRouting = { kind: 'waiting' };
const RECONNECT: JobRouting = { kind: 'reconnect' };

export type DedicatedUpstreamsDeps = {
  readonly jobs: JobTable;
  readonly server: () => DownstreamServer;
  readonly clock: Clock;
  readonly log: Logger;
  /** The evidence stream of a destination's work; undefined while nobody would be credited for it. */
  readonly streamOf: (destination: string) => string | undefined;
  /** Of all shares of a stream; undefined where each session has its own. */
  readonly difficultyOf: (stream: string) => number | undefined;
  /** By which a destination counts as healthy. */
  readonly policy: FailoverPolicy;
  /** A session may not stay where it is for the sake of its connection. */
  readonly isUrgent: (from: string, to: string) => boolean;
  /** Where a session should be now. */
  readonly route: (session: Session) => string;
  /** Where a session can be that gets no connection; undefined for nowhere. */
  readonly instead: () => string | undefined;
};

type LinksConfig = DestinationConfig['links'];

/**
 * Sessions with a connection upstream of their own, where a destination leaves too little extranonce2 to be
 * shared. They are told its extranonces, get its jobs alone, and stay with it as long as it works.
 */
export class DedicatedUpstreams {
  readonly #deps: DedicatedUpstreamsDeps;
  readonly #destinations = new Map<string, { readonly at: Destination; readonly config: LinksConfig }>();
  /** By session. */
  readonly #linked = new Map<number, Destination>();
  /** Those that were seen to need a connection for each session. */
  readonly #unshared = new Set<Destination>();

  constructor(deps: DedicatedUpstreamsDeps) {
    this.#deps = deps;
  }

  /** To be called with every destination, whether it turns out to be shared or not. */
  add(destination: Destination, config: LinksConfig): void {
    this.#destinations.set(destination.name, { at: destination, config });
  }

  /** For the destinations to be added. */
  get listener(): NonNullable<DestinationListener['links']> {
    return {
      onReady: (link) => this.#give(link),
      onJob: (link) => this.#give(link),
      onDown: (link) => {
        const session = this.#deps.server().session(link.session!);
        this.#deps.jobs.endDestination(link.name, this.#deps.clock.monotonicMs());
        if (session?.started === true) this.#deps.server().assign(session, this.#deps.route(session));
      },
      onClosed: (session, code) => {
        this.#linked.delete(session);
        const { server, log, jobs, clock } = this.#deps;
        const lost = server().session(session);
        log.debug({ session, code }, 'the connection of a session is gone');
        if (lost === undefined) return;
        if (lost.feed !== undefined) jobs.endDestination(lost.feed.name, clock.monotonicMs());
        server().reconnect(lost);
      },
    };
  }

  /** See `ChooseJobRouting`. */
  place(session: Session, to: string): JobRouting {
    const before = this.#linked.get(session.id);
    const wanted = this.#destinations.get(to)?.at;
    if (before !== undefined && (before === wanted || this.#isPinned(session, before, to))) return STAY;
    if (wanted?.mode === 'per_session') return this.#link(session, wanted, before);
    if (wanted !== undefined) this.#unshared.delete(wanted);
    if (before !== undefined) this.#unlink(session.id, before);
    return SHARED;
  }

  /** A session is gone. */
  closed(session: Session): void {
    const destination = this.#linked.get(session.id);
    if (destination === undefined) return;
    this.#unlink(session.id, destination, session.inFlight > 0 ? SUBMIT_MS : 0);
  }

  /** The connection a job came by; undefined for a job that sessions share. */
  linkOf(job: Job): DestinationLink | undefined {
    if (job.minerExtranonce1Size === undefined) return undefined;
    return this.#destinations.get(destinationOfLink(job.destination))?.at.links?.byName(job.destination);
  }

  /** Work again for those whose work goes to another stream now, or was shared before. */
  renew(destination: Destination): void {
    if (!this.#unshared.has(destination)) this.#separate(destination);
    for (const [id, linkedTo] of this.#linked) {
      const link = destination.links?.of(id);
      if (linkedTo !== destination || link?.ready !== true) continue;
      if (this.#deps.jobs.current(link.name)?.stream === this.#deps.streamOf(destination.name)) continue;
      this.#give(link);
    }
  }

  /** Sessions that shared its connection until it turned out to leave too little for that. */
  #separate(destination: Destination): void {
    this.#unshared.add(destination);
    const server = this.#deps.server();
    for (const snapshot of server.sessions()) {
      const session = snapshot.destination === destination.name ? server.session(snapshot.id) : undefined;
      if (session === undefined || this.#linked.has(session.id)) continue;
      server.assign(session, NOWHERE);
      server.assign(session, destination.name);
    }
  }

  /** A connection that works is worth more than a better place, but not than what a contract is owed. */
  #isPinned(session: Session, from: Destination, to: string): boolean {
    if (this.#deps.isUrgent(from.name, to)) return false;
    if (to === NOWHERE) return true;
    if (from.links?.of(session.id)?.ready !== true) return false;
    const { health } = from;
    return !health.up || isHealthy(this.#deps.policy, health);
  }

  #link(session: Session, to: Destination, before: Destination | undefined): JobRouting {
    const { links, name } = to;
    if (!session.canChangeExtranonce && links?.full === false) return RECONNECT;
    const link = links?.attach(session.id, this.#wantsEmpty(session, name));
    if (link === undefined) {
      this.#deps.log.warn({ code: 'session_limit', target: name }, 'no connection is left for a miner');
      return { kind: 'refused', instead: this.#deps.instead() };
    }
    if (before !== undefined) this.#unlink(session.id, before);
    this.#linked.set(session.id, to);
    if (!link.ready || this.#giveJob(link, link.lastJob!) === undefined) return WAITING;
    return { kind: 'fed', feed: feedOf(link) };
  }

  #wantsEmpty(session: Session, destination: string): boolean {
    const choice = this.#destinations.get(destination)!.config.extranonce1;
    if (choice !== 'auto') return choice === 'empty';
    return !session.takesExtranonce && !NEEDS_EXTRANONCE1.test(session.userAgent);
  }

  /** @param keepMs see `SessionLinks.detach` */
  #unlink(session: number, from: Destination, keepMs = SUBMIT_MS): void {
    this.#linked.delete(session);
    const link = from.links?.of(session);
    if (link !== undefined) this.#deps.jobs.endDestination(link.name, this.#deps.clock.monotonicMs());
    from.links?.detach(session, keepMs);
  }

  /** The last job of a link to its session. */
  #give(link: DestinationLink): void {
    const { session } = link;
    const server = this.#deps.server();
    const job = this.#giveJob(link, link.lastJob!);
    if (job === undefined || session === undefined) return;
    if (!server.feed(session, feedOf(link))) server.broadcast(job);
  }

  /** Undefined when the job cannot be mined, or nobody would be credited for it. */
  #giveJob(link: DestinationLink, upstream: UpstreamJob): Job | undefined {
    const { jobs, clock, log, streamOf, difficultyOf } = this.#deps;
    const stream = streamOf(destinationOfLink(link.name));
    if (stream === undefined) return undefined;
    const own = { minerExtranonce1Size: link.extranonceOf(upstream).extranonce1.length };
    try {
      return jobs.add(link.name, stream, upstream, clock.monotonicMs(), difficultyOf(stream), own);
    } catch (error) {
      log.warn({ code: codeOf(error), target: link.name, err: error }, 'job refused');
      return undefined;
    }
  }
}

function feedOf(link: DestinationLink): SessionFeed {
  return { name: link.name, ...link.extranonceOf(link.lastJob!) };
}
