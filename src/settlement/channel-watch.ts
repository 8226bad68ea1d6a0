import type { Transaction } from 'bitcoinjs-lib';
import { unreachable } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import {
  type ChainSource,
  type ChainTip,
  FALLBACK_SAT_PER_KVB,
  optional,
  type Spender,
} from '../chain/source.ts';
import { blocksToSearch } from '../chain/spender.ts';
import { type ChannelView, type OutputStatus, SPENT_ELSEWHERE } from '../chain/watcher.ts';
import { mayPayFees } from '../channel/lifecycle.ts';
import { boundedRate } from '../channel/sizes.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainEffect, ContractStore } from './contract-store.ts';
import type { ExternalSigning } from './external-signing.ts';
import { FundingCancel } from './funding-cancel.ts';
import type { FundingWallet } from './funding-wallet.ts';
import type { SignerTree } from './opening.ts';
import { unstored, watchedEntry } from './records.ts';
import { txidOfHex } from './transaction-facts.ts';

/** The effects that only one role has. */
export type RoleEffect = Extract<
  ChainEffect,
  { readonly type: 'close_alone' | 'pay_child' | 'refund' | 'push_funding' }
>;

export type ChannelWatchDeps = {
  readonly chain: ChainSource;
  readonly ledger: Ledger;
  readonly signer: SignerTree;
  readonly log: Logger;
  /** See `FundingCancelDeps`. */
  readonly wallet?: FundingWallet;
  /** Signing by keys that are not in the program. */
  readonly externalSigning?: ExternalSigning;
};

/** One side of a channel, as its watch needs it. */
export type ChannelSide = {
  readonly perform: (effect: RoleEffect) => Promise<void>;
  /** The part of the view that only this side knows, of what spends the channel too. */
  readonly details: (spender?: Partial<Spender>) => Partial<ChannelView>;
};

type ViewOptions = { readonly canResend: boolean; readonly isForced: boolean };

const CLOSE_TARGET_BLOCKS = 6;
/** The next block: nodes estimate for no fewer. */
const NEXT_TARGET_BLOCKS = 2;

const UNSEEN = {
  ...{ isOurs: false, canResend: false, satPerKvb: FALLBACK_SAT_PER_KVB, ladder: [], refundVsize: 0 },
  ...{ coinDepth: undefined, spendDepth: undefined },
} satisfies ChannelView;

/** The view that repeats what was last seen. */
const LAST_SEEN: Readonly<Record<OutputStatus, ChannelView>> = {
  unspent: { ...UNSEEN, coinDepth: 1 },
  spent_in_mempool: { ...UNSEEN, spendDepth: 0 },
  spent_in_block: { ...UNSEEN, spendDepth: 1 },
  missing: UNSEEN,
};

/**
 * The watch of one channel on the chain: looks with the own node, passes what it sees to the contract's
 * state machine, and performs its effects in order. Only the end of the channel stops it: no fault of the
 * contract, no failed ledger, no unanswered question whose answer is not needed.
 */
export class ChannelWatch {
  readonly #store: ContractStore;
  readonly #side: ChannelSide;
  readonly #deps: ChannelWatchDeps;
  readonly #cancel: FundingCancel;
  #spender: Spender | undefined;
  /** Height up to which no block has a spend of the channel. */
  #searchedHeight: number | undefined;
  /** The error of the last broadcast, if it failed. */
  #refusal: CodedError | undefined;

  constructor(store: ContractStore, side: ChannelSide, deps: ChannelWatchDeps) {
    this.#store = store;
    this.#side = side;
    this.#deps = deps;
    this.#cancel = new FundingCancel(store, deps);
  }

  /** The error of the last broadcast; undefined where it succeeded. */
  get refusal(): CodedError | undefined {
    return this.#refusal;
  }

  /**
   * Looks at the channel at a tip. Throws `chain_unreachable`, `chain_rpc`, `chain_syncing`.
   * @param isForced close without the other side, whatever the height
   */
  async look(tip: ChainTip, isForced = false): Promise<void> {
    let canResend = this.#store.fundingTx !== undefined;
    for (;;) {
      const { status, watch } = this.#store.state;
      if (this.#store.channel === undefined || status === 'failed' || watch.isOver) return;
      const view = await this.#viewOrLast(tip, { canResend, isForced });
      const type = isForced ? 'close_alone' : 'tip';
      const effects = await this.#store.record({ type, height: tip.height, view });
      for (const effect of effects) await this.#follow(effect);
      if (!effects.some(({ type }) => type === 'send_funding')) return;
      canResend = false;
    }
  }

  /**
   * Looks at the channel at a height that the clock gives while no node answers: everything is taken as
   * last seen. Due transactions are broadcast, each time again, until a node accepts them.
   */
  async lookByClock(height: number): Promise<void> {
    const { status, watch } = this.#store.state;
    if (this.#store.channel === undefined || status === 'failed' || watch.isOver) return;
    const tip = { height, hash: '', timeSeconds: 0 };
    const asked = await optional(
      () => this.#view(tip, { canResend: false, isForced: true }),
      this.#unanswered('no node'),
    );
    const view = asked ?? { ...LAST_SEEN[watch.outputStatus], ...this.#side.details() };
    const effects = await this.#store.record({ type: 'tip', height, view });
    for (const effect of effects) await this.#follow(effect);
  }

  /** Broadcasts the funding. Both sides do; the order does not matter. */
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

  /** Broadcasts a transaction; the next look repeats it where the node did not accept it. */
  async broadcast(transactionHex: string): Promise<void> {
    this.#refusal = await this.#failureOf(() => this.#deps.chain.broadcast(transactionHex));
  }

  /** Broadcasts a parent with the child that pays for it. */
  async broadcastPackage(parentHex: string, childHex: string): Promise<void> {
    this.#refusal = await this.#failureOf(() => this.#deps.chain.broadcastPackage([parentHex, childHex]));
  }

  async #failureOf(send: () => Promise<unknown>): Promise<CodedError | undefined> {
    let failure: CodedError | undefined;
    await optional(send, (error) => {
      failure = error;
      this.#deps.log.warn({ code: error.code, detail: error.message }, 'broadcast failed; tried again');
    });
    return failure;
  }

  #unanswered(what: string): (error: CodedError) => void {
    const { contractId: contract } = this.#store;
    return ({ code, message: detail }) =>
      this.#deps.log.warn({ contract, code, detail }, `${what} does not answer; gone on without`);
  }

  /**
   * The view, and where a question of it fails once a transaction is due, what was last seen: no deadline
   * waits for an answer.
   */
  async #viewOrLast(tip: ChainTip, options: ViewOptions): Promise<ChannelView> {
    try {
      return await this.#view(tip, options);
    } catch (error) {
      if (!(error instanceof CodedError) || !(options.isForced || this.#isDue(tip.height))) throw error;
      const satPerKvb = await optional(
        () => this.#feeRate(tip.height),
        () => {},
      );
      // One that answers nothing at all takes no transaction either.
      if (satPerKvb === undefined) throw error;
      this.#unanswered('a question about the channel')(error);
      const { outputStatus } = this.#store.state.watch;
      return { ...LAST_SEEN[outputStatus], satPerKvb, ...this.#side.details() };
    }
  }

  /** This side has, or may have, to send something by now. */
  #isDue(height: number): boolean {
    const { options, state, terms } = this.#store;
    if (state.status !== 'open' && state.status !== 'closing') return false;
    const blocks = options.role === 'miner' ? options.margins.broadcastBlocks : 0;
    return terms.expiryHeight - height <= blocks;
  }

  async #view(tip: ChainTip, { canResend, isForced }: ViewOptions): Promise<ChannelView> {
    const { fundingTxid, fundingVout, closeTx } = this.#store.channel!;
    const coin = await this.#deps.chain.txOut(fundingTxid, fundingVout);
    if (coin !== undefined) {
      this.#spender = undefined;
      this.#searchedHeight = tip.height;
    }
    const conflictDepth = await this.#conflictDepth(tip, coin !== undefined);
    const isResent = canResend && conflictDepth === undefined;
    const spender = coin === undefined ? await this.#spenderOrDepth(tip, isResent) : undefined;
    const known = { coinDepth: coin?.confirmations, spendDepth: spender?.confirmations, conflictDepth };
    const wanted = isForced || mayPayFees(this.#store.options, this.#store.state, known, tip.height);
    return {
      ...known,
      isOurs: spender !== undefined && closeTx !== undefined && txidOfHex(closeTx) === spender.txid,
      waiting: spender?.waiting,
      canResend: isResent,
      satPerKvb: wanted ? await this.#feeRate(tip.height) : 0,
      ladder: [],
      refundVsize: 0,
      ...this.#cancel.details(),
      ...this.#side.details(spender),
    };
  }

  /** See `ChannelView`; asked only of a channel that was never open. */
  async #conflictDepth(tip: ChainTip, isSeen: boolean): Promise<number | undefined> {
    const { status, reason } = this.#store.state;
    const isYoung = status === 'opening' || status === 'funding';
    if (!isYoung && !(status === 'closed' && reason === SPENT_ELSEWHERE)) return undefined;
    if (!isSeen) return this.#cancel.conflictDepth(tip);
    this.#cancel.seen(tip);
    return undefined;
  }

  async #feeRate(height: number): Promise<number> {
    const { terms, options } = this.#store;
    const isUrgent = terms.expiryHeight - height <= options.margins.broadcastBlocks;
    const target = isUrgent ? NEXT_TARGET_BLOCKS : CLOSE_TARGET_BLOCKS;
    return boundedRate(await this.#deps.chain.feeRateSatPerKvb(target));
  }

  /**
   * Finds what spends the channel; where the node does not tell, whether a block has a spend. Such a spend
   * is treated as unconfirmed, so that the own close is still sent.
   */
  async #spenderOrDepth(tip: ChainTip, canResend: boolean): Promise<Partial<Spender> | undefined> {
    let isAnswered = true;
    const spender = await optional(
      () => this.#findSpender(tip, canResend),
      (error) => {
        isAnswered = false;
        this.#unanswered('what spends the channel')(error);
      },
    );
    if (isAnswered) return spender;
    const { fundingTxid, fundingVout } = this.#store.channel!;
    const inBlocks = await this.#deps.chain.txOut(fundingTxid, fundingVout, false);
    return inBlocks === undefined ? undefined : { confirmations: 0 };
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
    if (closeTx !== undefined) {
      const txid = txidOfHex(closeTx);
      const confirmations = await chain.confirmations(txid);
      if (confirmations !== undefined) return this.#withFees({ txid, hex: closeTx, confirmations });
    }
    const isYoung = status === 'opening' || status === 'funding';
    const searchedHeight = this.#searchedHeight ?? (isYoung ? tip.height : undefined);
    const isUnsigned = status === 'opening';
    const blocks = canResend || isUnsigned ? 0 : blocksToSearch(tip.height, searchedHeight);
    this.#spender = await chain.spender(fundingTxid, fundingVout, blocks);
    if (blocks > 0) this.#searchedHeight = tip.height;
    return this.#spender;
  }

  /** The own close, with what it and its descendants pay where it waits and the node tells. */
  async #withFees(close: Spender): Promise<Spender> {
    if (close.confirmations > 0) return close;
    const { fundingTxid, fundingVout } = this.#store.channel!;
    const found = await optional(
      () => this.#deps.chain.spender(fundingTxid, fundingVout, 0),
      this.#unanswered('what the close pays'),
    );
    return found?.txid === close.txid ? found : close;
  }

  async #follow(effect: ChainEffect): Promise<void> {
    const { contractId } = this.#store;
    switch (effect.type) {
      case 'send_funding':
        await this.#failureOf(() => this.broadcastFunding());
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
        await optional(
          () => this.#deps.ledger.appendNow([watchedEntry(contractId)]),
          unstored(contractId, this.#deps.log),
        );
        return;
      case 'pay_child':
      case 'push_funding':
        // What only speeds something up holds nothing up.
        await this.#failureOf(() => this.#side.perform(effect));
        return;
      case 'close_alone':
      case 'refund':
        return this.#side.perform(effect);
      case 'cancel_funding':
        await this.#failureOf(async () =>
          this.#deps.chain.broadcast(await this.#cancel.spend(effect.feeSat)),
        );
        return;
      default:
        return unreachable(effect);
    }
  }
}

/** The index of the output that pays a script. */
export function outputOf(transaction: Transaction, script: Uint8Array): number {
  return transaction.outs.findIndex((output) => equal(output.script, script));
}
