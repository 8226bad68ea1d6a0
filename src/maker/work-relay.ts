import type { Clock, Timer, Timers } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Destination, DestinationListener } from '../upstream/destination.ts';
import {
  type DestinationHealth,
  type FailoverOptions,
  transition as failover,
  NO_CHOICE,
} from '../upstream/failover.ts';
import type { PoolBook } from './pool-book.ts';

/** Opens a connection to one pool, which is not started yet. */
export type OpenPool = (listener: DestinationListener) => Destination;

export type WorkRelayOptions = {
  /** Best first. */
  readonly pools: readonly OpenPool[];
  readonly failover: FailoverOptions;
  /** Why a job is of no use under the contract; undefined for a good one. */
  readonly faultOf: (job: UpstreamJob) => ErrorCode | undefined;
};

export type WorkRelayDeps = {
  readonly book: PoolBook;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A job of the pool that is mined to now. */
  readonly onJob: (pool: Destination, job: UpstreamJob) => void;
  /** What this pool gave cannot be submitted any more. */
  readonly onLost: (pool: string, code: ErrorCode) => void;
  /** No pool gives work that can be used. */
  readonly onDown: (code: ErrorCode) => void;
};

/** How often the choice is looked at, beside each change. */
const TICK_MS = 1_000;

/**
 * The upstream of one process of a miner under one contract: a connection to each pool of the maker, of which
 * the best that does well gives the jobs.
 */
export class WorkRelay {
  readonly #options: WorkRelayOptions;
  readonly #deps: WorkRelayDeps;
  readonly #pools: readonly Destination[];
  /** Why the newest job of a pool cannot be used. */
  readonly #faults = new Map<string, ErrorCode>();
  readonly #up = new Set<string>();
  #state = NO_CHOICE;
  #ticker: Timer | undefined;
  #whyDown: ErrorCode | undefined;

  constructor(options: WorkRelayOptions, deps: WorkRelayDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#pools = options.pools.map((open) => open(this.#listener));
  }

  /** The pool that is mined to; undefined while there is none. */
  get choice(): Destination | undefined {
    return this.#pools.find(({ name }) => name === this.#state.choice);
  }

  /** Why no pool gives work; undefined before that is known, and while one does. */
  get whyDown(): ErrorCode | undefined {
    return this.choice === undefined ? this.#whyDown : undefined;
  }

  start(): void {
    this.#ticker = this.#deps.timers.every(TICK_MS, () => this.#evaluate());
    for (const pool of this.#pools) pool.start();
  }

  /** For good. */
  stop(): void {
    this.#ticker?.cancel();
    for (const pool of this.#pools) {
      pool.stop();
      this.#leave(pool);
    }
  }

  get #listener(): DestinationListener {
    return {
      onUp: (pool) => {
        if (this.#up.has(pool.name)) return;
        this.#up.add(pool.name);
        this.#deps.book.connected(pool.name, 1);
      },
      onDown: (pool, code) => {
        this.#leave(pool);
        this.#deps.onLost(pool.name, code);
        this.#whyDown = code;
        this.#evaluate();
      },
      onJob: (pool, job) => this.#onJob(pool, job),
      onVerdict: () => this.#evaluate(),
    };
  }

  #leave(pool: Destination): void {
    if (this.#up.delete(pool.name)) this.#deps.book.connected(pool.name, -1);
    this.#faults.delete(pool.name);
    this.#deps.book.release(pool);
  }

  #onJob(pool: Destination, job: UpstreamJob): void {
    const isHeld = this.#deps.book.hold(pool.name, job.extranonce1, pool);
    const fault = this.#options.faultOf(job) ?? (isHeld ? undefined : 'extranonce_shared');
    if (fault === undefined) this.#faults.delete(pool.name);
    else {
      this.#faults.set(pool.name, fault);
      this.#whyDown = fault;
      this.#deps.onLost(pool.name, fault);
    }
    const before = this.#state.choice;
    this.#evaluate();
    // One with a fault is chosen no more.
    if (before === pool.name && this.#state.choice === before) this.#deps.onJob(pool, job);
  }

  #healthOf(pool: Destination): DestinationHealth {
    const { health } = pool;
    return this.#faults.has(pool.name) ? { ...health, isUp: false } : health;
  }

  #evaluate(): void {
    const destinations = this.#pools.map((pool) => this.#healthOf(pool));
    const nowMs = this.#deps.clock.monotonicMs();
    const { state, effects } = failover(
      this.#options.failover,
      this.#state,
      { type: 'health', destinations },
      nowMs,
    );
    this.#state = state;
    if (effects.length === 0) {
      if (state.choice === undefined && this.#whyDown !== undefined) this.#deps.onDown(this.#whyDown);
      return;
    }
    const { choice } = this;
    if (choice?.lastJob !== undefined) this.#deps.onJob(choice, choice.lastJob);
    else if (choice === undefined) this.#deps.onDown(this.#whyDown ?? 'no_work');
  }
}
