import type { Clock } from '../base/clock.ts';
import type { DownstreamServer } from '../downstream/server/server.ts';
import type { Session } from '../downstream/session/session.ts';
import type { Logger } from '../log/logger.ts';
import type { FailoverPolicy } from '../upstream/failover.ts';
import {
  newSplit,
  type SplitAccount,
  type SplitDestination,
  type SplitPolicy,
  type SplitSession,
  type SplitState,
  splitHashrate,
  targetsOf,
} from '../upstream/split.ts';
import {
  NOWHERE,
  namesOf,
  newRouting,
  type Plan,
  planText,
  type RoutingInput,
  type RoutingState,
  route,
} from './routing.ts';

export type RouterOptions = { readonly failover: FailoverPolicy; readonly split: SplitPolicy };

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

/** As `splitHashrate` counts a session while the hashrate of none is known. */
const UNMEASURED = 1n;

/** Who mines where: follows the plan, and divides sessions where the plan has several routes. */
export class Router {
  readonly stats = { failovers: 0, moves: 0 };
  readonly #deps: RouterDeps;
  #routing: RoutingState;
  #split: SplitState;
  #plan: Plan = { type: 'one', destination: NOWHERE };
  #accounts: readonly SplitAccount[] = [];
  /** Assigned hashrate by route as of the last round, with what was routed since. */
  #assigned = new Map<string, bigint>();
  #mean = UNMEASURED;
  /** Sessions routed since the last round. */
  readonly #routed = new Map<number, string>();

  constructor(options: RouterOptions, deps: RouterDeps) {
    this.#deps = deps;
    this.#routing = newRouting(options.failover);
    this.#split = newSplit(options.split);
  }

  /** The routes by which sessions mine now, best first; empty when nowhere. */
  get routes(): readonly string[] {
    return namesOf(this.#plan);
  }

  /** Of the last round, by route; empty while all mine by one. */
  get accounts(): readonly SplitAccount[] {
    return this.#accounts;
  }

  /** Moves sessions where the plan has changed. */
  update(input: RoutingInput): void {
    const { clock, log, prepare, onNowhere, server } = this.#deps;
    const next = route(this.#routing, input, clock.monotonicMs());
    this.#routing = next.state;
    const before = this.#plan;
    const [from, to] = [planText(before), planText(next.plan)];
    this.#plan = next.plan;
    for (const name of namesOf(next.plan)) prepare(name);
    if (from === to) return;
    log.info({ from, to }, 'hashrate moves');
    this.stats.failovers += 1;
    if (next.plan.type === 'split') {
      // What was decided for another set of destinations holds nobody where it is.
      this.#split = { ...this.#split, movedAtMs: new Map() };
      this.balance();
      return;
    }
    this.#accounts = [];
    this.#routed.clear();
    server().assign('all', next.plan.destination);
    if (next.plan.destination === NOWHERE) onNowhere(namesOf(before));
  }

  /** One round of the division; to be called every second. */
  balance(): void {
    if (this.#plan.type !== 'split') return;
    const { clock, log } = this.#deps;
    const server = this.#deps.server();
    const { destinations } = this.#plan;
    const sessions = splitSessions(server.sessions(), destinations, this.#deps.routeOf);
    const round = splitHashrate(this.#split, { sessions, destinations }, clock.monotonicMs());
    this.#split = round.state;
    this.#accounts = round.accounts;
    this.#assigned = new Map(
      round.accounts.map(({ name, assignedHashesPerSecond }) => [name, assignedHashesPerSecond]),
    );
    this.#mean = meanOf(sessions);
    this.#routed.clear();
    for (const move of round.moves) {
      const session = server.session(move.session);
      if (session !== undefined) server.assign(session, move.to ?? NOWHERE);
    }
    this.stats.moves += round.moves.length;
    if (round.moves.length > 0) log.debug({ sessions: round.moves.length }, 'sessions move');
  }

  /** For a session that has none yet: the one that lacks most. */
  route(session: Session): string {
    if (this.#plan.type === 'one') return this.#plan.destination;
    const { destinations } = this.#plan;
    const known = this.#routed.get(session.id);
    if (known !== undefined && destinations.some(({ name }) => name === known)) return known;
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
        destination: name === NOWHERE ? null : name,
        pinned: name !== destination && names.has(name),
      },
    ];
  });
}

function meanOf(sessions: readonly SplitSession[]): bigint {
  const known = sessions.filter(({ hashesPerSecond }) => hashesPerSecond > 0n);
  if (known.length === 0) return UNMEASURED;
  return known.reduce((sum, { hashesPerSecond }) => sum + hashesPerSecond, 0n) / BigInt(known.length);
}
