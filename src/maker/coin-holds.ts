import { type CodedError, codeOf } from '../base/errors.ts';
import { optional } from '../chain/source.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { FundingWallet, Outpoint } from '../settlement/funding-wallet.ts';
import { outpointName } from '../settlement/opening.ts';
import type { MakerStore } from './maker-store.ts';

/** The kind of ledger documents of coins that were held in a wallet, and for what; the id is the outpoint. */
const HOLD_KIND = 'hold';

/** The document of a coin that was let go: a lock that somebody puts on it later is none of ours. */
const LET_GO = '{}';

export type CoinHoldsDeps = {
  readonly ledger: Ledger;
  readonly log: Logger;
  readonly wallet?: FundingWallet;
};

/**
 * The coins that are held in a wallet which others use too: one opening's from before the wallet is told
 * until it is over, however that ends. What a crash left held is let go at the next start.
 */
export class CoinHolds {
  readonly #held = new Map<string, readonly Outpoint[]>();
  readonly #deps: CoinHoldsDeps;

  constructor(deps: CoinHoldsDeps) {
    this.#deps = deps;
  }

  /** Holds the coins of an opening; on disk before the wallet is told. Throws as both of them. */
  async hold(contractId: string, coins: readonly Outpoint[]): Promise<void> {
    const { wallet, ledger } = this.#deps;
    if (wallet?.holds === undefined) return;
    const body = JSON.stringify({ contract: contractId });
    const entries = coins.map(
      (coin): LedgerEntry => ({ type: 'put', kind: HOLD_KIND, id: outpointName(coin), body }),
    );
    await ledger.appendNow(entries);
    this.#held.set(contractId, coins);
    await wallet.holds.hold(coins);
  }

  /** Lets go the coins of an opening that is over. */
  async release(contractId: string): Promise<void> {
    const coins = this.#held.get(contractId);
    this.#held.delete(contractId);
    if (coins !== undefined) await this.#release(coins);
  }

  /** Lets go the coins of all contracts that are over. */
  async sweep(storeOf: (contractId: string) => MakerStore | undefined): Promise<void> {
    for (const contractId of this.#held.keys()) {
      if (storeOf(contractId)?.isClosed === true) await this.release(contractId);
    }
  }

  /**
   * At the start: holds what openings need, where the wallet forgot it, and lets go what this program held
   * and no opening needs. What others hold in that wallet is left alone.
   */
  async restore(stores: readonly MakerStore[]): Promise<void> {
    const { wallet, ledger } = this.#deps;
    if (wallet?.holds === undefined) return;
    const wanted = new Map<string, Outpoint>();
    for (const store of stores) {
      const inputs = store.opening?.accept?.funding.inputs;
      const status = store.channel?.status;
      if (inputs === undefined || (status !== 'opening' && status !== 'funding')) continue;
      this.#held.set(store.contractId, inputs);
      for (const input of inputs) wanted.set(outpointName(input), input);
    }
    const documents = await ledger.list(HOLD_KIND);
    const own = new Set(documents.filter(({ body }) => body !== LET_GO).map(({ id }) => id));
    const { holds } = wallet;
    const held = await optional(() => holds.held(), this.#failed('held coins cannot be listed'));
    if (held === undefined) return;
    const names = new Set(held.map(outpointName));
    const left = held.filter((coin) => own.has(outpointName(coin)) && !wanted.has(outpointName(coin)));
    if (left.length > 0) await this.#release(left);
    const lost = [...wanted.values()].filter((coin) => !names.has(outpointName(coin)));
    if (lost.length > 0)
      await optional(() => holds.hold(lost), this.#failed('coins of an opening are not held'));
  }

  async #release(coins: readonly Outpoint[]): Promise<void> {
    const { wallet, ledger } = this.#deps;
    // One by one: a coin that is spent, or was let go by hand, is no reason to keep another.
    for (const coin of coins) {
      await optional(async () => {
        await wallet!.holds!.release([coin]);
        await ledger.append([{ type: 'put', kind: HOLD_KIND, id: outpointName(coin), body: LET_GO }]);
      }, this.#failed('a coin was not let go'));
    }
  }

  #failed(what: string): (error: CodedError) => void {
    return (error) => this.#deps.log.info({ code: codeOf(error), detail: error.message }, what);
  }
}
