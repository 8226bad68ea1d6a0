import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { checkJob, checkShare, shareRulesOf } from '../../src/settlement/share-rules.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const A = `0014${'aa'.repeat(20)}`;
const B = `0014${'bb'.repeat(20)}`;
const C = `0014${'cc'.repeat(20)}`;

function jobPaying(...outputs: readonly (readonly [string, bigint])[]): JobRecord {
  const { coinb1, coinb2 } = buildCoinbase({
    height: 900_000,
    extranonceSize: 8,
    tag: new Uint8Array(4),
    outputs: outputs.map(([hex, valueSat]) => ({ script: fromHex(hex), valueSat })),
  });
  return { coinb1, coinb2, extranonceSize: 8, versionMask: 0x1fffe000 } as unknown as JobRecord;
}

const payout = (...outputs: readonly (readonly [string, number])[]) =>
  makeTermsV3({
    binding: {
      type: 'payout',
      outputs: outputs.map(([scriptHex, ppm]) => ({ scriptHex, ppm })),
      ...{ minFeesPpm: 0, samplePpm: 0, sampleSeconds: 10 },
    },
  });

describe('a job bound to parts of the reward', () => {
  it('pays each of them at least, to the sat', () => {
    const terms = payout([A, 600_000], [B, 400_000]);
    expect(checkJob(terms, jobPaying([A, 60n], [B, 40n]))).toBeUndefined();
    expect(checkJob(terms, jobPaying([B, 40n], [A, 60n]))).toBeUndefined();
    expect(checkJob(terms, jobPaying([A, 59n], [B, 41n]))).toBe('share_unbound');
    expect(checkJob(terms, jobPaying([A, 61n], [B, 39n]))).toBe('share_unbound');
    expect(checkJob(terms, jobPaying([A, 100n]))).toBe('share_unbound');
    expect(checkJob(terms, jobPaying([B, 100n]))).toBe('share_unbound');
  });

  it('counts several outputs to one script together, and what is paid to others against it', () => {
    const terms = payout([A, 1_000_000]);
    expect(checkJob(terms, jobPaying([A, 30n], [A, 70n]))).toBeUndefined();
    expect(checkJob(terms, jobPaying([A, 99n], [C, 1n]))).toBe('share_unbound');
    const some = payout([A, 500_000]);
    expect(checkJob(some, jobPaying([A, 25n], [C, 50n], [A, 25n]))).toBeUndefined();
    expect(checkJob(some, jobPaying([A, 25n], [C, 51n], [A, 24n]))).toBe('share_unbound');
  });

  it('is bound to nothing where it pays nothing at all', () => {
    expect(checkJob(payout([A, 1_000_000]), jobPaying([A, 0n]))).toBe('share_unbound');
    expect(checkJob(payout([A, 1_000_000]), jobPaying([A, 1n]))).toBeUndefined();
  });

  it('is taken exactly when each part is whole, of any reward', () => {
    const sat = fc.bigInt(0n, 400_000_000n);
    const ppm = fc.integer({ min: 1, max: 999_999 });
    fc.assert(
      fc.property(sat, sat, sat, ppm, (a, b, c, part) => {
        const total = a + b + c;
        const isWhole =
          total > 0n &&
          a * 1_000_000n > total * BigInt(part) - 1_000_000n &&
          b * 1_000_000n > total * BigInt(1_000_000 - part) - 1_000_000n;
        const job = jobPaying([A, a], [B, b], [C, c]);
        expect(checkJob(payout([A, part], [B, 1_000_000 - part]), job)).toBe(
          isWhole ? undefined : 'share_unbound',
        );
      }),
    );
  });
});

describe('the script of a coinbase', () => {
  /** A coinbase whose script has so many bytes, the last eight of them the extranonce. */
  function jobOfScript(size: number, said = size): JobRecord {
    const job = jobPaying([A, 1n]);
    const head = Uint8Array.from(job.coinb1.subarray(0, 42));
    head[41] = said;
    const coinb1 = Uint8Array.of(...head, ...new Array<number>(size - 8).fill(1));
    const scriptSize = job.coinb1[41]!;
    const coinb2 = job.coinb2.subarray(42 + scriptSize - job.coinb1.length - 8);
    return { ...job, coinb1, coinb2 };
  }
  const terms = makeTermsV3({ binding: { type: 'none' } });

  it('has up to a hundred bytes, and the extranonce within', () => {
    expect(checkJob(terms, jobOfScript(60))).toBeUndefined();
    expect(checkJob(terms, jobOfScript(100))).toBeUndefined();
    expect(checkJob(terms, jobOfScript(101))).toBe('share_bad');
    expect(checkJob(terms, jobOfScript(60, 59))).toBe('share_bad');
  });

  it('may begin with the extranonce, and not before', () => {
    expect(checkJob(terms, jobOfScript(8))).toBeUndefined();
    const job = jobOfScript(8);
    const early = {
      ...job,
      coinb1: job.coinb1.subarray(0, 41),
      coinb2: Uint8Array.of(0, ...job.coinb2),
    };
    expect(checkJob(terms, early)).toBe('share_bad');
  });
});

describe('the target of a share', () => {
  const share = {
    extranonce1: new Uint8Array(4),
    extranonce2: new Uint8Array(4),
    ...{ version: 0x20000000, ntime: 1000, nonce: 0, difficulty: 1, jobId: 1 },
  };
  const job = { extranonceSize: 8, version: 0x20000000, versionMask: 0, time: 1000 } as JobRecord;

  it('is within the range of the rules, both ends included', () => {
    const rules = { ...shareRulesOf(makeTermsV3(), false), minTarget: 100n, maxTarget: 200n };
    const said = (target: bigint, fixedTarget = false): unknown =>
      checkShare({ ...rules, fixedTarget }, job, ShareRows.of([share]), 0, target, 1_000_000);
    expect([99n, 100n, 150n, 200n, 201n].map((target) => said(target))).toEqual([
      ...['share_low', undefined, undefined, undefined, 'share_low'],
    ]);
    expect([150n, 199n, 200n].map((target) => said(target, true))).toEqual([
      ...['share_low', 'share_low', undefined],
    ]);
  });

  it('is looked at for a share that fits its job alone: its extranonce, its bits, its time', () => {
    const rules = shareRulesOf(makeTermsV3(), false);
    const said = (changes: object, of: object = {}): unknown =>
      checkShare(
        rules,
        { ...job, ...of },
        ShareRows.of([{ ...share, ...changes }]),
        0,
        rules.maxTarget,
        1_000_000,
      );
    expect(said({})).toBeUndefined();
    expect(said({ extranonce2: new Uint8Array(5) })).toBe('share_bad');
    expect(said({ version: 0x20002000 })).toBe('share_bad');
    expect(said({ version: 0x20002000 }, { versionMask: 0x2000 })).toBeUndefined();
    expect(said({ version: 0x20006000 }, { versionMask: 0x2000 })).toBe('share_bad');
    expect(said({ ntime: 999 })).toBe('bad_ntime');
  });
});
