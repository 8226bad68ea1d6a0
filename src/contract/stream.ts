import { assert, unreachable } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { CodedError } from '../base/errors.ts';
import { type Accounting, accountingOf } from './accounting.ts';
import type { ContractTerms } from './terms.ts';
import { paySatOf, stepHashesOf } from './updated-terms.ts';

export type StreamRole = 'miner' | 'maker';

/**
 * The statuses of a stream. `pending` until state 0 is signed, the funding is deep enough, both sides are
 * ready and the first block of the terms has come; `live` while work is asked for; `paused` while the miner
 * delivers elsewhere for a reason that will pass; `ending` once no more work is asked for but what was
 * verified is still to be signed; `ended` once the channel is spent.
 */
export type StreamStatus = 'pending' | 'live' | 'paused' | 'ending' | 'ended';

/** Number, cumulative work and cumulative pay of a state. */
export type StatePoint = { readonly n: number; readonly workHashes: bigint; readonly paidSat: bigint };

/**
 * The state of a running fixed-price contract as one side sees it. Immutable: every change makes a new one.
 */
export type StreamState = {
  readonly status: StreamStatus;
  /** Confirmations of the funding, and whether both sides said they are ready. */
  readonly fundingDepth: number;
  readonly ready: boolean;
  /** True once the first block of the terms has come, for good. */
  readonly started: boolean;
  /** True from the first `live` on; without it no work is credited. */
  readonly opened: boolean;
  /**
   * W: credited work in hashes, never above the contract's total. At the maker it never falls; at the miner
   * it is what the maker has credited or not judged yet.
   */
  readonly verifiedWork: bigint;
  /**
   * Miner: work in hashes that it delivered, or has accepted and not yet written, less what was refused for
   * a reason that its own rules confirm, or within an allowance of the terms. What of it no state pays is
   * the exposure.
   */
  readonly deliveredWork: bigint;
  /** Work in hashes reported beyond the total or after the end; not credited. */
  readonly uncreditedWork: bigint;
  /** The newest signed state (maker: on disk and sent; miner: verified and on disk). */
  readonly signed: StatePoint | undefined;
  /** The state the maker is signing. */
  readonly signing: { readonly n: number; readonly workHashes: bigint } | undefined;
  /** Monotonic time in ms since when a whole step is unsigned. */
  readonly dueSinceMs: number | undefined;
  /** True while the miner does not deliver because too much work is unsigned. */
  readonly exposureLimited: boolean;
  /** The reason for which it ends or has ended; undefined while more work may be asked for. */
  readonly endReason: EndReason | undefined;
};

/** The reason for which a stream ends. */
export type EndReason = 'completed' | 'expiry_near' | 'close_requested' | 'defaulted' | 'voided' | TermEnd;

/** The reason for which the block clock ends a stream: nothing was begun in time, or its blocks are over. */
export type TermEnd = 'not_begun' | 'duration_over';

/** An event of a stream's state machine. */
export type StreamEvent =
  /** Confirmations of the funding transaction at this tip. */
  | { readonly type: 'funded'; readonly confirmations: number }
  /** Both sides said they are ready. */
  | { readonly type: 'channel_open' }
  /** The first block of the terms has come. */
  | { readonly type: 'started' }
  | { readonly type: TermEnd }
  /**
   * All work of the contract's evidence so far (cumulative), verified and durable; for the miner also what it
   * delivered (`deliveredWork`), by default the same.
   */
  | { readonly type: 'work_verified'; readonly workHashes: bigint; readonly deliveredHashes?: bigint }
  /** A state passed all checks and is on disk. After a restart: the newest one. */
  | ({ readonly type: 'state_signed' } & StatePoint)
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  | { readonly type: 'expiry_near' }
  | { readonly type: 'close_requested' }
  /** What was promised did not come, and was not made up in its time. */
  | { readonly type: 'defaulted' }
  /** This side gave up what is not paid yet: no more is bought or sold, for good. */
  | { readonly type: 'voided' }
  /** Miner: the maker does not close before the end; where only that was asked for, the stream goes on. */
  | { readonly type: 'close_refused' }
  /** The channel's output is spent. */
  | { readonly type: 'closed' }
  /** Time has passed; for the miner's timeout of unsigned work. */
  | { readonly type: 'tick' };

type WorkVerified = Extract<StreamEvent, { readonly type: 'work_verified' }>;

/** An effect that the state machine asks its caller to perform. */
export type StreamEffect =
  | { readonly type: 'opened' }
  /** Maker: sign state n now. One at a time: the next comes after `state_signed`. */
  | { readonly type: 'sign_due'; readonly n: number; readonly workHashes: bigint }
  /** Miner: send the hashrate to the fallback, and back again. */
  | { readonly type: 'exposure_reached'; readonly exposureSat: bigint }
  | { readonly type: 'exposure_cleared' }
  /** No more work is asked for. */
  | { readonly type: 'ending'; readonly reason: EndReason }
  /** All that can be paid is signed: the channel can be closed. */
  | { readonly type: 'settled' };

/** The fixed inputs of a stream's state machine. */
export type StreamOptions = {
  readonly terms: ContractTerms;
  readonly role: StreamRole;
  /**
   * Time in ms for which a whole step may stay unsigned before the miner stops delivering; without it only
   * the number of steps counts.
   */
  readonly unpaidTimeoutMs?: number;
};

/** The result of one step: the new state, and what to do. */
export type StreamTransition = { readonly state: StreamState; readonly effects: readonly StreamEffect[] };

/** The state of a stream before anything has happened. */
export const PENDING_STREAM: StreamState = {
  status: 'pending',
  fundingDepth: 0,
  ready: false,
  started: false,
  opened: false,
  verifiedWork: 0n,
  deliveredWork: 0n,
  uncreditedWork: 0n,
  signed: undefined,
  signing: undefined,
  dueSinceMs: undefined,
  exposureLimited: false,
  endReason: undefined,
};

/**
 * One step of a stream; pure. A stream is restored by feeding `state_signed`, `funded`, `channel_open` and
 * `work_verified` with what the ledger holds to `PENDING_STREAM`. Throws `protocol` for work before the
 * channel is open (I3).
 * @param nowMs monotonic time; `dueSinceMs` is not stored
 */
export function transition(
  options: StreamOptions,
  state: StreamState,
  event: StreamEvent,
  nowMs: number,
): StreamTransition {
  const effects: StreamEffect[] = [];
  let next = applyEvent(options, state, event);
  if (next.status === 'pending' && isOpenable(options, next)) {
    next = { ...next, status: 'live', opened: true };
    effects.push({ type: 'opened' });
  }
  const reason = endReason(options, next, event);
  if (reason !== undefined) {
    next = { ...next, status: 'ending', endReason: reason };
    effects.push({ type: 'ending', reason });
  }
  next = deriveEffects(options, next, nowMs, effects);
  const wasSettled = isSettled(options, state);
  if (!wasSettled && isSettled(options, next)) effects.push({ type: 'settled' });
  return { state: next, effects };
}

/** Applies an event to the state, before any consequence. */
function applyEvent(options: StreamOptions, state: StreamState, event: StreamEvent): StreamState {
  switch (event.type) {
    case 'funded':
      return { ...state, fundingDepth: event.confirmations };
    case 'channel_open':
      return { ...state, ready: true };
    case 'started':
      return { ...state, started: true };
    case 'work_verified':
      return credited(options, state, event);
    case 'state_signed':
      return signedUpTo(options, state, event);
    case 'pause':
      return state.status === 'live' ? { ...state, status: 'paused' } : state;
    case 'resume':
      return state.status === 'paused' ? { ...state, status: 'live' } : state;
    case 'close_refused':
      return state.status === 'ending' && state.endReason === 'close_requested' && state.opened
        ? { ...state, status: 'live', endReason: undefined }
        : state;
    case 'closed':
      return { ...state, status: 'ended', signing: undefined };
    case 'expiry_near':
    case 'close_requested':
    case 'defaulted':
    case 'voided':
    case 'not_begun':
    case 'duration_over':
    case 'tick':
      return state;
    default:
      return unreachable(event);
  }
}

function credited(
  { terms, role }: StreamOptions,
  state: StreamState,
  { workHashes, deliveredHashes: deliveredWork = workHashes }: WorkVerified,
): StreamState {
  if (!state.opened) throw new CodedError('protocol', 'work before the channel is open');
  const cap = smaller(workHashes, terms.workTotalHashes);
  const isKept = state.status === 'ended' || (role === 'maker' && cap < state.verifiedWork);
  const verifiedWork = isKept ? state.verifiedWork : cap;
  const beyond = workHashes - verifiedWork;
  const uncreditedWork = beyond > state.uncreditedWork ? beyond : state.uncreditedWork;
  return { ...state, verifiedWork, deliveredWork, uncreditedWork };
}

function signedUpTo(options: StreamOptions, state: StreamState, point: StatePoint): StreamState {
  const { signed } = state;
  if (signed !== undefined && point.n <= signed.n) return state;
  const { n, workHashes, paidSat } = point;
  assert(paidSat === paySatOf(options.terms, workHashes), 'paid_is_owed', point);
  assert(signed === undefined || workHashes >= signed.workHashes, 'signed_work_never_falls', point);
  return { ...state, signed: { n, workHashes, paidSat }, signing: undefined };
}

function isOpenable(options: StreamOptions, state: StreamState): boolean {
  const { ready, started, signed, fundingDepth } = state;
  const { terms } = options;
  const isTime = started || terms.version !== 3 || terms.start === undefined;
  return isTime && ready && signed !== undefined && fundingDepth >= terms.minDepth;
}

const ENDS: ReadonlySet<StreamEvent['type']> = new Set<EndReason & StreamEvent['type']>([
  'expiry_near',
  'close_requested',
  'defaulted',
  'voided',
  'not_begun',
  'duration_over',
]);

function endReason(options: StreamOptions, state: StreamState, event: StreamEvent): EndReason | undefined {
  if (state.status === 'ending' || state.status === 'ended') return undefined;
  if (ENDS.has(event.type)) return event.type as EndReason;
  return state.verifiedWork >= options.terms.workTotalHashes ? 'completed' : undefined;
}

/** Derives the effects for each role: the maker's next signature, the miner's exposure. */
function deriveEffects(
  options: StreamOptions,
  state: StreamState,
  nowMs: number,
  effects: StreamEffect[],
): StreamState {
  if (!state.opened || state.status === 'ended') return { ...state, dueSinceMs: undefined };
  const isDue = unsignedWork(state) >= stepHashesOf(options.terms);
  const next = { ...state, dueSinceMs: isDue ? (state.dueSinceMs ?? nowMs) : undefined };
  return options.role === 'maker'
    ? withSignature(options, next, effects)
    : withExposure(options, next, nowMs, effects);
}

function withSignature(options: StreamOptions, state: StreamState, effects: StreamEffect[]): StreamState {
  const { signed } = state;
  if (signed === undefined || state.signing !== undefined) return state;
  const isStep = unsignedWork(state) >= stepHashesOf(options.terms);
  const isRest = state.status === 'ending' && unsignedSat(options.terms, state) > 0n;
  if (!isStep && !isRest) return state;
  const signing = { n: signed.n + 1, workHashes: state.verifiedWork };
  effects.push({ type: 'sign_due', ...signing });
  return { ...state, signing };
}

/**
 * Limits the miner's exposure: stops at the limit or after the timeout; goes on when one step less is
 * unpaid. Never waits for less than a step, which a maker need not sign.
 */
function withExposure(
  options: StreamOptions,
  state: StreamState,
  nowMs: number,
  effects: StreamEffect[],
): StreamState {
  const { maxUnpaidSteps } = options.terms;
  const isLate =
    options.unpaidTimeoutMs !== undefined &&
    state.dueSinceMs !== undefined &&
    nowMs - state.dueSinceMs >= options.unpaidTimeoutMs;
  const room = exposureRoom(options.terms, state);
  if (!state.exposureLimited && (isLate || room <= 0n)) {
    effects.push({ type: 'exposure_reached', exposureSat: exposureSat(options.terms, state) });
    return { ...state, exposureLimited: true };
  }
  const calmRoom = maxUnpaidSteps > 1 ? stepHashesOf(options.terms) : 0n;
  if (state.exposureLimited && !isLate && room > calmRoom) {
    effects.push({ type: 'exposure_cleared' });
    return { ...state, exposureLimited: false };
  }
  return state;
}

/** Work in hashes that the miner may still deliver before it is paid; 0 or less at `maxUnpaidSteps`. */
export function exposureRoom(terms: ContractTerms, state: StreamState): bigint {
  return BigInt(terms.maxUnpaidSteps) * stepHashesOf(terms) - exposedWork(state);
}

/** True while ending, once no state could pay more than the newest does. */
function isSettled(options: StreamOptions, state: StreamState): boolean {
  return state.status === 'ending' && unsignedSat(options.terms, state) === 0n;
}

/** True while the miner should mine for this contract. */
export function isDelivering(state: StreamState): boolean {
  return state.status === 'live' && !state.exposureLimited;
}

/** Verified work that no signed state covers, in hashes. */
export function unsignedWork(state: StreamState): bigint {
  const signedWork = state.signed?.workHashes ?? 0n;
  return state.verifiedWork > signedWork ? state.verifiedWork - signedWork : 0n;
}

/** Pay in sats of the verified work that no signed state covers. */
export function unsignedSat(terms: ContractTerms, state: StreamState): bigint {
  return streamAccounting(terms, state).debtSat;
}

/** The miner's exposure in hashes: delivered work that no signed state covers. */
export function exposedWork({ deliveredWork, signed }: StreamState): bigint {
  const signedWork = signed?.workHashes ?? 0n;
  return deliveredWork > signedWork ? deliveredWork - signedWork : 0n;
}

/** The miner's exposure in sats: what it would lose if nothing more were signed. */
export function exposureSat(terms: ContractTerms, state: StreamState): bigint {
  const owed = paySatOf(terms, state.deliveredWork);
  const paidSat = state.signed?.paidSat ?? 0n;
  return owed > paidSat ? owed - paidSat : 0n;
}

/** The accounts of a stream: D is the budget, nothing is refunded before the close. */
export function streamAccounting(terms: ContractTerms, state: StreamState): Accounting {
  return accountingOf({
    owedSat: paySatOf(terms, state.verifiedWork),
    depositedSat: terms.budgetSat,
    paidSat: state.signed?.paidSat ?? 0n,
    refundedSat: 0n,
  });
}
