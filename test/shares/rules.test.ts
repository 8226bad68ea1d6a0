import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigFromLe, bigToLe } from '../../src/base/bytes.ts';
import { MAX_FUTURE_SECONDS, meets, ntimeInWindow, versionInMask } from '../../src/shares/rules.ts';
import { wordsOfTarget } from '../../src/shares/share.ts';
import { rolledVersion } from '../../src/stratum/version-rolling.ts';

const number256 = fc.bigInt({ min: 0n, max: (1n << 256n) - 1n });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

describe('meets', () => {
  it('is hash <= target as 256-bit numbers', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), number256, (hash, target) => {
        expect(meets(hash, 0, wordsOfTarget(target))).toBe(bigFromLe(hash) <= target);
      }),
      { numRuns: 1000 },
    );
  });

  it('holds on both sides of equality in every word, at any offset', () => {
    fc.assert(
      fc.property(number256, fc.nat(255), fc.nat(40), (target, bit, offset) => {
        for (const value of [target, target ^ (1n << BigInt(bit)), target + 1n, target - 1n]) {
          if (value < 0n || value >= 1n << 256n) continue;
          const bytes = new Uint8Array(offset + 33).fill(0xff);
          bytes.set(bigToLe(value, 32), offset);
          expect(meets(bytes, offset, wordsOfTarget(target))).toBe(value <= target);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('ntimeInWindow', () => {
  it('takes the time of the job to two hours from now, and no second more', () => {
    const nowMs = 1_700_000_000_500;
    const nowSeconds = 1_700_000_000;
    const jobTime = nowSeconds - 30;
    expect(ntimeInWindow(jobTime, jobTime, nowMs)).toBe(true);
    expect(ntimeInWindow(jobTime - 1, jobTime, nowMs)).toBe(false);
    expect(ntimeInWindow(nowSeconds + MAX_FUTURE_SECONDS, jobTime, nowMs)).toBe(true);
    expect(ntimeInWindow(nowSeconds + MAX_FUTURE_SECONDS + 1, jobTime, nowMs)).toBe(false);
    expect(ntimeInWindow(0xffffffff, jobTime, nowMs)).toBe(false);
  });
});

describe('versionInMask', () => {
  it('holds when the versions are the same outside the mask', () => {
    fc.assert(
      fc.property(u32, u32, u32, (version, jobVersion, mask) => {
        const outside = ~BigInt(mask) & 0xffffffffn;
        const same = (BigInt(version) & outside) === (BigInt(jobVersion) & outside);
        expect(versionInMask(version, jobVersion, mask)).toBe(same);
        expect(versionInMask(rolledVersion(jobVersion, mask, version), jobVersion, mask)).toBe(true);
      }),
    );
  });
});
