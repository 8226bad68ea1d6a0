import { Transaction } from 'bitcoinjs-lib';
import { unreachable } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainSource, ChainTip, Spender } from '../chain/source.ts';
import {
  type ChannelView,
  checkMargins,
  type PendingClose,
  transition,
  type WatchEffect,
  type WatchEvent,
  type WatchOptions,
  type WatchState,
  type WatchStatus,
  wantsFeeRate,
  watchFrom,
} from '../chain/watcher.ts';
import type { SignedState } from '../channel/states.ts';
import type { StreamEvent } from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { ExternalSigning } from './external-signing.ts';
import type { AssembledChannel, SignerTree } from './opening.ts';
import { type ChannelRecord, WATCHED_KIND, watchedEntry } from './records.ts';

/** What both stores have of a channel. */
export type WatchedStore = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly assembled: AssembledChannel | undefined;
  readonly fundingTx: string | undefined;
  readonly channel: ChannelRecord | undefined;
  readonly last: SignedState | undefined;
  readonly frozen: CodedError | undefined;
  apply(event: StreamEvent): unknown;
  setStatus(
    status: WatchStatus,
    change?: Partial<Pick<ChannelRecord, 'reason' | 'closeTx' | 'closeFeeSat'>>,
  ): Promise<void>;
};

/** What only one side does. */
export type RoleEffect = Extract<
  WatchEffect,
  { readonly type: 'close_alone' | 'pay_child' | 'refund' | 'push_funding' }
>;

export type ChannelWatchDeps = {
  readonly chain: ChainSource;
  readonly ledger: Ledger;
  readonly signer: SignerTree;
  readonly log: Logger;
  /** For keys that are elsewhere. */
  readonly externalSigning?: ExternalSigning;
};

export type ChannelSide = {
  readonly perform: (effect: RoleEffect) => Promise<void>;
  /** What of the view only this side knows. */
  readonly details: () => Partial<ChannelView>;
};

export const FALLBACK_SAT_PER_KVB = 5000;
const CLOSE_TARGET_BLOCKS = 6;
const URGENT_TARGET_BLOCKS = 2;
/** Blocks searched for what spent a channel while this program did not run; two days. */
const SEARCHED_BLOCKS = 288;
/** Searched again at each look: a reorganisation moves a transaction to a block below one seen before. */
const SEARCHED_AGAIN = 6;

/**
 * Brings one channel and the chain together: looks with the own node, lets `transition` decide, and does
 * what it says, in its order. Decisions are there, I/O is here.
 */
export class ChannelWatch {
  readonly #options: WatchOptions;
  readonly #store: WatchedStore;
  readonly #side: ChannelSide;
  readonly #deps: ChannelWatchDeps;
  #state: WatchState = watchFrom('opening', undefined);
  #isNew = true;
  #spender: Spender | undefined;
  /** Up to this height no block holds what spends the channel. */
  #searchedHeight: number | undefined;

  constructor(
    options: Pick<WatchOptions, 'role' | 'margins'>,
    store: WatchedStore,
    side: ChannelSide,
    deps: ChannelWatchDeps,
  ) {
    const { minDepth, expiryHeight } = store.terms;
    const margins = checkMargins(options.margins);
    this.#options = { role: options.role, margins, minDepth, expiryHeight };
    this.#store = store;
    this.#side = side;
    this.#deps = deps;
  }

  /** True while some transaction, if only in the mempool, spends the channel: there is nothing to close. */
  get isSpent(): boolean {
    return this.#state.outputStatus === 'spent_in_mempool' || this.#state.outputStatus === 'spent_in_block';
  }

  /** True once nothing of the channel is looked at any more. */
  get isOver(): boolean {
    return this.#state.isOver;
  }

  /**
   * Looks at the channel at a tip. Throws `chain_unreachable`, `chain_rpc`, `chain_syncing`,
   * `channel_frozen`.
   * @param isForced close without the other side, whatever the height
   */
  async look(tip: ChainTip, isForced = false): Promise<void> {
    if (await this.#wasOver()) return;
    let canResend = this.#store.fundingTx !== undefined;
    for (;;) {
      const status = this.#status;
      if (status === undefined) return;
      const view = await this.#view(tip, { canResend, isForced });
      const effects = this.#step(status, { type: isForced ? 'close_alone' : 'tip', view }, tip.height);
      for (const effect of effects) await this.#follow(effect);
      if (!effects.some(({ type }) => type === 'send_funding')) return;
      canResend = false;
    }
  }

  /** Asked of the ledger once, where the channel was closed before this program started. */
  async #wasOver(): Promise<boolean> {
    const { channel, contractId } = this.#store;
    if (this.#isNew && channel?.status === 'closed') {
      const isOver = (await this.#deps.ledger.get(WATCHED_KIND, contractId)) !== undefined;
      this.#state = { ...this.#state, isOver };
    }
    if (channel !== undefined) this.#isNew = false;
    return this.#state.isOver;
  }

  /** Both sides broadcast: who is first does not matter. */
  async broadcastFunding(): Promise<void> {
    const { fundingTx } = this.#store;
    if (fundingTx === undefined) return;
    await this.#deps.chain.broadcast(fundingTx).catch((error: unknown) => {
      // Refused also where a block holds it and its outputs are spent.
      if (codeOf(error) !== 'tx_refused') throw error;
      if (this.#store.channel?.status !== 'funding') return;
      this.#deps.log.warn({ detail: String(error) }, 'the funding was refused; it is sent again');
    });
  }

  /** A transaction that the next look sends again where the node did not take it. */
  async broadcast(transactionHex: string): Promise<void> {
    await this.#try(() => this.#deps.chain.broadcast(transactionHex));
  }

  /** A parent with the child that pays for it. */
  async broadcastPackage(parentHex: string, childHex: string): Promise<void> {
    await this.#try(() => this.#deps.chain.broadcastPackage([parentHex, childHex]));
  }

  async #try(send: () => Promise<unknown>): Promise<void> {
    try {
      await send();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ code: error.code, detail: error.message }, 'broadcast failed; tried again');
    }
  }

  /** Undefined while the chain has no say: nothing is agreed, or a human must look. */
  get #status(): WatchStatus | undefined {
    const { channel, frozen } = this.#store;
    if (channel === undefined || frozen !== undefined) return undefined;
    return channel.status === 'frozen' || channel.status === 'failed' ? undefined : channel.status;
  }

  /** What is on disk is taken from there each time: others write it too. */
  #step(status: WatchStatus, event: WatchEvent, height: number): readonly WatchEffect[] {
    const before = { ...this.#state, status, close: pendingClose(this.#store.channel) };
    const { state, effects } = transition(this.#options, before, event, height);
    this.#state = state;
    return effects;
  }

  async #view(
    tip: ChainTip,
    { canResend, isForced }: { readonly canResend: boolean; readonly isForced: boolean },
  ): Promise<ChannelView> {
    const { fundingTxid, fundingVout, closeTx } = this.#store.channel!;
    const coin = await this.#deps.chain.txOut(fundingTxid, fundingVout);
    if (coin !== undefined) {
      this.#spender = undefined;
      this.#searchedHeight = tip.height;
    }
    const spender = coin === undefined ? await this.#findSpender(tip, canResend) : undefined;
    const known = { coinDepth: coin?.confirmations, spendDepth: spender?.confirmations };
    const status = this.#status ?? 'opening';
    const wanted = isForced || wantsFeeRate(this.#options, { ...this.#state, status }, known, tip.height);
    return {
      ...known,
      isOurs: spender !== undefined && closeTx !== null && txidOfHex(closeTx) === spender.txid,
      canResend,
      satPerKvb: wanted ? await this.#feeRate(tip.height) : 0,
      ladder: [],
      refundVsize: 0,
      ...this.#side.details(),
    };
  }

  #feeRate(height: number): Promise<number> {
    const isUrgent = this.#options.expiryHeight - height <= this.#options.margins.urgentBlocks;
    const target = isUrgent ? URGENT_TARGET_BLOCKS : CLOSE_TARGET_BLOCKS;
    return this.#deps.chain.feeRateSatPerKvb(target, FALLBACK_SAT_PER_KVB);
  }

  /**
   * What spends the channel, cheapest question first. Blocks are searched only once the funding was sent
   * again: it may just not be there.
   */
  async #findSpender(tip: ChainTip, canResend: boolean): Promise<Spender | undefined> {
    const { chain } = this.#deps;
    const { fundingTxid, fundingVout, closeTx, status } = this.#store.channel!;
    const known = this.#spender;
    if (known?.blockHash !== undefined) {
      const confirmations = (await chain.header(known.blockHash))?.confirmations ?? -1;
      if (confirmations > 0) return { ...known, confirmations };
    }
    if (closeTx !== null) {
      const confirmations = await chain.confirmations(txidOfHex(closeTx));
      if (confirmations !== undefined) return { txid: txidOfHex(closeTx), hex: closeTx, confirmations };
    }
    const isYoung = status === 'opening' || status === 'funding';
    const missed = tip.height - (this.#searchedHeight ?? tip.height - (isYoung ? 0 : SEARCHED_BLOCKS));
    const isUnsigned = status === 'opening';
    const blocks =
      canResend || isUnsigned ? 0 : Math.min(Math.max(missed, 0) + SEARCHED_AGAIN, SEARCHED_BLOCKS);
    this.#spender = await chain.spender(fundingTxid, fundingVout, blocks);
    if (blocks > 0) this.#searchedHeight = tip.height;
    return this.#spender;
  }

  async #follow(effect: WatchEffect): Promise<void> {
    const { contractId } = this.#store;
    switch (effect.type) {
      case 'funded':
        this.#store.apply(effect);
        return;
      case 'send_funding':
        return this.broadcastFunding();
      case 'status':
        return this.#store.setStatus(
          effect.status,
          effect.reason === undefined ? {} : { reason: effect.reason },
        );
      case 'refuse_steps':
        this.#store.apply({ type: 'expiry_near' });
        return;
      case 'send_close':
        return this.broadcast(this.#store.channel!.closeTx!);
      case 'final':
        this.#deps.log.info({ contract: contractId }, 'the close is final');
        return;
      case 'reopened':
        this.#deps.log.error({ contract: contractId }, 'a final close left the chain; it is made again');
        return;
      case 'over':
        this.#deps.log.info({ contract: contractId }, 'the channel is watched no more');
        return this.#deps.ledger.appendNow([watchedEntry(contractId)]);
      case 'close_alone':
      case 'pay_child':
      case 'push_funding':
      case 'refund':
        return this.#side.perform(effect);
      default:
        return unreachable(effect);
    }
  }
}

const transactions = new Map<string, { readonly txid: string; readonly vsize: number }>();
const MAX_REMEMBERED = 256;

/** Parsed once: the same few transactions are looked at at each tip. */
function factsOf(hex: string): { readonly txid: string; readonly vsize: number } {
  const known = transactions.get(hex);
  if (known !== undefined) return known;
  const transaction = Transaction.fromHex(hex);
  const facts = { txid: transaction.getId(), vsize: transaction.virtualSize() };
  if (transactions.size >= MAX_REMEMBERED) transactions.clear();
  transactions.set(hex, facts);
  return facts;
}

function txidOfHex(hex: string): string {
  return factsOf(hex).txid;
}

/** What is stored of the transaction this side wants in a block. */
export function pendingClose(channel: ChannelRecord | undefined): PendingClose | undefined {
  if (channel === undefined || channel.closeTx === null || channel.closeFeeSat === null) return undefined;
  const { reason, closeTx, closeFeeSat: feeSat } = channel;
  const kind = reason === 'cooperative' ? 'together' : reason === 'refund' ? 'refund' : 'state';
  return { kind, feeSat, vsize: factsOf(closeTx).vsize };
}

/** The index of the output that pays a script. */
export function outputOf(transaction: Transaction, script: Uint8Array): number {
  return transaction.outs.findIndex((output) => equal(output.script, script));
}
