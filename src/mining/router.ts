import type { Clock } from '../base/clock.ts';
import type { DownstreamServer } from '../downstream/server/server.ts';
import type { Session } from '../downstream/session/session.ts';
import { speedOfAgent } from '../downstream/session/user-agents.ts';
import type { Logger } from '../log/logger.ts';
import type { FailoverOptions } from '../upstream/failover.ts';
import {
  type SplitAccount,
  type SplitDestination,
  type SplitEffect,
  type SplitEvent,
  type SplitOptions,
  type SplitSession,
  type SplitState,
  transition as split,
  targetsOf,
  UNDIVIDED,
} from '../upstream/split.ts';
import {
  NO_ROUTE,
  NOWHERE,
  namesOf,
  type Plan,
  planText,
  type RoutingDemand,
  type RoutingState,
  transition as route,
} from './routing.ts';

import {
  NONE_SLOW,
  SLOW_SESSIONS,
  type SlowSessionsEvent,
  type SlowSessionsState,
  type SpeedOfSession,
  transition as slowSessions,
} from './slow-sessions.ts';

export type RouterOptions = { readonly failover: FailoverOptions; readonly split: SplitOptions };

export type RouterDeps = {
  readonly server: () => Pick<DownstreamServer, 'assign' | 'session' | 'sessions'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Before sessions are moved to a route: its current job has to be there. */
  readonly prepare: (route: string) => void;
  /** Of a session that has the link of its own, or the route, that is named. */
  readonly routeOf: (session: number, destination: string) => string;
  /** Expected hashes of a share of this route where a contract names it; undefined for the miner's own. */
  readonly contractShareHashes: (route: string) => number | undefined;
  /** The miner's own route for those that are too slow for contracts; undefined where none works. */
  readonly ownRoute: () => string | undefined;
  /** Nobody mines any more, and before all mined to these. */
  readonly onNowhere: (left: readonly string[]) => void;
};

/** Accepted shares below which a session's hashrate is as good as unknown. */
const MEASURED_SHARES = 8;

/** How often it is looked who is too slow for the contracts. */
const SLOW_LOOK_MS = 10_000;

/** As `split.ts` counts a session while the hashrate of none is known. */
const UNMEASURED = 1n;

/** Who mines where: follows the plan, and divides sessions where the plan has several routes. */
export class Router {
  readonly stats = { failovers: 0, moves: 0 };
  #options: RouterOptions;
  readonly #deps: RouterDeps;
  #routing: RoutingState = NO_ROUTE;
  #split: SplitState = UNDIVIDED;
  #slow: SlowSessionsState = NONE_SLOW;
  #slowAtMs = Number.NEGATIVE_INFINITY;
  /** Assigned hashrate by route as of the last round, with what was routed since. */
  #assigned = new Map<string, bigint>();
  #mean = UNMEASURED;
  /** Sessions routed since the last round. */
  readonly #routed = new Map<number, string>();

  constructor(options: RouterOptions, deps: RouterDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  get options(): RouterOptions {
    return this.#options;
  }

  /** By which the next round is decided. */
  setOptions(options: RouterOptions): void {
    this.#options = options;
  }

  /** The routes by which sessions mine now, best first; empty when nowhere. */
  get routes(): readonly string[] {
    return namesOf(this.#routing.plan);
  }

  /** Of the last round, by route; empty while all mine by one. */
  get accounts(): readonly SplitAccount[] {
    return this.#routing.plan.type === 'split' ? this.#split.accounts : [];
  }

  /** Moves sessions where the plan has changed. */
  update(demand: RoutingDemand): void {
    const event = { type: 'demand', ...demand } as const;
    const { state, effects } = route(this.#options, this.#routing, event, this.#deps.clock.monotonicMs());
    this.#routing = state;
    for (const effect of effects) {
      if (effect.type === 'prepare') this.#deps.prepare(effect.route);
      else this.#move(effect.from, effect.to);
    }
  }

  #move(from: Plan, to: Plan): void {
    const { log, onNowhere } = this.#deps;
    log.info({ from: planText(from), to: planText(to) }, 'hashrate moves');
    this.stats.failovers += 1;
    // Before anybody is sent to work that is too hard for it.
    this.#lookAtAll();
    this.#divide({ type: 'destinations_changed' });
    if (to.type === 'split') {
      this.balance();
      return;
    }
    this.#routed.clear();
    this.#assignAll(to.destination);
    if (to.destination === NOWHERE) onNowhere(namesOf(from));
  }

  /** All to one route, but those that are too slow for it. */
  #assignAll(destination: string): void {
    const server = this.#deps.server();
    if (this.#slow.slow.size === 0 || this.#shareHashes() === undefined) {
      server.assign('all', destination);
      return;
    }
    for (const { id } of server.sessions()) {
      const session = server.session(id);
      if (session !== undefined) server.assign(session, this.#unlessSlow(id, destination));
    }
  }

  /** The hardest share that a contract of the plan wants: whoever shares in it may have to find that. */
  #shareHashes(): number | undefined {
    const hashes = namesOf(this.#routing.plan).flatMap(
      (name) => this.#deps.contractShareHashes(name) ?? [],
    );
    return hashes.length === 0 ? undefined : Math.max(...hashes);
  }

  /** Shares a minute that this session would find for the contracts, where those are too few. */
  sharesPerMinuteOfSlow(session: number): number | undefined {
    return this.#slow.slow.get(session);
  }

  #unlessSlow(session: number, route: string): string {
    if (!this.#slow.slow.has(session) || this.#deps.contractShareHashes(route) === undefined) return route;
    return this.#deps.ownRoute() ?? route;
  }

  #lookForSlow(event: SlowSessionsEvent): ReturnType<typeof slowSessions>['effects'] {
    const { state, effects } = slowSessions(
      SLOW_SESSIONS,
      this.#slow,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#slow = state;
    return effects;
  }

  /** Those that are too slow follow the miner's own route, whichever that is now. */
  #placeSlow(): void {
    const own = this.#shareHashes() === undefined ? undefined : this.#deps.ownRoute();
    const server = this.#deps.server();
    for (const id of this.#slow.slow.keys()) {
      const session = server.session(id);
      if (session !== undefined && own !== undefined) server.assign(session, own);
      else if (session !== undefined && this.#routing.plan.type === 'one')
        server.assign(session, this.#routing.plan.destination);
    }
  }

  /** Sends each session that turned out to be too slow, or no longer is, where it belongs. */
  #moveSlow(): void {
    if (this.#deps.clock.monotonicMs() - this.#slowAtMs < SLOW_LOOK_MS) return;
    const server = this.#deps.server();
    for (const { session: id } of this.#lookAtAll()) {
      const session = server.session(id);
      if (session !== undefined) server.assign(session, this.route(session));
    }
  }

  #lookAtAll(): ReturnType<typeof slowSessions>['effects'] {
    const shareHashes = this.#shareHashes();
    this.#slowAtMs = this.#deps.clock.monotonicMs();
    if (shareHashes === undefined && this.#slow.slow.size === 0) return [];
    const sessions = this.#deps.server().sessions();
    // A miner with a connection upstream of its own would have to connect anew: it stays.
    const free = sessions.filter(({ id, destination }) => {
      return destination !== '' && this.#deps.routeOf(id, destination) === destination;
    });
    return this.#lookForSlow({ type: 'look', sessions: free.map(speedOf), shareHashes });
  }

  /** One round of the division; to be called every second. */
  balance(): void {
    this.#moveSlow();
    this.#placeSlow();
    if (this.#routing.plan.type !== 'split') return;
    const { destinations } = this.#routing.plan;
    const own = this.#deps.ownRoute();
    const all = this.#deps.server().sessions();
    const fast = own === undefined ? all : all.filter(({ id }) => !this.#slow.slow.has(id));
    const sessions = splitSessions(fast, destinations, this.#deps.routeOf);
    const moves = this.#divide({ type: 'round', sessions, destinations });
    this.#assigned = new Map(
      this.#split.accounts.map(({ name, assignedHashesPerSecond }) => [name, assignedHashesPerSecond]),
    );
    this.#mean = meanOf(sessions);
    this.#routed.clear();
    const server = this.#deps.server();
    for (const move of moves) {
      const session = server.session(move.session);
      if (session !== undefined) server.assign(session, move.to ?? NOWHERE);
    }
    this.stats.moves += moves.length;
    if (moves.length > 0) this.#deps.log.debug({ sessions: moves.length }, 'sessions move');
  }

  #divide(event: SplitEvent): readonly SplitEffect[] {
    const { state, effects } = split(
      this.#options.split,
      this.#split,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#split = state;
    return effects;
  }

  /** For a session that has none yet: the one that lacks most. */
  route(session: Session): string {
    const shareHashes = this.#shareHashes();
    if (shareHashes !== undefined && !session.isStarted) {
      const guessed = speedOfAgent(session.userAgent);
      const { id } = session;
      const came = { id, hashesPerSecond: 0, accepted: 0, guessed, connectedForMs: 0 };
      this.#lookForSlow({ type: 'came', session: came, shareHashes });
    }
    const own =
      this.#slow.slow.has(session.id) && shareHashes !== undefined ? this.#deps.ownRoute() : undefined;
    return own ?? this.#routeOfPlan(session);
  }

  #routeOfPlan(session: Session): string {
    if (this.#routing.plan.type === 'one') return this.#routing.plan.destination;
    const { destinations } = this.#routing.plan;
    const routed = this.#routed.get(session.id);
    if (routed !== undefined && destinations.some(({ name }) => name === routed)) return routed;
    const total = destinations.reduce((sum, { name }) => sum + this.#assignedTo(name), this.#mean);
    let to: { readonly name: string; readonly gap: bigint } | undefined;
    for (const [name, target] of targetsOf(destinations, total)) {
      const gap = target - this.#assignedTo(name);
      if (target > 0n && (to === undefined || gap > to.gap)) to = { name, gap };
    }
    if (to === undefined) return NOWHERE;
    this.#assigned.set(to.name, this.#assignedTo(to.name) + this.#mean);
    this.#routed.set(session.id, to.name);
    return to.name;
  }

  #assignedTo(name: string): bigint {
    return this.#assigned.get(name) ?? 0n;
  }
}

function speedOf(session: Snapshots[number]): SpeedOfSession {
  const { id, hashesPerSecond, accepted, connectedForMs, userAgent } = session;
  return { id, hashesPerSecond, accepted, connectedForMs, guessed: speedOfAgent(userAgent) };
}

type Snapshots = ReturnType<DownstreamServer['sessions']>;

/** A session with an upstream connection of its own would have to connect anew: it stays if it can. */
function splitSessions(
  snapshots: Snapshots,
  destinations: readonly SplitDestination[],
  routeOf: RouterDeps['routeOf'],
): readonly SplitSession[] {
  const names = new Set(destinations.map(({ name }) => name));
  return snapshots.flatMap(({ id, destination, hashesPerSecond, accepted }): SplitSession[] => {
    if (destination === '') return [];
    const name = routeOf(id, destination);
    const isMeasured = accepted >= MEASURED_SHARES;
    return [
      {
        id,
        hashesPerSecond: isMeasured ? BigInt(Math.round(hashesPerSecond)) : 0n,
        destination: name === NOWHERE ? undefined : name,
        isPinned: name !== destination && names.has(name),
      },
    ];
  });
}

function meanOf(sessions: readonly SplitSession[]): bigint {
  const measured = sessions.filter(({ hashesPerSecond }) => hashesPerSecond > 0n);
  if (measured.length === 0) return UNMEASURED;
  return measured.reduce((sum, { hashesPerSecond }) => sum + hashesPerSecond, 0n) / BigInt(measured.length);
}
