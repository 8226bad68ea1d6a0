import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';

/** How often each peer may have something: as often as a limit says at once, and so often a minute more. */
export class PeerRates {
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: LIMITS.trackedAddresses });
  readonly #limit: keyof typeof LIMITS;
  readonly #deps: { readonly clock: Clock; readonly perMinute: number };

  constructor(limit: keyof typeof LIMITS, deps: { readonly clock: Clock; readonly perMinute: number }) {
    this.#limit = limit;
    this.#deps = deps;
  }

  /** Counts one of a peer. Throws `too_often` with the limit. */
  take(nodeId: string): void {
    const { clock, perMinute } = this.#deps;
    const nowMs = clock.monotonicMs();
    const rate = { perSecond: perMinute / 60, burst: LIMITS[this.#limit] };
    const bucket = this.#buckets.get(nodeId) ?? new TokenBucket(rate, nowMs);
    this.#buckets.set(nodeId, bucket);
    if (!bucket.take(nowMs)) throw new CodedError('too_often', this.#limit, { limit: this.#limit });
  }
}
