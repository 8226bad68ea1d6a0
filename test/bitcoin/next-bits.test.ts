import { describe, expect, it } from 'vitest';
import { canFollow } from '../../src/bitcoin/next-bits.ts';
import { compactOfTarget, targetOfCompact } from '../../src/bitcoin/target.ts';

const BITS = 0x17034219;
const LEAST = 0x1d00ffff;
const changed = (numerator: bigint, denominator: bigint): number =>
  compactOfTarget((targetOfCompact(BITS) * numerator) / denominator);

describe('the nBits of a next block', () => {
  it('are those of its parent within a period', () => {
    for (const network of ['mainnet', 'testnet', 'testnet4', 'signet', 'regtest'] as const) {
      expect(canFollow(BITS, { height: 100, bits: BITS }, network)).toBe(true);
      expect(canFollow(changed(1n, 2n), { height: 100, bits: BITS }, network)).toBe(false);
    }
  });

  it('change by a factor of four at most with a new one, where difficulty moves at all', () => {
    const last = { height: 2015, bits: BITS };
    expect(canFollow(changed(1n, 2n), last, 'mainnet')).toBe(true);
    expect(canFollow(changed(7n, 2n), last, 'mainnet')).toBe(true);
    expect(canFollow(changed(1n, 5n), last, 'mainnet')).toBe(false);
    expect(canFollow(changed(5n, 1n), last, 'mainnet')).toBe(false);
    expect(canFollow(changed(1n, 2n), last, 'regtest')).toBe(false);
  });

  it('may be the least on testnets, and those of before after such a block', () => {
    expect(canFollow(LEAST, { height: 100, bits: BITS }, 'testnet4')).toBe(true);
    expect(canFollow(BITS, { height: 100, bits: LEAST }, 'testnet')).toBe(true);
    expect(canFollow(LEAST, { height: 100, bits: BITS }, 'mainnet')).toBe(false);
  });
});
