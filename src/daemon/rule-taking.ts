import type { Action } from '../api/operation.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { priceText } from '../base/price.ts';
import type { ProxyConfig } from '../config/config.ts';
import { contractIdOf } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import { type AskedMakers, type MakerQuote, takeInput } from '../operator/market-tools.ts';

/** Time in ms between looks at how many contracts run. */
const LOOK_MS = 15_000;
/** Time in ms between two rounds of questions, whatever came of the last: makers limit them. */
const ASK_MS = 300_000;

export type RuleTakingDeps = {
  /** Contracts that are proposed, open or closing: whatever holds a coin or hashrate. */
  readonly running: () => number;
  /** Asks all makers of the configuration, and ranks what they answer. */
  readonly ask: () => Promise<AskedMakers>;
  readonly propose: (quote: MakerQuote) => Promise<void>;
  /** `contract/take`, which judges by `[sell]`. */
  readonly take: Action;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/**
 * Takes contracts by the rule of the configuration: while fewer than `sell.keep` run, the makers are asked,
 * and the first of the ranking is taken that `[sell]` allows. One at a time, each said in the log with its
 * price and why it was the best; without `sell.keep` nothing is ever asked for.
 */
export class RuleTaking {
  readonly #most: () => number;
  readonly #deps: RuleTakingDeps;
  readonly #timer: Timer;
  #askedMs = Number.NEGATIVE_INFINITY;
  #round: Promise<void> | undefined;
  #isStopped = false;

  /** @param config read at each look */
  constructor(config: Pick<ProxyConfig, 'sell' | 'makers'>, deps: RuleTakingDeps) {
    this.#most = () => (config.makers.length === 0 ? 0 : (config.sell?.keepContracts ?? 0));
    this.#deps = deps;
    this.#timer = deps.timers.every(LOOK_MS, () => this.#look());
  }

  /** Resolves once nothing is asked any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer.cancel();
    await this.#round;
  }

  #look(): void {
    const { clock, running } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (this.#round !== undefined || running() >= this.#most() || nowMs - this.#askedMs < ASK_MS) return;
    this.#askedMs = nowMs;
    this.#round = this.#askAndTake()
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'no contract is taken by rule');
      })
      .finally(() => {
        this.#round = undefined;
      });
  }

  async #askAndTake(): Promise<void> {
    const { ask, propose, take, log } = this.#deps;
    const { ranked, refused } = await ask();
    for (const { maker, error } of refused)
      log.info({ maker, code: error.code, detail: error.message }, 'a maker quotes nothing');
    for (const { quote, priceMsatPerEh, netMsatPerEh, why } of ranked) {
      if (this.#isStopped) return;
      const { maker, terms } = quote;
      const contract = contractIdOf(terms);
      const said = { maker, contract, price: priceText(priceMsatPerEh), netMsatPerEh, why };
      try {
        await take(takeInput(quote, true));
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        log.info({ ...said, code: error.code, detail: error.message }, 'a quote is not taken');
        continue;
      }
      await propose(quote);
      const taken = await take(takeInput(quote, false));
      const off = isRecord(taken) ? taken['off_market'] : null;
      log.warn({ ...said, off_market: off }, 'a contract was taken by rule');
      return;
    }
  }
}
