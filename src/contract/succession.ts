/**
 * When the next contract of a line is opened, and when hashrate moves to it: so early that its channel is
 * deep before the one that runs takes no more. Pure.
 */
export type SuccessionOptions = {
  /** False where the next is opened only when somebody asks for it. */
  readonly renews: boolean;
  /** Blocks from a proposal to a channel that is deep, with some to spare. */
  readonly leadBlocks: number;
  readonly blockIntervalMs: number;
  /** Time from one that came to nothing to the next. */
  readonly retryMs: number;
};

type NextContract = {
  readonly contractId: string;
  readonly isDeep: boolean;
  /** The one before it is closed once this one is deep. */
  readonly takesOver: boolean;
};

export type SuccessionState = {
  /** The contract that is delivered to; undefined before the first. */
  readonly current: string | undefined;
  /** True once `current` takes no more work. */
  readonly isOver: boolean;
  /** Those that follow it, in their order: one that is opened meanwhile, or more after a restart. */
  readonly next: readonly NextContract[];
  /** A proposal is under way. */
  readonly isOpening: boolean;
  /** Monotonic: not before this the next is proposed. */
  readonly notBeforeMs: number;
};

export type SuccessionEvent =
  /** A contract of the line runs, or is opened. */
  | { readonly type: 'added'; readonly contractId: string; readonly takesOver?: boolean }
  /** Somebody asked for the next: see `mayOpen`. */
  | { readonly type: 'asked' }
  /** Work may be delivered to a contract. */
  | { readonly type: 'deep'; readonly contractId: string }
  /** A contract takes no more work, for good. */
  | { readonly type: 'over'; readonly contractId: string }
  /** What was proposed came to nothing. */
  | { readonly type: 'refused' }
  /**
   * What is left of the contract that is delivered to: work, and blocks in which it may be delivered; and
   * the rate at which it is, 0 while not known.
   */
  | {
      readonly type: 'progress';
      readonly remainingHashes: bigint;
      readonly hashesPerSecond: bigint;
      readonly blocksLeft: number;
    };

export type SuccessionEffect =
  /** Propose the next contract. */
  | { readonly type: 'open' }
  /** Deliver to this contract from now on. */
  | { readonly type: 'move'; readonly to: string }
  /** Have this contract, which is delivered to no more, closed by both. */
  | { readonly type: 'close'; readonly contractId: string };

export type SuccessionTransition = {
  readonly state: SuccessionState;
  readonly effects: readonly SuccessionEffect[];
};

/** Before the first contract of a line. */
export const NO_SUCCESSION: SuccessionState = {
  ...{ current: undefined, isOver: false, next: [], isOpening: false },
  notBeforeMs: Number.NEGATIVE_INFINITY,
};

/** One step of a line of contracts. @param nowMs monotonic time */
export function transition(
  options: SuccessionOptions,
  state: SuccessionState,
  event: SuccessionEvent,
  nowMs: number,
): SuccessionTransition {
  const moved = moving(applied(options, state, event, nowMs));
  if (!isDue(options, moved.state, event, nowMs)) return moved;
  const { state: next, effects } = moved;
  return { state: { ...next, isOpening: true }, effects: [...effects, { type: 'open' }] };
}

/** The one contract of the line that hashrate may go to. */
export function delivers(state: SuccessionState, contractId: string): boolean {
  return state.current === contractId;
}

function applied(
  { retryMs }: SuccessionOptions,
  state: SuccessionState,
  event: SuccessionEvent,
  nowMs: number,
): SuccessionState {
  const { current, next } = state;
  switch (event.type) {
    case 'added':
      if (event.contractId === current || isNext(state, event.contractId)) return state;
      if (current === undefined) return { ...state, current: event.contractId, isOpening: false };
      return {
        ...state,
        next: [
          ...next,
          { contractId: event.contractId, isDeep: false, takesOver: event.takesOver ?? false },
        ],
        isOpening: false,
      };
    case 'asked':
      return { ...state, isOpening: true };
    case 'deep':
      return {
        ...state,
        next: next.map((one) => (one.contractId === event.contractId ? { ...one, isDeep: true } : one)),
      };
    case 'over':
      if (event.contractId === current) return { ...state, isOver: true };
      if (!isNext(state, event.contractId)) return state;
      return {
        ...state,
        next: next.filter(({ contractId }) => contractId !== event.contractId),
        notBeforeMs: nowMs + retryMs,
      };
    case 'refused':
      return { ...state, isOpening: false, notBeforeMs: nowMs + retryMs };
    case 'progress':
      return state;
  }
}

function isNext({ next }: SuccessionState, contractId: string): boolean {
  return next.some((one) => one.contractId === contractId);
}

/** A contract that is over, or shall be, is followed at once by one that is deep. */
function moving(state: SuccessionState): SuccessionTransition {
  const { current, isOver } = state;
  const [first, ...next] = state.next;
  if (current === undefined || first?.isDeep !== true || !(isOver || first.takesOver))
    return { state, effects: [] };
  const to = first.contractId;
  const close = isOver ? [] : [{ type: 'close', contractId: current } as const];
  return {
    state: { ...state, current: to, isOver: false, next },
    effects: [{ type: 'move', to }, ...close],
  };
}

/** True while the next contract may be asked for: one at a time. */
export function mayOpen({ current, next, isOpening }: SuccessionState): boolean {
  return current !== undefined && next.length === 0 && !isOpening;
}

function isDue(
  { renews, leadBlocks, blockIntervalMs }: SuccessionOptions,
  state: SuccessionState,
  event: SuccessionEvent,
  nowMs: number,
): boolean {
  if (!renews || !mayOpen(state) || nowMs < state.notBeforeMs) return false;
  if (state.isOver) return true;
  if (event.type !== 'progress') return false;
  const { remainingHashes, hashesPerSecond, blocksLeft } = event;
  const leadMs = BigInt(Math.round(leadBlocks * blockIntervalMs));
  return blocksLeft <= leadBlocks || remainingHashes * 1000n <= hashesPerSecond * leadMs;
}
