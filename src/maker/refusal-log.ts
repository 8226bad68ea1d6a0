import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { Logger } from '../log/logger.ts';
import type { ShareCode } from '../settlement/share-rules.ts';
import type { JobRecord } from '../work/evidence.ts';

export type RefusalLogDeps = { readonly log: Logger; readonly clock: Clock };

/** How often the shares of one code are said. */
const SAID_EVERY_MS = 10_000;

type Refused = { shares: number; saidAtMs: number };

/** What the log says of the work of one contract that is not paid, and why, however much of it there is. */
export class RefusalLog {
  readonly #contract: string;
  readonly #deps: RefusalLogDeps;
  readonly #jobs: TokenBucket;
  readonly #codes = new Map<string, Refused>();

  constructor(contract: string, deps: RefusalLogDeps) {
    this.#contract = contract;
    this.#deps = deps;
    const rate = { perSecond: 1 / 10, burst: LIMITS.peerJobsLogged };
    this.#jobs = new TokenBucket(rate, deps.clock.monotonicMs());
  }

  /** All shares of a job are refused. @param why in words */
  job({ wireId }: Pick<JobRecord, 'wireId'>, why: string): void {
    if (!this.#jobs.take(this.#deps.clock.monotonicMs())) return;
    this.#deps.log.warn({ contract: this.#contract, job: wireId, why }, 'a job is not paid');
  }

  /**
   * Shares of one batch are refused: how many of each code since that was last said.
   * @param refused codes are ours: those of `ShareCode`
   */
  shares(refused: readonly { readonly code: string }[]): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    for (const { code } of refused) {
      const known = this.#codes.get(code);
      if (known === undefined) this.#codes.set(code, { shares: 1, saidAtMs: Number.NEGATIVE_INFINITY });
      else known.shares += 1;
    }
    for (const [code, known] of this.#codes) {
      if (known.shares === 0 || monotonicMs - known.saidAtMs < SAID_EVERY_MS) continue;
      const { hint: why } = new CodedError(code as ShareCode);
      const { shares } = known;
      this.#deps.log.warn({ contract: this.#contract, code, shares, why }, 'shares are not credited');
      Object.assign(known, { shares: 0, saidAtMs: monotonicMs });
    }
  }
}
