import type { Clock } from '../base/clock.ts';

/**
 * How far the own wall clock is ahead of that of each destination, by its newest job: pools date a job with
 * the moment they make it.
 */
export class ClockOffsets {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #seconds = new Map<string, number>();

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  /** @param time of a job that has just arrived, in seconds since the epoch */
  seen(destination: string, time: number): void {
    this.#seconds.set(destination, Math.round(this.#clock.nowMs() / 1000) - time);
  }

  /** In seconds; undefined before the first job. */
  of(destination: string): number | undefined {
    return this.#seconds.get(destination);
  }
}
