import type { Clock } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { DownstreamServer } from '../downstream/server/server.ts';
import { type JobRouting, type SessionFeed, SHARED } from '../downstream/session/job-routing.ts';
import type { Session } from '../downstream/session/session.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import type { JobTable } from '../jobs/job-table.ts';
import type { Logger } from '../log/logger.ts';
import type { Destination, DestinationLink, DestinationLinkListener } from '../upstream/destination.ts';
import { type FailoverOptions, isHealthy } from '../upstream/failover.ts';
import { NOWHERE } from './routing.ts';
import type { DestinationSetup, WorkRoute, WorkRoutes } from './work-routes.ts';

/** Firmware that gives up at an empty extranonce1: NerdMiner and its many children. */
const NEEDS_EXTRANONCE1 = /nerdminer|nmminer|leafminer|microminer|sparkminer|esp32|esp8266|arduino/i;
/** Between a submit and the moment its share is forwarded at most. */
const SUBMIT_MS = 1_000;

/**
 * A contract that wants no hashrate for a moment, since its maker has yet to sign, is waited for where
 * leaving costs a miner its connection. Until then it has no work: the bound on unpaid work holds.
 */
const PAUSE_MS = 10_000;

const STAY: JobRouting = { type: 'stay' };
const WAITING: JobRouting = { type: 'waiting' };
const RECONNECT: JobRouting = { type: 'reconnect' };

export type DedicatedUpstreamsDeps = {
  readonly jobs: JobTable;
  readonly server: () => DownstreamServer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly routes: WorkRoutes;
  /** By which a destination counts as healthy. */
  readonly failover: () => FailoverOptions;
  /** Where a session should be now. */
  readonly route: (session: Session) => string;
};

/** Where a session has a connection of its own, and the name of the route it mines by. */
type Linked = { readonly at: Destination; readonly route: string };

/**
 * Sessions with a connection upstream of their own, where a destination leaves too little extranonce2 to be
 * shared. They are told its extranonces, get its jobs alone, and stay with it as long as it works.
 */
export class DedicatedUpstreams {
  readonly #deps: DedicatedUpstreamsDeps;
  /** By session. */
  readonly #linked = new Map<number, Linked>();
  /** Those that were seen to need a connection for each session. */
  readonly #unshared = new Set<Destination>();
  /** Sessions that wait for their contract, and since when. */
  readonly #waiting = new Map<number, number>();

  constructor(deps: DedicatedUpstreamsDeps) {
    this.#deps = deps;
  }

  /** Of a session that has a connection of its own. */
  routeOf(session: number): string | undefined {
    return this.#linked.get(session)?.route;
  }

  /** For the destinations. */
  get listener(): DestinationLinkListener {
    return {
      onReady: (link) => this.#feedSession(link),
      onJob: (link) => this.#feedSession(link),
      onDown: (link) => {
        const session = this.#deps.server().session(link.session!);
        this.#deps.jobs.endDestination(link.name, this.#deps.clock.monotonicMs());
        if (session?.isStarted === true) this.#deps.server().assign(session, this.#deps.route(session));
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

  /** See `ChooseJobRouting`. @param to the name of a route */
  chooseRouting(session: Session, to: string): JobRouting {
    const before = this.#linked.get(session.id);
    const target = this.#deps.routes.byName(to);
    const isThere = before !== undefined && before.route === to;
    if (before !== undefined && !isThere && this.#waitsForContract(session, before, target)) return STAY;
    if (isThere || (before !== undefined && this.#isPinned(session, before, to))) return STAY;
    if (target?.at.destination.mode === 'per_session') {
      if (before?.at === target.at.destination) return this.#credit(session, target);
      return this.#link(session, target, before);
    }
    if (target !== undefined) this.#unshared.delete(target.at.destination);
    if (before !== undefined) this.#unlink(session.id, before.at);
    return SHARED;
  }

  /** To be called every second: who has waited for its contract long enough goes elsewhere. */
  tick(): void {
    const { clock, server, route } = this.#deps;
    for (const [id, sinceMs] of this.#waiting) {
      const session = server().session(id);
      if (session === undefined || !this.#linked.has(id)) this.#waiting.delete(id);
      else if (clock.monotonicMs() - sinceMs >= PAUSE_MS) server().assign(session, route(session));
    }
  }

  /** True for a session whose contract pauses, which it cannot leave without another connection. */
  #waitsForContract(session: Session, { at, route }: Linked, to: WorkRoute | undefined): boolean {
    const { routes, clock, jobs } = this.#deps;
    const from = routes.byName(route);
    const isPaused = from?.contract?.isDelivering === false && routes.isLive(from);
    const isElsewhere = to?.contract === undefined && to?.at.destination !== at;
    if (!isPaused || !isElsewhere || session.canChangeExtranonce) return false;
    const now = clock.monotonicMs();
    const sinceMs = this.#waiting.get(session.id);
    if (sinceMs !== undefined) return now - sinceMs < PAUSE_MS;
    this.#waiting.set(session.id, now);
    const link = at.links?.of(session.id);
    if (link !== undefined) jobs.endDestination(link.name, now);
    return true;
  }

  /** A session is gone. */
  closed(session: Session): void {
    const linked = this.#linked.get(session.id);
    if (linked === undefined) return;
    this.#unlink(session.id, linked.at, session.inFlight > 0 ? SUBMIT_MS : 0);
  }

  /** The connection a job came by; undefined for a job that sessions share. */
  linkOf(job: Job): DestinationLink | undefined {
    if (job.minerExtranonce1Size === undefined) return undefined;
    return this.#deps.routes.destinationOf(job)?.destination.links?.byName(job.destination);
  }

  /** Work again for those whose work is credited in another way now, or who shared it before. */
  renew({ name, at: { destination } }: WorkRoute): void {
    if (!this.#unshared.has(destination)) this.#separate(destination);
    for (const [id, { at, route }] of this.#linked) {
      if (route === name) this.#waiting.delete(id);
      const link = destination.links?.of(id);
      if (at !== destination || link?.ready !== true) continue;
      const current = this.#deps.jobs.current(link.name);
      const now = this.#deps.routes.byName(route);
      const isSame =
        current?.stream === now?.stream && current?.fixedDifficulty === now?.contract?.difficulty;
      if (!isSame) this.#feedSession(link);
    }
  }

  /** Sessions that shared its connection until it turned out to leave too little for that. */
  #separate(destination: Destination): void {
    this.#unshared.add(destination);
    const server = this.#deps.server();
    for (const snapshot of server.sessions()) {
      const route = this.#deps.routes.byName(snapshot.destination);
      const session = route?.at.destination === destination ? server.session(snapshot.id) : undefined;
      if (route === undefined || session === undefined || this.#linked.has(session.id)) continue;
      server.assign(session, NOWHERE);
      server.assign(session, route.name);
    }
  }

  /** A connection that works is worth more than a better place, but not than what a contract is owed. */
  #isPinned(session: Session, { at, route }: Linked, to: string): boolean {
    const { routes, failover } = this.#deps;
    const from = routes.byName(route);
    if (from === undefined || !routes.isLive(from)) return false;
    if (from.contract !== undefined || routes.byName(to)?.contract !== undefined) return false;
    if (to === NOWHERE) return true;
    if (at.links?.of(session.id)?.ready !== true) return false;
    const { health } = at;
    return !health.isUp || isHealthy(failover(), health);
  }

  /** The connection stays; what it brings is for another stream from now on. */
  #credit(session: Session, to: WorkRoute): JobRouting {
    const { destination } = to.at;
    const link = destination.links?.of(session.id);
    this.#linked.set(session.id, { at: destination, route: to.name });
    if (link === undefined) return STAY;
    this.#deps.jobs.endDestination(link.name, this.#deps.clock.monotonicMs());
    if (!link.ready || this.#giveJob(link, link.lastJob!) === undefined) return STAY;
    return { type: 'fed', feed: feedOf(link) };
  }

  #link(session: Session, to: WorkRoute, before: Linked | undefined): JobRouting {
    const { destination } = to.at;
    const { links, name } = destination;
    if (!session.canChangeExtranonce && links?.full === false) return RECONNECT;
    const link = links?.attach(session.id, wantsEmpty(session, to.at.setup.extranonce1));
    if (link === undefined) {
      this.#deps.log.warn({ code: 'session_limit', target: name }, 'no connection is left for a miner');
      return { type: 'refused', instead: this.#deps.routes.sharedFallback()?.name };
    }
    if (before !== undefined) this.#unlink(session.id, before.at);
    this.#linked.set(session.id, { at: destination, route: to.name });
    if (!link.ready || this.#giveJob(link, link.lastJob!) === undefined) return WAITING;
    return { type: 'fed', feed: feedOf(link) };
  }

  /** @param keepMs see `DestinationLinks.detach` */
  #unlink(session: number, from: Destination, keepMs = SUBMIT_MS): void {
    this.#linked.delete(session);
    this.#waiting.delete(session);
    const link = from.links?.of(session);
    if (link !== undefined) this.#deps.jobs.endDestination(link.name, this.#deps.clock.monotonicMs());
    from.links?.detach(session, keepMs);
  }

  /** The last job of a link to its session. */
  #feedSession(link: DestinationLink): void {
    const { session } = link;
    const server = this.#deps.server();
    const job = this.#giveJob(link, link.lastJob!);
    if (job === undefined || session === undefined) return;
    if (!server.feed(session, feedOf(link))) server.broadcast(job);
  }

  /** Undefined when the job cannot be mined, or no session would be credited for it. */
  #giveJob(link: DestinationLink, upstream: UpstreamJob): Job | undefined {
    const { jobs, clock, log } = this.#deps;
    const isWaiting = link.session !== undefined && this.#waiting.has(link.session);
    const linked = link.session === undefined || isWaiting ? undefined : this.#linked.get(link.session);
    const route = linked === undefined ? undefined : this.#deps.routes.byName(linked.route);
    if (route === undefined) return undefined;
    const own = { minerExtranonce1Size: link.extranonceOf(upstream).extranonce1.length };
    try {
      const difficulty = route.contract?.difficulty;
      return jobs.add(link.name, route.stream, upstream, clock.monotonicMs(), difficulty, own);
    } catch (error) {
      log.warn({ code: codeOf(error), target: link.name, err: error }, 'job refused');
      return undefined;
    }
  }
}

function wantsEmpty(session: Session, choice: DestinationSetup['extranonce1']): boolean {
  if (choice !== 'auto') return choice === 'empty';
  return !session.canSetExtranonce && !NEEDS_EXTRANONCE1.test(session.userAgent);
}

function feedOf(link: DestinationLink): SessionFeed {
  return { name: link.name, ...link.extranonceOf(link.lastJob!) };
}
