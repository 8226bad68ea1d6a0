import type { DifficultyRequest } from './handshake.ts';
import {
  fixVardiff,
  startVardiff,
  suggestVardiff,
  type VardiffOptions,
  type VardiffState,
} from './vardiff.ts';

export type Vardiff = { readonly options: VardiffOptions; readonly state: VardiffState };

/** What a miner asked for, within the bounds of its listener. It acts at the next job. */
export function applyRequest(
  { options, state }: Vardiff,
  request: DifficultyRequest,
  monotonicMs: number,
): Vardiff {
  const { rule, difficulty } = request;
  if (rule === 'fixed') return { options, state: fixVardiff(options, difficulty, monotonicMs) };
  if (rule === 'suggested')
    return { options, state: suggestVardiff(options, state, difficulty, monotonicMs) };
  const floor = Math.min(Math.max(options.floor, difficulty), options.ceiling);
  const raised = { ...options, floor };
  const isBelow = state.difficulty < floor && !state.isFixed;
  return {
    options: raised,
    state: isBelow ? startVardiff({ ...raised, start: floor }, monotonicMs) : state,
  };
}

/** Goes on from the difficulty of an earlier connection, unless the miner fixed one on this. */
export function resumeVardiff(
  { options, state }: Vardiff,
  difficulty: number,
  monotonicMs: number,
): Vardiff {
  if (state.isFixed) return { options, state };
  return { options, state: startVardiff({ ...options, start: difficulty }, monotonicMs) };
}
