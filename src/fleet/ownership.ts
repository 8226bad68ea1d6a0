import { unreachable } from '../base/assert.ts';
import type { Lease } from '../ledger/lease.ts';

export type OwnershipOptions = {
  /** How long a lease holds without being renewed, by the clock of the database. */
  readonly leaseMs: number;
  /** So much earlier its owner takes it for over: his clock may be slower than that of the database. */
  readonly marginMs: number;
  /** From one question to the next while it is owned. */
  readonly renewMs: number;
  /** From one question to the next while it is not, or was not answered. */
  readonly retryMs: number;
};

/** Of a lease of so many milliseconds: clocks may differ in speed by a fifth, three answers may be lost. */
export function ownershipOptions(leaseMs: number): OwnershipOptions {
  return { leaseMs, marginMs: leaseMs / 5, renewMs: leaseMs / 5, retryMs: leaseMs / 5 };
}

/** A lease of this instance. Only while it is fresh nobody else can have it. */
export type Owned = {
  readonly lease: Lease;
  /** By the monotonic clock, from the moment at which it was asked for. */
  readonly freshUntilMs: number;
};

export type OwnershipState = {
  readonly resource: string;
  /** False where it is to be left to others. */
  readonly isWanted: boolean;
  readonly owned: Owned | undefined;
  /** What whoever acts for it was told last; `stopping` until he has stopped. */
  readonly course: 'idle' | 'acting' | 'stopping';
  /** Of the question under way; undefined where there is none. */
  readonly askedAtMs: number | undefined;
  readonly nextAskMs: number;
  /** Who has it, as far as is known. */
  readonly owner: string | undefined;
};

export type OwnershipEvent =
  /** Time may have passed. */
  | { readonly type: 'tick' }
  /** Whether this instance is to own it. */
  | { readonly type: 'wanted'; readonly isWanted: boolean }
  /** Answers to the question under way; `refused` is one to `renew`. */
  | { readonly type: 'taken'; readonly lease: Lease }
  | { readonly type: 'held'; readonly owner: string; readonly leftMs: number }
  | { readonly type: 'renewed' }
  | { readonly type: 'refused' }
  | { readonly type: 'unanswered' }
  /** The database refused a write under this lease: another has taken it. */
  | { readonly type: 'lost'; readonly lease: Lease }
  /** Whoever acted for it has stopped. */
  | { readonly type: 'stopped' };

export type OwnershipEffect =
  | { readonly type: 'take' }
  | { readonly type: 'renew'; readonly lease: Lease }
  | { readonly type: 'give_back'; readonly lease: Lease }
  /** It is owned: bring over what belongs to it, load it and go on. */
  | { readonly type: 'own'; readonly lease: Lease }
  /**
   * Nothing may be signed, sent or broadcast for it: another has it (`lost`), may have it (`late`), or is to
   * have it (`left`). Answered with `stopped`.
   */
  | { readonly type: 'stop'; readonly why: 'lost' | 'late' | 'left' };

export type OwnershipStep = {
  readonly state: OwnershipState;
  readonly effects: readonly OwnershipEffect[];
};

export function ownershipStart(resource: string, nowMs: number): OwnershipState {
  return {
    ...{ resource, isWanted: true, owned: undefined, course: 'idle' },
    ...{ askedAtMs: undefined, nextAskMs: nowMs, owner: undefined },
  };
}

/** The lease, where nobody else can have it now: asked before anything is signed, sent or broadcast. */
export function freshLease({ owned, course }: OwnershipState, nowMs: number): Lease | undefined {
  return course === 'acting' && owned !== undefined && nowMs < owned.freshUntilMs ? owned.lease : undefined;
}

/** When something is due without an answer or a wish; `Infinity` where nothing is. */
export function wakeAtMs({ owned, course, askedAtMs, nextAskMs, isWanted }: OwnershipState): number {
  const lateMs = course === 'acting' && owned !== undefined ? owned.freshUntilMs : Infinity;
  const canAsk = askedAtMs === undefined && (isWanted || owned !== undefined);
  return Math.min(lateMs, canAsk ? nextAskMs : Infinity);
}

/**
 * Whether an instance owns a channel: when it asks, when it may act, when it must have stopped. The database
 * decides by its own clock who has a lease; this is what one instance may believe, by its monotonic one.
 */
export function transition(
  options: OwnershipOptions,
  state: OwnershipState,
  event: OwnershipEvent,
  nowMs: number,
): OwnershipStep {
  const effects: OwnershipEffect[] = [];
  let after = state;
  for (const step of [apply(options, event), stopOrBegin, leave, ask(event)]) {
    const done = step(after, nowMs);
    after = done.state;
    effects.push(...done.effects);
  }
  return { state: after, effects };
}

type Step = (state: OwnershipState, nowMs: number) => OwnershipStep;
const only = (state: OwnershipState): OwnershipStep => ({ state, effects: [] });

const apply =
  (options: OwnershipOptions, event: OwnershipEvent): Step =>
  (state, nowMs) => {
    const { owned } = state;
    const { renewMs, retryMs } = options;
    switch (event.type) {
      case 'tick':
        return only(state);
      case 'wanted':
        return only({ ...state, isWanted: event.isWanted });
      case 'taken': {
        const taken = { lease: event.lease, freshUntilMs: freshUntilMs(options, state, nowMs) };
        return only({ ...answered(state, nowMs + renewMs), owned: taken, owner: undefined });
      }
      case 'renewed': {
        const next = answered(state, nowMs + renewMs);
        // It may be lost meanwhile, by a write that was refused.
        if (owned === undefined) return only(next);
        return only({ ...next, owned: { ...owned, freshUntilMs: freshUntilMs(options, state, nowMs) } });
      }
      case 'held': {
        const waitMs = Math.min(Math.max(event.leftMs, 0) + 1, retryMs);
        return only({ ...answered(state, nowMs + waitMs), owner: event.owner });
      }
      case 'refused':
        return only({ ...answered(state, nowMs + retryMs), owned: undefined });
      case 'unanswered':
        return only(answered(state, nowMs + retryMs));
      case 'lost':
        return only(owned?.lease.token === event.lease.token ? { ...state, owned: undefined } : state);
      case 'stopped':
        return only({ ...state, course: state.course === 'stopping' ? 'idle' : state.course });
      default:
        return unreachable(event);
    }
  };

function answered(state: OwnershipState, nextAskMs: number): OwnershipState {
  return { ...state, askedAtMs: undefined, nextAskMs };
}

/** For so long from when it was asked, whenever the answer came. */
function freshUntilMs(options: OwnershipOptions, { askedAtMs }: OwnershipState, nowMs: number): number {
  return (askedAtMs ?? nowMs - options.leaseMs) + options.leaseMs - options.marginMs;
}

const stopOrBegin: Step = (state, nowMs) => {
  const { owned, course, isWanted } = state;
  const isFresh = owned !== undefined && nowMs < owned.freshUntilMs;
  if (course === 'acting' && !(isFresh && isWanted)) {
    const why = owned === undefined ? 'lost' : isWanted ? 'late' : 'left';
    return { state: { ...state, course: 'stopping' }, effects: [{ type: 'stop', why }] };
  }
  if (course === 'idle' && isFresh && isWanted)
    return { state: { ...state, course: 'acting' }, effects: [{ type: 'own', lease: owned.lease }] };
  return only(state);
};

/** Others may have it as soon as nobody here acts for it. */
const leave: Step = (state) => {
  const { owned, course, isWanted } = state;
  if (isWanted || owned === undefined || course !== 'idle') return only(state);
  return { state: { ...state, owned: undefined }, effects: [{ type: 'give_back', lease: owned.lease }] };
};

const ask =
  (event: OwnershipEvent): Step =>
  (state, nowMs) => {
    const { owned, isWanted, askedAtMs, nextAskMs } = state;
    // An answer that came when it was over already is no reason to wait.
    const isLate = (event.type === 'taken' || event.type === 'renewed') && owned !== undefined;
    const isDue = nowMs >= nextAskMs || (isLate && nowMs >= owned.freshUntilMs);
    if (askedAtMs !== undefined || !isDue || (owned === undefined && !isWanted)) return only(state);
    const asking = { ...state, askedAtMs: nowMs };
    if (owned === undefined) return { state: asking, effects: [{ type: 'take' }] };
    return { state: asking, effects: [{ type: 'renew', lease: owned.lease }] };
  };
