import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { hashValue144, VALUE_BLOCKS } from '../../src/contract/hash-value.ts';
import { volatilityOf } from '../../src/contract/quote-price.ts';
import { HashValues } from '../../src/settlement/hash-values.ts';
import { recorder } from '../chain/log-recorder.ts';

const EASY = 0x1d00ffff;
const HARD = 0x1c00ffff;
/** Days that the volatility is of, and the one that a value is of. */
const BLOCKS_READ = 8 * VALUE_BLOCKS;

type Block = {
  readonly hash: string;
  readonly previousHash: string;
  readonly bits: number;
  rewardSat: bigint;
};

/** A chain of the test, and what a node was asked for of it. */
function chained(hasFees = true) {
  const blocks: Block[] = [];
  const asked: string[] = [];
  const unknown = new Set<string>();
  const byHash = (hash: string): Block => blocks.find((each) => each.hash === hash)!;
  const mine = (count: number, branch = '', bits = EASY): void => {
    for (let left = count; left > 0; left -= 1) {
      const height = blocks.length;
      const previousHash = blocks.at(-1)?.hash ?? 'nothing';
      blocks.push({ hash: `${branch}${height}`, previousHash, bits, rewardSat: BigInt(1_000 + height) });
    }
  };
  const source = {
    header: async (hash: string) => {
      asked.push(`header ${hash}`);
      return unknown.has(hash) ? undefined : byHash(hash);
    },
    ...(hasFees
      ? {
          blockRewardSat: async (hash: string) => {
            asked.push(`reward ${hash}`);
            return byHash(hash).rewardSat;
          },
        }
      : {}),
  } as unknown as ChainSource;
  const { log, lines } = recorder();
  const values = new HashValues({ chain: source, log });
  const read = async (height = blocks.length): Promise<string[]> => {
    asked.length = 0;
    await values.read({ height: blocks.length - 1, hash: blocks.at(-1)!.hash } as never, height);
    return [...asked];
  };
  /** By the blocks as they are now. */
  const valueAt = (height: number): bigint | undefined =>
    hashValue144(blocks.slice(height - VALUE_BLOCKS, height));
  return { blocks, mine, values, read, valueAt, unknown, lines };
}

describe('the value of hashes', () => {
  it('is that of the blocks before its height, and of none that is not known', async () => {
    const { mine, values, read, valueAt } = chained();
    mine(400);
    expect(values.at(400)).toBe(undefined);
    await read();
    for (const height of [400, 300, VALUE_BLOCKS]) expect(values.at(height)).toBe(valueAt(height));
    expect([values.at(401), values.at(VALUE_BLOCKS - 1), values.at(0)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(values.at(400)).not.toBe(values.at(300));
  });

  it('asks for each block once: for the next tip, for one more', async () => {
    const { mine, read } = chained();
    mine(BLOCKS_READ + 100);
    expect(await read()).toHaveLength(2 * BLOCKS_READ);
    mine(1);
    const tip = BLOCKS_READ + 100;
    expect(await read()).toEqual([`header ${tip}`, `reward ${tip}`]);
    expect(await read()).toEqual([]);
  });

  it('asks for the days before where a later height did not need them', async () => {
    const { mine, read } = chained();
    mine(BLOCKS_READ + 200);
    const late = BLOCKS_READ + 200;
    await read(late);
    const more = await read(late - 50);
    expect(more.filter((each) => each.startsWith('reward'))).toHaveLength(50);
  });

  it('is another where others replaced the blocks', async () => {
    const { blocks, mine, values, read, valueAt } = chained();
    mine(400);
    await read();
    const before = [values.at(400), values.at(398)];
    blocks.splice(398);
    mine(3, 'other ', HARD);
    const asked = await read();
    expect(asked.filter((each) => each.startsWith('reward'))).toEqual([
      'reward other 400',
      'reward other 399',
      'reward other 398',
    ]);
    expect([values.at(401), values.at(400)]).toEqual([valueAt(401), valueAt(400)]);
    expect(values.at(400)).not.toBe(before[0]);
    expect(values.at(398)).toBe(before[1]);
  });

  it('is known of no block above a tip that fell', async () => {
    const { blocks, mine, values, read, valueAt } = chained();
    mine(400);
    await read();
    blocks.splice(390);
    mine(2, 'other ');
    await read();
    expect(values.at(392)).toBe(valueAt(392));
    expect(values.at(393)).toBe(undefined);
  });

  it('is not there where the node knows a header less, and is once it knows', async () => {
    const { mine, values, read, valueAt, unknown } = chained();
    mine(300);
    unknown.add('250');
    await read();
    expect(values.at(300)).toBe(undefined);
    unknown.clear();
    await read();
    expect(values.at(300)).toBe(valueAt(300));
  });

  it('is none with a node that tells no fees, which is said', async () => {
    const { mine, values, read, lines } = chained(false);
    mine(300);
    expect(await read()).toEqual([]);
    expect(values.at(300)).toBe(undefined);
    expect(lines.map(([, { code, detail }, message]) => [code, detail, message])).toEqual([
      ['chain_rpc', 'chain_rpc: the node tells no fees', 'no value of hashes yet'],
    ]);
  });

  it('moves by as much as those of the last seven days, as far as they are known', async () => {
    const { mine, values, read, valueAt } = chained();
    mine(4 * VALUE_BLOCKS);
    mine(4 * VALUE_BLOCKS, '', HARD);
    mine(1);
    const tip = BLOCKS_READ + 1;
    await read(tip);
    const heights = Array.from({ length: 8 }, (_, day) => tip - day * VALUE_BLOCKS);
    expect(values.volatilityPpm(tip)).toBe(volatilityOf(heights.map((height) => valueAt(height)!)));
    expect(values.volatilityPpm(tip)).toBeGreaterThan(1_000_000n);
    // Of two days: what was before is not read.
    const early = 2 * VALUE_BLOCKS + 1;
    expect(values.volatilityPpm(early)).toBe(
      volatilityOf([valueAt(early)!, valueAt(early - VALUE_BLOCKS)!]),
    );
  });
});

it('blocks so far below the tip are not kept', async () => {
  const { mine, values, read } = chained();
  mine(VALUE_BLOCKS + 10);
  await read();
  expect(values.at(VALUE_BLOCKS + 5)).not.toBe(undefined);
  mine(LIMITS.valuedBlocks);
  await read(BLOCKS_READ + LIMITS.valuedBlocks);
  expect(values.at(VALUE_BLOCKS + 4)).toBe(undefined);
});
