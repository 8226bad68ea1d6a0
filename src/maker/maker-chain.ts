import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainSource, ChainTip, TxOut } from '../chain/source.ts';
import { signRefund } from '../channel/refund.ts';
import type { Logger } from '../log/logger.ts';
import { txidOf } from '../peering/miner-opening.ts';
import type { SignerTree } from '../peering/opening.ts';
import type { ChannelRecord } from '../peering/records.ts';
import type { MakerBook } from './maker-book.ts';

const FALLBACK_SAT_PER_KVB = 5000;

export type MakerChainDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
};

/**
 * What the maker does on the chain: sees the funding confirm, sees it spent, takes it back after the
 * expiry.
 */
export class MakerChain {
  readonly #book: MakerBook;
  readonly #finalDepth: number;
  readonly #deps: MakerChainDeps;
  #spentAtHeight: number | undefined;

  constructor(book: MakerBook, finalDepth: number, deps: MakerChainDeps) {
    this.#book = book;
    this.#finalDepth = finalDepth;
    this.#deps = deps;
  }

  get isDeep(): boolean {
    return this.#book.stream.fundingDepth >= this.#book.terms.minDepth;
  }

  /**
   * Looks at the channel's output at a new tip. Throws `chain_unreachable`, `chain_rpc`, `channel_frozen`.
   */
  async onTip(tip: ChainTip): Promise<void> {
    const book = this.#book;
    const { channel } = book;
    if (channel === undefined || book.frozen !== undefined || book.isClosed) return;
    if (channel.status === 'opening') return;
    const coin = await this.#fundingCoin(channel);
    if (coin !== undefined) {
      book.apply({ type: 'funded', confirmations: coin.confirmations });
    } else if (channel.status === 'open') {
      await book.setStatus('closing', { reason: 'spent by the miner' });
    }
    if (tip.height >= book.terms.expiryHeight) await this.#refund(coin !== undefined);
    if (book.channel?.status === 'closing') await this.#watchClose(tip, coin === undefined);
  }

  /**
   * The channel's output. One that is not there may be spent, or its funding may have left the chain and the
   * mempool: sent again, it is there if it was not spent.
   */
  async #fundingCoin({ fundingTxid, fundingVout, status }: ChannelRecord): Promise<TxOut | undefined> {
    const { chain, log } = this.#deps;
    const coin = await chain.txOut(fundingTxid, fundingVout);
    const { fundingTx } = this.#book;
    if (coin !== undefined || fundingTx === undefined) return coin;
    await chain.broadcast(fundingTx).catch((error: unknown) => {
      // Refused also where a block holds it and its outputs are spent.
      if (codeOf(error) !== 'tx_refused') throw error;
      if (status !== 'funding') return;
      log.warn({ detail: String(error) }, 'the funding was refused; it is sent again');
    });
    return chain.txOut(fundingTxid, fundingVout);
  }

  async broadcast(transactionHex: string): Promise<void> {
    try {
      await this.#deps.chain.broadcast(transactionHex);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ code: error.code, detail: error.message }, 'broadcast failed; tried again');
    }
  }

  /**
   * `channel.md` 2.6: the maker alone, from the expiry on; again at a higher fee while no block holds it.
   * @param isUnspent false while the mempool holds a spend: our own refund, or a state of the miner
   */
  async #refund(isUnspent: boolean): Promise<void> {
    const { assembled, contract, contractId, channel } = this.#book;
    if (assembled === undefined || channel === undefined) return;
    const isOurs = channel.reason === 'refund';
    if (!isUnspent && !isOurs) return;
    const rate = Math.ceil(await this.#deps.chain.feeRateSatPerKvb(6, FALLBACK_SAT_PER_KVB));
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const { hex, feeSat, vsize } = signRefund(assembled.params, rate, signer);
    // A replacement pays for its own relay as well (BIP125), at the usual 1 sat/vB.
    if (isOurs && feeSat < (channel.closeFeeSat ?? 0n) + BigInt(vsize)) return;
    await this.#book.setStatus('closing', { reason: 'refund', closeTx: hex, closeFeeSat: feeSat });
    this.#deps.log.warn({ contract: contractId, feeSat }, 'the channel expired; taking it back');
    if (!isUnspent) await this.broadcast(hex);
  }

  /** Any spend that a block holds ends the channel once it is deep; one in the mempool does not count. */
  async #watchClose(tip: ChainTip, isSpent: boolean): Promise<void> {
    const { channel } = this.#book;
    if (channel === undefined) return;
    const { closeTx, fundingTxid, fundingVout } = channel;
    if (!isSpent && closeTx) await this.broadcast(closeTx);
    const inBlocks = await this.#deps.chain.txOut(fundingTxid, fundingVout, false);
    if (!isSpent || inBlocks !== undefined) {
      this.#spentAtHeight = undefined;
      return;
    }
    this.#spentAtHeight ??= tip.height;
    const own = closeTx ? await this.#deps.chain.confirmations(txidOf(closeTx)) : undefined;
    const depth = own || tip.height - this.#spentAtHeight + 1;
    if (depth >= this.#finalDepth) await this.#book.setStatus('closed');
  }
}
