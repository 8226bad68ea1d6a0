import type { Clock, Timers } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { Fence } from '../../src/fleet/fenced.ts';
import { Owner } from '../../src/fleet/owner.ts';
import { ownershipOptions } from '../../src/fleet/ownership.ts';
import {
  LEASE_KIND,
  type Lease,
  type LeaseAnswer,
  type Leases,
  parseLeaseBody,
} from '../../src/ledger/lease.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { VirtualTime } from '../base/virtual-time.ts';
import type { SeededRandom } from '../sim/random.ts';

export const LEASE_MS = 10_000;
const RESOURCE = 'channel';
/** The longest that a question, or its answer, is on its way; one that is lost is given up then. */
const WAY_MS = 400;

/** A table of leases and one document, with a clock of its own, as the database has them. */
export class ModelDatabase {
  readonly #time: VirtualTime;
  /** False: it takes writes whatever their token is. */
  readonly isFencing: boolean;
  aheadMs = 0;
  token = 0;
  owner = '';
  untilMs = 0;
  /** The newest state, and all that were written: each number once. */
  n = 0;
  readonly written: { readonly n: number; readonly token: number; readonly by: string }[] = [];

  constructor(time: VirtualTime, isFencing: boolean) {
    this.#time = time;
    this.isFencing = isFencing;
  }

  get nowMs(): number {
    return this.#time.clock.monotonicMs() + this.aheadMs;
  }

  take(owner: string, forMs: number): LeaseAnswer {
    if (this.owner !== owner && this.untilMs > this.nowMs)
      return { type: 'held', owner: this.owner, leftMs: this.untilMs - this.nowMs };
    this.token += 1;
    this.owner = owner;
    this.untilMs = this.nowMs + forMs;
    return { type: 'taken', lease: { resource: RESOURCE, token: this.token } };
  }

  renew({ token }: Lease, forMs: number): boolean {
    if (token === this.token) this.untilMs = this.nowMs + forMs;
    return token === this.token;
  }

  giveBack({ token }: Lease): void {
    if (token === this.token) this.untilMs = Math.min(this.untilMs, this.nowMs);
  }

  append(entries: readonly LedgerEntry[], by: string): void {
    const lease = entries.find(({ kind }) => kind === LEASE_KIND);
    const token = lease === undefined ? 0 : parseLeaseBody(lease.body).token;
    if (this.isFencing && token !== this.token) throw new CodedError('lease_lost', 'a token that is over');
    const state = entries.find(({ kind }) => kind === 'state');
    if (state === undefined) return;
    this.n = Number(state.body);
    this.written.push({ n: this.n, token, by });
  }
}

/** One instance: its own clock, a process that may stand still, and a way to the database that may be cut. */
export class ModelInstance {
  readonly name: string;
  readonly owner: Owner;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #database: ModelDatabase;
  /** How fast its clock is. */
  readonly #rate: number;
  #frozenMs = 0;
  #stoppedAtMs: number | undefined;
  #isClockStopped = false;
  #held: (() => void)[] = [];
  /** Nothing comes through, or nothing of the lease. */
  isCut: boolean | 'lease' = false;
  /** States that were signed, and whether another had taken the lease by then. */
  readonly signed: { readonly n: number; readonly wasTaken: boolean }[] = [];
  readonly acked: { readonly n: number; readonly token: number }[] = [];
  problem: unknown;
  #isActing = false;
  #acting = Promise.resolve();

  constructor(
    name: string,
    database: ModelDatabase,
    time: VirtualTime,
    rate: number,
    random: SeededRandom,
  ) {
    this.name = name;
    this.#time = time;
    this.#random = random;
    this.#database = database;
    this.#rate = rate;
    this.owner = new Owner(RESOURCE, ownershipOptions(LEASE_MS), {
      ...{ leases: this.#leases(), clock: this.#clock, timers: this.#timers, log: silentLogger },
      onOwn: (lease) => {
        this.#isActing = true;
        this.#acting = this.#act(lease);
      },
      onStop: async () => {
        this.#isActing = false;
        await this.#acting;
      },
    });
    this.owner.start();
  }

  /** It stands still: nothing runs, and nothing is heard; with its machine its clock, too. */
  stop(withClock: boolean): void {
    if (this.#stoppedAtMs !== undefined) return;
    this.#stoppedAtMs = this.#time.clock.monotonicMs();
    this.#isClockStopped = withClock;
  }

  get isStopped(): boolean {
    return this.#stoppedAtMs !== undefined;
  }

  wake(): void {
    if (this.#stoppedAtMs === undefined) return;
    if (this.#isClockStopped) this.#frozenMs += this.#time.clock.monotonicMs() - this.#stoppedAtMs;
    this.#stoppedAtMs = undefined;
    // What it hears first is as it comes, and what follows from that comes before the next.
    const held = this.#held.splice(0);
    const next = (): void => {
      held.splice(this.#random.below(held.length), 1)[0]?.();
      if (held.length > 0) this.#time.timers.afterTurn(next);
    };
    next();
  }

  readonly #clock: Pick<Clock, 'monotonicMs'> = {
    monotonicMs: () => {
      const now = this.#isClockStopped ? (this.#stoppedAtMs ?? this.#now()) : this.#now();
      return (now - this.#frozenMs) * this.#rate;
    },
  };

  #now(): number {
    return this.#time.clock.monotonicMs();
  }

  readonly #timers: Timers = {
    after: (ms, run) => this.#time.timers.after(ms / this.#rate, () => this.#heard(run)),
    every: (ms, run) => this.#time.timers.every(ms / this.#rate, () => this.#heard(run)),
    afterTurn: (run) => this.#time.timers.afterTurn(() => this.#heard(run)),
    afterCall: (run) => this.#time.timers.afterCall(run),
  };

  #heard(run: () => void): void {
    if (this.isStopped) this.#held.push(run);
    else run();
  }

  #leases(): Leases {
    return {
      take: (_resource, forMs) => this.#askLease(() => this.#database.take(this.name, forMs)),
      renew: (lease, forMs) => this.#askLease(() => this.#database.renew(lease, forMs)),
      giveBack: (lease) => this.#askLease(() => this.#database.giveBack(lease)),
    };
  }

  #askLease<T>(question: () => T): Promise<T> {
    return this.#ask(question, () => this.isCut !== false);
  }

  /** A question that is a while on its way, as is its answer; either may be lost. */
  #ask<T>(question: () => T, isLost = () => this.isCut === true): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (): void => {
        this.#time.timers.after(WAY_MS, () =>
          this.#heard(() => reject(new CodedError('ledger_io', 'no answer'))),
        );
      };
      if (isLost()) return lose();
      this.#time.timers.after(1 + this.#random.below(WAY_MS), () => {
        let answer: () => void;
        try {
          const value = question();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error as Error);
        }
        if (isLost()) return lose();
        this.#time.timers.after(1 + this.#random.below(WAY_MS), () => this.#heard(answer));
      });
    });
  }

  async #act(lease: Lease): Promise<void> {
    const fence = new Fence(this.owner, () => undefined);
    try {
      let n = await this.#ask(() => {
        this.#database.append(
          [{ type: 'put', kind: LEASE_KIND, id: RESOURCE, body: JSON.stringify(lease) }],
          '',
        );
        return this.#database.n;
      });
      while (this.#isActing) {
        fence.assert('signed');
        n += 1;
        this.signed.push({ n, wasTaken: lease.token !== this.#database.token });
        const state: LedgerEntry = { type: 'put', kind: 'state', id: RESOURCE, body: `${n}` };
        await fence.append((all) => this.#ask(() => this.#database.append(all, this.name)), [state]);
        this.acked.push({ n, token: lease.token });
      }
    } catch (error) {
      // Whether it was written is not known: what is there is read again, under another lease.
      if (!['lease_lost', 'ledger_io'].includes(codeOf(error))) this.problem = error;
      else this.owner.lost(lease);
    }
  }
}
