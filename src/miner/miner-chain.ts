import { Transaction } from 'bitcoinjs-lib';
import { assert, InvariantError } from '../base/assert.ts';
import { larger, smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { DEFAULT_FEE_CAPS, mostFeeSat, type Saved } from '../chain/fee-caps.ts';
import type { ChainTip, Spender } from '../chain/source.ts';
import { buildAndSignChild, CHILD_VBYTES } from '../chain/wallet.ts';
import type { ChannelView } from '../chain/watcher.ts';
import {
  buildClose,
  type CloseSettlement,
  closeFeeBounds,
  closeFeeFor,
  finalizeClose,
  makerSignatureOf,
  signClose,
} from '../channel/close.ts';
import { feeCapsOf } from '../channel/lifecycle.ts';
import { boundedRate, dustSat } from '../channel/sizes.ts';
import { ladderOf, signAndFinalizeState, stateAmounts } from '../channel/states.ts';
import { isAtStake } from '../contract/vesting.ts';
import { call } from '../peer/calls.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import {
  ChannelWatch,
  type ChannelWatchDeps,
  outputOf,
  type RoleEffect,
} from '../settlement/channel-watch.ts';
import { walletScript } from '../settlement/opening.ts';
import { vsizeOfHex } from '../settlement/transaction-facts.ts';
import { txidOf } from './miner-opening.ts';
import type { MinerStore } from './miner-store.ts';

export { type CloseMargins, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';

/** The settlement that the miner offers for unvested bonds: each side gets its own back. */
const EARLY_SETTLEMENT: CloseSettlement = 'returned';

type ChildEffect = Extract<RoleEffect, { readonly type: 'pay_child' }>;

/**
 * The miner's actions on the chain: watches the funding confirm, closes with the maker or alone, and
 * watches the close confirm. The state machine (`transition`) decides when.
 */
export class MinerChain {
  readonly #store: MinerStore;
  readonly #watch: ChannelWatch;
  readonly #deps: ChannelWatchDeps;

  constructor(store: MinerStore, deps: ChannelWatchDeps) {
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

  /** Looks at the channel at a height that the clock gives while no node answers. */
  async onClock(height: number): Promise<void> {
    await this.#watch.lookByClock(height);
  }

  /** Broadcasts the funding. Both sides do; the order does not matter. */
  async broadcastFunding(): Promise<void> {
    await this.#watch.broadcastFunding();
  }

  /**
   * Closes with the maker (`PROTOCOL.md`, X), after which neither side goes on, and broadcasts the close
   * that the maker answers with.
   */
  async closeTogether(peer: RpcPeer): Promise<void> {
    const store = this.#store;
    const { contractId } = store;
    const { n } = await call(peer, 'channel.shutdown', { contractId });
    const { assembled, last, channel, contract } = store;
    assert(assembled && last && channel && contract, 'miner_channel_before_close');
    // Closed alone while the maker was asked: that fee is another transaction's.
    if (channel.closeTx !== undefined) return;
    if (n !== last.n) throw new CodedError('wrong_state_number', `the maker closes at state ${n}`);
    const { params } = assembled;
    const feeSat = channel.closeFeeSat ?? (await this.#closeFeeSat());
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const settlement = isAtStake(params.terms, last.workHashes) ? EARLY_SETTLEMENT : undefined;
    const signature = signClose(params, last, feeSat, 'miner', signer, settlement);
    await store.commit({ type: 'close_signed', n, feeSat });
    const request = {
      contractId,
      n,
      feeSat,
      signature,
      ...(settlement === undefined ? {} : { settlement }),
    };
    const { closeTx } = await call(peer, 'close.sig', request);
    if (txidOf(closeTx) !== buildClose(params, last.workHashes, feeSat, settlement).getId()) {
      throw new CodedError('bad_funding', 'the closing transaction is another one');
    }
    // Announced is not signed: what is stored, and waited for, has the signatures that were verified here.
    const maker = makerSignatureOf(Transaction.fromHex(closeTx));
    const { hex } = finalizeClose(params, last, feeSat, { miner: signature, maker }, settlement);
    const close = { kind: 'together', transactionHex: hex, n, feeSat, vsize: vsizeOfHex(hex) } as const;
    await store.record({ type: 'close_built', close });
    await this.#watch.broadcast(hex);
  }

  /**
   * Broadcasts the newest state at a fee of the ladder; called again, a higher rung when a higher fee is
   * due. Throws `unknown_channel` where there is nothing to close, and `tx_refused` and the like where no
   * broadcast succeeded.
   */
  async closeAlone(): Promise<void> {
    await this.#watch.look(await this.#deps.chain.tip(), true);
    const status = this.#store.channel?.status;
    if (status !== 'closing' && status !== 'closed') {
      throw new CodedError('unknown_channel', 'there is no funded channel to close');
    }
    const { refusal } = this.#watch;
    if (refusal !== undefined && !this.#store.isSpent) throw refusal;
  }

  #details(spender: Partial<Spender> | undefined): Partial<ChannelView> {
    const { assembled, best } = this.#store;
    if (assembled === undefined || best === undefined) return {};
    const { params } = assembled;
    const script = params.minerPayoutScript;
    const { minerSat: outputSat } = stateAmounts(params.terms, best.workHashes);
    const ladder = ladderOf(params, best.workHashes);
    // Only an output of the own wallet can be spent from here.
    const isOwn = equal(script, walletScript(this.#deps.signer));
    return {
      ladder,
      saved: { outputSat, dustSat: dustSat(script) },
      isRival: isRivalOf(spender, script, outputSat, ladder.at(-1)!.feeSat),
      ...(isOwn ? { childVsize: CHILD_VBYTES } : {}),
    };
  }

  async #perform(effect: RoleEffect): Promise<void> {
    if (effect.type === 'close_alone') return this.#sendState(effect.rung);
    if (effect.type === 'pay_child') return this.#payChild(effect);
    throw new InvariantError(`the miner has no ${effect.type}`);
  }

  /**
   * Broadcasts a rung of the newest state, recorded before where the disk allows, so that a later start
   * goes on with it. A state on its way to the disk may be acked once it is there, and so is used too.
   */
  async #sendState(rung: number): Promise<void> {
    const { assembled, best, channel, contract } = this.#store;
    assert(assembled && best && channel && contract, 'miner_channel_before_close');
    const signer = this.#deps.signer.forChannel(contract.channelIndex);
    const { hex, feeSat } = signAndFinalizeState(assembled.params, best, rung, signer);
    if (channel.closeTx !== hex) {
      const { n } = best;
      const close = { kind: 'state', transactionHex: hex, n, feeSat, vsize: vsizeOfHex(hex) } as const;
      await this.#store.record({ type: 'close_built', close });
      this.#deps.log.warn({ contract: this.#store.contractId, n: best.n, rung }, 'closing alone');
    }
    await this.#watch.broadcast(hex);
  }

  /**
   * Spends the own output of the close at a fee above the ladder, so that both together pay the current
   * rate (CPFP). A close that took the place of the one it was bid for meanwhile has no such child.
   */
  async #payChild({ feeSat, parentFeeSat }: ChildEffect): Promise<void> {
    const { channel, assembled, state } = this.#store;
    assert(channel?.closeTx && assembled, 'miner_close_before_child');
    if (state.close?.feeSat !== parentFeeSat) return;
    const { signer, log } = this.#deps;
    const parent = Transaction.fromHex(channel.closeTx);
    const vout = outputOf(parent, assembled.params.minerPayoutScript);
    const child = buildAndSignChild(parent, vout, feeSat, {
      publicKey: signer.publicKey('wallet'),
      sign: (hash) => signer.signEcdsa('wallet', hash),
    });
    log.warn({ contract: this.#store.contractId, feeSat }, 'a child pays for the close');
    await this.#watch.broadcastPackage(channel.closeTx, child.toHex());
  }

  /**
   * The fee in sats of a cooperative close at the current rate, within its bounds, the miner's part and what
   * a close may cost.
   */
  async #closeFeeSat(): Promise<bigint> {
    const { assembled, last, options } = this.#store;
    assert(assembled && last, 'miner_channel_before_close');
    const { params } = assembled;
    const rate = boundedRate(await this.#deps.chain.feeRateSatPerKvb(6));
    const height = this.#store.state.tipHeight ?? 0;
    const { minerSat: outputSat } = stateAmounts(params.terms, last.workHashes);
    const saved: Saved = { outputSat, dustSat: dustSat(params.minerPayoutScript) };
    const caps = feeCapsOf(options) ?? DEFAULT_FEE_CAPS;
    const mostSat = mostFeeSat(caps, params.terms.expiryHeight - height, saved);
    const feeSat = closeFeeFor(params, last, rate, EARLY_SETTLEMENT);
    return larger(smaller(feeSat, mostSat), closeFeeBounds(params).minSat);
  }
}

/** True where what waits gives the miner less than its newest state would, before the fee. */
function isRivalOf(
  spender: Partial<Spender> | undefined,
  script: Uint8Array,
  outputSat: bigint,
  mostFeeSat: bigint,
): boolean {
  if (spender?.hex === undefined || spender.confirmations !== 0) return false;
  const outputs = Transaction.fromHex(spender.hex).outs.filter((output) => equal(output.script, script));
  const paidSat = outputs.reduce((sum, { value }) => sum + value, 0n);
  return paidSat + (spender.waiting?.feeSat ?? mostFeeSat) < outputSat;
}
