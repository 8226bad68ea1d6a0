import { Transaction } from 'bitcoinjs-lib';
import { assert, InvariantError } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainTip } from '../chain/source.ts';
import { buildAndSignChild, CHILD_VBYTES } from '../chain/wallet.ts';
import { type ChannelView, type Pushable, shareOf } from '../chain/watcher.ts';
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

  constructor(store: MakerStore, deps: MakerChainDeps) {
    this.#store = store;
    this.#deps = deps;
    const side = { details: () => this.#details(), perform: (effect: RoleEffect) => this.#perform(effect) };
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

  #details(): Partial<ChannelView> {
    const { assembled } = this.#store;
    if (assembled === undefined) return {};
    const { params } = assembled;
    const { capacitySat, script } = channelFacts(params);
    const push = this.#push();
    return {
      refundVsize: refundVsize(script, params.makerPayoutScript),
      refundMostSat: shareOf(capacitySat, dustSat(params.makerPayoutScript)),
      ...(push === undefined ? {} : { push }),
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
      availableSat: shareOf(changeSat.maker, dustSat(script)),
    };
  }

  async #perform(effect: RoleEffect): Promise<void> {
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

  /** Requests the signature of a cold key for the refund. */
  async #coldRefund(
    params: ChannelParams,
    satPerKvb: number,
    holder: Signer,
  ): Promise<SignedTransaction | undefined> {
    const { contractId } = this.#store;
    const request = (rate: number): SigningRequest => refundRequest(params, rate);
    const answer = await requestExternalSignature(
      { contractId, what: 'refund', satPerKvb, request, holder },
      this.#deps,
    );
    if (answer === undefined) return undefined;
    const signature = psbtSignature(request(answer.satPerKvb), answer.signed, params.keys.makerRefund);
    return finalizeRefund(params, answer.satPerKvb, signature);
  }

  async #pushFunding(feeSat: bigint): Promise<void> {
    const { fundingTx, opening, contractId } = this.#store;
    assert(fundingTx !== undefined && opening?.accept, 'maker_funding_before_child');
    const { signer, log } = this.#deps;
    const parent = Transaction.fromHex(fundingTx);
    const vout = outputOf(parent, opening.accept.funding.changeScript);
    const child = buildAndSignChild(parent, vout, feeSat, {
      publicKey: signer.publicKey('wallet'),
      sign: (hash) => signer.signEcdsa('wallet', hash),
    });
    log.warn({ contract: contractId, feeSat }, 'a child pays for the funding');
    await this.#watch.broadcastPackage(fundingTx, child.toHex());
  }
}
