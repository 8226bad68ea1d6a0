import { smaller } from '../base/bigints.ts';
import type { ContractTerms } from './terms.ts';
import type { TermsV3 } from './terms-v3.ts';

/**
 * Metering without money, binding `none`: no channel and no price. Both sides sign totals of the work that
 * the maker verified, one for each step, and one for the rest at the end.
 */

/** Terms of metering alone. */
export type MeteringTerms = TermsV3 & { readonly binding: { readonly type: 'none' } };

/** True for terms that pay nothing. Those of versions 1 and 2 without a binding have a channel. */
export function isMetering(terms: ContractTerms): terms is MeteringTerms {
  return terms.version === 3 && terms.binding.type === 'none';
}

/** The reason for the end of a metering. */
export const METERING_ENDS = ['work_total', 'expiry', 'asked'] as const;
export type MeteringEnd = (typeof METERING_ENDS)[number];

export type MeteringState = {
  /** `ending` once no work is taken on, `ended` once the rest is signed or cannot be. */
  readonly status: 'live' | 'ending' | 'ended';
  readonly reason: MeteringEnd | undefined;
  /** Verified work, hashes. */
  readonly workHashes: bigint;
  /** The newest total that both signed; 0 before. */
  readonly signed: { readonly n: number; readonly workHashes: bigint };
  readonly isConnected: boolean;
  /** True while a total was offered, and the miner has neither signed nor refused it. */
  readonly isOffered: boolean;
  /** True from a refusal on, until the next connection. */
  readonly isRefused: boolean;
};

export type MeteringEvent =
  /** Cumulative verified work. */
  | { readonly type: 'work'; readonly workHashes: bigint }
  | { readonly type: 'height'; readonly height: number }
  | { readonly type: 'connected' | 'disconnected' | 'end_asked' | 'total_refused' | 'finished' }
  | { readonly type: 'total_signed'; readonly n: number; readonly workHashes: bigint };

export type MeteringEffect =
  /** Maker: sign this total and offer it. */
  | { readonly type: 'offer_total'; readonly n: number; readonly workHashes: bigint }
  | { readonly type: 'ending'; readonly reason: MeteringEnd }
  | { readonly type: 'ended' };

/** The state of a metering before any work. */
export const NOTHING_METERED: MeteringState = {
  status: 'live',
  reason: undefined,
  workHashes: 0n,
  signed: { n: 0, workHashes: 0n },
  isConnected: false,
  isOffered: false,
  isRefused: false,
};

/** What decides over a metering. */
export type MeteringOptions = Pick<MeteringTerms, 'workTotalHashes' | 'stepHashes' | 'expiryHeight'> & {
  /** The most by which a total is beyond the one before, whole shares; more comes in several. */
  readonly mostHashes?: bigint;
};

/** The result of one step: the new state, and what to do. */
export type MeteringTransition = {
  readonly state: MeteringState;
  readonly effects: readonly MeteringEffect[];
};

/**
 * One step of a metering, the same for both sides; pure.
 * @param _nowMs says nothing here: a metering ends by heights and work
 */
export function transition(
  options: MeteringOptions,
  state: MeteringState,
  event: MeteringEvent,
  _nowMs: number,
): MeteringTransition {
  const effects: MeteringEffect[] = [];
  let next = applyEvent(state, event);
  const reason = endReason(options, next, event);
  if (next.status === 'live' && reason !== undefined) {
    next = { ...next, status: 'ending', reason };
    effects.push({ type: 'ending', reason });
  }
  if (state.status !== 'ended' && next.status === 'ended') effects.push({ type: 'ended' });
  const due = dueTotal(options, next);
  if (due !== undefined) {
    next = { ...next, isOffered: true };
    effects.push({ type: 'offer_total', ...due });
  }
  return { state: next, effects };
}

function applyEvent(state: MeteringState, event: MeteringEvent): MeteringState {
  switch (event.type) {
    case 'work':
      return event.workHashes > state.workHashes ? { ...state, workHashes: event.workHashes } : state;
    case 'total_signed': {
      const { n, workHashes } = event;
      const isNewer = n > state.signed.n;
      return { ...state, isOffered: false, signed: isNewer ? { n, workHashes } : state.signed };
    }
    case 'total_refused':
      return { ...state, isOffered: false, isRefused: true };
    case 'connected':
      return { ...state, isConnected: true, isOffered: false, isRefused: false };
    case 'disconnected':
      return { ...state, isConnected: false, isOffered: false };
    case 'finished':
      return { ...state, status: 'ended', reason: state.reason ?? 'asked' };
    case 'height':
    case 'end_asked':
      return state;
    default:
      return event satisfies never;
  }
}

function endReason(
  { workTotalHashes, expiryHeight }: MeteringOptions,
  state: MeteringState,
  event: MeteringEvent,
): MeteringEnd | undefined {
  if (state.workHashes >= workTotalHashes) return 'work_total';
  if (event.type === 'height' && event.height >= expiryHeight) return 'expiry';
  return event.type === 'end_asked' ? 'asked' : undefined;
}

function dueTotal(
  { workTotalHashes, stepHashes, mostHashes = workTotalHashes }: MeteringOptions,
  { status, workHashes, signed, isConnected, isOffered, isRefused }: MeteringState,
): { readonly n: number; readonly workHashes: bigint } | undefined {
  if (status === 'ended' || !isConnected || isOffered || isRefused) return undefined;
  const all = smaller(workHashes, workTotalHashes);
  const total = smaller(all, signed.workHashes + mostHashes);
  const leastHashes = status === 'ending' ? 1n : smaller(stepHashes, mostHashes);
  const isDue = all - signed.workHashes >= leastHashes;
  return isDue ? { n: signed.n + 1, workHashes: total } : undefined;
}
