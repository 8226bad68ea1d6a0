import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { type FeeLevel, nextBid, type Waiting } from './fee-bid.ts';
import { DEFAULT_FEE_CAPS, type FeeCap, mostFeeSat, type Saved } from './fee-caps.ts';
import { climb, type Payer, STUCK_BLOCKS, sinceAfter } from './fee-climb.ts';
import { type Cancellable, cancelBid, isFundingLate } from './funding-watch.ts';

export type { FeeLevel } from './fee-bid.ts';

export type WatchRole = 'miner' | 'maker';

/** Blocks before the expiry, and depths of a close (`PROTOCOL.md`). */
export type CloseMargins = {
  /** No new work; ask for the close. */
  readonly askBlocks: number;
  /** Broadcast the newest state. */
  readonly broadcastBlocks: number;
  /** Nothing begins within so many blocks before `askBlocks`. */
  readonly urgentBlocks: number;
  /** A close this deep is taken for final: LDK calls it the assumption everything else rests on. */
  readonly finalDepth: number;
  /** A close is watched until it is this deep, and made again where a reorganisation undid it. */
  readonly watchDepth?: number;
  /** A close that was asked for has so many blocks; then this side closes alone. */
  readonly patienceBlocks?: number;
  /** Nothing begins, and nobody sells; `askBlocks` and `urgentBlocks` together unless given. */
  readonly beginBlocks?: number;
  /** What a close may cost. Default: as the terms say, else `DEFAULT_FEE_CAPS`. */
  readonly feeCaps?: readonly FeeCap[] | undefined;
};

/** What says within how many blocks of the expiry nothing begins. */
export type BeginMargins = Pick<CloseMargins, 'askBlocks' | 'urgentBlocks' | 'beginBlocks'>;

/** Blocks before the expiry within which nothing begins: no opening, and no new work. */
export function beginBlocksOf({
  askBlocks,
  urgentBlocks,
  beginBlocks = askBlocks + urgentBlocks,
}: BeginMargins): number {
  return beginBlocks;
}

/** Confirmations of what is taken for final, on every side and for every output of a contract. */
export const FINAL_DEPTH = 6;

/** Margins with nothing left out but what follows from the others, and what terms may say. */
export type CheckedMargins = Required<Omit<CloseMargins, 'beginBlocks' | 'feeCaps'>> &
  Pick<CloseMargins, 'beginBlocks' | 'feeCaps'>;

export const DEFAULT_CLOSE_MARGINS: CheckedMargins = {
  askBlocks: 288,
  broadcastBlocks: 144,
  urgentBlocks: 36,
  finalDepth: FINAL_DEPTH,
  watchDepth: 100,
  patienceBlocks: 36,
};

/** The `reason` of a channel whose funding became impossible. */
export const SPENT_ELSEWHERE = 'a coin of the funding was spent elsewhere';

/** Blocks a funding may wait in the mempool before its maker pays more for it. */
export const FUNDING_PATIENCE_BLOCKS = 6;

/** Of an own change that waits, the most its child may pay for it; of a channel, its refund. */
const CHILD_SHARE_PERCENT = 50n;

export type WatchOptions = {
  readonly role: WatchRole;
  readonly minDepth: number;
  readonly expiryHeight: number;
  /** See `FundingDeadline`. */
  readonly fundingByHeight?: number;
  readonly margins: CloseMargins;
  /** What this side pays for a close at the most. Default: `DEFAULT_FEE_CAPS`. */
  readonly feeCaps?: readonly FeeCap[] | undefined;
};

/** As the ledger has it: the rest of a channel's statuses is not for the chain to change. */
export type WatchStatus = 'opening' | 'funding' | 'open' | 'closing' | 'closed';

/** The transaction this side wants in a block. */
export type PendingClose = {
  readonly kind: 'state' | 'together' | 'refund';
  readonly feeSat: bigint;
  readonly vsize: number;
};

/** Where the channel's output stands: what is known of it is only ever as old as the last tip. */
export type OutputStatus = 'unspent' | 'missing' | 'spent_in_mempool' | 'spent_in_block';

export type WatchState = {
  /** Both are on disk: whoever starts anew begins with them, and forgets nothing that costs money. */
  readonly status: WatchStatus;
  readonly close: PendingClose | undefined;
  /** What the child of `close` pays; 0 without one. */
  readonly childFeeSat: bigint;
  /** The same for the child of a funding that waits. */
  readonly pushFeeSat: bigint;
  /** Since which height that child waits. */
  readonly pushSince: number | undefined;
  /** What the newest spend of the own coins of a late funding pays; 0 without one. */
  readonly cancelFeeSat: bigint;
  /** Since which height that spend waits. */
  readonly cancelSince: number | undefined;
  /** Since which height the close waits with what it pays now. */
  readonly bidSince: number | undefined;
  readonly outputStatus: OutputStatus;
  /** Since which height a block spends the channel. */
  readonly spentSince: number | undefined;
  readonly fundingDepth: number;
  /** Since which height the funding waits in the mempool. */
  readonly waitsSince: number | undefined;
  /** Since which height a close that both signed is not to be seen. */
  readonly lostSince: number | undefined;
  /** The end is so deep that nothing is watched any more. */
  readonly isOver: boolean;
};

/** What a side bids and since when it waits: a later start goes on from there. */
export type Bids = Pick<
  WatchState,
  | 'childFeeSat'
  | 'bidSince'
  | 'pushFeeSat'
  | 'pushSince'
  | 'cancelFeeSat'
  | 'cancelSince'
  | 'waitsSince'
  | 'lostSince'
>;

/** A transaction that waits, whose output this side could spend to pay for it. */
export type Pushable = {
  readonly feeSat: bigint;
  readonly vsize: number;
  readonly childVsize: number;
  /** The most a child may pay. */
  readonly availableSat: bigint;
};

/** What the own node shows of a channel. */
export type ChannelView = {
  /** Confirmations of the channel's output: undefined where it is spent, or not there. */
  readonly coinDepth: number | undefined;
  /** Confirmations of what spends it: undefined where nothing is found that does. */
  readonly spendDepth: number | undefined;
  /**
   * Confirmations of a transaction other than the funding that spends a coin of it; undefined where none is
   * known. Deep, it makes the funding impossible.
   */
  readonly conflictDepth?: number | undefined;
  /** What spends it is the stored close. */
  readonly isOurs: boolean;
  /** What spends it waits, and gives this side less than its newest state. Default: false. */
  readonly isRival?: boolean;
  /** The fees of what spends it and waits; absent where no node tells. */
  readonly waiting?: Waiting | undefined;
  /** The funding could be sent once more, to tell an output that is spent from one that is not there. */
  readonly canResend: boolean;
  /** What blocks ask for at the moment; 0 where `wantsFeeRate` is false. */
  readonly satPerKvb: number;
  /** The rungs of the newest state, lowest first. Miner. */
  readonly ladder: readonly FeeLevel[];
  /** Virtual bytes of the refund. Maker. */
  readonly refundVsize: number;
  /** The most in sats that it may pay. */
  readonly refundMostSat?: bigint;
  /** What a close of this side saves. Miner; without it nothing bounds a fee but the ladder. */
  readonly saved?: Saved;
  /** Virtual bytes of a child of the own output of a close; absent where its key is not known. */
  readonly childVsize?: number;
  /** The funding, where an own change output can pay for it. */
  readonly push?: Pushable;
  /** The same of what waits and spends the channel, and is not of the maker. Maker. */
  readonly carried?: Pushable;
  /** The own coins of a funding that is not deep, once the other side may have this side's signatures. */
  readonly cancel?: Cancellable;
  /**
   * Miner, where something is wrong: closes alone at once, or once it would ask for a close; `overdue` also
   * where both signed a close that no block holds.
   */
  readonly closesFrom?: 'now' | 'asking' | 'overdue';
};

export type WatchEvent =
  /** A tip, and what the node shows at it; the same tip any number of times. */
  | { readonly type: 'tip'; readonly view: ChannelView }
  /** Somebody wants the channel closed without the other side. */
  | { readonly type: 'close_alone'; readonly view: ChannelView };

export type WatchEffect =
  | { readonly type: 'funded'; readonly confirmations: number }
  /** Broadcast the funding, and look again. */
  | { readonly type: 'send_funding' }
  | { readonly type: 'push_funding'; readonly feeSat: bigint }
  /** Spend the own coins of the funding back to the own change, with this fee. */
  | { readonly type: 'cancel_funding'; readonly feeSat: bigint }
  /** To be stored before anything that follows. */
  | { readonly type: 'status'; readonly status: WatchStatus; readonly reason?: string }
  | { readonly type: 'refuse_steps' }
  /** Complete this rung of the newest state, store it, broadcast it. */
  | { readonly type: 'close_alone'; readonly rung: number }
  /** Broadcast what is stored. */
  | { readonly type: 'send_close' }
  /** Spend the own output of the stored close with this fee; both as one package. */
  /** Of the close that pays so much itself, and of no other. */
  | { readonly type: 'pay_child'; readonly feeSat: bigint; readonly parentFeeSat: bigint }
  /** Sign the refund at this rate, store it, broadcast it. */
  | { readonly type: 'refund'; readonly satPerKvb: number }
  | { readonly type: 'final' }
  | { readonly type: 'reopened' }
  | { readonly type: 'over' };

export type WatchTransition = { readonly state: WatchState; readonly effects: readonly WatchEffect[] };

/** What a side knows when it starts, of a channel with this record. */
export function watchFrom(status: WatchStatus, close: PendingClose | undefined): WatchState {
  return {
    status,
    close,
    childFeeSat: 0n,
    pushFeeSat: 0n,
    pushSince: undefined,
    cancelFeeSat: 0n,
    cancelSince: undefined,
    bidSince: undefined,
    outputStatus: 'unspent',
    spentSince: undefined,
    fundingDepth: 0,
    waitsSince: undefined,
    lostSince: undefined,
    isOver: false,
  };
}

/** Throws where the margins contradict each other: each gives the next one its time. */
export function checkMargins(margins: CloseMargins): CheckedMargins {
  const { watchDepth = Math.max(DEFAULT_CLOSE_MARGINS.watchDepth, margins.finalDepth) } = margins;
  const { askBlocks, broadcastBlocks, urgentBlocks, finalDepth, feeCaps } = margins;
  const { patienceBlocks = DEFAULT_CLOSE_MARGINS.patienceBlocks } = margins;
  // Work that nobody is paid for would come in between otherwise, or a close without time for its fees.
  assert(0 <= urgentBlocks && urgentBlocks <= broadcastBlocks, 'urgent_within_broadcast');
  assert(broadcastBlocks <= askBlocks, 'broadcast_after_asking');
  assert(1 <= finalDepth && finalDepth <= watchDepth, 'watched_beyond_final');
  return {
    ...{ askBlocks, broadcastBlocks, urgentBlocks, finalDepth, watchDepth, patienceBlocks },
    ...(margins.beginBlocks === undefined ? {} : { beginBlocks: margins.beginBlocks }),
    ...(feeCaps === undefined ? {} : { feeCaps }),
  };
}

/** Whether the next decision may depend on the fee rate: it is one more question to the node. */
export function wantsFeeRate(
  options: WatchOptions,
  state: WatchState,
  view: Pick<ChannelView, 'coinDepth' | 'spendDepth' | 'closesFrom'>,
  height: number,
): boolean {
  const { role, expiryHeight, margins } = options;
  if (view.spendDepth !== undefined && view.spendDepth > 0) return false;
  if (view.coinDepth === 0) return true;
  if (isCancelled(options, state, view, height)) return true;
  if (role === 'maker') return height >= expiryHeight;
  return (
    state.status === 'closing' ||
    state.status === 'closed' ||
    expiryHeight - height <= dueBlocks(margins, view)
  );
}

/** How long before the expiry the miner closes without being asked to. */
function dueBlocks(margins: CloseMargins, { closesFrom }: Pick<ChannelView, 'closesFrom'>): number {
  if (closesFrom === 'now' || closesFrom === 'overdue') return Number.POSITIVE_INFINITY;
  return closesFrom === 'asking' ? margins.askBlocks : margins.broadcastBlocks;
}

type Draft = { state: WatchState; readonly effects: WatchEffect[] };

/**
 * One step of a channel's life on the chain; pure. Deadlines count from `height` alone, and a state says
 * nothing about the chain that the next view does not say better: views may be late, repeated or skipped.
 * @param height of the tip that the view was taken at
 */
export function transition(
  options: WatchOptions,
  state: WatchState,
  event: WatchEvent,
  height: number,
): WatchTransition {
  return evaluate(options, state, event.view, height, event.type === 'close_alone');
}

function evaluate(
  options: WatchOptions,
  state: WatchState,
  view: ChannelView,
  height: number,
  isForced: boolean,
): WatchTransition {
  if (state.isOver) return { state, effects: [] };
  if (isImpossible(options, view)) return withoutFunding(options, state, view);
  if (isCancelled(options, state, view, height)) return cancelFunding(options, state, view, height);
  const isMissing = view.coinDepth === undefined && view.spendDepth === undefined;
  if (isMissing && view.canResend) return { state, effects: [{ type: 'send_funding' }] };
  const draft: Draft = { state: withOutputStatus(state, view, height), effects: [] };
  if (view.coinDepth !== undefined) draft.effects.push({ type: 'funded', confirmations: view.coinDepth });
  bumpFundingFee(draft, view, height);
  if (options.role === 'miner') minerSteps(options, draft, view, height, isForced);
  else makerSteps(options, draft, view, height);
  endOf(options, draft, depthOf(draft.state, view, height));
  return draft;
}

/** A coin of the funding is spent elsewhere, and for good. */
function isImpossible({ margins }: WatchOptions, view: ChannelView): boolean {
  const { coinDepth, spendDepth, conflictDepth = 0 } = view;
  return coinDepth === undefined && spendDepth === undefined && conflictDepth >= margins.finalDepth;
}

/** The end of a channel that never was; the funding is looked for until its coin is as deep as any end. */
function withoutFunding(options: WatchOptions, state: WatchState, view: ChannelView): WatchTransition {
  const draft: Draft = { state: { ...state, outputStatus: 'missing', fundingDepth: 0 }, effects: [] };
  if (state.status !== 'closed') setStatus(draft, 'closed', SPENT_ELSEWHERE);
  endWatch(options, draft, view.conflictDepth ?? 0);
  return draft;
}

/** The funding was not deep in time, and no block holds it: this side takes its coins back. */
function isCancelled(
  options: WatchOptions,
  { status }: Pick<WatchState, 'status'>,
  { coinDepth = 0, spendDepth }: Pick<ChannelView, 'coinDepth' | 'spendDepth'>,
  height: number,
): boolean {
  const isYoung = status === 'funding' || (status === 'opening' && options.role === 'miner');
  return isYoung && coinDepth === 0 && spendDepth === undefined && isFundingLate(options, 0, height);
}

function cancelFunding(
  options: WatchOptions,
  state: WatchState,
  view: ChannelView,
  height: number,
): WatchTransition {
  const draft: Draft = { state: withOutputStatus(state, view, height), effects: [] };
  const { cancel, conflictDepth = 0, coinDepth, satPerKvb } = view;
  if (options.role === 'maker' && coinDepth === undefined && height >= options.expiryHeight) {
    makerSteps(options, draft, view, height);
    return draft;
  }
  // Once a block spends any coin of the funding, there is nothing to be taken back from.
  if (cancel === undefined || conflictDepth > 0) return draft;
  const { cancelFeeSat: paidSat, cancelSince: since, pushFeeSat } = state;
  const bid = { paidSat, since, pushFeeSat, isFundingWaiting: coinDepth !== undefined };
  const next = cancelBid(cancel, bid, { satPerKvb, height });
  draft.state = { ...draft.state, cancelFeeSat: next.paidSat, cancelSince: next.since };
  draft.effects.push({ type: 'cancel_funding', feeSat: next.paidSat });
  return draft;
}

/** What the view says, before any consequence. */
function withOutputStatus(state: WatchState, view: ChannelView, height: number): WatchState {
  const { coinDepth, spendDepth } = view;
  const wasThere = state.status !== 'opening' && state.status !== 'funding';
  const outputStatus: OutputStatus =
    coinDepth !== undefined
      ? 'unspent'
      : spendDepth === 0
        ? 'spent_in_mempool'
        : spendDepth !== undefined || wasThere
          ? 'spent_in_block'
          : 'missing';
  const first = spendDepth === undefined ? (state.spentSince ?? height) : height - spendDepth + 1;
  const isWaiting = coinDepth === 0;
  return {
    ...state,
    outputStatus,
    spentSince: outputStatus === 'spent_in_block' ? first : undefined,
    fundingDepth: coinDepth ?? (outputStatus === 'missing' ? 0 : state.fundingDepth),
    waitsSince: isWaiting ? (state.waitsSince ?? height) : undefined,
    pushFeeSat: isWaiting ? state.pushFeeSat : 0n,
    pushSince: isWaiting ? state.pushSince : undefined,
    bidSince: outputStatus === 'spent_in_block' ? undefined : state.bidSince,
    // A child goes where its parent goes.
    childFeeSat: outputStatus === 'spent_in_mempool' ? state.childFeeSat : 0n,
  };
}

/** Confirmations of what spends the channel; counted from when it was seen where the block is not known. */
function depthOf(state: WatchState, view: ChannelView, height: number): number {
  if (state.outputStatus !== 'spent_in_block') return 0;
  return view.spendDepth ?? Math.max(height - (state.spentSince ?? height) + 1, 1);
}

function setStatus(draft: Draft, status: WatchStatus, reason?: string): void {
  draft.state = { ...draft.state, status };
  draft.effects.push(
    reason === undefined ? { type: 'status', status } : { type: 'status', status, reason },
  );
}

/** A funding that blocks leave behind: a child of the own change pays for it, whatever blocks ask for. */
function bumpFundingFee(draft: Draft, { push, satPerKvb }: ChannelView, height: number): void {
  const { waitsSince, status, pushFeeSat, pushSince } = draft.state;
  if (push === undefined || waitsSince === undefined || status !== 'funding') return;
  if (height - waitsSince < FUNDING_PATIENCE_BLOCKS) return;
  const since = pushFeeSat === 0n ? waitsSince : pushSince;
  const { standing } = climb(childOf(push), { paidSat: pushFeeSat, since }, { satPerKvb, height });
  if (standing.paidSat === 0n) return;
  draft.state = { ...draft.state, pushFeeSat: standing.paidSat, pushSince: standing.since };
  draft.effects.push({ type: 'push_funding', feeSat: standing.paidSat });
}

function minerSteps(
  options: WatchOptions,
  draft: Draft,
  view: ChannelView,
  height: number,
  isForced: boolean,
): void {
  const left = options.expiryHeight - height;
  const { outputStatus } = draft.state;
  if (draft.state.status === 'opening' && outputStatus === 'unspent') setStatus(draft, 'funding');
  if (isSpentUnasked(draft.state)) setStatus(draft, 'closing', 'spent by the other side');
  const { status } = draft.state;
  if (status === 'opening') return;
  if (status === 'funding' || status === 'open') {
    const isDue = isForced || left <= dueBlocks(options.margins, view);
    if (isDue) bumpCloseFee(options, draft, view, height, true);
    else if (left <= beginBlocksOf(options.margins)) draft.effects.push({ type: 'refuse_steps' });
    return;
  }
  if (outputStatus === 'spent_in_block') return;
  if (status === 'closed') reopen(draft);
  bumpCloseFee(options, draft, view, height, isForced);
}

/** Spent before this side began to close it; also a funding that never came to be used. */
function isSpentUnasked({ status, outputStatus }: WatchState): boolean {
  if (status !== 'funding' && status !== 'open') return false;
  return outputStatus === 'spent_in_mempool' || outputStatus === 'spent_in_block';
}

/** A close that was final left the chain. */
function reopen(draft: Draft): void {
  setStatus(draft, 'closing');
  draft.effects.push({ type: 'reopened' });
}

/**
 * Gets the close of the miner into a block, by a rung of the newest state, a child, or both (`nextBid`). A
 * close that both signed stays until the expiry is near, and has a child alone.
 */
function bumpCloseFee(
  options: WatchOptions,
  draft: Draft,
  view: ChannelView,
  height: number,
  isForced: boolean,
): void {
  const left = options.expiryHeight - height;
  const { close, outputStatus } = draft.state;
  // A child is of one close: a bid on disk without its close is none.
  const childFeeSat = close === undefined ? 0n : draft.state.childFeeSat;
  const isAgreed = close !== undefined && view.closesFrom !== 'overdue';
  const dueFrom = isAgreed ? options.margins.broadcastBlocks : dueBlocks(options.margins, view);
  const isDue = isForced || close?.kind === 'state' || left <= dueFrom;
  // A close of both that no mempool has stands in the way of nothing.
  const isLost = isDue && close?.kind === 'together' && outputStatus !== 'spent_in_mempool';
  const present = close === undefined || isLost ? undefined : { ...close, childFeeSat };
  // A reorganisation takes no bid back.
  const since = present === undefined ? height : Math.min(draft.state.bidSince ?? height, height);
  const isStuck = height - since >= STUCK_BLOCKS;
  const next = nextBid(
    {
      ladder: isDue ? view.ladder : [],
      childVsize: view.childVsize,
      mostSat: view.saved && mostFeeSat(options.feeCaps ?? DEFAULT_FEE_CAPS, left, view.saved),
      satPerKvb: view.satPerKvb,
      isStuck,
      floorSat: close?.kind === 'state' ? close.feeSat : 0n,
    },
    present,
    outputStatus === 'spent_in_mempool'
      ? { isOwn: view.isOurs, isRival: view.isRival ?? false, waiting: view.waiting }
      : undefined,
  );
  const bidSince = next === undefined ? since : sinceAfter(isStuck, height);
  draft.state = { ...draft.state, bidSince, childFeeSat: next?.childFeeSat ?? childFeeSat };
  if (next?.rung !== undefined) {
    const { feeSat, vsize } = view.ladder[next.rung]!;
    draft.state = { ...draft.state, status: 'closing', close: { kind: 'state', feeSat, vsize } };
    draft.effects.push({ type: 'close_alone', rung: next.rung });
  } else if (close !== undefined && !view.isOurs) {
    // Also where another one waits, which may pay less: a refusal costs nothing.
    draft.effects.push({ type: 'send_close' });
  }
  // A child that was paid is sent again with what it paid: it may have been forgotten.
  const { childFeeSat: feeSat, close: parent } = draft.state;
  if (feeSat > 0n && view.childVsize !== undefined && parent !== undefined)
    draft.effects.push({ type: 'pay_child', feeSat, parentFeeSat: parent.feeSat });
}

/** What of an output may go into fees. */
export function shareOf(outputSat: bigint, dustSat: bigint): bigint {
  return smaller((outputSat * CHILD_SHARE_PERCENT) / 100n, outputSat - dustSat);
}

function makerSteps(options: WatchOptions, draft: Draft, view: ChannelView, height: number): void {
  const { outputStatus } = draft.state;
  if (draft.state.status === 'opening') return;
  if (outputStatus === 'missing') {
    // Its coins are free again; should it come after all, it is taken back.
    if (height >= options.expiryHeight) setStatus(draft, 'closed', 'the funding never confirmed');
    return;
  }
  if (isSpentUnasked(draft.state)) setStatus(draft, 'closing', 'spent by the miner');
  if (outputStatus === 'spent_in_block') return;
  if (draft.state.status === 'closed') reopen(draft);
  const { close } = draft.state;
  const isLost = close?.kind === 'together' && outputStatus === 'unspent';
  draft.state = { ...draft.state, lostSince: isLost ? (draft.state.lostSince ?? height) : undefined };
  if (height >= options.expiryHeight && refund(options, draft, view, height)) return;
  if (height >= options.expiryHeight && close?.kind !== 'refund') carry(draft, view, height);
  if (outputStatus === 'unspent' && close !== undefined) draft.effects.push({ type: 'send_close' });
}

/** A close that waits beyond the expiry locks what the maker has in it: its output there pays for it. */
function carry(draft: Draft, { carried, satPerKvb }: ChannelView, height: number): void {
  const { outputStatus, childFeeSat: paidSat, bidSince } = draft.state;
  if (carried === undefined || outputStatus !== 'spent_in_mempool') return;
  const since = bidSince ?? height;
  const { standing } = climb(childOf(carried), { paidSat, since }, { satPerKvb, height });
  draft.state = { ...draft.state, childFeeSat: standing.paidSat, bidSince: standing.since };
  const { paidSat: feeSat } = standing;
  if (feeSat > 0n) draft.effects.push({ type: 'pay_child', feeSat, parentFeeSat: carried.feeSat });
}

function childOf({ vsize, feeSat, childVsize, availableSat }: Pushable): Payer {
  return { vsize: childVsize, mostSat: availableSat, parent: { feeSat, vsize } };
}

/**
 * `PROTOCOL.md`: the maker alone, from the expiry on; again at a higher fee while no block holds it, by what
 * blocks ask for, and once it is stuck by half as much again at each block, or the least that relays. A state
 * of the miner that waits is left alone, and a close that both signed has its time to come back.
 */
function refund(options: WatchOptions, draft: Draft, view: ChannelView, height: number): boolean {
  const { close, outputStatus, lostSince, bidSince } = draft.state;
  const present = close?.kind === 'refund' ? close : undefined;
  if (outputStatus !== 'unspent' && present === undefined) return false;
  if (lostSince !== undefined && height - lostSince < options.margins.finalDepth) return false;
  const { refundVsize: vsize, refundMostSat: mostSat, satPerKvb: asked } = view;
  const bid = { paidSat: present?.feeSat ?? 0n, since: present && bidSince };
  const payer: Payer = mostSat === undefined ? { vsize } : { vsize, mostSat };
  const { standing, satPerKvb, isNew } = climb(payer, bid, { satPerKvb: asked, height });
  draft.state = { ...draft.state, bidSince: standing.since };
  if (!isNew) return false;
  const next = { kind: 'refund', feeSat: standing.paidSat, vsize } as const;
  draft.state = { ...draft.state, status: 'closing', close: next };
  draft.effects.push({ type: 'refund', satPerKvb });
  return true;
}

/** Any spend that a block holds ends the channel once it is deep: also a lower rung, or another state. */
function endOf({ margins }: WatchOptions, draft: Draft, depth: number): void {
  if (draft.state.status === 'closing' && depth >= margins.finalDepth) {
    setStatus(draft, 'closed');
    draft.effects.push({ type: 'final' });
  }
  endWatch({ margins }, draft, depth);
}

function endWatch({ margins }: Pick<WatchOptions, 'margins'>, draft: Draft, depth: number): void {
  const { watchDepth = DEFAULT_CLOSE_MARGINS.watchDepth } = margins;
  if (draft.state.status !== 'closed' || depth < watchDepth) return;
  draft.state = { ...draft.state, isOver: true };
  draft.effects.push({ type: 'over' });
}
