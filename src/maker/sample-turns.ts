import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';

/** Looks of a contract side by side: each may hold two blocks, 16 MB in hex. */
export const LOOKS_AT_ONCE = 4;
/** Time in ms after which there is room for one more. */
export const LOOK_MS = 125;

export type SampleTurnsDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limitHits?: LimitHits;
};

/**
 * The looks at whole blocks of one contract: so many side by side, and so many in a time, since each asks the
 * own node for all that waits in its mempool.
 */
export class SampleTurns {
  readonly #deps: SampleTurnsDeps;
  readonly #room: TokenBucket;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(deps: SampleTurnsDeps) {
    this.#deps = deps;
    const rate = { perSecond: 1000 / LOOK_MS, burst: LIMITS.peerSamples };
    this.#room = new TokenBucket(rate, deps.clock.monotonicMs());
  }

  /** True where nothing more may wait. */
  get isFull(): boolean {
    return this.#waiting.length >= LIMITS.payoutSamples;
  }

  /** Runs a look once it is its turn; what waits is in its order. */
  async run(look: () => Promise<void>): Promise<void> {
    const { clock, timers, limitHits = {} } = this.#deps;
    if (this.#running < LOOKS_AT_ONCE) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      while (!this.#room.take(clock.monotonicMs())) {
        countHit(limitHits, 'peerSamples');
        await sleep(timers, LOOK_MS);
      }
      await look();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
