import { unreachable } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { FeeCap } from '../chain/fee-caps.ts';
import { isFundingLate } from '../chain/funding-watch.ts';
import {
  type Bids,
  type ChannelView,
  DEFAULT_CLOSE_MARGINS,
  type PendingClose,
  type WatchOptions,
  type WatchState,
  wantsFeeRate,
  transition as watch,
} from '../chain/watcher.ts';
import { isPausedAt, noticedEnd } from '../contract/notices.ts';
import {
  isDelivering as isStreamDelivering,
  type StatePoint,
  type StreamEvent,
  transition as stream,
  type TermEnd,
  unsignedSat,
} from '../contract/stream.ts';
import { deepHeightOf, isLapsed, periodOf, type TermPeriod, VIEW_BLOCKS } from '../contract/term-clock.ts';
import { forfeitsBond } from '../contract/vesting.ts';
import { fundingByHeightOf, isTooLateToBegin } from './deadlines.ts';
import {
  ACCEPTED_IN,
  type CloseRecord,
  isStall,
  type LifecycleEffect,
  type LifecycleEvent,
  type LifecycleOptions,
  type LifecycleState,
  type LifecycleTransition,
  type LinkState,
  NEW_LINK,
  UNSIGNED,
} from './lifecycle-state.ts';

/** The `reason` that a record has for each kind of close. */
const REASONS = { together: 'cooperative', state: 'alone', refund: 'refund' } as const;

type Draft = { state: LifecycleState; readonly effects: LifecycleEffect[] };

/**
 * One step of a contract's state machine; pure. Throws `wrong_status` for an event that its status does not
 * accept.
 * @param nowMs monotonic time
 */
export function transition(
  options: LifecycleOptions,
  state: LifecycleState,
  event: LifecycleEvent,
  nowMs: number,
): LifecycleTransition {
  if (!ACCEPTED_IN[event.type].includes(state.status)) {
    throw new CodedError('wrong_status', `${event.type} while ${state.status}`);
  }
  const draft: Draft = { state, effects: [] };
  applyEvent(options, draft, event, nowMs);
  deriveSteps(options, draft, nowMs);
  if (options.role === 'miner') noteAsking(draft);
  if (isRecordChanged(state, draft.state)) draft.effects.unshift({ type: 'persist' });
  return draft;
}

/** The state of a contract restored from its record at the start of the program. */
export function restoreLifecycle(
  options: LifecycleOptions,
  stored: Pick<
    LifecycleState,
    'status' | 'reason' | 'fault' | 'close' | 'workHashes' | 'ackedN' | 'claimedN'
  > &
    Partial<Pick<LifecycleState, 'askedHeight' | 'notices'>> & {
      readonly newest: StatePoint | undefined;
      readonly isOver?: boolean;
      readonly bids?: Bids | undefined;
    },
  nowMs: number,
): LifecycleState {
  const { newest, isOver = false, bids, ...record } = stored;
  const watch = { ...UNSIGNED.watch, ...bids, isOver };
  const deliveredHashes = record.workHashes;
  const restored = { ...UNSIGNED, ...record, deliveredHashes, watch, isCurrent: false };
  const draft: Draft = { state: restored, effects: [] };
  const { status } = record;
  if (newest !== undefined) onStream(options, draft, { type: 'state_signed', ...newest }, nowMs);
  if (status === 'open' || status === 'closing') {
    // What it has is of a contract that has begun.
    if (record.workHashes > 0n) onStream(options, draft, { type: 'started' }, nowMs);
    onStream(options, draft, { type: 'channel_open' }, nowMs);
    onNotices(options, draft, draft.state.notices, nowMs);
    // The miner looks for itself; the maker credits what may come before its first look.
    const confirmations = options.terms.minDepth;
    if (options.role === 'maker') onStream(options, draft, { type: 'funded', confirmations }, nowMs);
  }
  if (status === 'closed') onStream(options, draft, { type: 'closed' }, nowMs);
  return draft.state;
}

/** Applies an event to the state, before any consequence. */
function applyEvent(options: LifecycleOptions, draft: Draft, event: LifecycleEvent, nowMs: number): Draft {
  switch (event.type) {
    case 'contract_signed':
      return draft;
    case 'opening_agreed': {
      const { n, workHashes, paidSat } = event;
      set(draft, { status: 'opening', ackedN: n });
      return onStream(options, draft, { type: 'state_signed', n, workHashes, paidSat }, nowMs);
    }
    case 'funding_signed':
      // The other side may have broadcast it before: then the chain was first.
      return draft.state.status === 'opening' ? set(draft, { status: 'funding' }) : draft;
    case 'opening_refused':
      return set(draft, { isOpeningRefused: true });
    case 'opening_given_up':
      return set(draft, { status: 'failed', reason: event.reason });
    case 'tip':
    case 'close_alone':
      return onChain(options, draft, event, nowMs);
    case 'close_requested':
    case 'defaulted':
    case 'tick':
      return onStream(options, draft, event, nowMs);
    case 'noticed':
      return onNotices(options, draft, event.notices, nowMs);
    case 'close_refused':
      return onCloseRefused(options, draft, nowMs);
    case 'close_signed':
    case 'close_built':
      return onClose(draft, event);
    case 'suspended':
    case 'broken':
      return onFault(draft, event);
    case 'resumed':
      return onResumed(draft, event.code);
    case 'work':
    case 'state_stored':
    case 'state_acked':
    case 'claim_stored':
    case 'seal_lost':
      return onWork(options, draft, event, nowMs);
    case 'connected':
      return set(draft, { link: NEW_LINK, isCurrent: true });
    case 'peer_silent':
      return set(draft, { isCurrent: true });
    case 'disconnected':
      return set(draft, { link: undefined });
    case 'peer_ready':
      return setLink(draft, { isPeerReady: true });
    case 'ready_answered':
      return setLink(draft, { ready: 'answered' });
    case 'evidence':
      return setLink(draft, { isDrained: event.isDrained });
    case 'claim_refused':
      return setLink(draft, { isClaimRefused: true });
    default:
      return unreachable(event);
  }
}

function set(draft: Draft, change: Partial<LifecycleState>): Draft {
  draft.state = { ...draft.state, ...change };
  return draft;
}

/** Changes the state of the connection, if there is one. */
function setLink(draft: Draft, change: Partial<LinkState>): Draft {
  const { link } = draft.state;
  return link === undefined ? draft : set(draft, { link: { ...link, ...change } });
}

function onResumed(draft: Draft, code: string | undefined): Draft {
  const { fault } = draft.state;
  const isOver = fault?.type === 'suspended' && (code === undefined || code === fault.code);
  return isOver ? set(draft, { fault: undefined }) : draft;
}

/**
 * The stream goes on where nothing but a person asked for its end, and nothing was signed for that. Then no
 * time to answer runs either, after which this side would close alone.
 */
function onCloseRefused(options: LifecycleOptions, draft: Draft, nowMs: number): Draft {
  const { status, close, notices } = draft.state;
  if (status !== 'open' || close !== undefined || notices.writtenOffSat !== undefined) return draft;
  onStream(options, draft, { type: 'close_refused' }, nowMs);
  if (draft.state.stream.status === 'ending') return draft;
  set(draft, { askedHeight: undefined });
  return setLink(draft, { isCloseAsked: false });
}

/** A proof against the other side outlives our own faults; the first is the one that is stored. */
function onFault(
  draft: Draft,
  { type, code }: Extract<LifecycleEvent, { readonly type: 'suspended' | 'broken' }>,
): Draft {
  const { fault } = draft.state;
  const isKept =
    fault !== undefined && !isStall(fault) && (type === 'suspended' || fault.type === 'broken');
  const next = isKept ? fault : ({ type, code } as const);
  return set(draft, isStall(next) ? { fault: next } : { fault: next, signingN: undefined });
}

/** Records a close of this side, complete or with one signature missing. */
function onClose(
  draft: Draft,
  event: Extract<LifecycleEvent, { readonly type: 'close_signed' | 'close_built' }>,
): Draft {
  const { status, close, stream, watch: bid } = draft.state;
  if (event.type === 'close_built') {
    const isBid = bid.close?.kind === event.close.kind && bid.close.feeSat === event.close.feeSat;
    // A child is of one close, and its time that of one bid.
    if (!isBid) set(draft, { watch: { ...bid, childFeeSat: 0n, bidSince: undefined } });
    // Built while another spend became final: kept for the day a reorganisation undoes that one.
    if (status === 'closed') return set(draft, { close: event.close });
    return set(draft, { status: 'closing', reason: REASONS[event.close.kind], close: event.close });
  }
  // What is complete can be sent: half of another one is no reason to forget it.
  if (close?.transactionHex !== undefined) return draft;
  const { n, feeSat } = event;
  if (n < (stream.signed?.n ?? 0)) throw new CodedError('wrong_status', `a state above ${n} is stored`);
  const half = { kind: 'together', transactionHex: undefined, n, feeSat, vsize: 0 } as const;
  return set(draft, { status: 'closing', reason: REASONS.together, close: half });
}

/** Passes an event to the machine of the stream. */
function onStream(options: LifecycleOptions, draft: Draft, event: StreamEvent, nowMs: number): Draft {
  const { terms, role, unpaidTimeoutMs } = options;
  const wanted = { terms, role, ...(unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs }) };
  const { state, effects } = stream(wanted, draft.state.stream, event, nowMs);
  const wasOpened = draft.state.stream.opened;
  set(draft, { stream: state });
  draft.effects.push(...effects);
  // What was delivered before counts from here on.
  return state.opened && !wasOpened ? creditWork(options, draft, nowMs) : draft;
}

/** Events about work and states. */
function onWork(
  options: LifecycleOptions,
  draft: Draft,
  event: Extract<
    LifecycleEvent,
    { readonly type: 'work' | 'state_stored' | 'state_acked' | 'claim_stored' | 'seal_lost' }
  >,
  nowMs: number,
): Draft {
  switch (event.type) {
    case 'work': {
      const { workHashes, deliveredHashes = workHashes, isHeld = false } = event;
      set(draft, { workHashes, deliveredHashes, isHeld });
      return creditWork(options, draft, nowMs);
    }
    case 'state_stored': {
      const { n, workHashes, paidSat } = event;
      const { signingN, close } = draft.state;
      if (options.role === 'miner') assertPaidBy(close, n);
      if (signingN !== undefined && n >= signingN) set(draft, { signingN: undefined });
      return onStream(options, draft, { type: 'state_signed', n, workHashes, paidSat }, nowMs);
    }
    case 'state_acked':
      set(draft, { ackedN: Math.max(draft.state.ackedN, event.n) });
      // One that was acked late says nothing of the one on its way.
      return event.n < (draft.state.link?.offeredN ?? 0) ? draft : setLink(draft, { offeredN: undefined });
    case 'claim_stored':
      return set(draft, { claimedN: Math.max(draft.state.claimedN ?? 0, event.n) });
    case 'seal_lost':
      return set(draft, { isSealLost: true });
    default:
      return unreachable(event);
  }
}

/** Throws `wrong_status` for an ack of a state that the stored close does not pay. */
function assertPaidBy(close: CloseRecord | undefined, n: number): void {
  if (close?.n === undefined || n <= close.n) return;
  throw new CodedError('wrong_status', `the close is by state ${close.n}; state ${n} comes too late`);
}

/** Credits all work reported so far, once the stream is open. */
function creditWork(options: LifecycleOptions, draft: Draft, nowMs: number): Draft {
  if (!draft.state.stream.opened) return draft;
  const { workHashes, deliveredHashes } = draft.state;
  onPauses(options, draft, nowMs);
  return onStream(options, draft, { type: 'work_verified', workHashes, deliveredHashes }, nowMs);
}

/** Miner: nothing is delivered while either side pauses, or the proxy holds it back. */
function onPauses(options: LifecycleOptions, draft: Draft, nowMs: number): Draft {
  const { isHeld, notices, tipHeight = 0 } = draft.state;
  if (options.role === 'maker') return draft;
  const isPaused = isHeld || isPausedAt(notices, tipHeight);
  return onStream(options, draft, { type: isPaused ? 'pause' : 'resume' }, nowMs);
}

/** Takes notices, and what follows from them by now. */
function onNotices(
  options: LifecycleOptions,
  draft: Draft,
  notices: LifecycleState['notices'],
  nowMs: number,
): Draft {
  set(draft, { notices });
  onPauses(options, draft, nowMs);
  if (notices.writtenOffSat === undefined) return draft;
  return onStream(options, draft, { type: 'voided' }, nowMs);
}

/** Passes a view of the chain to its machine, in every status in which there is, or may be, a channel. */
function onChain(
  options: LifecycleOptions,
  draft: Draft,
  event: Extract<LifecycleEvent, { readonly type: 'tip' | 'close_alone' }>,
  nowMs: number,
): Draft {
  const { status, close } = draft.state;
  if (status === 'proposed' || status === 'failed' || !options.hasChannel) return draft;
  set(draft, { tipHeight: event.height });
  const closesFrom = closingOf(options, draft.state, event.height, event.view.coinDepth);
  const view = closesFrom === undefined ? event.view : { ...event.view, closesFrom };
  const before: WatchState = { ...draft.state.watch, status, close: pendingOf(close) };
  const looked = watch(
    watchOptionsOf(options, draft.state),
    before,
    { type: event.type, view },
    event.height,
  );
  set(draft, { watch: looked.state });
  for (const effect of looked.effects) {
    if (effect.type === 'funded') onStream(options, draft, effect, nowMs);
    else if (effect.type === 'refuse_steps') onStream(options, draft, { type: 'expiry_near' }, nowMs);
    else if (effect.type === 'status') {
      set(draft, { status: effect.status, reason: effect.reason ?? draft.state.reason });
      if (effect.status === 'closed') {
        set(draft, { askedHeight: undefined });
        onStream(options, draft, { type: 'closed' }, nowMs);
      }
    } else {
      draft.effects.push(effect);
      // Also where it cannot be built: nothing more is sold to a channel that should be closed.
      if (effect.type === 'close_alone') onStream(options, draft, { type: 'close_requested' }, nowMs);
    }
  }
  onPauses(options, draft, nowMs);
  return onTermClock(options, draft, event, nowMs);
}

/** What the block clock of the terms says at a tip. */
function onTermClock(
  options: LifecycleOptions,
  draft: Draft,
  { height, view }: Pick<Extract<LifecycleEvent, { readonly type: 'tip' }>, 'height' | 'view'>,
  nowMs: number,
): Draft {
  const { coinDepth } = view;
  const { outputStatus } = draft.state.watch;
  if (coinDepth !== undefined && coinDepth > 0)
    set(draft, { deepHeight: deepHeightOf(options.terms, height, coinDepth) });
  else if (outputStatus === 'unspent' || outputStatus === 'missing') set(draft, { deepHeight: undefined });
  const period = termPeriodOf(options, draft.state);
  const { status, stream } = draft.state;
  if (status !== 'funding' && status !== 'open') return draft;
  if (!stream.started && period !== undefined && height >= period.from)
    onStream(options, draft, { type: 'started' }, nowMs);
  const end = termEndOf(options, draft.state, options.role === 'maker' ? -VIEW_BLOCKS : 0);
  return end === undefined ? draft : onStream(options, draft, { type: end }, nowMs);
}

/** The blocks whose work is credited; undefined while their end is not known. */
export function termPeriodOf(
  { terms }: Pick<LifecycleOptions, 'terms'>,
  { deepHeight, notices }: Pick<LifecycleState, 'deepHeight' | 'notices'>,
): TermPeriod | undefined {
  const period = periodOf(terms, deepHeight);
  if (period === undefined) return undefined;
  const end = Math.min(period.end + notices.curtailedBlocks, noticedEnd(notices));
  return { from: period.from, end };
}

/**
 * The end by the block clock that has come, or will within so many blocks.
 * @param within below 0, for one that came so many blocks ago
 */
export function termEndOf(
  options: Pick<LifecycleOptions, 'terms'>,
  state: LifecycleState,
  within = 0,
): TermEnd | undefined {
  const { tipHeight, workHashes, deliveredHashes } = state;
  if (tipHeight === undefined) return undefined;
  const isBegun = workHashes > 0n || deliveredHashes > 0n;
  if (!isBegun && isLapsed(options.terms, tipHeight + within)) return 'not_begun';
  const end = termPeriodOf(options, state)?.end ?? Number.POSITIVE_INFINITY;
  return tipHeight + Math.max(within, 0) >= end ? 'duration_over' : undefined;
}

function watchOptionsOf(
  options: LifecycleOptions,
  { isOpeningRefused }: Pick<LifecycleState, 'isOpeningRefused'>,
): WatchOptions {
  const { terms, role, margins } = options;
  const { minDepth, expiryHeight } = terms;
  const fundingByHeight = isOpeningRefused ? 0 : fundingByHeightOf(terms, margins);
  return { role, minDepth, expiryHeight, margins, fundingByHeight, feeCaps: feeCapsOf(options) };
}

/** What this side pays for a close at the most: as it says itself, else as the terms do. */
export function feeCapsOf({
  terms,
  margins,
}: Pick<LifecycleOptions, 'terms' | 'margins'>): readonly FeeCap[] | undefined {
  return margins.feeCaps ?? (terms.version === 3 ? terms.feeCaps : undefined);
}

/** The pending close for the machine of the chain; undefined for one that is not complete. */
function pendingOf(close: CloseRecord | undefined): PendingClose | undefined {
  if (close?.transactionHex === undefined) return undefined;
  const { kind, feeSat, vsize } = close;
  return { kind, feeSat, vsize };
}

/**
 * When the miner closes without being asked. A funding that came late and a proof against the maker close
 * at once; a close that was asked for has its time, unless that would forfeit unvested bonds.
 */
export function closingOf(
  options: LifecycleOptions,
  state: LifecycleState,
  height: number,
  coinDepth?: number,
): ChannelView['closesFrom'] {
  const { terms, margins } = options;
  const { status, fault, stream, askedHeight, isCurrent } = state;
  const isYoung = status === 'opening' || status === 'funding';
  const isInBlock = coinDepth !== undefined && coinDepth > 0;
  // Nothing was sold to it, and nothing will be: state 0 is all there is to close with.
  if (isYoung && isInBlock && isFundingLate(watchOptionsOf(options, state), coinDepth, height))
    return 'now';
  const costs = forfeitsBond(terms, stream.signed?.workHashes ?? 0n);
  const { patienceBlocks = DEFAULT_CLOSE_MARGINS.patienceBlocks } = margins;
  const isOverdue = askedHeight !== undefined && height - askedHeight >= patienceBlocks;
  if (isOverdue && isCurrent && !costs && fault?.type !== 'suspended') return 'overdue';
  if (fault === undefined) return undefined;
  return fault.type === 'broken' && !costs ? 'now' : 'asking';
}

/** Notes the height from which the other side's time to answer a close is counted. */
function noteAsking(draft: Draft): void {
  const { link, close, askedHeight, tipHeight } = draft.state;
  const isAsked = link?.isCloseAsked === true || close?.kind === 'together';
  if (!isAsked || askedHeight !== undefined || isEnded(draft.state)) return;
  set(draft, { askedHeight: tipHeight });
}

/** Derives the steps that are due and not yet done. A fault allows no new obligations. */
function deriveSteps(options: LifecycleOptions, draft: Draft, nowMs: number): void {
  if (!options.hasChannel) endMetering(options, draft, nowMs);
  const { fault } = draft.state;
  if (isEnded(draft.state)) return;
  // Work that was taken is paid, also while the chain stands still.
  if (isStall(fault) && options.role === 'maker' && options.hasChannel) deriveSigning(draft);
  if (fault !== undefined) return;
  if (!options.hasChannel) deriveMetering(draft);
  else {
    deriveReady(options, draft, nowMs);
    if (options.role === 'miner') deriveCommonClose(draft);
    else deriveSigning(draft);
  }
}

/** Derives `channel.ready` of both sides; work is asked for after it. */
function deriveReady(options: LifecycleOptions, draft: Draft, nowMs: number): void {
  const { status, link, stream, watch } = draft.state;
  // Nothing opens that a deadline has just closed, or would close before it is of use.
  const isOpenable = status === 'open' || (status === 'funding' && !isTooLateToOpen(options, draft.state));
  if (watch.close !== undefined) return;
  if (link === undefined || !isOpenable || stream.fundingDepth < options.terms.minDepth) return;
  // The maker opens first, and says so: work may come with the miner's next message.
  const isOpening =
    link.isPeerReady && (options.role === 'maker' ? status === 'funding' : link.ready === 'answered');
  if (isOpening) {
    set(draft, { status: 'open' });
    if (!stream.ready) onStream(options, draft, { type: 'channel_open' }, nowMs);
  }
  if (isOpening && options.role === 'miner' && !link.isFeeding) {
    setLink(draft, { isFeeding: true });
    draft.effects.push({ type: 'start_feed' });
  }
  const mayTell = options.role === 'miner' || draft.state.status === 'open';
  if (link.ready !== 'unsent' || !mayTell) return;
  setLink(draft, { ready: 'sent' });
  draft.effects.push({ type: 'send_ready' });
}

/** True where nothing may be opened any more: the expiry is near, or the funding was not deep in time. */
export function isTooLateToOpen(options: LifecycleOptions, state: LifecycleState): boolean {
  const { tipHeight, stream } = state;
  if (tipHeight === undefined) return false;
  return (
    isTooLateToBegin(options.terms, options.margins, tipHeight) ||
    isFundingLate(watchOptionsOf(options, state), stream.fundingDepth, tipHeight)
  );
}

/**
 * Derives the cooperative close: miner only, once the contract ends and the maker has judged everything.
 */
function deriveCommonClose(draft: Draft): void {
  const { status, link, stream, close, watch, notices } = draft.state;
  const isClosing = status === 'closing';
  const isEnding = stream.status === 'ending' || isClosing;
  if (link === undefined || link.isCloseAsked || !isEnding || close?.transactionHex !== undefined) return;
  if (!isClosing && status !== 'open' && status !== 'funding') return;
  // Once a close was signed here nothing more can be sold: there is nothing to wait for.
  const isAwaited = !isClosing && !link.isDrained && notices.writtenOffSat === undefined;
  if (isAwaited || isSpent(draft.state)) return;
  // A state is on its way to the chain: the time for agreeing is over.
  if (watch.close?.kind === 'state') return;
  setLink(draft, { isCloseAsked: true });
  draft.effects.push({ type: 'ask_close' });
}

/**
 * Derives the next signature: maker only, one state at a time, and none beyond the claim of the seal where
 * there is one.
 */
function deriveSigning(draft: Draft): void {
  const { status, stream, ackedN, signingN, claimedN, link, isSealLost } = draft.state;
  const newestN = stream.signed?.n ?? -1;
  const dueN = stream.signing?.n;
  if (status === 'open' && dueN !== undefined && signingN === undefined && newestN <= ackedN) {
    if (claimedN === undefined || claimedN >= dueN) {
      set(draft, { signingN: dueN });
      draft.effects.push({ type: 'sign_state', n: dueN });
    } else if (link !== undefined && link.claimAskedN !== dueN && !isSealLost) {
      setLink(draft, { claimAskedN: dueN });
      draft.effects.push({ type: 'ask_claim', n: dueN });
    }
  }
  if (link === undefined || newestN <= ackedN || draft.state.link?.offeredN !== undefined) return;
  setLink(draft, { offeredN: newestN });
  draft.effects.push({ type: 'offer_state', n: newestN });
}

/** Closes a contract without a channel as soon as either side asks. */
function endMetering(options: LifecycleOptions, draft: Draft, nowMs: number): void {
  if (draft.state.stream.status !== 'ending' || isEnded(draft.state)) return;
  set(draft, { status: 'closed' });
  onStream(options, draft, { type: 'closed' }, nowMs);
}

/** Opens a contract without a channel once both sides are connected. */
function deriveMetering(draft: Draft): void {
  const { status, link } = draft.state;
  if (link === undefined) return;
  if (status === 'proposed' && link.isPeerReady) set(draft, { status: 'open' });
  if (link.ready === 'unsent') {
    setLink(draft, { ready: 'sent' });
    draft.effects.push({ type: 'send_ready' });
  }
  if (draft.state.status !== 'open' || link.isFeeding) return;
  setLink(draft, { isFeeding: true });
  draft.effects.push({ type: 'start_feed' });
}

/** True where the stored part of the state differs; the rest is asked for anew after a start. */
function isRecordChanged(before: LifecycleState, after: LifecycleState): boolean {
  return (
    before.status !== after.status ||
    before.reason !== after.reason ||
    !isSameClose(before.close, after.close) ||
    before.stream.signed?.n !== after.stream.signed?.n ||
    (before.askedHeight !== undefined && after.askedHeight === undefined) ||
    (after.fault?.type === 'broken' && before.fault?.type !== 'broken')
  );
}

function isSameClose(a: CloseRecord | undefined, b: CloseRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const isSameTransaction = a.kind === b.kind && a.n === b.n && a.transactionHex === b.transactionHex;
  return isSameTransaction && a.feeSat === b.feeSat && a.vsize === b.vsize;
}

/** True where the next decision may depend on the fee rate, which costs a question to the node. */
export function mayPayFees(
  options: LifecycleOptions,
  state: LifecycleState,
  known: Pick<ChannelView, 'coinDepth' | 'spendDepth'>,
  height: number,
): boolean {
  const { status } = state;
  if (status === 'proposed' || status === 'failed') return false;
  const closesFrom = closingOf(options, state, height, known.coinDepth);
  const view = closesFrom === undefined ? known : { ...known, closesFrom };
  return wantsFeeRate(watchOptionsOf(options, state), { ...state.watch, status }, view, height);
}

/** True while a transaction, in a block or the mempool, spends the channel: there is nothing to close. */
export function isSpent({ watch }: LifecycleState): boolean {
  return watch.outputStatus === 'spent_in_mempool' || watch.outputStatus === 'spent_in_block';
}

/**
 * Miner: true while hashrate may go to this contract. False while its funding lacks depth, as after a
 * reorg.
 */
export function isDelivering(options: LifecycleOptions, state: LifecycleState): boolean {
  const { terms, hasChannel } = options;
  if (state.fault !== undefined || state.status !== 'open') return false;
  if (!hasChannel) return !state.isHeld;
  // After a reorganisation the first block may be still to come.
  if ((state.tipHeight ?? 0) < (termPeriodOf(options, state)?.from ?? 0)) return false;
  return isStreamDelivering(state.stream) && state.stream.fundingDepth >= terms.minDepth;
}

/** Maker: true once everything that can be paid is signed and acked. */
export function isSettled({ terms }: LifecycleOptions, state: LifecycleState): boolean {
  const { stream, ackedN, link, isSealLost } = state;
  if ((stream.signed?.n ?? -1) > ackedN) return false;
  if (link?.isClaimRefused === true || isSealLost) return true;
  return stream.status !== 'ending' || unsignedSat(terms, stream) === 0n;
}

/** True where nothing is left to be done on the chain or with the other side. */
export function isEnded({ status }: LifecycleState): boolean {
  return status === 'closed' || status === 'failed';
}
