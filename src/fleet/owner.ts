import type { Clock, Timer, Timers } from '../base/clock.ts';
import { type CodedError, codeOf } from '../base/errors.ts';
import type { Lease, Leases } from '../ledger/lease.ts';
import type { Logger } from '../log/logger.ts';
import {
  freshLease,
  type OwnershipEffect,
  type OwnershipEvent,
  type OwnershipOptions,
  type OwnershipState,
  ownershipStart,
  transition,
  wakeAtMs,
} from './ownership.ts';

/** What those who act for a resource ask, each time. */
export interface Hold {
  /** The lease, where nobody else can have it now. */
  readonly fresh: Lease | undefined;
  /** True also where it is not known whether somebody else has it, and false once it is known. */
  readonly isOwned: boolean;
  /** The database refused a write under this lease. */
  lost(lease: Lease): void;
}

export type OwnerDeps = {
  readonly leases: Leases;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly log: Logger;
  /** It is owned: what the owner before has is to be brought over, and whoever acts for it begins. */
  readonly onOwn: (lease: Lease) => void;
  /** Nobody acts for it any more once this resolves. Never rejects. */
  readonly onStop: (why: 'lost' | 'late' | 'left') => Promise<void>;
};

/** Takes, renews and gives back one lease, and tells whoever acts for it. */
export class Owner implements Hold {
  readonly #options: OwnershipOptions;
  readonly #deps: OwnerDeps;
  #state: OwnershipState;
  #timer: Timer | undefined;
  #isClosed = false;
  /** What is under way: waited for at the end. */
  readonly #underWay = new Set<Promise<void>>();

  constructor(resource: string, options: OwnershipOptions, deps: OwnerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#state = ownershipStart(resource, deps.clock.monotonicMs());
  }

  get state(): OwnershipState {
    return this.#state;
  }

  get fresh(): Lease | undefined {
    return freshLease(this.#state, this.#deps.clock.monotonicMs());
  }

  get isOwned(): boolean {
    return this.#state.owned !== undefined;
  }

  start(): void {
    this.#take({ type: 'tick' });
  }

  /** Whether this instance is to own it: false leaves it to others. */
  want(isWanted: boolean): void {
    this.#take({ type: 'wanted', isWanted });
  }

  lost(lease: Lease): void {
    this.#take({ type: 'lost', lease });
  }

  /** Leaves it to others, who need not wait for the end of the lease. */
  async close(): Promise<void> {
    this.want(false);
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #take(event: OwnershipEvent): void {
    if (this.#isClosed) return;
    const { state, effects } = transition(
      this.#options,
      this.#state,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#state = state;
    for (const effect of effects) this.#run(effect);
    this.#arm();
  }

  #arm(): void {
    this.#timer?.cancel();
    const atMs = wakeAtMs(this.#state);
    if (atMs === Infinity) return;
    const waitMs = Math.max(0, atMs - this.#deps.clock.monotonicMs());
    this.#timer = this.#deps.timers.after(waitMs, () => this.#take({ type: 'tick' }));
  }

  #run(effect: OwnershipEffect): void {
    const { leases, log, onOwn } = this.#deps;
    const { resource } = this.#state;
    const { leaseMs } = this.#options;
    switch (effect.type) {
      case 'take':
        this.#ask(async () => await leases.take(resource, leaseMs));
        break;
      case 'renew':
        this.#ask(async () => {
          const { lease } = effect;
          return (await leases.renew(lease, leaseMs)) ? { type: 'renewed' } : { type: 'refused' };
        });
        break;
      case 'give_back':
        // Who cannot be told finds out when the lease is over.
        this.#keep(leases.giveBack(effect.lease).catch(() => {}));
        break;
      case 'own':
        log.info({ resource, token: effect.lease.token }, 'this instance has the lease');
        onOwn(effect.lease);
        break;
      case 'stop':
        this.#stop(effect.why);
        break;
    }
  }

  #stop(why: 'lost' | 'late' | 'left'): void {
    const { log, onStop } = this.#deps;
    const { resource } = this.#state;
    const fields = { resource, code: 'lease_lost', detail: STOPS[why] };
    if (why === 'left') log.info(fields, 'this instance gives the lease back');
    else log.warn(fields, 'this instance acts no more under the lease');
    this.#keep(onStop(why).then(() => this.#take({ type: 'stopped' })));
  }

  #ask(question: () => Promise<OwnershipEvent>): void {
    const answered = question().catch((error: unknown): OwnershipEvent => {
      const detail = (error as CodedError).message;
      this.#deps.log.warn(
        { resource: this.#state.resource, code: codeOf(error), detail },
        'the table of leases does not answer',
      );
      return { type: 'unanswered' };
    });
    this.#keep(answered.then((event) => this.#take(event)));
  }

  #keep(work: Promise<void>): void {
    const kept = work.finally(() => this.#underWay.delete(kept));
    this.#underWay.add(kept);
  }
}

const STOPS = {
  lost: 'another instance has taken it',
  late: 'the lease could not be renewed in time',
  left: 'it is left to others',
} as const;
