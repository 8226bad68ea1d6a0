import { assert } from '../base/assert.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainSource, ChainTip, TxOut } from '../chain/source.ts';
import { buildClose, closeFeeBounds, signClose } from '../channel/close.ts';
import { channelFacts } from '../channel/params.ts';
import { dustSat, feeOfVsize } from '../channel/sizes.ts';
import { finalizeState, rungForFeeRate, stateAmounts } from '../channel/states.ts';
import type { Logger } from '../log/logger.ts';
import { call } from './calls.ts';
import type { MinerBook } from './miner-book.ts';
import { txidOf } from './miner-opening.ts';
import type { SignerTree } from './opening.ts';
import type { ChannelRecord } from './records.ts';
import type { RpcPeer } from './rpc-peer.ts';

/** Blocks before the expiry, and the depth at which a close is final (`channel.md` 2.6). */
export type CloseMargins = {
  /** No new work; ask for the close. */
  readonly askBlocks: number;
  /** Broadcast the newest state. */
  readonly broadcastBlocks: number;
  /** At any fee of the ladder. */
  readonly urgentBlocks: number;
  readonly finalDepth: number;
};

export const DEFAULT_CLOSE_MARGINS: CloseMargins = {
  askBlocks: 288,
  broadcastBlocks: 144,
  urgentBlocks: 36,
  finalDepth: 6,
};

const FALLBACK_SAT_PER_KVB = 5000;

export type MinerChainDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
};

/**
 * What the miner does on the chain: sees the funding confirm, closes together or alone, and sees the close
 * confirm.
 */
export class MinerChain {
  readonly #book: MinerBook;
  readonly #margins: CloseMargins;
  readonly #deps: MinerChainDeps;
  /** Height of the first tip that showed the channel spent in a block. */
  #spentAtHeight: number | undefined;
  #isSpent = false;

  constructor(book: MinerBook, margins: CloseMargins, deps: MinerChainDeps) {
    this.#book = book;
    this.#margins = margins;
    this.#deps = deps;
  }

  /** True once the own node shows the funding at the agreed depth. */
  get isDeep(): boolean {
    return this.#book.stream.fundingDepth >= this.#book.terms.minDepth;
  }

  /** True while some transaction, if only in the mempool, spends the channel: there is nothing to close. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /**
   * Looks at the channel's output at a new tip. Throws `chain_unreachable`, `chain_rpc`, `channel_frozen`.
   */
  async onTip(tip: ChainTip): Promise<void> {
    const { channel } = this.#book;
    if (channel === undefined || this.#book.frozen !== undefined) return;
    const coin = await this.#fundingCoin(channel);
    this.#isSpent = coin === undefined && channel.status !== 'opening' && channel.status !== 'funding';
    if (coin !== undefined) this.#book.apply({ type: 'funded', confirmations: coin.confirmations });
    // The own signatures may have reached the maker and its answer not us: the chain tells.
    if (channel.status === 'opening' && coin !== undefined) await this.#book.setStatus('funding');
    if (channel.status === 'open' && coin === undefined) {
      await this.#book.setStatus('closing', { reason: 'spent by the other side' });
    }
    if (channel.status === 'open' || channel.status === 'funding') await this.#watchExpiry(tip);
    if (this.#book.channel?.status === 'closing') await this.#watchClose(tip, coin === undefined);
  }

  /**
   * The channel's output. One that is not there may be spent, or its funding may have left the chain and the
   * mempool: sent again, it is there if it was not spent.
   */
  async #fundingCoin(channel: ChannelRecord): Promise<TxOut | undefined> {
    const { fundingTxid, fundingVout, status } = channel;
    const coin = await this.#deps.chain.txOut(fundingTxid, fundingVout);
    if (coin !== undefined || this.#book.fundingTx === undefined || status === 'closed') return coin;
    await this.broadcastFunding();
    return this.#deps.chain.txOut(fundingTxid, fundingVout);
  }

  /** Both sides broadcast: who is first does not matter. */
  async broadcastFunding(): Promise<void> {
    const { fundingTx } = this.#book;
    if (fundingTx === undefined) return;
    await this.#deps.chain.broadcast(fundingTx).catch((error: unknown) => {
      // Refused also where a block holds it and its outputs are spent.
      if (codeOf(error) !== 'tx_refused') throw error;
      if (this.#book.channel?.status !== 'funding') return;
      this.#deps.log.warn({ detail: String(error) }, 'the funding was refused; it is sent again');
    });
  }

  /**
   * The close that both sign (`channel.md` 2.3, X): after it neither side goes on. The maker's answer is
   * broadcast.
   */
  async closeTogether(peer: RpcPeer): Promise<void> {
    const book = this.#book;
    const { contractId } = book;
    const { n } = await call(peer, 'channel.shutdown', { contractId });
    const { assembled, last, channel, contract } = book;
    assert(assembled && last && channel && contract, 'miner_channel_before_close');
    if (n !== last.n) throw new CodedError('wrong_state_number', `the maker closes at state ${n}`);
    const { params } = assembled;
    const feeSat = channel.closeFeeSat ?? (await this.#closeFeeSat());
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const signature = signClose(params, last, feeSat, 'miner', signer);
    await book.setStatus('closing', { reason: 'cooperative', closeFeeSat: feeSat });
    const { closeTx } = await call(peer, 'close.sig', { contractId, n, feeSat, signature });
    if (txidOf(closeTx) !== buildClose(params, last.workHashes, feeSat).getId()) {
      throw new CodedError('bad_funding', 'the closing transaction is another one');
    }
    await book.setStatus('closing', { closeTx });
    await this.#broadcast(closeTx);
  }

  /** Broadcasts the newest state at a fee of the ladder; again, a higher rung when a higher fee is due. */
  async closeAlone(urgent = false): Promise<void> {
    const { assembled, last, channel, contract } = this.#book;
    if (!assembled || !last || !channel || !contract) return;
    const { params } = assembled;
    const rate = urgent
      ? Number.MAX_SAFE_INTEGER
      : await this.#deps.chain.feeRateSatPerKvb(6, FALLBACK_SAT_PER_KVB);
    const rung = rungForFeeRate(params, last, rate);
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const { hex, feeSat } = finalizeState(params, last, rung, signer);
    if (channel.closeTx !== hex) {
      if (channel.closeTx !== null && (channel.closeFeeSat ?? 0n) >= feeSat) return;
      await this.#book.setStatus('closing', { reason: 'alone', closeTx: hex, closeFeeSat: feeSat });
      this.#deps.log.warn({ contract: this.#book.contractId, n: last.n, rung }, 'closing alone');
    }
    await this.#broadcast(hex);
  }

  async #watchExpiry(tip: ChainTip): Promise<void> {
    const left = this.#book.terms.expiryHeight - tip.height;
    if (left <= this.#margins.broadcastBlocks) await this.closeAlone(left <= this.#margins.urgentBlocks);
    else if (left <= this.#margins.askBlocks) this.#book.apply({ type: 'expiry_near' });
  }

  /**
   * Any spend that a block holds ends the channel once it is deep: also a rung below the newest, or another
   * state. Until a block holds one, the ladder is climbed before the expiry, over a close by both as well.
   */
  async #watchClose(tip: ChainTip, isSpent: boolean): Promise<void> {
    const { channel, terms } = this.#book;
    assert(channel !== undefined, 'miner_channel_before_close');
    if (!isSpent && channel.closeTx) await this.#broadcast(channel.closeTx);
    const { fundingTxid, fundingVout, closeTx } = channel;
    const inBlocks = await this.#deps.chain.txOut(fundingTxid, fundingVout, false);
    if (!isSpent || inBlocks !== undefined) {
      this.#spentAtHeight = undefined;
      const left = terms.expiryHeight - tip.height;
      const isOurs = !isSpent || closeTx !== null;
      if (isOurs && left <= this.#margins.broadcastBlocks) {
        await this.closeAlone(left <= this.#margins.urgentBlocks);
      }
      return;
    }
    this.#spentAtHeight ??= tip.height;
    const own = closeTx ? await this.#deps.chain.confirmations(txidOf(closeTx)) : undefined;
    const depth = own || tip.height - this.#spentAtHeight + 1;
    if (depth >= this.#margins.finalDepth) await this.#book.setStatus('closed');
  }

  /** What blocks ask for at the moment, within what a close may pay and the miner has. */
  async #closeFeeSat(): Promise<bigint> {
    const { assembled, last } = this.#book;
    assert(assembled && last, 'miner_channel_before_close');
    const { params } = assembled;
    const rate = await this.#deps.chain.feeRateSatPerKvb(6, FALLBACK_SAT_PER_KVB);
    const { minSat, maxSat } = closeFeeBounds(params);
    const { minerSat } = stateAmounts(params.terms, last.workHashes);
    const haveSat = minerSat - dustSat(params.minerPayoutScript);
    const wantSat = feeOfVsize(channelFacts(params).stateVsize, Math.ceil(rate));
    const most = maxSat < haveSat ? maxSat : haveSat;
    return wantSat < minSat ? minSat : wantSat > most ? most : wantSat;
  }

  async #broadcast(transactionHex: string): Promise<void> {
    try {
      await this.#deps.chain.broadcast(transactionHex);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ code: codeOf(error), detail: error.message }, 'broadcast failed; tried again');
    }
  }
}
