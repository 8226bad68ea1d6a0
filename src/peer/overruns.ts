import type { Clock, Timers } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { LIMITS, type LimitHits } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { RpcPeer } from './rpc-peer.ts';

/** What one connection has asked beyond a budget: each is refused and counted, and too many end it. */
export class Overruns {
  readonly #peer: Pick<RpcPeer, 'closeWithError'>;
  readonly #hits: LimitHits;
  readonly #deps: { readonly clock: Clock; readonly timers: Timers };
  readonly #forgiven: TokenBucket;

  constructor(
    peer: Pick<RpcPeer, 'closeWithError'>,
    hits: LimitHits,
    deps: { readonly clock: Clock; readonly timers: Timers },
  ) {
    this.#peer = peer;
    this.#hits = hits;
    this.#deps = deps;
    const rate = { perSecond: LIMITS.peerOverruns / 60, burst: LIMITS.peerOverruns };
    this.#forgiven = new TokenBucket(rate, deps.clock.monotonicMs());
  }

  /** Runs what may refuse with a limit named in its error; that one is counted. */
  async counting<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      const limit = error instanceof CodedError ? error.meta['limit'] : undefined;
      if (typeof limit === 'string' && Object.hasOwn(LIMITS, limit)) this.#count(limit);
      throw error;
    }
  }

  /** Throws where a budget is used up. */
  assertWithin(isWithin: boolean, limit: keyof typeof LIMITS, code: ErrorCode = 'too_often'): void {
    if (!isWithin) throw new CodedError(code, limit, { limit });
  }

  #count(limit: string): void {
    this.#hits[limit] = (this.#hits[limit] ?? 0) + 1;
    if (this.#forgiven.take(this.#deps.clock.monotonicMs())) return;
    this.#hits['peerOverruns'] = (this.#hits['peerOverruns'] ?? 0) + 1;
    const reason = new CodedError('too_often', `beyond ${limit} again and again`);
    // The answer leaves first.
    this.#deps.timers.afterTurn(() => this.#peer.closeWithError(reason));
  }
}
