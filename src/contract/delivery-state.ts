import { unreachable } from '../base/assert.ts';
import {
  type DeliveryMinute,
  isShort,
  NO_SHORTFALL,
  reaches,
  type ShortfallOptions,
  type ShortfallState,
  withMinute,
  withoutEvidence,
} from './shortfall-test.ts';

/** Who is at fault in a minute in which less came than was due, or that it was agreed; `MARKET.md`. */
export const FAULT_OWNERS = [
  'miner_offline',
  'miner_slow',
  'maker_silent',
  'maker_work_down',
  'pool_refuses',
  'network',
  'agreed_pause',
] as const;
export type FaultOwner = (typeof FAULT_OWNERS)[number];

/** Minutes in which work is due although it did not come. */
const MINERS_OWN: ReadonlySet<FaultOwner | undefined> = new Set([undefined, 'miner_offline', 'miner_slow']);

/** What delivery is judged by; from the terms. */
export type DeliveryOptions = {
  /** Hashes due in a minute. */
  readonly dueHashes: bigint;
  /** Expected hashes of the hardest share that the contract takes. */
  readonly shareHashes: bigint;
  readonly tolerancePpm: number;
  /** Blocks from the first shortfall to the default, in which it may be made up. */
  readonly cureBlocks: number;
  /** Blocks for which the miner may stop by notice. */
  readonly curtailmentBlocks: number;
  readonly shortfall: ShortfallOptions;
};

/**
 * The course of delivery: `live`; `suspect` while chance explains what is missing only badly; `cure` once it
 * does not, until what is missing is made up, or by the end of the time for it in `default`, for good.
 */
export type DeliveryStatus = 'live' | 'suspect' | 'cure' | 'default';

export type DeliveryState = {
  readonly status: DeliveryStatus;
  readonly test: ShortfallState;
  /**
   * Hashes that are to be made up. What comes beyond what is due lowers it, and is not kept for later: a
   * surplus before excuses no silence after.
   */
  readonly missingHashes: bigint;
  /** Height at which a cure ends in default; later by the blocks in which nothing was due meanwhile. */
  readonly cureByHeight: number | undefined;
  /** Height of the newest minute. */
  readonly height: number;
  /** First height at which the miner delivers again after the curtailment it gave notice of. */
  readonly curtailedUntil: number | undefined;
  /** First height of that curtailment. */
  readonly curtailedFrom: number | undefined;
  /** Blocks of notice given so far: by them the contract's end moves. */
  readonly curtailedBlocks: number;
};

export const DELIVERY_START: DeliveryState = {
  status: 'live',
  test: NO_SHORTFALL,
  missingHashes: 0n,
  cureByHeight: undefined,
  height: 0,
  curtailedFrom: undefined,
  curtailedUntil: undefined,
  curtailedBlocks: 0,
};

export type DeliveryEvent =
  /** A whole minute of the contract, in order; who was at fault, where one was. */
  | { readonly type: 'minute'; readonly creditedHashes: bigint; readonly owner: FaultOwner | undefined }
  /** Signed notice that no work comes for so many blocks from a height on. */
  | { readonly type: 'curtailment'; readonly fromHeight: number; readonly blocks: number };

export type DeliveryEffect =
  | { readonly type: 'status_changed'; readonly from: DeliveryStatus; readonly to: DeliveryStatus }
  /** The notice does not count: it comes too late, overlaps another or asks for more than is left. */
  | {
      readonly type: 'curtailment_refused';
      readonly reason: 'not_ahead' | 'overlaps' | 'beyond_allowance';
    };

export type DeliveryStep = {
  readonly state: DeliveryState;
  readonly effects: readonly DeliveryEffect[];
};

/**
 * The course of delivery after an event. Both sides and an auditor reach the same from the same log.
 * @param height of the tip
 */
export function transition(
  options: DeliveryOptions,
  state: DeliveryState,
  event: DeliveryEvent,
  height: number,
): DeliveryStep {
  if (state.status === 'default') return { state, effects: [] };
  switch (event.type) {
    case 'minute':
      return afterMinute(options, state, event, height);
    case 'curtailment':
      return afterNotice(options, state, event, height);
    default:
      return unreachable(event);
  }
}

/** Hashes due in a minute that has this owner, at this height. */
export function dueHashesIn(
  options: DeliveryOptions,
  state: DeliveryState,
  owner: FaultOwner | undefined,
  height: number,
): bigint {
  return isCurtailed(state, height) || !MINERS_OWN.has(owner) ? 0n : options.dueHashes;
}

/** True in the blocks of a notice of curtailment that counts. */
export function isCurtailed(
  { curtailedFrom = Infinity, curtailedUntil = -Infinity }: DeliveryState,
  height: number,
): boolean {
  return height >= curtailedFrom && height < curtailedUntil;
}

function afterMinute(
  options: DeliveryOptions,
  before: DeliveryState,
  { creditedHashes, owner }: Extract<DeliveryEvent, { type: 'minute' }>,
  height: number,
): DeliveryStep {
  const due = dueHashesIn(options, before, owner, height);
  const idleBlocks = due === 0n && before.cureByHeight !== undefined ? height - before.height : 0;
  const state = {
    ...before,
    height: Math.max(height, before.height),
    cureByHeight:
      before.cureByHeight === undefined ? undefined : before.cureByHeight + Math.max(idleBlocks, 0),
    test: withMinute(options.shortfall, before.test, minuteOf(options, due, creditedHashes)),
    missingHashes: missingAfter(options, before.missingHashes, due, creditedHashes),
  };
  return moved(
    before.status,
    state.status === 'cure' ? cured(state, height) : judged(options, state, height),
  );
}

function minuteOf(options: DeliveryOptions, due: bigint, credited: bigint): DeliveryMinute {
  return {
    dueHashes: Number(due),
    creditedHashes: Number(credited),
    shareHashes: Number(options.shareHashes),
  };
}

function missingAfter(options: DeliveryOptions, missing: bigint, due: bigint, credited: bigint): bigint {
  const after = missing + (due * BigInt(1_000_000 - options.tolerancePpm)) / 1_000_000n - credited;
  return after > 0n ? after : 0n;
}

/** Live or suspect by the evidence, or in need of a cure. */
function judged(options: DeliveryOptions, state: DeliveryState, height: number): DeliveryState {
  if (isShort(options.shortfall, state.test))
    return { ...state, status: 'cure', cureByHeight: height + options.cureBlocks };
  const doubt = -Math.log(options.shortfall.alpha) / 2;
  return { ...state, status: reaches(state.test, doubt) ? 'suspect' : 'live' };
}

function cured(state: DeliveryState, height: number): DeliveryState {
  if (state.missingHashes === 0n) {
    const test = withoutEvidence(state.test);
    return { ...state, status: 'live', cureByHeight: undefined, test };
  }
  return height >= (state.cureByHeight ?? 0) ? { ...state, status: 'default' } : state;
}

function moved(from: DeliveryStatus, state: DeliveryState): DeliveryStep {
  const to = state.status;
  return { state, effects: from === to ? [] : [{ type: 'status_changed', from, to }] };
}

function afterNotice(
  options: DeliveryOptions,
  state: DeliveryState,
  { fromHeight, blocks }: Extract<DeliveryEvent, { type: 'curtailment' }>,
  height: number,
): DeliveryStep {
  const refused = (
    reason: Extract<DeliveryEffect, { type: 'curtailment_refused' }>['reason'],
  ): DeliveryStep => ({
    state,
    effects: [{ type: 'curtailment_refused', reason }],
  });
  if (fromHeight <= height || blocks < 1) return refused('not_ahead');
  if (fromHeight < (state.curtailedUntil ?? 0)) return refused('overlaps');
  // A notice that has not begun yet keeps its place: another one would take it.
  if ((state.curtailedFrom ?? 0) > height) return refused('overlaps');
  const curtailedBlocks = state.curtailedBlocks + blocks;
  if (curtailedBlocks > options.curtailmentBlocks) return refused('beyond_allowance');
  const curtailed = { curtailedFrom: fromHeight, curtailedUntil: fromHeight + blocks, curtailedBlocks };
  return { state: { ...state, ...curtailed }, effects: [] };
}
