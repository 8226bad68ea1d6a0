import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { SPENT_ELSEWHERE } from '../chain/watcher.ts';
import type { MakerStore } from './maker-store.ts';

/** Doublings of the pause, at the most: a day and more where an opening has ten minutes. */
const MOST_DOUBLINGS = 8;

type Record = { failures: number; untilMs: number };

/**
 * How long the own coins may be held for openings that come to nothing. After one, whoever asked for it,
 * and the coins named for it, have to wait as long as the coins were held; after the next twice as long.
 */
export class OpeningBudget {
  readonly #records = new LRUCache<string, Record>({ max: LIMITS.trackedAddresses });
  readonly #openingMs: number;
  readonly #clock: Clock;

  constructor(options: { readonly openingMs: number }, deps: { readonly clock: Clock }) {
    this.#openingMs = options.openingMs;
    this.#clock = deps.clock;
  }

  /** Throws `too_often` while one of these has to wait. @param names of a peer and of its coins */
  assertFree(names: readonly string[]): void {
    const nowMs = this.#clock.monotonicMs();
    const waiting = names.find((name) => (this.#records.get(name)?.untilMs ?? nowMs) > nowMs);
    if (waiting === undefined) return;
    const seconds = Math.ceil((this.#records.get(waiting)!.untilMs - nowMs) / 1000);
    throw new CodedError('too_often', `an opening came to nothing; the next is taken in ${seconds} s`);
  }

  /** Notes that an opening of these ended without a channel. */
  failed(names: readonly string[]): void {
    for (const name of names) {
      const failures = (this.#records.get(name)?.failures ?? 0) + 1;
      const pauseMs = this.#openingMs * 2 ** Math.min(failures - 1, MOST_DOUBLINGS);
      this.#records.set(name, { failures, untilMs: this.#clock.monotonicMs() + pauseMs });
    }
  }

  /** Notes that an opening of these became a channel. */
  succeeded(names: readonly string[]): void {
    for (const name of names) this.#records.delete(name);
  }
}

/**
 * What became of an opening. It waits until its funding is signed and in a block; it failed where it was
 * given up, or its coins went elsewhere.
 */
export function openingOutcome({
  channel,
  stream,
}: Pick<MakerStore, 'channel' | 'stream'>): 'waits' | 'failed' | 'succeeded' {
  if (channel === undefined || channel.status === 'opening') return 'waits';
  if (channel.status === 'funding' && stream.fundingDepth === 0) return 'waits';
  return channel.status === 'failed' || channel.reason === SPENT_ELSEWHERE ? 'failed' : 'succeeded';
}
