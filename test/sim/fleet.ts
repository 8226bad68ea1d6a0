import type { Clock, Timers } from '../../src/base/clock.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { Fence, fencedChain, fencedLedger } from '../../src/fleet/fenced.ts';
import { Owner } from '../../src/fleet/owner.ts';
import { ownershipOptions } from '../../src/fleet/ownership.ts';
import type { Lease, LeaseAnswer, Leases } from '../../src/ledger/lease.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { Logger } from '../../src/log/logger.ts';
import type { VirtualTime } from '../base/virtual-time.ts';

/** How long a lease of the simulation lasts. */
export const LEASE_MS = 10_000;

/** The table of leases beside a ledger, by the time of the world. */
export class SimLeases {
  readonly #time: VirtualTime;
  token = 0;
  owner = '';
  #untilMs = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** As one instance asks. */
  of(name: string): Leases {
    return {
      take: (resource, forMs) => this.#take(name, resource, forMs),
      renew: (lease, forMs) => this.#renew(lease, forMs),
      giveBack: (lease) => this.#giveBack(lease),
    };
  }

  #renew({ token }: Lease, forMs: number): Promise<boolean> {
    if (token === this.token) this.#untilMs = this.#nowMs + forMs;
    return Promise.resolve(token === this.token);
  }

  #giveBack({ token }: Lease): Promise<void> {
    if (token === this.token) this.#untilMs = Math.min(this.#untilMs, this.#nowMs);
    return Promise.resolve();
  }

  get #nowMs(): number {
    return this.#time.clock.monotonicMs();
  }

  #take(name: string, resource: string, forMs: number): Promise<LeaseAnswer> {
    const leftMs = this.#untilMs - this.#nowMs;
    if (leftMs > 0 && name !== this.owner)
      return Promise.resolve({ type: 'held', owner: this.owner, leftMs });
    this.token += 1;
    this.owner = name;
    this.#untilMs = this.#nowMs + forMs;
    return Promise.resolve({ type: 'taken', lease: { resource, token: this.token } });
  }
}

export type SimInstanceDeps = {
  readonly leases: SimLeases;
  readonly time: VirtualTime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly resource: string;
  readonly blocksLeft: () => number;
  readonly onOwn: () => void;
  readonly onStop: () => Promise<void>;
};

/** One process of several that serve one contract: it may stand still, also with its clock. */
export class SimInstance {
  readonly name: string;
  readonly #deps: SimInstanceDeps;
  readonly #owner: Owner;
  readonly #fence: Fence;
  #asleepSinceMs: number | undefined;
  #isClockStopped = false;
  #stoodStillMs = 0;
  #held: (() => void)[] = [];
  #isDead = false;

  constructor(name: string, deps: SimInstanceDeps) {
    this.name = name;
    this.#deps = deps;
    const { leases, log, resource, blocksLeft } = deps;
    this.#owner = new Owner(resource, ownershipOptions(LEASE_MS), {
      ...{ leases: leases.of(name), clock: this.clock, timers: this.timers, log },
      onOwn: () => {
        if (!this.#isDead) deps.onOwn();
      },
      onStop: async () => {
        if (!this.#isDead) await deps.onStop();
      },
    });
    this.#fence = new Fence(this.#owner, blocksLeft);
  }

  start(): void {
    this.#owner.start();
  }

  /** It leaves the channel to others, once nothing acts for it here. */
  leave(): void {
    void this.#owner.close();
  }

  get isAsleep(): boolean {
    return this.#asleepSinceMs !== undefined;
  }

  /** Nothing runs any more. */
  die(): void {
    this.#isDead = true;
    this.#held = [];
  }

  /** Nothing runs until it wakes up; with `withClock` it knows nothing of the time that passes. */
  sleep(withClock: boolean): void {
    this.#asleepSinceMs = this.#deps.clock.monotonicMs();
    this.#isClockStopped = withClock;
  }

  /** What came meanwhile is heard now, each with what follows from it. */
  async wake(): Promise<void> {
    if (this.#asleepSinceMs === undefined) return;
    if (this.#isClockStopped) this.#stoodStillMs += this.#deps.clock.monotonicMs() - this.#asleepSinceMs;
    this.#asleepSinceMs = undefined;
    for (const run of this.#held.splice(0)) {
      if (!this.#isDead) run();
      await this.#deps.time.settle();
    }
  }

  /** Now, or when it wakes up; never once it is dead. */
  heard(run: () => void): void {
    if (this.isAsleep) this.#held.push(run);
    else if (!this.#isDead) run();
  }

  get clock(): Clock {
    const { nowMs, monotonicMs } = this.#deps.clock;
    return {
      nowMs,
      monotonicMs: () => {
        const isStill = this.isAsleep && this.#isClockStopped;
        return (isStill ? this.#asleepSinceMs! : monotonicMs()) - this.#stoodStillMs;
      },
    };
  }

  get timers(): Timers {
    const { timers } = this.#deps.time;
    return {
      after: (ms, run) => timers.after(ms, () => this.heard(run)),
      every: (ms, run) => timers.every(ms, () => this.heard(run)),
      afterTurn: (run) => timers.afterTurn(() => this.heard(run)),
      afterCall: (run) => timers.afterCall(run),
    };
  }

  ledger(inner: Ledger): Ledger {
    return fencedLedger(inner, this.#fence);
  }

  chain(inner: ChainSource): ChainSource {
    const fenced = fencedChain(inner, this.#fence);
    return { ...fenced, watchTip: (onTip) => inner.watchTip((tip) => this.heard(() => onTip(tip))) };
  }
}
