import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import {
  DEFAULT_LATE_BLOCKS,
  type ProjectionEvent,
  type ProjectionState,
  projectedHeightOf,
  projectionFrom,
  transition,
} from './projection.ts';
import { type ChainSource, type ChainTip, optional } from './source.ts';

/** Where the chain stands, by the nodes and by the clock. */
export type ChainStanding = {
  /** No node told of a block for longer than can be chance. */
  readonly isStalled: boolean;
  readonly height: number | undefined;
  /** The height by the clock: that of the tip at least. */
  readonly projectedHeight: number | undefined;
  /** How long this program has heard of no higher tip. */
  readonly silentMs: number;
};

export type ChainClockOptions = {
  readonly blockIntervalMs: number;
  readonly lateBlocks?: number;
  /** How often it is looked at. */
  readonly checkMs?: number;
};

const CHECK_MS = 30_000;

/**
 * Time that does not stop with the node: tells whoever must know when no node hears of blocks any more, and
 * how high the chain must be by then. Before it says so it asks all nodes: a machine that slept, or has just
 * started, knows nothing.
 */
export class ChainClock {
  readonly #options: Required<ChainClockOptions>;
  readonly #chain: ChainSource;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #log: Logger;
  readonly #listeners = new Set<(standing: ChainStanding) => void>();
  #state: ProjectionState;
  #timer: Timer | undefined;
  #isStopped = false;
  #stopTip: (() => void) | undefined;

  constructor(
    options: ChainClockOptions,
    deps: {
      readonly chain: ChainSource;
      readonly clock: Clock;
      readonly timers: Timers;
      readonly log: Logger;
    },
  ) {
    this.#options = { lateBlocks: DEFAULT_LATE_BLOCKS, checkMs: CHECK_MS, ...options };
    ({ chain: this.#chain, clock: this.#clock, timers: this.#timers, log: this.#log } = deps);
    this.#state = projectionFrom(this.#clock.monotonicMs());
  }

  start(): void {
    this.#stopTip = this.#chain.watchTip((tip) => this.#onTip(tip));
    if (this.#options.blockIntervalMs > 0) this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTip?.();
    this.#timer?.cancel();
    this.#listeners.clear();
  }

  /** Mean time between blocks; 0 where nothing is projected. */
  get blockIntervalMs(): number {
    return this.#options.blockIntervalMs;
  }

  get standing(): ChainStanding {
    const { height, heardAtMs, isStalled } = this.#state;
    const nowMs = this.#clock.monotonicMs();
    const projectedHeight = projectedHeightOf(this.#options, this.#state, nowMs);
    return { isStalled, height, projectedHeight, silentMs: nowMs - heardAtMs };
  }

  /** Tells after each look, and at each tip. @returns what ends it */
  watch(onStanding: (standing: ChainStanding) => void): () => void {
    this.#listeners.add(onStanding);
    return () => void this.#listeners.delete(onStanding);
  }

  #schedule(): void {
    this.#timer = this.#timers.after(this.#options.checkMs, () => {
      void this.#look().finally(() => {
        if (!this.#isStopped) this.#schedule();
      });
    });
  }

  async #look(): Promise<void> {
    const tip = await optional(
      () => this.#chain.tip(),
      () => {},
    );
    if (tip !== undefined) this.#take(this.#tipEvent(tip));
    this.#take({ type: 'asked' });
    this.#tell();
  }

  #onTip(tip: ChainTip): void {
    this.#take(this.#tipEvent(tip));
    this.#tell();
  }

  #tipEvent({ height, timeSeconds }: ChainTip): ProjectionEvent {
    return { type: 'tip', height, ageMs: this.#clock.nowMs() - timeSeconds * 1000 };
  }

  #take(event: ProjectionEvent): void {
    const { state, effects } = transition(this.#options, this.#state, event, this.#clock.monotonicMs());
    this.#state = state;
    for (const { type, ...facts } of effects) {
      const { code, hint } = new CodedError('chain_stalled');
      if (type === 'stalled') this.#log.error({ code, ...facts, hint }, 'no bitcoin node hears of blocks');
      else this.#log.info(facts, 'blocks come again');
    }
  }

  #tell(): void {
    const { standing } = this;
    for (const listener of [...this.#listeners]) listener(standing);
  }
}
