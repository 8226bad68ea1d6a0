import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { isMadeOf, kernelJobOf } from '../../src/maker/work-match.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { upstreamExtranonce2 } from '../../src/stratum/extranonce.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { madeOf, marked, offer } from './work-fixtures.ts';

const own = { ...offer(1, 1), id: 5, clean: true };
const kernel = createPortableKernel(4);

describe('a job of a miner is made of the maker’s', () => {
  it('as the proxy makes it: bits cleared, zeros before the session id, a later time', () => {
    expect(isMadeOf(own, madeOf(own))).toBe(true);
    expect(isMadeOf(own, madeOf(own, 2, { version: own.version }))).toBe(true);
    expect(isMadeOf(own, madeOf(own, 2, { versionMask: 0 }))).toBe(true);
    expect(isMadeOf(own, madeOf(own, 2, { time: own.time + 60 }))).toBe(true);
    const whole = { coinb1: concat(own.coinb1, own.extranonce1), extranonceSize: 10 };
    expect(isMadeOf(own, madeOf(own, 2, whole))).toBe(true);
  });

  const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
    bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const made = madeOf(own);
  it.each<[string, Partial<JobRecord>]>([
    ['another block', { prevHash: marked(32, 2) }],
    ['the front of the coinbase', { coinb1: flipped(made.coinb1, 0) }],
    ['the extranonce1', { coinb1: flipped(made.coinb1, 61) }],
    ['padding that is not zero', { coinb1: flipped(made.coinb1, 65) }],
    ['padding left out', { coinb1: concat(own.coinb1, own.extranonce1) }],
    ['an extranonce too long', { coinb1: own.coinb1, extranonceSize: 12 }],
    ['the end of the coinbase', { coinb2: flipped(made.coinb2, 39) }],
    ['an output more', { coinb2: concat(made.coinb2, Uint8Array.of(0)) }],
    ['a branch', { branches: [marked(32, 10)] }],
    ['no branch', { branches: [] }],
    ['a branch more', { branches: [...made.branches, marked(32, 1)] }],
    ['bits', { bits: 0x1d00_fffe }],
    ['a version bit that may not be rolled', { version: made.version ^ 1 }],
    ['a mask beyond the pool’s', { versionMask: 0x1fff_f000 }],
    ['an earlier time', { time: own.time - 1 }],
  ])('and not with %s', (_what, change) => {
    expect(isMadeOf(own, madeOf(own, 1, change))).toBe(false);
  });

  it('so that every share of it has the header that the pool will hash', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        fc.nat({ max: 0xffff_ffff }),
        fc.nat({ max: 0xffff }),
        (extranonce, nonce, roll) => {
          const record = madeOf(own);
          const version = (record.version | ((roll << 13) & record.versionMask)) >>> 0;
          const share = { job: 0, ntime: own.time, nonce, version };
          const theirs = { ...share, extranonce: Uint8Array.from(extranonce) };
          const ours = {
            ...share,
            extranonce: upstreamExtranonce2(theirs.extranonce, own.extranonce2Size),
          };
          expect(verifyShares(kernel, [record], [theirs])).toEqual(
            verifyShares(kernel, [kernelJobOf(own)], [ours]),
          );
        },
      ),
      { numRuns: 50 },
    );
  });
});
