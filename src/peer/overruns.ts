import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { RpcHandler, RpcHandlers, RpcPeer } from './rpc-peer.ts';

/**
 * A counter of one connection's requests beyond a budget: each is refused, and too many end the connection.
 */
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

  /** Runs a task, and counts a refusal whose error names a limit. */
  async counting<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      const limit = error instanceof CodedError ? error.meta['limit'] : undefined;
      if (typeof limit === 'string' && Object.hasOwn(LIMITS, limit)) this.#count(limit);
      throw error;
    }
  }

  #count(limit: string): void {
    countHit(this.#hits, limit);
    if (this.#forgiven.take(this.#deps.clock.monotonicMs())) return;
    countHit(this.#hits, 'peerOverruns');
    const reason = new CodedError('too_often', `beyond ${limit} again and again`);
    // The answer is sent first.
    this.#deps.timers.afterTurn(() => this.#peer.closeWithError(reason));
  }
}

/** Methods without this budget: they are cheap, or have budgets of their own. */
const CHEAP: ReadonlySet<string> = new Set([
  'ping',
  'job.announce',
  'work.batch',
  'work.job',
  'work.gone',
  'work.solution',
  'work.block',
  // In its turn with the work that goes by it; nothing is verified unless it was asked for.
  'contract.confirm',
  'peer_storage.put',
]);

/** What a line costs beside its bytes: parsing and an answer. */
const LEAST_LINE_BYTES = 512;

type PeerBudgetDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Counter of limits that were reached. */
  readonly limitHits?: LimitHits;
};

/** The budget of one node, over all of its connections: requests, and what is read of it. */
export class PeerBudget {
  readonly #deps: PeerBudgetDeps;
  readonly #costly: TokenBucket;
  readonly #read: TokenBucket;
  /** The turn in which the next costly request is served. */
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: PeerBudgetDeps) {
    this.#deps = deps;
    const monotonicMs = deps.clock.monotonicMs();
    const burst = LIMITS.peerCostlyRequests;
    this.#costly = new TokenBucket({ perSecond: burst / 4, burst }, monotonicMs);
    const bytes = LIMITS.peerReadBytes;
    this.#read = new TokenBucket({ perSecond: bytes / 16, burst: bytes }, monotonicMs);
  }

  /** Counts what was read of a connection. Returns the ms in which no more of it is to be read. */
  readonly read = (bytes: number, lines: number): number => {
    const monotonicMs = this.#deps.clock.monotonicMs();
    if (this.#read.spend(bytes + lines * LEAST_LINE_BYTES, monotonicMs)) return 0;
    const hits = this.#deps.limitHits;
    if (hits !== undefined) countHit(hits, 'peerReadBytes');
    return this.#read.waitMs(monotonicMs);
  };

  /** Wraps handlers: each is within this budget, and requests beyond any limit are counted. */
  guard(handlers: RpcHandlers, overruns: Overruns): RpcHandlers {
    const guarded = Object.entries(handlers).map(([method, handler]): [string, RpcHandler] => [
      method,
      (params) =>
        overruns.counting(() => (CHEAP.has(method) ? handler(params) : this.#spend(handler, params))),
    ]);
    return Object.fromEntries(guarded);
  }

  async #spend(handler: RpcHandler, params: unknown): ReturnType<RpcHandler> {
    const { clock, timers } = this.#deps;
    if (!this.#costly.take(clock.monotonicMs()))
      throw new CodedError('too_often', 'requests that cost signatures', { limit: 'peerCostlyRequests' });
    const turn = this.#turn;
    this.#turn = turn.then(() => new Promise((resolve) => timers.afterTurn(resolve)));
    await turn;
    return handler(params);
  }
}
