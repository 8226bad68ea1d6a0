import type { DifficultyRequest } from './handshake.ts';
import { startVardiff, type VardiffOptions, type VardiffState, transition as vardiff } from './vardiff.ts';

export type Vardiff = { readonly options: VardiffOptions; readonly state: VardiffState };

/** Who suggests less than this is no ASIC. */
const SMALL_DIFFICULTY = 1;
const HASHES_PER_DIFFICULTY = 2 ** 32;

/**
 * What is known of a machine by its name: a first share comes at once, neither after minutes nor with
 * thousands of others. What the miner asked for itself counts more, and what it was given before.
 */
export function applySpeed({ options, state }: Vardiff, hashesPerSecond: number, nowMs: number): Vardiff {
  const ideal = (hashesPerSecond * 60) / options.sharesPerMinute / HASHES_PER_DIFFICULTY;
  const lowered = ideal < options.floor ? withSmallFloor(options) : options;
  const isNew = state.windowShares + state.foundShares === 0 && !state.isSettled;
  const isFree = !state.isFixed && state.suggested === 0;
  return {
    options: lowered,
    state: isNew && isFree ? startVardiff({ ...lowered, start: ideal }, nowMs) : state,
  };
}

function withSmallFloor(options: VardiffOptions): VardiffOptions {
  const { floor, smallFloor = floor } = options;
  return smallFloor < floor ? { ...options, floor: smallFloor } : options;
}

/** What a miner asked for, within the bounds of its listener. It acts at the next job. */
export function applyRequest(
  { options: given, state }: Vardiff,
  request: DifficultyRequest,
  nowMs: number,
): Vardiff {
  const { rule, difficulty } = request;
  const isSmall = rule !== 'minimum' && difficulty < SMALL_DIFFICULTY;
  const options = isSmall ? withSmallFloor(given) : given;
  if (rule !== 'minimum')
    return { options, state: vardiff(options, state, { type: rule, difficulty }, nowMs).state };
  const floor = Math.min(Math.max(options.floor, difficulty), options.ceiling);
  const raised = { ...options, floor };
  const isBelow = state.difficulty < floor && !state.isFixed;
  return {
    options: raised,
    state: isBelow
      ? { ...startVardiff({ ...raised, start: floor }, nowMs), suggested: state.suggested }
      : state,
  };
}

/** The bounds of a session where those of its listener are others now. */
export function reboundVardiff(
  given: VardiffOptions,
  { asked, before }: { readonly asked: VardiffOptions; readonly before: VardiffOptions },
): VardiffOptions {
  if (asked.floor < before.floor) return withSmallFloor(given);
  if (asked.floor === before.floor) return given;
  return { ...given, floor: Math.min(Math.max(given.floor, asked.floor), given.ceiling) };
}

/** Goes on from the difficulty of an earlier connection, unless the miner fixed one on this. */
export function resumeVardiff({ options, state }: Vardiff, difficulty: number, nowMs: number): Vardiff {
  if (state.isFixed) return { options, state };
  return { options, state: startVardiff({ ...options, start: difficulty }, nowMs) };
}
