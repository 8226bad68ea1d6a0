import { CodedError } from '../base/errors.ts';
import type { ChainSource, ChainTip } from '../chain/source.ts';
import { signRefund } from '../channel/refund.ts';
import type { Logger } from '../log/logger.ts';
import { txidOf } from '../peering/miner-opening.ts';
import type { SignerTree } from '../peering/opening.ts';
import type { MakerBook } from './maker-book.ts';

const FALLBACK_SAT_PER_KVB = 5000;

export type MakerChainDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
};

/** What the maker does on the chain: sees the funding confirm, sees it spent, takes it back after the expiry. */
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

  /** Looks at the channel's output at a new tip. Throws `chain_unreachable`, `chain_rpc`, `channel_frozen`. */
  async onTip(tip: ChainTip): Promise<void> {
    const book = this.#book;
    const { channel } = book;
    if (channel === undefined || book.frozen !== undefined || book.isClosed) return;
    if (channel.status === 'opening') return;
    const coin = await this.#deps.chain.txOut(channel.fundingTxid, channel.fundingVout);
    if (coin !== undefined) {
      this.#spentAtHeight = undefined;
      book.apply({ type: 'funded', confirmations: coin.confirmations });
      if (tip.height >= book.terms.expiryHeight) await this.#refund();
    } else if (channel.status === 'funding' && book.fundingTx !== undefined) {
      await this.broadcast(book.fundingTx);
    } else if (channel.status === 'open') {
      await book.setStatus('closing', { reason: 'spent by the miner' });
    }
    if (book.channel?.status === 'closing') await this.#watchClose(tip, coin === undefined);
  }

  async broadcast(transactionHex: string): Promise<void> {
    try {
      await this.#deps.chain.broadcast(transactionHex);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ code: error.code, detail: error.message }, 'broadcast failed; tried again');
    }
  }

  /** `channel.md` 2.6: the maker alone, from the expiry on. */
  async #refund(): Promise<void> {
    const { assembled, contract, contractId, channel } = this.#book;
    if (assembled === undefined || channel?.reason === 'refund') return;
    const rate = Math.ceil(await this.#deps.chain.feeRateSatPerKvb(6, FALLBACK_SAT_PER_KVB));
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const { hex, feeSat } = signRefund(assembled.params, rate, signer);
    await this.#book.setStatus('closing', { reason: 'refund', closeTx: hex, closeFeeSat: feeSat });
    this.#deps.log.warn({ contract: contractId }, 'the channel expired; taking it back');
  }

  async #watchClose(tip: ChainTip, isSpent: boolean): Promise<void> {
    const closeTx = this.#book.channel?.closeTx;
    if (!isSpent) {
      if (closeTx) await this.broadcast(closeTx);
      return;
    }
    this.#spentAtHeight ??= tip.height;
    const confirmations = closeTx ? await this.#deps.chain.confirmations(txidOf(closeTx)) : undefined;
    const depth = confirmations ?? tip.height - this.#spentAtHeight + 1;
    if (depth >= this.#finalDepth) await this.#book.setStatus('closed');
  }
}
