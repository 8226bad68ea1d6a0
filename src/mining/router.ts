import type { Clock } from '../base/clock.ts';
import type { DownstreamServer } from '../downstream/server/server.ts';
import type { Session } from '../downstream/session/session.ts';
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

export type RouterOptions = { readonly failover: FailoverOptions; readonly split: SplitOptions };

export type RouterDeps = {
  readonly server: () => Pick<DownstreamServer, 'assign' | 'session' | 'sessions'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Before sessions are moved to a route: its current job has to be there. */
  readonly prepare: (route: string) => void;
  /** Of a session that has the link of its own, or the route, that is named. */
  readonly routeOf: (session: number, destination: string) => string;
  /** Nobody mines any more, and before all mined to these. */
  readonly onNowhere: (left: readonly string[]) => void;
};

/** Accepted shares below which a session's hashrate is as good as unknown. */
const MEASURED_SHARES = 8;

/** As `split.ts` counts a session while the hashrate of none is known. */
const UNMEASURED = 1n;

/** Who mines where: follows the plan, and divides sessions where the plan has several routes. */
export class Router {
  readonly stats = { failovers: 0, moves: 0 };
  readonly #options: RouterOptions;
  readonly #deps: RouterDeps;
  #routing: RoutingState = NO_ROUTE;
  #split: SplitState = UNDIVIDED;
  /** Assigned hashrate by route as of the last round, with what was routed since. */
  #assigned = new Map<string, bigint>();
  #mean = UNMEASURED;
  /** Sessions routed since the last round. */
  readonly #routed = new Map<number, string>();

  constructor(options: RouterOptions, deps: RouterDeps) {
    this.#options = options;
    this.#deps = deps;
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
    const { log, onNowhere, server } = this.#deps;
    log.info({ from: planText(from), to: planText(to) }, 'hashrate moves');
    this.stats.failovers += 1;
    if (to.type === 'split') {
      this.#divide({ type: 'destinations_changed' });
      this.balance();
      return;
    }
    this.#routed.clear();
    server().assign('all', to.destination);
    if (to.destination === NOWHERE) onNowhere(namesOf(from));
  }

  /** One round of the division; to be called every second. */
  balance(): void {
    if (this.#routing.plan.type !== 'split') return;
    const { destinations } = this.#routing.plan;
    const sessions = splitSessions(this.#deps.server().sessions(), destinations, this.#deps.routeOf);
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
