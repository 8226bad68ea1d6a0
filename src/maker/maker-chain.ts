import { Transaction } from 'bitcoinjs-lib';
import { assert, InvariantError } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { DEFAULT_FEE_CAPS, mostFeeSat } from '../chain/fee-caps.ts';
import { rateOf } from '../chain/fee-rate.ts';
import type { ChainTip, Spender } from '../chain/source.ts';
import { buildAndSignChild, CHILD_VBYTES } from '../chain/wallet.ts';
import { type ChannelView, type Pushable, shareOf } from '../chain/watcher.ts';
import { makerContributionSat } from '../channel/amounts.ts';
import { feeCapsOf } from '../channel/lifecycle.ts';
import { type ChannelParams, channelFacts } from '../channel/params.ts';
import { psbtSignature } from '../channel/psbt.ts';
import { finalizeRefund, signAndFinalizeRefund } from '../channel/refund.ts';
import type { Signer } from '../channel/signer.ts';
import { refundRequest, type SigningRequest } from '../channel/signing-requests.ts';
import { dustSat, refundVsize } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import {
  ChannelWatch,
  type ChannelWatchDeps,
  outputOf,
  type RoleEffect,
} from '../settlement/channel-watch.ts';
import { requestExternalSignature } from '../settlement/external-signing.ts';
import { walletScript } from '../settlement/opening.ts';
import { vsizeOfHex } from '../settlement/transaction-facts.ts';
import type { MakerStore } from './maker-store.ts';

export type MakerChainDeps = ChannelWatchDeps;

/**
 * The maker's actions on the chain: watches the funding confirm and be spent, and takes it back after the
 * expiry. The state machine (`transition`) decides when.
 */
export class MakerChain {
  readonly #store: MakerStore;
  readonly #watch: ChannelWatch;
  readonly #deps: MakerChainDeps;
  /** What waits and spends the channel, as it was seen last. */
  #waiting: string | undefined;

  constructor(store: MakerStore, deps: MakerChainDeps) {
    this.#store = store;
    this.#deps = deps;
    const details = (spender?: Partial<Spender>): Partial<ChannelView> => this.#details(spender);
    const side = { details, perform: (effect: RoleEffect) => this.#perform(effect) };
    this.#watch = new ChannelWatch(store, side, deps);
  }

  /** Looks at the channel at a new tip. Throws `chain_unreachable`, `chain_rpc`. */
  async onTip(tip: ChainTip): Promise<void> {
    await this.#watch.look(tip);
  }

  /**
   * Takes the channel back now. Throws `not_expired`, `unknown_channel` where there is nothing to take
   * back, `cold_key` where the refund waits for an external signature, and `tx_refused` and the like where
   * the broadcast failed.
   */
  async closeAlone(): Promise<void> {
    const tip = await this.#deps.chain.tip();
    await this.#watch.look(tip);
    const { channel, terms } = this.#store;
    const { isSpent } = this.#store;
    const { refusal } = this.#watch;
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

  #details(spender: Partial<Spender> | undefined): Partial<ChannelView> {
    const { assembled } = this.#store;
    if (assembled === undefined) return {};
    this.#waiting = spender?.confirmations === 0 ? spender.hex : undefined;
    const carried = this.#carried(assembled.params);
    const push = this.#push();
    return {
      ...this.#refundLimits(assembled.params),
      ...(push === undefined ? {} : { push }),
      ...(carried === undefined ? {} : { carried }),
    };
  }

  /** The own change of an unconfirmed funding, which can pay for it (CPFP). */
  #push(): Pushable | undefined {
    const { assembled, opening, fundingTx, channel } = this.#store;
    if (!assembled || !opening?.accept || !fundingTx || channel?.status !== 'funding') return undefined;
    const { feeSat, changeSat } = assembled.funding;
    const script = opening.accept.funding.changeScript;
    if (changeSat.maker === 0n || !equal(script, walletScript(this.#deps.signer))) return undefined;
    return {
      feeSat,
      vsize: Transaction.fromHex(fundingTx).virtualSize(),
      childVsize: CHILD_VBYTES,
      availableSat: smaller(shareOf(changeSat.maker, dustSat(script)), this.#pushMostSat()),
    };
  }

  /** What a child may pay for the funding: the part of what this side puts into it that a close may cost. */
  #pushMostSat(): bigint {
    const { options, terms, state } = this.#store;
    const left = terms.expiryHeight - (state.tipHeight ?? 0);
    const saved = { outputSat: makerContributionSat(terms), dustSat: 0n };
    return mostFeeSat(feeCapsOf(options) ?? DEFAULT_FEE_CAPS, left, saved);
  }

  /** The own output of a close that waits. */
  #carried(params: ChannelParams): Pushable | undefined {
    const { makerPayoutScript: script } = params;
    if (this.#waiting === undefined || !equal(script, walletScript(this.#deps.signer))) return undefined;
    const { outs, vsize } = sizedOf(this.#waiting);
    const own = outs.find((output) => equal(output.script, script));
    if (own === undefined) return undefined;
    const outSat = outs.reduce((sum, { value }) => sum + value, 0n);
    return {
      feeSat: channelFacts(params).capacitySat - outSat,
      ...{ vsize, childVsize: CHILD_VBYTES },
      availableSat: shareOf(own.value, dustSat(script)),
    };
  }

  async #perform(effect: RoleEffect): Promise<void> {
    if (effect.type === 'pay_child') return this.#carry(effect.feeSat);
    if (effect.type === 'refund') return this.#refund(effect.satPerKvb);
    if (effect.type === 'push_funding') return this.#pushFunding(effect.feeSat);
    throw new InvariantError(`the maker has no ${effect.type}`);
  }

  /**
   * Broadcasts the refund, recorded before where the disk allows, so that a later start goes on with it.
   */
  async #refund(satPerKvb: number): Promise<void> {
    const { assembled, contract, contractId, channel } = this.#store;
    assert(assembled !== undefined, 'maker_channel_before_refund');
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const refund =
      this.#signedRefund(assembled.params, satPerKvb, signer) ??
      (await this.#coldRefund(assembled.params, satPerKvb, signer));
    if (refund === undefined) return;
    const { hex, feeSat } = refund;
    if (channel?.closeTx !== hex) {
      const close = { kind: 'refund', transactionHex: hex, feeSat, vsize: vsizeOfHex(hex) } as const;
      await this.#store.record({ type: 'close_built', close });
      this.#deps.log.warn({ contract: contractId, feeSat }, 'the channel expired; taking it back');
    }
    await this.#watch.broadcast(hex);
  }

  #signedRefund(params: ChannelParams, satPerKvb: number, signer: Signer): SignedTransaction | undefined {
    try {
      return signAndFinalizeRefund(params, satPerKvb, signer);
    } catch (error) {
      if (codeOf(error) !== 'cold_key') throw error;
      return undefined;
    }
  }

  /** Requests the signature of a cold key for the refund, at rising rates up to what it may pay. */
  #coldRefund(
    params: ChannelParams,
    satPerKvb: number,
    holder: Signer,
  ): Promise<SignedTransaction | undefined> {
    const { contractId } = this.#store;
    const request = (rate: number): SigningRequest => refundRequest(params, rate);
    const { refundVsize: vsize, refundMostSat } = this.#refundLimits(params);
    const mostSatPerKvb = Math.max(rateOf(refundMostSat, vsize), satPerKvb);
    const finish = (rate: number, signed: string): SignedTransaction =>
      finalizeRefund(params, rate, psbtSignature(request(rate), signed, params.keys.makerRefund));
    return requestExternalSignature(
      { contractId, what: 'refund', satPerKvb, mostSatPerKvb, request, holder, finish },
      this.#deps,
    );
  }

  #refundLimits(params: ChannelParams): { readonly refundVsize: number; readonly refundMostSat: bigint } {
    const { capacitySat, script } = channelFacts(params);
    return {
      refundVsize: refundVsize(script, params.makerPayoutScript),
      refundMostSat: shareOf(capacitySat, dustSat(params.makerPayoutScript)),
    };
  }

  async #carry(feeSat: bigint): Promise<void> {
    const { assembled } = this.#store;
    assert(this.#waiting !== undefined && assembled !== undefined, 'maker_close_before_child');
    await this.#payFor(this.#waiting, assembled.params.makerPayoutScript, feeSat, 'close');
  }

  async #pushFunding(feeSat: bigint): Promise<void> {
    const { fundingTx, opening } = this.#store;
    assert(fundingTx !== undefined && opening?.accept, 'maker_funding_before_child');
    await this.#payFor(fundingTx, opening.accept.funding.changeScript, feeSat, 'funding');
  }

  /** Broadcasts a transaction with a child of its own output. */
  async #payFor(parentHex: string, script: Uint8Array, feeSat: bigint, what: string): Promise<void> {
    const { signer, log } = this.#deps;
    const parent = Transaction.fromHex(parentHex);
    const child = buildAndSignChild(parent, outputOf(parent, script), feeSat, {
      publicKey: signer.publicKey('wallet'),
      sign: (hash) => signer.signEcdsa('wallet', hash),
    });
    log.warn({ contract: this.#store.contractId, feeSat }, `a child pays for the ${what}`);
    await this.#watch.broadcastPackage(parentHex, child.toHex());
  }
}

function sizedOf(hex: string): { readonly outs: Transaction['outs']; readonly vsize: number } {
  const transaction = Transaction.fromHex(hex);
  return { outs: transaction.outs, vsize: transaction.virtualSize() };
}
