import { Transaction } from 'bitcoinjs-lib';
import { assert, InvariantError } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainTip } from '../chain/source.ts';
import { buildChild, CHILD_VBYTES } from '../chain/wallet.ts';
import { type ChannelView, DEFAULT_CLOSE_MARGINS, type Pushable, shareOf } from '../chain/watcher.ts';
import { type ChannelParams, channelFacts } from '../channel/params.ts';
import { psbtSignature } from '../channel/psbt.ts';
import { finalizeRefund, signRefund } from '../channel/refund.ts';
import type { Signer } from '../channel/signer.ts';
import { refundRequest, type SigningRequest } from '../channel/signing-requests.ts';
import { dustSat, refundVsize } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/states.ts';
import {
  ChannelWatch,
  type ChannelWatchDeps,
  outputOf,
  type RoleEffect,
} from '../peering/channel-watch.ts';
import { walletScript } from '../peering/opening.ts';
import { askElsewhere } from '../peering/signing-desk.ts';
import type { MakerBook } from './maker-book.ts';

export type MakerChainDeps = ChannelWatchDeps;

/**
 * What the maker does on the chain: sees the funding confirm, sees it spent, takes it back after the expiry.
 * When is the watcher's to say (`transition`).
 */
export class MakerChain {
  readonly #book: MakerBook;
  readonly #watch: ChannelWatch;
  readonly #deps: MakerChainDeps;

  constructor(book: MakerBook, finalDepth: number, deps: MakerChainDeps) {
    this.#book = book;
    this.#deps = deps;
    const side = { details: () => this.#details(), perform: (effect: RoleEffect) => this.#perform(effect) };
    const margins = { ...DEFAULT_CLOSE_MARGINS, finalDepth };
    this.#watch = new ChannelWatch({ role: 'maker', margins }, book, side, deps);
  }

  get isDeep(): boolean {
    return this.#book.stream.fundingDepth >= this.#book.terms.minDepth;
  }

  /** Throws `chain_unreachable`, `chain_rpc`. */
  async onTip(tip: ChainTip): Promise<void> {
    await this.#watch.look(tip);
  }

  /**
   * Takes the channel back now. Throws `not_expired`, `unknown_channel` where there is nothing to take back,
   * `cold_key` where the refund waits to be signed, and `tx_refused` and the like where nothing left.
   */
  async closeAlone(): Promise<void> {
    const tip = await this.#deps.chain.tip();
    await this.#watch.look(tip);
    const { channel, terms } = this.#book;
    const { refusal, isSpent } = this.#watch;
    if (refusal !== undefined && !isSpent) throw refusal;
    if (channel?.status === 'closing' || channel?.status === 'closed') return;
    if (channel === undefined || channel.status === 'opening' || channel.status === 'failed') {
      throw new CodedError('unknown_channel', 'there is no funded channel to take back');
    }
    const left = terms.expiryHeight - tip.height;
    if (left > 0) throw new CodedError('not_expired', `the tip is ${left} blocks before the expiry`);
    throw new CodedError(isSpent ? 'unknown_channel' : 'cold_key');
  }

  async broadcast(transactionHex: string): Promise<void> {
    await this.#watch.broadcast(transactionHex);
  }

  #details(): Partial<ChannelView> {
    const { assembled } = this.#book;
    if (assembled === undefined) return {};
    const { params } = assembled;
    const push = this.#push();
    return {
      refundVsize: refundVsize(channelFacts(params).script, params.makerPayoutScript),
      ...(push === undefined ? {} : { push }),
    };
  }

  /** The own change of a funding that waits can pay for it. */
  #push(): Pushable | undefined {
    const { assembled, opening, fundingTx, channel } = this.#book;
    if (!assembled || !opening?.accept || !fundingTx || channel?.status !== 'funding') return undefined;
    const { feeSat, changeSat } = assembled.funding;
    const script = opening.accept.funding.changeScript;
    if (changeSat.maker === 0n || !equal(script, walletScript(this.#deps.signer))) return undefined;
    return {
      feeSat,
      vsize: Transaction.fromHex(fundingTx).virtualSize(),
      childVsize: CHILD_VBYTES,
      availableSat: shareOf(changeSat.maker, dustSat(script)),
    };
  }

  async #perform(effect: RoleEffect): Promise<void> {
    if (effect.type === 'refund') return this.#refund(effect.satPerKvb);
    if (effect.type === 'push_funding') return this.#pushFunding(effect.feeSat);
    throw new InvariantError(`the maker has no ${effect.type}`);
  }

  /** Recorded before it is sent, where the disk allows: a later start goes on with it. */
  async #refund(wantedSatPerKvb: number): Promise<void> {
    const { assembled, contract, contractId } = this.#book;
    assert(assembled !== undefined, 'maker_channel_before_refund');
    const satPerKvb = Math.min(wantedSatPerKvb, refundRateLimit(assembled.params));
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const refund =
      this.#signedRefund(assembled.params, satPerKvb, signer) ??
      (await this.#coldRefund(assembled.params, satPerKvb, signer));
    if (refund === undefined) return;
    const { hex, feeSat } = refund;
    await this.#book.record('closing', { reason: 'refund', closeTx: hex, closeFeeSat: feeSat });
    this.#deps.log.warn({ contract: contractId, feeSat }, 'the channel expired; taking it back');
    await this.#watch.broadcast(hex);
  }

  #signedRefund(params: ChannelParams, satPerKvb: number, signer: Signer): SignedTransaction | undefined {
    try {
      return signRefund(params, satPerKvb, signer);
    } catch (error) {
      if (codeOf(error) !== 'cold_key') throw error;
      return undefined;
    }
  }

  /** The key is cold: the request waits for whoever holds it. */
  async #coldRefund(
    params: ChannelParams,
    satPerKvb: number,
    holder: Signer,
  ): Promise<SignedTransaction | undefined> {
    const { contractId } = this.#book;
    const request = (rate: number): SigningRequest => refundRequest(params, rate);
    const answer = await askElsewhere(
      { contractId, what: 'refund', satPerKvb, request, holder },
      this.#deps,
    );
    if (answer === undefined) return undefined;
    const signature = psbtSignature(request(answer.satPerKvb), answer.signed, params.keys.makerRefund);
    return finalizeRefund(params, answer.satPerKvb, signature);
  }

  async #pushFunding(feeSat: bigint): Promise<void> {
    const { fundingTx, opening, contractId } = this.#book;
    assert(fundingTx !== undefined && opening?.accept, 'maker_funding_before_child');
    const { signer, log } = this.#deps;
    const parent = Transaction.fromHex(fundingTx);
    const vout = outputOf(parent, opening.accept.funding.changeScript);
    const child = buildChild(parent, vout, feeSat, {
      publicKey: signer.publicKey('wallet'),
      sign: (hash) => signer.signEcdsa('wallet', hash),
    });
    log.warn({ contract: contractId, feeSat }, 'a child pays for the funding');
    await this.#watch.broadcastPackage(fundingTx, child.toHex());
  }
}

/** The highest rate at which the channel still pays for its refund. */
function refundRateLimit(params: ChannelParams): number {
  const { capacitySat, script } = channelFacts(params);
  const { makerPayoutScript } = params;
  const mostSat = shareOf(capacitySat, dustSat(makerPayoutScript));
  return Number((mostSat * 1000n) / BigInt(refundVsize(script, makerPayoutScript)));
}
