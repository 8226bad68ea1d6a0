import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainSource, ChainTip } from '../chain/source.ts';
import {
  edgeAt,
  isUnpriced,
  latestHashes,
  movingPriceOf,
  type PriceStep,
  priceStep,
  signedPriceMsatPerEh,
} from '../contract/index-price.ts';
import { priceAtValue } from '../contract/price.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { ContractStore } from './contract-store.ts';
import type { ContractUpdates } from './contract-updates.ts';
import { HashValues } from './hash-values.ts';
import { priceBasisEntry } from './price-basis.ts';

export type PriceKeeperParts = {
  readonly role: 'miner' | 'maker';
  readonly store: ContractStore;
  readonly updates: ContractUpdates;
  /** Called where a price came into use, or none is any more. */
  readonly onChange: () => void;
};

export type PriceKeeperDeps = {
  readonly chain: ChainSource;
  readonly log: Logger;
  /** Where what prices were reckoned by is kept. */
  readonly ledger: Pick<Ledger, 'append'>;
  /** Shared by all contracts. Default: of this one alone. */
  readonly values?: HashValues;
};

/**
 * Keeps the price of one contract at what its terms and the own node say, where it moves: proposes it,
 * confirms it, and refuses any other.
 */
export class PriceKeeper {
  readonly #parts: PriceKeeperParts;
  readonly #deps: PriceKeeperDeps;
  readonly #values: HashValues;
  #goodEdge: number | undefined;
  /** Tip at which an edge was first seen without its price. */
  #since: { readonly edge: number; readonly height: number } | undefined;
  /** Tip at which this side proposed last: once for each. */
  #proposedAt: number | undefined;
  #isRunning = false;
  #next: ChainTip | undefined;
  #newest: ChainTip | undefined;

  constructor(parts: PriceKeeperParts, deps: PriceKeeperDeps) {
    this.#parts = parts;
    this.#deps = deps;
    this.#values = deps.values ?? new HashValues(deps);
  }

  /** True where work on a block has no price that may be used. */
  isUnpriced(tipHeight: number): boolean {
    return isUnpriced(this.#parts.store.terms, { goodEdge: this.#goodEdge, tipHeight });
  }

  /** Looks at a tip; one that comes meanwhile is looked at next. */
  onTip(tip: ChainTip): void {
    if (movingPriceOf(this.#parts.store.terms) === undefined) return;
    this.#newest = tip;
    this.#next = tip;
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#lookAll().finally(() => {
      this.#isRunning = false;
    });
  }

  /** Looks again: something was said or signed meanwhile. */
  look(): void {
    if (this.#newest !== undefined) this.onTip(this.#newest);
  }

  async #lookAll(): Promise<void> {
    while (this.#next !== undefined) {
      const tip = this.#next;
      this.#next = undefined;
      await this.#lookAt(tip).catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        const { contractId } = this.#parts.store;
        this.#deps.log.info({ contract: contractId, code: error.code }, 'no price was agreed');
      });
    }
  }

  async #lookAt(tip: ChainTip): Promise<void> {
    const { role, store, updates, onChange } = this.#parts;
    const price = movingPriceOf(store.terms)!;
    const edge = edgeAt(price, tip.height);
    await this.#values.read(tip, edge);
    const value = this.#values.at(edge);
    const wantedMsatPerEh = value === undefined ? undefined : priceAtValue(price, value);
    const signedMsatPerEh = signedPriceMsatPerEh(store.terms);
    const { pending } = updates.state;
    const isOpen = store.channel?.status === 'open' && store.stream.endReason === undefined;
    if (isOpen && this.#since?.edge !== edge) this.#since = { edge, height: tip.height };
    const sinceHeight = this.#since?.height ?? tip.height;
    const latest = latestHashes(store.terms, store.state.workHashes);
    const prices = { wantedMsatPerEh, signedMsatPerEh, latestHashes: latest };
    const view = { role, tipHeight: tip.height, edge, sinceHeight, ...prices, pending };
    const isRight = wantedMsatPerEh !== undefined && signedMsatPerEh === wantedMsatPerEh;
    if (isRight && this.#goodEdge !== edge) {
      this.#goodEdge = edge;
      this.#keepBasis(edge, wantedMsatPerEh);
      onChange();
    }
    if (isOpen) await this.#do(priceStep(view, price), wantedMsatPerEh, tip.height);
  }

  /** For an audit alone: nothing waits for it, and nothing is lost by what cannot be kept but that. */
  #keepBasis(edge: number, priceMsatPerEh: bigint): void {
    const { contractId } = this.#parts.store;
    const blocks = this.#values.basisAt(edge);
    if (blocks === undefined) return;
    const entry = priceBasisEntry(contractId, { version: 1, edge, priceMsatPerEh, blocks });
    this.#deps.ledger.append([entry]).catch((error: unknown) => {
      this.#deps.log.info(
        { contract: contractId, code: codeOf(error) },
        'the basis of a price is not kept',
      );
    });
  }

  async #do(step: PriceStep, priceMsatPerEh: bigint | undefined, tipHeight: number): Promise<void> {
    const { store, updates } = this.#parts;
    if (step === 'none' || priceMsatPerEh === undefined) return;
    const { contractId } = store;
    this.#deps.log.info({ contract: contractId, step, priceMsatPerEh }, 'the price of an epoch');
    if (step === 'confirm') await updates.confirm();
    else if (step === 'refuse') await updates.revoke();
    else if (this.#proposedAt !== tipHeight) {
      this.#proposedAt = tipHeight;
      // All of the work has a price that both signed.
      const first = signedPriceMsatPerEh(store.terms) === undefined ? { fromHashes: 0n } : {};
      await updates.propose({ priceMsatPerEh, ...first });
    }
  }
}
