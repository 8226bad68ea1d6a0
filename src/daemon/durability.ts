import { assert, unreachable } from '../base/assert.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import type { LedgerStats } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';

/**
 * Whether what miners send can be kept. `held`: for the moment not, so shares are refused and nothing is
 * sold. `lost`: not for a while, so miners are let go to their own backups.
 */
export type DurabilityLevel = 'sound' | 'held' | 'lost';

export type DurabilityState = {
  readonly level: DurabilityLevel;
  /** Commits of the ledger at the last look. */
  readonly commits: number;
  /** Looks in a row at which writes waited and none had been made since the look before. */
  readonly stuck: number;
  /** Looks in a row at which there was nothing wrong. */
  readonly well: number;
  /** Looks since shares are refused. */
  readonly held: number;
};

/** What is seen of a ledger. */
export type DurabilityLook = {
  readonly isFailed: boolean;
  readonly queuedWrites: number;
  readonly commits: number;
};

export type DurabilityEffect = { readonly type: 'hold' | 'let_go' | 'resume' };

export type DurabilityStep = {
  readonly state: DurabilityState;
  readonly effects: readonly DurabilityEffect[];
};

/** All in looks, so that a process that was stopped counts none of that time. */
export type DurabilityOptions = {
  /** A disk under load takes a second now and then. */
  readonly heldAfter: number;
  /** Firmware goes to its backup by itself after minutes of silence only. */
  readonly lostAfter: number;
  readonly wellAfter: number;
};

const LOOK_MS = 500;
export const DURABILITY: DurabilityOptions = { heldAfter: 6, lostAfter: 10, wellAfter: 4 };
/** Of a ledger that has nothing to write. */
export const IDLE = { failed: false, queuedWrites: 0, commits: 0 } as const;
export const SOUND: DurabilityState = { level: 'sound', commits: 0, stuck: 0, well: 0, held: 0 };

/** Takes a look at the ledger, one of a row with the same time between them. */
export function transition(
  options: DurabilityOptions,
  state: DurabilityState,
  event: DurabilityLook,
  _nowMs: number,
): DurabilityStep {
  const { commits } = event;
  const { level: before } = state;
  const isStuck = event.isFailed || (event.queuedWrites > 0 && commits === state.commits);
  const seen = { commits, stuck: isStuck ? state.stuck + 1 : 0, well: isStuck ? 0 : state.well + 1 };
  const isWell = before === 'sound' ? seen.stuck < options.heldAfter : seen.well >= options.wellAfter;
  if (isWell && !event.isFailed) {
    const effects: DurabilityEffect[] = before === 'sound' ? [] : [{ type: 'resume' }];
    return { state: { ...seen, level: 'sound', held: 0 }, effects };
  }
  if (before === 'sound')
    return { state: { ...seen, level: 'held', held: 0 }, effects: [{ type: 'hold' }] };
  const held = state.held + 1;
  if (before === 'lost' || !isStuck || held < options.lostAfter)
    return { state: { ...seen, level: before, held }, effects: [] };
  return { state: { ...seen, level: 'lost', held }, effects: [{ type: 'let_go' }] };
}

export type DurabilityDeps = {
  readonly stats: () => Pick<LedgerStats, 'failed' | 'queuedWrites' | 'commits'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Pick<Timers, 'every'>;
  readonly log: Logger;
  readonly onChange: (level: DurabilityLevel) => void;
};

/** Looks at a ledger again and again, and tells when its level changes. */
export class Durability {
  readonly #deps: DurabilityDeps;
  #state = SOUND;
  #timer: Timer | undefined;

  constructor(deps: DurabilityDeps) {
    this.#deps = deps;
  }

  get level(): DurabilityLevel {
    return this.#state.level;
  }

  start(): void {
    assert(this.#timer === undefined, 'durability_starts_once');
    this.#timer = this.#deps.timers.every(LOOK_MS, () => this.look());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** To be called also as soon as the ledger fails. */
  look(): void {
    const { stats, clock, onChange } = this.#deps;
    const { failed: isFailed, queuedWrites, commits } = stats();
    const look = { isFailed, queuedWrites, commits };
    const { state, effects } = transition(DURABILITY, this.#state, look, clock.monotonicMs());
    this.#state = state;
    for (const { type } of effects) {
      this.#say(type, isFailed ? 'ledger_io' : 'ledger_late');
      onChange(state.level);
    }
  }

  /** Throws `ledger_late` while shares are refused. */
  assertSound(): void {
    if (this.level !== 'sound') throw new CodedError('ledger_late', 'nothing can be kept for the moment');
  }

  /** For `/readyz`. */
  check(): true | string {
    if (this.#deps.stats().failed) return 'failed';
    return this.level === 'sound' || 'commits are late';
  }

  #say(effect: DurabilityEffect['type'], code: ErrorCode): void {
    const { log } = this.#deps;
    switch (effect) {
      case 'hold':
        log.error({ code }, 'the ledger does not write: nothing is sold, and shares are refused');
        break;
      case 'let_go':
        log.error({ code }, 'the ledger does not write: miners are let go');
        break;
      case 'resume':
        log.info({}, 'the ledger writes again');
        break;
      default:
        unreachable(effect);
    }
  }
}
