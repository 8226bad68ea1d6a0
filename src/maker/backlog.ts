import type { Clock } from '../base/clock.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { backlogMs } from '../contract/terms-access.ts';
import { stepHashesOf } from '../contract/updated-terms.ts';

/**
 * The work of one contract that may still be credited though it comes late, since it waited while the miner
 * was away: what an honest miner has at most when its delivery stops. So much comes back evenly in the time
 * that it may keep work, whatever becomes of the link. A start of the maker begins anew: what waited then is
 * late by nothing that the miner did.
 */
export class Backlog {
  readonly #clock: Clock;
  /** In hashes of the burst at the start; a change of the work of a state changes what they are worth. */
  readonly #bucket: TokenBucket;
  readonly #terms: () => ContractTerms;
  readonly #firstHashes: bigint;

  /**
   * @param terms those in force
   * @param windowMs time after a reconnect in which a backlog is taken
   */
  constructor(terms: () => ContractTerms, windowMs: number, clock: Clock) {
    this.#terms = terms;
    this.#firstHashes = mostHashes(terms());
    const burst = Number(this.#firstHashes);
    const perSecond = (burst * 1000) / Math.max(backlogMs(terms()), windowMs);
    this.#clock = clock;
    this.#bucket = new TokenBucket({ burst, perSecond }, clock.monotonicMs());
  }

  /** Takes so much work of it; false, and none taken, where there is less. */
  take(workHashes: bigint): boolean {
    return this.#bucket.take(this.#clock.monotonicMs(), this.#costOf(workHashes));
  }

  /** Puts back what was taken for work that was not credited after all. */
  putBack(workHashes: bigint): void {
    this.#bucket.spend(-this.#costOf(workHashes), this.#clock.monotonicMs());
  }

  #costOf(workHashes: bigint): number {
    return Number((workHashes * this.#firstHashes) / mostHashes(this.#terms()));
  }
}

/** What an honest miner has unsold at most when its delivery stops, by the terms in force. */
function mostHashes(terms: ContractTerms): bigint {
  return BigInt(terms.maxUnpaidSteps + 1) * stepHashesOf(terms);
}
