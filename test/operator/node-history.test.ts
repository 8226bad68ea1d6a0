import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { readNodeHistory } from '../../src/operator/node-history.ts';
import { quantile, replayPrices } from '../../src/operator/replay.ts';

const BLOCKS = 144;
const START_SECONDS = Date.UTC(2024, 0, 1) / 1000;
/** Difficulty 1 and 4, whose targets are these. */
const EASY = { bits: 0x1d00ffff, target: 0xffffn << 208n };
const HARD = { bits: 0x1c3fffc0, target: 0x3fffc0n << 200n };

type Block = { readonly bits: number; readonly target: bigint; readonly rewardSat: bigint };

/** A node with these blocks above its first, one each ten minutes. */
function nodeOf(blocks: readonly Block[]) {
  let asked = 0;
  const hashOf = (height: number): string => height.toString(16).padStart(64, '0');
  const chain = {
    tip: async () => ({ height: blocks.length, hash: hashOf(blocks.length), timeSeconds: 0 }),
    header: async (hash: string) => {
      asked += 1;
      const height = Number.parseInt(hash, 16);
      const bits = blocks[height - 1]?.bits ?? EASY.bits;
      const timeSeconds = START_SECONDS + height * 600;
      return { height, hash, previousHash: hashOf(height - 1), timeSeconds, bits, confirmations: 1 };
    },
    blockRewardSat: async (hash: string) => blocks[Number.parseInt(hash, 16) - 1]!.rewardSat,
  } as unknown as ChainSource;
  return { chain, asked: () => asked };
}

/** Eight days; from the fifth on a block is four times as much work, and fees are some more. */
const blocks = Array.from({ length: 8 * BLOCKS }, (_, at): Block => {
  const of = at < 4 * BLOCKS ? EASY : HARD;
  return { ...of, rewardSat: 312_500_000n + BigInt((at * 7919) % 40_000_000) };
});

/** The same by the definition: what is paid in a day for the hashes that its targets stand for. */
function byHand(day: number): bigint {
  const of = blocks.slice(day * BLOCKS, (day + 1) * BLOCKS);
  const sats = of.reduce((sum, { rewardSat }) => sum + rewardSat, 0n);
  const hashes = of.reduce((sum, { target }) => sum + 2n ** 256n / (target + 1n), 0n);
  return (1000n * 10n ** 18n * sats) / hashes;
}

describe('the last days of a chain', () => {
  it('have the value of hashes of their blocks, and what follows for bonds', async () => {
    const { chain, asked } = nodeOf(blocks);
    const read: number[] = [];
    const history = await readNodeHistory(chain, 8, (days) => read.push(days));
    expect(history.map(({ valueMsatPerEh }) => valueMsatPerEh)).toEqual(
      Array.from({ length: 8 }, (_, day) => byHand(day)),
    );
    expect(history.map(({ day }) => day)).toEqual(
      Array.from({ length: 8 }, (_, day) => `2024-01-0${day + 1}`),
    );
    expect(read).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(asked()).toBe(8 * BLOCKS);
    const terms = { days: 2, hashesPerSecond: 10n ** 15n, premiumPpm: 0n };
    const bonds = { collateralPpm: 180_000n, makerBondPpm: 180_000n };
    const contracts = replayPrices(history, { ...terms, ...bonds });
    // Whoever bought on the fourth day at its price could buy at a quarter of it on the next.
    expect(contracts.filter(({ leaves }) => leaves?.side === 'maker').map(({ day }) => day)).toEqual([
      '2024-01-04',
    ]);
    const needed = contracts.map(({ makerBondNeededPpm }) => makerBondNeededPpm);
    const least = 1_000_000 - Number((byHand(4) * 1_000_000n) / byHand(3));
    expect(Math.abs(Number(quantile(needed, 100)) - least)).toBeLessThanOrEqual(1);
  });

  it('are no more than there are, and none where the node tells no fees', async () => {
    const refusal = (task: Promise<unknown>): Promise<string> =>
      task.then(
        () => 'none',
        (error: unknown) => (error instanceof CodedError ? error.code : String(error)),
      );
    const { chain } = nodeOf(blocks);
    expect(await refusal(readNodeHistory(chain, 9))).toBe('bad_history');
    const { blockRewardSat: _fees, ...silent } = chain;
    expect(await refusal(readNodeHistory(silent as ChainSource, 1))).toBe('chain_rpc');
  });
});
