import type { Clock, Timer, Timers } from '../base/clock.ts';
import { codeOf, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../log/logger.ts';
import type { Bead } from './bead.ts';

/**
 * `confirmed`: the share is a bead that pays the right address. `wrong_payout`: it pays another.
 * `missing`: the node says it has no such bead. `unknown`: the node could not be asked in time.
 */
export type BeadOutcome = 'confirmed' | 'wrong_payout' | 'missing' | 'unknown';

export type BeadWatchOptions = {
  /** After this time a share without a bead is given up. */
  readonly timeoutMs: number;
  /** The first question comes at once, the second after this time, each later one after twice as long. */
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  /** Questions on the way at once. */
  readonly queries: number;
  /** Shares watched at once; the oldest is given up for the newest. */
  readonly watched: number;
};

export const BEAD_WATCH_OPTIONS: BeadWatchOptions = {
  timeoutMs: 60_000,
  firstRetryMs: 250,
  maxRetryMs: 8_000,
  queries: 8,
  watched: LIMITS.watchedBeads,
};

type Watched = {
  readonly payoutAddress: string;
  readonly sinceMs: number;
  readonly askAtMs: number;
  readonly asked: number;
  readonly asking: boolean;
  /** The node said at least once that it has no such bead. */
  readonly denied: boolean;
};

export type BeadWatchState = {
  /** By bead hash as displayed, in the order of arrival. */
  readonly watched: ReadonlyMap<string, Watched>;
};

export type BeadWatchEvent =
  /** The upstream answered `true` to a share with this header hash. */
  | { readonly type: 'forwarded'; readonly hash: string; readonly payoutAddress: string }
  /** A bead was seen, asked for or not. */
  | { readonly type: 'bead'; readonly hash: string; readonly payoutAddress: string }
  | { readonly type: 'absent'; readonly hash: string }
  /** The question got no answer. */
  | { readonly type: 'failed'; readonly hash: string }
  | { readonly type: 'tick' };

export type BeadWatchEffect =
  | { readonly type: 'query'; readonly hash: string }
  | {
      readonly type: 'outcome';
      readonly hash: string;
      readonly outcome: BeadOutcome;
      readonly expected: string;
      /** What the bead pays; undefined when there is none. */
      readonly paid: string | undefined;
      readonly waitedMs: number;
    };

export type BeadWatchTransition = {
  readonly state: BeadWatchState;
  readonly effects: readonly BeadWatchEffect[];
};

/** Before the first share. */
export const NOTHING_WATCHED: BeadWatchState = { watched: new Map() };

/**
 * Whether forwarded shares became beads with the right payout address; pure.
 * @param nowMs monotonic time
 */
export function transition(
  options: BeadWatchOptions,
  state: BeadWatchState,
  event: BeadWatchEvent,
  nowMs: number,
): BeadWatchTransition {
  // A node tells of each bead of the braid, in bursts.
  if (event.type === 'bead' && !state.watched.has(event.hash)) return { state, effects: [] };
  const watched = new Map(state.watched);
  const effects: BeadWatchEffect[] = [];
  const end = (hash: string, outcome: BeadOutcome, paid: string | undefined): void => {
    const { payoutAddress, sinceMs } = watched.get(hash)!;
    watched.delete(hash);
    effects.push({
      type: 'outcome',
      hash,
      outcome,
      expected: payoutAddress,
      paid,
      waitedMs: nowMs - sinceMs,
    });
  };
  apply(options, watched, event, nowMs, end);
  for (const [hash, entry] of watched) {
    if (nowMs - entry.sinceMs < options.timeoutMs) break;
    end(hash, entry.denied ? 'missing' : 'unknown', undefined);
  }
  ask(options, watched, nowMs, effects);
  return { state: { watched }, effects };
}

function apply(
  options: BeadWatchOptions,
  watched: Map<string, Watched>,
  event: BeadWatchEvent,
  nowMs: number,
  end: (hash: string, outcome: BeadOutcome, paid: string | undefined) => void,
): void {
  if (event.type === 'tick') return;
  const { hash } = event;
  const entry = watched.get(hash);
  if (event.type === 'forwarded') {
    if (entry !== undefined) return;
    const { payoutAddress } = event;
    watched.set(hash, {
      ...{ payoutAddress, sinceMs: nowMs, askAtMs: nowMs },
      ...{ asked: 0, asking: false, denied: false },
    });
    for (const oldest of watched.keys()) {
      if (watched.size <= options.watched) break;
      end(oldest, 'unknown', undefined);
    }
  } else if (entry === undefined) return;
  else if (event.type === 'bead') {
    const paid = event.payoutAddress;
    end(hash, paid === entry.payoutAddress ? 'confirmed' : 'wrong_payout', paid);
  } else {
    const waitMs = Math.min(options.maxRetryMs, options.firstRetryMs * 2 ** Math.min(entry.asked - 1, 30));
    const denied = entry.denied || event.type === 'absent';
    watched.set(hash, { ...entry, asking: false, denied, askAtMs: nowMs + waitMs });
  }
}

function ask(
  options: BeadWatchOptions,
  watched: Map<string, Watched>,
  nowMs: number,
  effects: BeadWatchEffect[],
): void {
  let asking = 0;
  for (const entry of watched.values()) if (entry.asking) asking += 1;
  for (const [hash, entry] of watched) {
    if (asking >= options.queries) return;
    if (entry.asking || entry.askAtMs > nowMs) continue;
    watched.set(hash, { ...entry, asking: true, asked: entry.asked + 1 });
    effects.push({ type: 'query', hash });
    asking += 1;
  }
}

/**
 * The payout address a Braidpool node puts into the bead of a share. In normal mode that is the whole worker
 * name; in audit mode what stands before its last dot.
 */
export function beadPayoutAddress(worker: string, mode: 'normal' | 'audit'): string {
  const dot = worker.lastIndexOf('.');
  return mode === 'normal' || dot < 0 ? worker : worker.slice(0, dot);
}

export type BeadWatchDeps = {
  /** Null when the node does not know the bead; rejects when it cannot be asked. */
  readonly getBead: (hash: string) => Promise<Bead | undefined>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly onOutcome?: (outcome: Extract<BeadWatchEffect, { type: 'outcome' }>) => void;
};

const TICK_MS = 250;

const CODES: Readonly<Record<Exclude<BeadOutcome, 'confirmed'>, ErrorCode>> = {
  wrong_payout: 'bead_wrong_payout',
  missing: 'bead_missing',
  unknown: 'braidpool_unreachable',
};

/** Follows forwarded shares of one Braidpool node and counts what became of them. */
export class BeadWatch {
  readonly stats: Record<BeadOutcome, number> & { queries: number; failures: number } = {
    ...{ confirmed: 0, wrong_payout: 0, missing: 0, unknown: 0 },
    ...{ queries: 0, failures: 0 },
  };
  readonly #deps: BeadWatchDeps;
  readonly #options: BeadWatchOptions;
  readonly #tickMs: number;
  #state: BeadWatchState = NOTHING_WATCHED;
  #ticker: Timer | undefined;

  constructor(options: Partial<BeadWatchOptions> & { readonly tickMs?: number }, deps: BeadWatchDeps) {
    const { tickMs = TICK_MS, ...rest } = options;
    this.#options = { ...BEAD_WATCH_OPTIONS, ...rest };
    this.#deps = deps;
    this.#tickMs = tickMs;
  }

  /** Shares whose outcome is open. */
  get pending(): number {
    return this.#state.watched.size;
  }

  start(): void {
    this.#ticker ??= this.#deps.timers.every(this.#tickMs, () => this.#on({ type: 'tick' }));
  }

  stop(): void {
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }

  /**
   * To be called when the upstream accepted a forwarded share.
   * @param hash of its header, as displayed
   * @param payoutAddress see `beadPayoutAddress`
   */
  forwarded(hash: string, payoutAddress: string): void {
    this.#on({ type: 'forwarded', hash, payoutAddress });
  }

  /** A bead of the subscription: spares a question. */
  seen(bead: Bead): void {
    if (this.#state.watched.has(bead.hash))
      this.#on({ type: 'bead', hash: bead.hash, payoutAddress: bead.payoutAddress });
  }

  #on(event: BeadWatchEvent): void {
    if (event.type === 'tick' && this.#state.watched.size === 0) return;
    const { state, effects } = transition(
      this.#options,
      this.#state,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'query') void this.#query(effect.hash);
      else this.#tell(effect);
    }
  }

  async #query(hash: string): Promise<void> {
    this.stats.queries += 1;
    try {
      const bead = await this.#deps.getBead(hash);
      if (bead === undefined) this.#on({ type: 'absent', hash });
      else this.#on({ type: 'bead', hash, payoutAddress: bead.payoutAddress });
    } catch (error) {
      this.stats.failures += 1;
      this.#deps.log.debug({ code: codeOf(error), err: error, bead: hash }, 'a bead cannot be asked for');
      this.#on({ type: 'failed', hash });
    }
  }

  #tell(outcome: Extract<BeadWatchEffect, { type: 'outcome' }>): void {
    this.stats[outcome.outcome] += 1;
    if (outcome.outcome !== 'confirmed') {
      const { hash, expected, paid, waitedMs } = outcome;
      const code = CODES[outcome.outcome];
      const fields = { code, bead: hash, outcome: outcome.outcome, expected, paid, waitedMs };
      this.#deps.log.warn(fields, 'a forwarded share is not a bead that pays the right address');
    }
    this.#deps.onOutcome?.(outcome);
  }
}
