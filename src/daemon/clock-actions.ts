import type { Action } from '../api/operation.ts';
import { systemClock } from '../base/clock.ts';
import { BlockTimes } from '../chain/block-times.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import type { ChainSource } from '../chain/source.ts';
import { driftOf } from '../contract/block-drift.ts';
import type { ContractUpdates } from '../settlement/contract-updates.ts';

/** The chain that a contract is timed by: part of a `ChainPart`. */
export type TimedChain = {
  readonly chain: Pick<ChainSource, 'tip' | 'header'>;
  readonly chainClock: Pick<ChainClock, 'blockIntervalMs'>;
};

/**
 * `POST /api/v1/contract/clock`: how far the blocks of a contract are from the time that they were meant to
 * take, and where it would stop in that time. What has no duration in blocks, or has not begun, has neither.
 * @param find throws `unknown_channel` where the contract is not served
 */
export function clockActions(
  find: (input: unknown) => { readonly contract: string; readonly updates: ContractUpdates },
  part: TimedChain | undefined,
  clock = systemClock,
): Readonly<Record<string, Action>> {
  const times = part === undefined ? undefined : new BlockTimes(part.chain);
  return {
    'contract/clock': async (input) => {
      const { contract, updates } = find(input);
      const { span, stopHeight } = updates.blockClock;
      const seen = span === undefined ? undefined : await times?.at(span.fromHeight);
      // 0 where blocks come as somebody makes them.
      const meantMs = part?.chainClock.blockIntervalMs ?? 0;
      const reading = { nowMs: clock.nowMs(), height: seen?.tipHeight ?? 0, fromMs: seen?.atMs ?? 0 };
      const isTimed = span !== undefined && seen?.atMs !== undefined && meantMs > 0;
      const drift = isTimed ? driftOf(span, reading, meantMs) : undefined;
      return {
        ...{ contract, height: seen?.tipHeight ?? null, from_height: span?.fromHeight ?? null },
        ...{ duration_blocks: span?.durationBlocks ?? null, stop_height: stopHeight ?? null },
        drift_seconds: drift === undefined ? null : Math.round(drift.driftMs / 1000),
        block_interval_seconds: drift === undefined ? null : Math.round(drift.blockIntervalMs / 1000),
        timed_stop_height: drift?.stopHeight ?? null,
      };
    },
  };
}
