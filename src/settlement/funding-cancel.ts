import { assert } from '../base/assert.ts';
import { codeOf } from '../base/errors.ts';
import { type ChainSource, type ChainTip, optional, type Spender } from '../chain/source.ts';
import { blocksToSearch } from '../chain/spender.ts';
import type { ChannelView } from '../chain/watcher.ts';
import { makerContributionSat, minerContributionSat } from '../channel/amounts.ts';
import { buildFundingCancel, cancelVsize, finalizeFunding } from '../channel/funding.ts';
import type { Logger } from '../log/logger.ts';
import type { ContractStore } from './contract-store.ts';
import { type FundingWallet, keyWallet } from './funding-wallet.ts';
import type { SignerTree } from './opening.ts';
import { vsizeOfHex } from './transaction-facts.ts';

export type FundingCancelDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
  /** Wallet of the own coins. Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
};

/**
 * What becomes of the coins of a funding that no block holds: whether another transaction spends one, and
 * the spend that takes the own ones back.
 */
export class FundingCancel {
  readonly #store: ContractStore;
  readonly #deps: FundingCancelDeps;
  #conflict: Spender | undefined;
  /** What was signed last, and the fee of what is still to be. */
  #signed: string | undefined;
  #unsignedSat: bigint | undefined;
  /** Height up to which no block spends a coin of the funding elsewhere. */
  #searchedHeight: number | undefined;

  constructor(store: ContractStore, deps: FundingCancelDeps) {
    this.#store = store;
    this.#deps = deps;
  }

  /** The part of the view about taking the own coins back. */
  details(): Pick<ChannelView, 'cancel'> {
    const { assembled, options, terms, fundingTx, opening } = this.#store;
    const script = opening?.accept && this.#changeScript;
    if (assembled === undefined || script === undefined) return {};
    const { funding } = assembled;
    const { role } = options;
    const inputs = funding.inputs.filter((input) => input.role === role);
    return {
      cancel: {
        vsize: cancelVsize(inputs.length, script),
        contributionSat: role === 'miner' ? minerContributionSat(terms) : makerContributionSat(terms),
        fundingFeeSat: funding.feeSat,
        fundingVsize: vsizeOfHex(fundingTx ?? funding.hex),
      },
    };
  }

  /**
   * Confirmations of a transaction other than the funding that spends a coin of it, 0 while it waits;
   * undefined where none is found, or the node does not tell.
   */
  async conflictDepth(tip: ChainTip): Promise<number | undefined> {
    const found = await optional(
      () => this.#findConflict(tip),
      ({ code, message: detail }) =>
        this.#deps.log.warn({ code, detail }, 'the node does not say what spends the coins of a funding'),
    );
    return found?.confirmations;
  }

  /** Notes that the funding is to be seen: none of its coins is spent elsewhere. */
  seen(tip: ChainTip): void {
    this.#conflict = undefined;
    this.#searchedHeight = tip.height;
  }

  async #findConflict(tip: ChainTip): Promise<Spender | undefined> {
    const { chain } = this.#deps;
    const { assembled } = this.#store;
    if (assembled === undefined) return undefined;
    const known = this.#conflict;
    if (known?.blockHash !== undefined) {
      const confirmations = (await chain.header(known.blockHash))?.confirmations ?? -1;
      if (confirmations > 0) return { ...known, confirmations };
    }
    const blocks = blocksToSearch(tip.height, this.#searchedHeight);
    let deepest: Spender | undefined;
    for (const { txid, vout } of assembled.funding.inputs) {
      if ((await chain.txOut(txid, vout)) !== undefined) continue;
      const spender = await chain.spender(txid, vout, blocks);
      if (spender === undefined || spender.txid === assembled.funding.txid) continue;
      if (deepest === undefined || spender.confirmations > deepest.confirmations) deepest = spender;
    }
    this.#conflict = deepest;
    this.#searchedHeight = tip.height;
    return deepest;
  }

  /**
   * The signed spend of the own coins to the own change, in hex. While an external wallet has yet to sign
   * one, it is the one that was signed before, and no further fee is asked for. Throws `funding_unsigned`
   * where there is none.
   */
  async spend(feeSat: bigint): Promise<string> {
    const askedSat = this.#unsignedSat ?? feeSat;
    try {
      this.#signed = await this.#sign(askedSat);
      this.#unsignedSat = undefined;
    } catch (error) {
      if (codeOf(error) !== 'funding_unsigned') throw error;
      this.#unsignedSat = askedSat;
      if (this.#signed === undefined) throw error;
    }
    return this.#signed;
  }

  async #sign(feeSat: bigint): Promise<string> {
    const { assembled, options, terms, contractId } = this.#store;
    const script = this.#changeScript;
    assert(assembled !== undefined && script !== undefined, 'opening_before_its_cancel');
    const { role } = options;
    const cancel = buildFundingCancel(assembled.funding, role, script, feeSat);
    const wallet = this.#deps.wallet ?? keyWallet(this.#deps);
    const contract = { contractId: `${contractId}.cancel-${feeSat}`, network: terms.network };
    const own = await wallet.sign(contract, cancel, role);
    const none: readonly string[] = [];
    const signatures = role === 'miner' ? { miner: own, maker: none } : { miner: none, maker: own };
    this.#deps.log.warn(
      { contract: contractId, feeSat },
      'the funding came too late; its coins are taken back',
    );
    return finalizeFunding(cancel, signatures).hex;
  }

  get #changeScript(): Uint8Array | undefined {
    const { opening, options } = this.#store;
    return options.role === 'miner'
      ? opening?.open.funding.changeScript
      : opening?.accept?.funding.changeScript;
  }
}
