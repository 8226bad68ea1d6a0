import { memo } from '../base/memo.ts';
import { DOUBT_BEADS, mostBeadParts } from '../contract/bead-odds.ts';
import type { BeadOutcome } from '../upstream/bead-watch.ts';

/**
 * The rule of a contract whose shares are bound by statistics: credited work is worth a number of beads, and
 * those that pay us must come about as often. A bead of a reported share that pays another is theft at once.
 */

export type BeadCreditOptions = {
  /** Credit stops where so few beads are less likely than this, parts per billion. */
  readonly stopPpb: number;
  /** Time in ms in which a share that is a bead counts as one that pays us before the node says so. */
  readonly doubtMs: number;
  /** Beads that count so at once. */
  readonly doubtBeads: number;
};

/** The same for everyone: a bead is everywhere in seconds (`BRAIDPOOL.md`, A9), a restart takes a minute. */
export const BEAD_DOUBT = { doubtMs: 60_000, doubtBeads: DOUBT_BEADS } as const;

/** A bead of a reported share that pays another. */
export type StolenBead = { readonly hash: string; readonly paid: string };

export type BeadCreditState = {
  /** The worth of the credited work, in `BEAD_PARTS`. */
  readonly worthParts: bigint;
  /** Beads that pay us. */
  readonly paidBeads: number;
  /** Shares that should be beads and of which the node knows none; only counted. */
  readonly missingBeads: number;
  /** Shares that should be beads and are not found yet: monotonic time in ms by hash as displayed. */
  readonly open: ReadonlyMap<string, number>;
  readonly stolen: StolenBead | undefined;
};

export const NO_BEADS: BeadCreditState = {
  worthParts: 0n,
  paidBeads: 0,
  missingBeads: 0,
  open: new Map(),
  stolen: undefined,
};

export type BeadCreditEvent =
  /** A good share comes to be credited, with its hash as displayed where it should be a bead. */
  | { readonly type: 'share'; readonly parts: bigint; readonly beadHash: string | undefined }
  /** What became of a share that should be a bead. */
  | {
      readonly type: 'outcome';
      readonly hash: string;
      readonly outcome: BeadOutcome;
      readonly paid: string | undefined;
    };

export type BeadCreditEffect =
  | { readonly type: 'credit' }
  | { readonly type: 'refuse'; readonly code: 'share_unbound' | 'share_beads' }
  /** The node is asked for it. */
  | { readonly type: 'watch'; readonly hash: string }
  | { readonly type: 'accuse'; readonly stolen: StolenBead };

export type BeadCreditTransition = {
  readonly state: BeadCreditState;
  readonly effects: readonly BeadCreditEffect[];
};

/** What work may be worth while so many beads pay us, by the rate of error; few counts are asked for. */
const mostPartsOf = memo(64, (stopPpb: number) =>
  memo(1024, (count: number) => mostBeadParts(count, stopPpb)),
);

/** Beads that count as paying us: those that do, and of those in doubt `doubtBeads` at most. */
function countedBeads(
  { doubtMs, doubtBeads }: BeadCreditOptions,
  { paidBeads, open }: BeadCreditState,
  nowMs: number,
): number {
  let inDoubt = 0;
  for (const sinceMs of open.values()) if (nowMs - sinceMs < doubtMs) inDoubt += 1;
  return paidBeads + Math.min(inDoubt, doubtBeads);
}

/** Why nothing is credited now; undefined where all is well. */
export function stopOf(
  options: BeadCreditOptions,
  state: BeadCreditState,
  nowMs: number,
): 'share_unbound' | 'share_beads' | undefined {
  if (state.stolen !== undefined) return 'share_unbound';
  const { worthParts, paidBeads } = state;
  const most = mostPartsOf(options.stopPpb);
  // Most often the paid ones alone are enough.
  if (worthParts <= most(paidBeads)) return undefined;
  return worthParts > most(countedBeads(options, state, nowMs)) ? 'share_beads' : undefined;
}

/**
 * Decides about one share or the outcome of one; pure. A share that is refused changes nothing: once enough
 * beads pay us, credit goes on.
 * @param nowMs monotonic time
 */
export function transition(
  options: BeadCreditOptions,
  state: BeadCreditState,
  event: BeadCreditEvent,
  nowMs: number,
): BeadCreditTransition {
  if (event.type === 'outcome') return withOutcome(state, event);
  const code = stopOf(options, state, nowMs);
  if (code !== undefined) return { state, effects: [{ type: 'refuse', code }] };
  const { parts, beadHash } = event;
  return {
    state: withCredited(state, parts, beadHash, nowMs),
    effects: [
      { type: 'credit' },
      ...(beadHash === undefined ? [] : [{ type: 'watch', hash: beadHash } as const]),
    ],
  };
}

/** The state with a share that is credited, whatever the rule says of it now. */
export function withCredited(
  state: BeadCreditState,
  parts: bigint,
  beadHash: string | undefined,
  nowMs: number,
): BeadCreditState {
  const worthParts = state.worthParts + parts;
  if (beadHash === undefined) return { ...state, worthParts };
  return { ...state, worthParts, open: new Map(state.open).set(beadHash, nowMs) };
}

function withOutcome(
  state: BeadCreditState,
  { hash, outcome, paid = '' }: Extract<BeadCreditEvent, { type: 'outcome' }>,
): BeadCreditTransition {
  if (!state.open.has(hash)) return { state, effects: [] };
  const open = new Map(state.open);
  open.delete(hash);
  const closed = { ...state, open };
  if (outcome === 'confirmed') return { state: { ...closed, paidBeads: state.paidBeads + 1 }, effects: [] };
  if (outcome !== 'wrong_payout')
    return { state: { ...closed, missingBeads: state.missingBeads + 1 }, effects: [] };
  const stolen = { hash, paid };
  return {
    state: { ...closed, stolen: state.stolen ?? stolen },
    effects: state.stolen === undefined ? [{ type: 'accuse', stolen }] : [],
  };
}
