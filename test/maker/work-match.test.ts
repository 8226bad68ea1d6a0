import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { differenceOf, kernelJobOf } from '../../src/maker/work-match.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { upstreamExtranonce2 } from '../../src/stratum/extranonce.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { madeOf, marked, offer } from './work-fixtures.ts';

const own = { ...offer(1, 1), id: 5, clean: true };
const kernel = createPortableKernel(4);

describe('a job of a miner is made of the maker’s', () => {
  it('as the proxy makes it: bits cleared, zeros before the session id, a later time', () => {
    expect(differenceOf(own, madeOf(own))).toBeUndefined();
    expect(differenceOf(own, madeOf(own, 2, { version: own.version }))).toBeUndefined();
    expect(differenceOf(own, madeOf(own, 2, { versionMask: 0 }))).toBeUndefined();
    expect(differenceOf(own, madeOf(own, 2, { time: own.time + 60 }))).toBeUndefined();
    const whole = { coinb1: concat(own.coinb1, own.extranonce1), extranonceSize: 10 };
    expect(differenceOf(own, madeOf(own, 2, whole))).toBeUndefined();
  });

  const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
    bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const made = madeOf(own);
  it.each<[string, Partial<JobRecord>, string]>([
    ['another block', { prevHash: marked(32, 2) }, 'another block before it'],
    ['the front of the coinbase', { coinb1: flipped(made.coinb1, 0) }, 'another coinbase'],
    ['the extranonce1', { coinb1: flipped(made.coinb1, 61) }, 'another coinbase'],
    ['padding that is not zero', { coinb1: flipped(made.coinb1, 65) }, 'another coinbase'],
    ['padding left out', { coinb1: concat(own.coinb1, own.extranonce1) }, 'another coinbase'],
    ['an extranonce too long', { coinb1: own.coinb1, extranonceSize: 12 }, 'another coinbase'],
    ['the end of the coinbase', { coinb2: flipped(made.coinb2, 39) }, 'another coinbase'],
    ['an output more', { coinb2: concat(made.coinb2, Uint8Array.of(0)) }, 'another coinbase'],
    ['a branch', { branches: [marked(32, 10)] }, 'other merkle branches'],
    ['no branch', { branches: [] }, 'other merkle branches'],
    ['a branch more', { branches: [...made.branches, marked(32, 1)] }, 'other merkle branches'],
    ['bits', { bits: 0x1d00_fffe }, 'other nbits'],
    [
      'a version bit that may not be rolled',
      { version: made.version ^ 1 },
      'version bits that may not be rolled',
    ],
    ['a mask beyond the pool’s', { versionMask: 0x1fff_f000 }, 'version bits that may not be rolled'],
    ['an earlier time', { time: own.time - 1 }, 'an earlier time'],
  ])('and not with %s', (_what, change, said) => {
    expect(differenceOf(own, madeOf(own, 1, change))).toBe(said);
  });

  it.each([0, 1, 2])('and not where one of several branches is another: %d', (place) => {
    const several = { ...own, branches: [marked(32, 1), marked(32, 2), marked(32, 3)] };
    const job = madeOf(several);
    expect(differenceOf(several, job)).toBeUndefined();
    const branches = job.branches.map((each, index) => (index === place ? flipped(each, 31) : each));
    expect(differenceOf(several, { ...job, branches })).toBe('other merkle branches');
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
