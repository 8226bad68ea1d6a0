import { describe, expect, it } from 'vitest';
import { NETWORKS, type NetworkName, RETARGET_BLOCKS } from '../../src/bitcoin/network.ts';
import { areBitsRight, type BlockFacts, factsOfParent, isLateBlock } from '../../src/chain/block-facts.ts';

const NAMES = Object.keys(NETWORKS) as NetworkName[];
const LEAST = 0x1d00ffff;
const BITS = 0x1705ae3a;
/** Every 2016th block begins a period. */
const FIRST_OF_PERIOD = 450 * RETARGET_BLOCKS;
const ELSE = {
  parentTimeSeconds: undefined,
  minTimeSeconds: undefined,
  feesSat: undefined,
  waitingFeesSat: undefined,
};

describe('what follows from a parent alone', () => {
  it.each(NAMES)('is the height, and nBits but for the first of a period, on %s', (network) => {
    const isRetargeted = network !== 'regtest';
    for (const [height, changes] of [
      [FIRST_OF_PERIOD - 1, false],
      [FIRST_OF_PERIOD, isRetargeted],
      [FIRST_OF_PERIOD + 1, false],
    ] as const) {
      const bits = changes ? undefined : BITS;
      expect(factsOfParent(network, { height: height - 1, bits: BITS })).toEqual({ height, bits, ...ELSE });
    }
  });

  it.each(NAMES)(
    'has no nBits after a block of the least difficulty where late ones have that: %s',
    (network) => {
      const hasRule = network.startsWith('testnet');
      const { bits } = factsOfParent(network, { height: 100, bits: LEAST });
      expect(bits).toBe(hasRule ? undefined : LEAST);
    },
  );
});

describe('a late block', () => {
  it.each(NAMES)('comes more than twenty minutes after its parent, on testnets alone: %s', (network) => {
    const hasRule = network.startsWith('testnet');
    const of = (height: number, parentTimeSeconds?: number) => (timeSeconds: number) =>
      isLateBlock(network, { height, parentTimeSeconds }, timeSeconds);
    expect(of(100, 5_000)(6_200)).toBe(false);
    expect(of(100, 5_000)(6_201)).toBe(hasRule);
    expect(of(FIRST_OF_PERIOD, 5_000)(9_999)).toBe(false);
    expect(of(100)(9_999)).toBe(hasRule ? undefined : false);
    expect(of(FIRST_OF_PERIOD)(9_999)).toBe(false);
  });
});

describe('nBits', () => {
  const facts: BlockFacts = { ...ELSE, height: 100, bits: BITS, parentTimeSeconds: 5_000 };
  const right = (
    changes: Partial<BlockFacts>,
    bits: number,
    time = 5_600,
    network: NetworkName = 'testnet4',
  ) => areBitsRight(network, { ...facts, ...changes }, { bits, time });

  it('are those of the facts in time, and the least of a late block', () => {
    expect(right({}, BITS)).toBe(true);
    expect(right({}, LEAST)).toBe(false);
    expect(right({}, BITS, 6_201)).toBe(false);
    expect(right({}, LEAST, 6_201)).toBe(true);
  });

  it('may be the least where nobody knows whether it is late, else those of the facts', () => {
    const unknown = { parentTimeSeconds: undefined };
    expect(right(unknown, LEAST)).toBe(true);
    expect(right(unknown, BITS)).toBe(true);
    expect(right(unknown, BITS + 1)).toBe(false);
  });

  it('may be any where the facts have none, but of a late block', () => {
    const unknown = { bits: undefined };
    expect(right(unknown, BITS + 1)).toBe(true);
    expect(right(unknown, LEAST)).toBe(true);
    expect(right(unknown, BITS + 1, 6_201)).toBe(false);
  });

  it('are never the least for its time where no such rule is', () => {
    expect(right({}, LEAST, 9_999, 'mainnet')).toBe(false);
    expect(right({ parentTimeSeconds: undefined }, LEAST, 9_999, 'mainnet')).toBe(false);
    expect(right({}, BITS, 9_999, 'mainnet')).toBe(true);
  });
});
