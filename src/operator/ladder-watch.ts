import { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { type ChainSource, type ChainTip, optional, type Spender } from '../chain/source.ts';
import { blocksToSearch } from '../chain/spender.ts';
import {
  type ChannelView,
  DEFAULT_CLOSE_MARGINS,
  transition,
  type WatchEffect,
  type WatchOptions,
  type WatchState,
  wantsFeeRate,
  watchFrom,
} from '../chain/watcher.ts';
import type { LadderChild } from '../channel/ladder-children.ts';
import type { Ladder, LadderRung } from '../channel/ladder-file.ts';
import { boundedRate } from '../channel/sizes.ts';
import type { Logger } from '../log/logger.ts';

/** What was broadcast last, and what the nodes said. */
export type LadderBroadcast = {
  readonly txid: string;
  readonly feeSat: bigint;
  readonly result: 'taken' | 'refused' | 'unreachable';
  readonly detail: string;
};

/** `waiting`: its time has not come; `missing`: no node shows the channel, or what spends it. */
export type LadderStatus = 'waiting' | 'closing' | 'closed' | 'missing';

export type LadderWatchDeps = { readonly chain: ChainSource; readonly log: Logger };

/** The next block: nodes estimate for no fewer. */
const TARGET_BLOCKS = 2;
/** Of any kind of output script. */
const MOST_DUST_SAT = 330n;

/**
 * Closes one channel by its ladder, without ledger and keys. When, and at which fee, the machine of the chain
 * says (`chain/watcher.ts`), as it does for the daemon: never before the time to broadcast, unless the file
 * says that the channel is being closed.
 */
export class LadderWatch {
  readonly stats = { taken: 0, refused: 0, unreachable: 0 };
  readonly #deps: LadderWatchDeps;
  // As long as it was not seen it may not be there yet.
  #state: WatchState = watchFrom('funding', undefined);
  /** What a block was last seen to spend it with. */
  #spent: Spender | undefined;
  #searchedHeight: number | undefined;
  #isExpired = false;
  #rung = 0;
  #last: LadderBroadcast | undefined;

  constructor(deps: LadderWatchDeps) {
    this.#deps = deps;
  }

  get lastBroadcast(): LadderBroadcast | undefined {
    return this.#last;
  }

  /** True once nothing that spends the channel can leave the chain any more. */
  get isOver(): boolean {
    return this.#state.isOver;
  }

  get status(): LadderStatus {
    const { status, outputStatus } = this.#state;
    // Beyond the expiry there is nothing left to save.
    if (status === 'closed' || (this.#isExpired && outputStatus === 'missing')) return 'closed';
    if (status === 'closing') return 'closing';
    return outputStatus === 'missing' ? 'missing' : 'waiting';
  }

  /** Looks at the channel, and does what is due. Throws `chain_unreachable`, `chain_rpc` and the like. */
  async look(ladder: Ladder, tip: ChainTip): Promise<void> {
    if (this.#state.isOver) return;
    const options = watchOptionsOf(ladder);
    this.#isExpired = tip.height >= options.expiryHeight;
    const view = await this.#viewOrLast(ladder, options, tip);
    const { state, effects } = transition(options, this.#state, { type: 'tip', view }, tip.height);
    const isSeen = state.status === 'funding' && view.coinDepth !== undefined;
    this.#state = isSeen ? { ...state, status: 'open' } : state;
    for (const effect of effects) await this.#follow(effect, ladder);
  }

  /** The view, and where a question of it fails once a rung is due, what was last seen. */
  async #viewOrLast(ladder: Ladder, options: WatchOptions, tip: ChainTip): Promise<ChannelView> {
    try {
      return await this.#view(ladder, options, tip);
    } catch (error) {
      const { expiryHeight, margins, role } = options;
      const dueHeight = expiryHeight - (role === 'miner' ? margins.broadcastBlocks : 0);
      if (!(error instanceof CodedError) || tip.height < dueHeight) throw error;
      const satPerKvb = await optional(
        () => this.#feeRate(),
        () => {},
      );
      // One that answers nothing at all takes no transaction either.
      if (satPerKvb === undefined) throw error;
      const { code, message: detail } = error;
      this.#deps.log.warn({ code, detail }, 'a question about the channel fails; gone on without');
      const { outputStatus } = this.#state;
      return {
        ...{ isOurs: false, canResend: false, ...this.#offers(ladder) },
        satPerKvb,
        coinDepth: outputStatus === 'unspent' ? 1 : undefined,
        spendDepth:
          outputStatus === 'spent_in_mempool' ? 0 : outputStatus === 'spent_in_block' ? 1 : undefined,
      };
    }
  }

  async #feeRate(): Promise<number> {
    return boundedRate(await this.#deps.chain.feeRateSatPerKvb(TARGET_BLOCKS));
  }

  /** What the file has to bid. */
  #offers({
    minerSat,
    rungs,
    children,
  }: Ladder): Pick<ChannelView, 'saved' | 'ladder' | 'refundVsize' | 'refundMostSat'> {
    return {
      saved: { outputSat: minerSat, dustSat: MOST_DUST_SAT },
      ladder: [...rungs, ...children],
      ...{ refundVsize: rungs[0]!.vsize, refundMostSat: rungs.at(-1)!.feeSat },
    };
  }

  async #view(ladder: Ladder, options: WatchOptions, tip: ChainTip): Promise<ChannelView> {
    const { txid, vout } = ladder.funding;
    const coin = await this.#deps.chain.txOut(txid, vout);
    const spender = coin === undefined ? await this.#spender(ladder, tip) : undefined;
    const isOurs = await this.#goOnFrom(ladder, spender);
    const known = {
      ...{ coinDepth: coin?.confirmations, spendDepth: spender?.confirmations },
      ...(ladder.isClosing ? { closesFrom: 'now' as const } : {}),
    };
    const isWanted = wantsFeeRate(options, this.#state, known, tip.height);
    return {
      ...known,
      isOurs,
      waiting: spender?.waiting,
      canResend: false,
      satPerKvb: isWanted ? await this.#feeRate() : 0,
      ...this.#offers(ladder),
    };
  }

  /** True where a rung of this file spends the channel; an earlier process may have sent it. */
  async #goOnFrom(ladder: Ladder, spender: Partial<Spender> | undefined): Promise<boolean> {
    const { rungs, children, isRefund } = ladder;
    const index = rungs.findIndex(({ txid }) => txid === spender?.txid);
    if (index === -1) return false;
    if (this.#state.close !== undefined) return true;
    const child = index === rungs.length - 1 ? await this.#childOf(ladder) : undefined;
    const at = children.findIndex(({ txid }) => txid === child?.txid);
    const { feeSat, vsize } = children[at] ?? rungs[index]!;
    const close = { kind: isRefund ? 'refund' : 'state', feeSat, vsize } as const;
    this.#state = { ...this.#state, close, bidSince: (child ?? spender)?.waitingSince };
    this.#rung = at === -1 ? index : rungs.length + at;
    return true;
  }

  /** What waits and spends the own output of the last rung. */
  async #childOf({ rungs, children }: Ladder): Promise<Spender | undefined> {
    const [first] = children;
    if (first === undefined) return undefined;
    const { index } = Transaction.fromHex(first.hex).ins[0]!;
    return optional(
      () => this.#deps.chain.spender(rungs.at(-1)!.txid, index, 0),
      () => {},
    );
  }

  /** Where no node tells what spends it, whether a block does: else it is taken for one that waits. */
  async #spender({ funding }: Ladder, tip: ChainTip): Promise<Partial<Spender> | undefined> {
    let isAnswered = true;
    const spender = await optional(
      () => this.#search(funding, tip),
      ({ code, message: detail }) => {
        isAnswered = false;
        this.#deps.log.warn({ code, detail }, 'what spends the channel is not told; gone on without');
      },
    );
    if (isAnswered) return spender;
    const isInBlocks = (await this.#deps.chain.txOut(funding.txid, funding.vout, false)) === undefined;
    return isInBlocks ? undefined : { confirmations: 0 };
  }

  /** Follows the block that was seen to spend it; searches those that came since the last answer. */
  async #search({ txid, vout }: Ladder['funding'], tip: ChainTip): Promise<Spender | undefined> {
    const { chain } = this.#deps;
    if (this.#spent?.blockHash !== undefined) {
      const confirmations = (await chain.header(this.#spent.blockHash))?.confirmations ?? -1;
      if (confirmations > 0) return { ...this.#spent, confirmations };
    }
    this.#spent = await chain.spender(txid, vout, blocksToSearch(tip.height, this.#searchedHeight));
    this.#searchedHeight = tip.height;
    return this.#spent;
  }

  async #follow(effect: WatchEffect, ladder: Ladder): Promise<void> {
    const { contractId: contract, n } = ladder;
    if (effect.type === 'close_alone') {
      this.#rung = effect.rung;
      this.#deps.log.warn({ contract, n, rung: effect.rung }, 'closing by the ladder file');
    }
    if (effect.type === 'refund') {
      const rung = ladder.rungs.findIndex(({ satPerKvb }) => satPerKvb >= effect.satPerKvb);
      this.#rung = rung === -1 ? ladder.rungs.length - 1 : rung;
      this.#deps.log.warn({ contract, rung: this.#rung }, 'taking the channel back by its file');
    }
    if (effect.type === 'close_alone' || effect.type === 'refund' || effect.type === 'send_close') {
      const { rungs, children } = ladder;
      const child = children[this.#rung - rungs.length];
      const rung = child === undefined ? rungs[Math.min(this.#rung, rungs.length - 1)] : rungs.at(-1);
      assert(rung !== undefined, 'ladder_has_rungs');
      const { feeSat, vsize } = rung;
      // What is in the file is bid, and no less: a rung may be above what was asked for.
      if (effect.type === 'refund')
        this.#state = { ...this.#state, close: { kind: 'refund', feeSat, vsize } };
      await this.#broadcast(contract, rung, child);
    }
    if (effect.type === 'final') this.#deps.log.info({ contract }, 'the channel is closed');
    if (effect.type === 'reopened')
      this.#deps.log.error({ contract }, 'a close left the chain; it is made again');
  }

  async #broadcast(contract: string, rung: LadderRung, child?: LadderChild): Promise<void> {
    const { chain } = this.#deps;
    const { txid, feeSat } = child ?? rung;
    let failure: CodedError | undefined;
    await optional(
      async () =>
        child === undefined ? chain.broadcast(rung.hex) : chain.broadcastPackage([rung.hex, child.hex]),
      (error) => {
        failure = error;
      },
    );
    const result =
      failure === undefined ? 'taken' : failure.code === 'tx_refused' ? 'refused' : 'unreachable';
    this.stats[result] += 1;
    this.#last = { txid, feeSat, result, detail: failure?.message ?? '' };
    if (failure === undefined) this.#deps.log.warn({ contract, txid, feeSat }, 'broadcast');
    else
      this.#deps.log.error(
        { contract, txid, code: failure.code, detail: failure.message },
        'not broadcast',
      );
  }
}

function watchOptionsOf({ deadlines, isRefund }: Ladder): WatchOptions {
  const { askHeight, broadcastHeight, urgentHeight, expiryHeight } = deadlines;
  const margins = {
    ...DEFAULT_CLOSE_MARGINS,
    askBlocks: expiryHeight - askHeight,
    broadcastBlocks: expiryHeight - broadcastHeight,
    urgentBlocks: expiryHeight - urgentHeight,
  };
  return { role: isRefund ? 'maker' : 'miner', minDepth: 1, expiryHeight, margins };
}
