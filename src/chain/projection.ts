/**
 * How far the chain must have come by the clock, while no node says so. Pure. Blocks are late by chance: by
 * an hour about twice a week, by two hours once in years.
 */
export type ProjectionOptions = {
  /** Mean time between blocks; 0: nothing is projected. */
  readonly blockIntervalMs: number;
  /** Blocks that may be due without any coming. */
  readonly lateBlocks: number;
};

export const DEFAULT_LATE_BLOCKS = 12;

export type ProjectionState = {
  readonly height: number | undefined;
  /** Monotonic: when the tip was found, as far as is known; one of before the start by its block's date. */
  readonly foundAtMs: number;
  /** Monotonic: when this program last heard of a higher tip. */
  readonly heardAtMs: number;
  readonly isStalled: boolean;
};

export type ProjectionEvent =
  /** @param ageMs by the date of the block and the wall clock; counts only for the first tip of a run */
  | { readonly type: 'tip'; readonly height: number; readonly ageMs: number }
  /** All nodes were asked just now, and what they had to tell was told. */
  | { readonly type: 'asked' };

export type ProjectionEffect =
  | { readonly type: 'stalled'; readonly height: number | undefined; readonly projectedHeight: number }
  | { readonly type: 'advanced'; readonly height: number };

export type ProjectionTransition = {
  readonly state: ProjectionState;
  readonly effects: readonly ProjectionEffect[];
};

/** Before any tip is known. */
export function projectionFrom(nowMs: number): ProjectionState {
  return { height: undefined, foundAtMs: nowMs, heardAtMs: nowMs, isStalled: false };
}

/** @param nowMs monotonic time */
export function transition(
  options: ProjectionOptions,
  state: ProjectionState,
  event: ProjectionEvent,
  nowMs: number,
): ProjectionTransition {
  if (event.type === 'asked') {
    if (state.isStalled || dueBlocks(options, state, nowMs) < options.lateBlocks)
      return { state, effects: [] };
    const projectedHeight = projectedHeightOf(options, state, nowMs) ?? 0;
    const effect = { type: 'stalled', height: state.height, projectedHeight } as const;
    return { state: { ...state, isStalled: true }, effects: [effect] };
  }
  const { height, ageMs } = event;
  const isFirst = state.height === undefined;
  if (!isFirst && height <= state.height!) return { state, effects: [] };
  const foundAtMs = isFirst ? nowMs - Math.max(0, ageMs) : nowMs;
  const next: ProjectionState = { height, foundAtMs, heardAtMs: nowMs, isStalled: false };
  return { state: next, effects: state.isStalled ? [{ type: 'advanced', height }] : [] };
}

/** Blocks that should have come since the tip. */
function dueBlocks(
  { blockIntervalMs }: ProjectionOptions,
  { foundAtMs }: ProjectionState,
  nowMs: number,
): number {
  return blockIntervalMs === 0 ? 0 : Math.max(0, Math.floor((nowMs - foundAtMs) / blockIntervalMs));
}

/** Undefined where no node ever told of a tip. */
export function projectedHeightOf(
  options: ProjectionOptions,
  state: ProjectionState,
  nowMs: number,
): number | undefined {
  return state.height === undefined ? undefined : state.height + dueBlocks(options, state, nowMs);
}

/** No node for so long: then a deadline may come by the clock alone. */
export const SILENT_CLOSE_MS = 6 * 3_600_000;

/** Whether a height is reached by the clock alone: only after hours without a block from any node. */
export function isDueByClock(
  {
    projectedHeight,
    silentMs,
  }: { readonly projectedHeight: number | undefined; readonly silentMs: number },
  height: number,
): boolean {
  return silentMs >= SILENT_CLOSE_MS && projectedHeight !== undefined && projectedHeight >= height;
}
