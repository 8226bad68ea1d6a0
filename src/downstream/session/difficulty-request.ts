import type { DifficultyRequest } from './handshake.ts';
import { startVardiff, type VardiffOptions, type VardiffState, transition as vardiff } from './vardiff.ts';

export type Vardiff = { readonly options: VardiffOptions; readonly state: VardiffState };

/** What a miner asked for, within the bounds of its listener. It acts at the next job. */
export function applyRequest(
  { options, state }: Vardiff,
  request: DifficultyRequest,
  nowMs: number,
): Vardiff {
  const { rule, difficulty } = request;
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

/** Goes on from the difficulty of an earlier connection, unless the miner fixed one on this. */
export function resumeVardiff({ options, state }: Vardiff, difficulty: number, nowMs: number): Vardiff {
  if (state.isFixed) return { options, state };
  return { options, state: startVardiff({ ...options, start: difficulty }, nowMs) };
}
