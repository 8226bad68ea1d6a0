import { Transaction } from 'bitcoinjs-lib';
import { unreachable } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { type CodedError, codeOf } from '../base/errors.ts';
import { type ChainSource, type ChainTip, optional, type Spender } from '../chain/source.ts';
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
import { boundedRate } from '../channel/sizes.ts';
import type { SignedState } from '../channel/states.ts';
import type { StreamEvent } from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { AssembledChannel, SignerTree } from './opening.ts';
import {
  type ChannelRecord,
  type StatusChange,
  standingStatus,
  unstored,
  WATCHED_KIND,
  watchedEntry,
} from './records.ts';
import type { SigningDesk } from './signing-desk.ts';

/** What both books have of a channel. */
export type WatchedBook = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly assembled: AssembledChannel | undefined;
  readonly fundingTx: string | undefined;
  readonly channel: ChannelRecord | undefined;
  readonly last: SignedState | undefined;
  apply(event: StreamEvent): unknown;
  /** Never fails: what is due on the chain waits for no disk. */
  record(status: WatchStatus, change?: StatusChange): Promise<void>;
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
  readonly desk?: SigningDesk;
};

export type ChannelSide = {
  readonly perform: (effect: RoleEffect) => Promise<void>;
  /** What of the view only this side knows. */
  readonly details: () => Partial<ChannelView>;
};

const CLOSE_TARGET_BLOCKS = 6;
const URGENT_TARGET_BLOCKS = 2;
/** Blocks searched for what spent a channel while this program did not run; two days. */
const SEARCHED_BLOCKS = 288;
/** Searched again at each look: a reorganisation moves a transaction to a block below one seen before. */
const SEARCHED_AGAIN = 6;

/**
 * Brings one channel and the chain together: looks with the own node, lets `transition` decide, and does
 * what it says, in its order. Decisions are there, I/O is here. Nothing but the end of the channel stops it:
 * no frozen book, no failed ledger, no question that the node does not answer if the answer is not needed.
 */
export class ChannelWatch {
  readonly #options: WatchOptions;
  readonly #book: WatchedBook;
  readonly #side: ChannelSide;
  readonly #deps: ChannelWatchDeps;
  #state: WatchState = watchFrom('opening', undefined);
  #isNew = true;
  #spender: Spender | undefined;
  /** Up to this height no block holds what spends the channel. */
  #searchedHeight: number | undefined;
  /** Why the last broadcast failed. */
  #refusal: CodedError | undefined;

  constructor(
    options: Pick<WatchOptions, 'role' | 'margins'>,
    book: WatchedBook,
    side: ChannelSide,
    deps: ChannelWatchDeps,
  ) {
    const { minDepth, expiryHeight } = book.terms;
    const margins = checkMargins(options.margins);
    this.#options = { role: options.role, margins, minDepth, expiryHeight };
    this.#book = book;
    this.#side = side;
    this.#deps = deps;
  }

  /** True while some transaction, if only in the mempool, spends the channel: there is nothing to close. */
  get isSpent(): boolean {
    return this.#state.standing === 'spent_in_mempool' || this.#state.standing === 'spent_in_block';
  }

  /** True once nothing of the channel is looked at any more. */
  get isOver(): boolean {
    return this.#state.isOver;
  }

  /** Why the last broadcast failed; undefined where it did not. */
  get refusal(): CodedError | undefined {
    return this.#refusal;
  }

  /**
   * Looks at the channel at a tip. Throws `chain_unreachable`, `chain_rpc`, `chain_syncing`.
   * @param isForced close without the other side, whatever the height
   */
  async look(tip: ChainTip, isForced = false): Promise<void> {
    if (await this.#wasOver()) return;
    let canResend = this.#book.fundingTx !== undefined;
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
    const { channel, contractId } = this.#book;
    if (this.#isNew && channel?.status === 'closed') {
      const ask = (): Promise<string | undefined> => this.#deps.ledger.get(WATCHED_KIND, contractId);
      const watched = await optional(ask, this.#unanswered('the ledger'));
      this.#state = { ...this.#state, isOver: watched !== undefined };
    }
    if (channel !== undefined) this.#isNew = false;
    return this.#state.isOver;
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

  /** A transaction that the next look sends again where the node did not take it. */
  async broadcast(transactionHex: string): Promise<void> {
    this.#refusal = await this.#failureOf(() => this.#deps.chain.broadcast(transactionHex));
  }

  /** A parent with the child that pays for it. */
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
    const { contractId: contract } = this.#book;
    return ({ code, message: detail }) =>
      this.#deps.log.warn({ contract, code, detail }, `${what} does not answer; gone on without`);
  }

  /** Undefined while the chain has no say: nothing is agreed, or nothing was ever funded. */
  get #status(): WatchStatus | undefined {
    const { channel, fundingTx } = this.#book;
    const status = channel && standingStatus(channel, fundingTx);
    return status === 'failed' ? undefined : status;
  }

  /** What is on disk is taken from there each time: others write it too. */
  #step(status: WatchStatus, event: WatchEvent, height: number): readonly WatchEffect[] {
    const before = { ...this.#state, status, close: pendingClose(this.#book.channel) };
    const { state, effects } = transition(this.#options, before, event, height);
    this.#state = state;
    return effects;
  }

  async #view(
    tip: ChainTip,
    { canResend, isForced }: { readonly canResend: boolean; readonly isForced: boolean },
  ): Promise<ChannelView> {
    const { fundingTxid, fundingVout, closeTx } = this.#book.channel!;
    const coin = await this.#deps.chain.txOut(fundingTxid, fundingVout);
    if (coin !== undefined) {
      this.#spender = undefined;
      this.#searchedHeight = tip.height;
    }
    const spender = coin === undefined ? await this.#spenderOrDepth(tip, canResend) : undefined;
    const details = this.#side.details();
    const known = {
      coinDepth: coin?.confirmations,
      spendDepth: spender?.confirmations,
      ...(details.closesFrom === undefined ? {} : { closesFrom: details.closesFrom }),
    };
    const status = this.#status ?? 'opening';
    const wanted = isForced || wantsFeeRate(this.#options, { ...this.#state, status }, known, tip.height);
    return {
      ...known,
      isOurs: spender !== undefined && closeTx !== null && txidOfHex(closeTx) === spender.txid,
      canResend,
      satPerKvb: wanted ? await this.#feeRate(tip.height) : 0,
      ladder: [],
      refundVsize: 0,
      ...details,
    };
  }

  async #feeRate(height: number): Promise<number> {
    const isUrgent = this.#options.expiryHeight - height <= this.#options.margins.urgentBlocks;
    const target = isUrgent ? URGENT_TARGET_BLOCKS : CLOSE_TARGET_BLOCKS;
    return boundedRate(await this.#deps.chain.feeRateSatPerKvb(target));
  }

  /**
   * What spends the channel; where the node does not tell, whether a block does it. Then it is taken for one
   * that waits: the own close is sent on.
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
    const { fundingTxid, fundingVout } = this.#book.channel!;
    const inBlocks = await this.#deps.chain.txOut(fundingTxid, fundingVout, false);
    return inBlocks === undefined ? undefined : { confirmations: 0 };
  }

  /**
   * What spends the channel, cheapest question first. Blocks are searched only once the funding was sent
   * again: it may just not be there.
   */
  async #findSpender(tip: ChainTip, canResend: boolean): Promise<Spender | undefined> {
    const { chain } = this.#deps;
    const { fundingTxid, fundingVout, closeTx, status } = this.#book.channel!;
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
    const { contractId } = this.#book;
    switch (effect.type) {
      case 'funded':
        this.#book.apply(effect);
        return;
      case 'send_funding':
        await this.#failureOf(() => this.broadcastFunding());
        return;
      case 'status':
        return this.#book.record(
          effect.status,
          effect.reason === undefined ? {} : { reason: effect.reason },
        );
      case 'refuse_steps':
        this.#book.apply({ type: 'expiry_near' });
        return;
      case 'send_close':
        return this.broadcast(this.#book.channel!.closeTx!);
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
