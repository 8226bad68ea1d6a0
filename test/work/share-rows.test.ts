import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { hashRows, type ShareRecord, ShareRows, workOfRows } from '../../src/work/share-rows.ts';
import { sampleJob } from './samples.ts';

const u32 = fc.nat({ max: 0xffff_ffff });
const extranonce = fc.uint8Array({ maxLength: 8 });
const anyShare: fc.Arbitrary<ShareRecord> = fc.record({
  jobId: fc.oneof(fc.nat(3), fc.maxSafeNat()),
  difficulty: fc.constantFrom(2 ** -32, 1, 1.5, 8192),
  extranonce1: extranonce,
  extranonce2: extranonce,
  ...{ ntime: u32, nonce: u32, version: u32 },
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
});
const anyShares = fc.array(anyShare, { maxLength: 40 });

const recordsOf = (rows: ShareRows): ShareRecord[] =>
  Array.from({ length: rows.length }, (_, index) => rows.record(index));

describe('rows of shares', () => {
  it('are what was packed, whichever way they are read', () => {
    fc.assert(
      fc.property(anyShares, (shares) => {
        const rows = ShareRows.read(ShareRows.of(shares).body);
        expect(recordsOf(rows)).toEqual(shares);
        expect(rows.shares()).toEqual(shares.map(({ hash: _hash, ...share }) => share));
        shares.forEach((share, index) => {
          const both = concat(share.extranonce1, share.extranonce2);
          const copied = new Uint8Array(rows.extranonceSize(index));
          rows.copyExtranonce(index, copied);
          expect(copied).toEqual(both);
          expect(rows.hash(index)).toEqual(share.hash);
        });
      }),
    );
  });

  it('are alike where job, difficulty and both sizes are the same', () => {
    fc.assert(
      fc.property(anyShare, anyShare, (one, other) => {
        const keyOf = ({ jobId, difficulty, extranonce1, extranonce2 }: ShareRecord): string =>
          [jobId, difficulty, extranonce1.length, extranonce2.length].join();
        expect(ShareRows.of([one, other]).areAlike(0, 1)).toBe(keyOf(one) === keyOf(other));
        const twin = { ...other, jobId: one.jobId, difficulty: one.difficulty };
        expect(ShareRows.of([one, twin]).areAlike(0, 1)).toBe(keyOf(one) === keyOf(twin));
      }),
    );
  });

  it('are cut, joined and picked as lists are', () => {
    fc.assert(
      fc.property(anyShares, fc.nat(40), fc.nat(40), fc.nat(7), (shares, one, other, bits) => {
        const rows = ShareRows.of(shares);
        const [first, end] = [
          Math.min(one, other, shares.length),
          Math.min(Math.max(one, other), shares.length),
        ];
        const cut = rows.slice(first, end);
        expect(recordsOf(cut)).toEqual(shares.slice(first, end));
        const joined = ShareRows.joined([cut, rows, ShareRows.empty(0)]);
        expect(recordsOf(joined)).toEqual([...shares.slice(first, end), ...shares]);
        const isWanted = (index: number): boolean => ((bits >> (index % 3)) & 1) === 1;
        const picked = rows.filter(isWanted);
        expect(recordsOf(picked)).toEqual(shares.filter((_, index) => isWanted(index)));
      }),
    );
  });

  it('are worth the sum of what each is', () => {
    fc.assert(
      fc.property(anyShares, (shares) => {
        const workOf = (difficulty: number): bigint => shareTargetOf(difficulty).workHashes;
        const sum = shares.reduce((work, { difficulty }) => work + workOf(difficulty), 0n);
        expect(workOfRows(ShareRows.of(shares), workOf)).toBe(sum);
      }),
    );
  });

  it('have the hashes that the shares have, of several jobs, in the order that is asked for', () => {
    const jobs = [sampleJob(1), sampleJob(2, 'own:pool', { extranonceSize: 3 }), sampleJob(3)];
    const sized = fc.record({ share: anyShare, job: fc.nat(2), split: fc.nat(8) });
    const kernel = createKernel(8);
    fc.assert(
      fc.property(fc.array(sized, { maxLength: 30 }), (wanted) => {
        const shares = wanted.map(({ share, job, split }): ShareRecord => {
          const size = jobs[job]!.extranonceSize;
          const all = concat(share.extranonce1, share.extranonce2, new Uint8Array(8)).slice(0, size);
          const at = Math.min(split, size);
          return { ...share, extranonce1: all.slice(0, at), extranonce2: all.slice(at) };
        });
        const inputs = wanted.map(({ job }, index) => {
          const { extranonce1, extranonce2, ...share } = shares[index]!;
          return { ...share, job, extranonce: concat(extranonce1, extranonce2) };
        });
        const order = Uint32Array.from(wanted.keys()).reverse();
        const jobOf = Uint32Array.from(wanted, ({ job }) => job).reverse();
        const hashes = hashRows(kernel, jobs, ShareRows.of(shares), order, jobOf);
        expect(hashes).toEqual(verifyShares(kernel, jobs, inputs.reverse()));
      }),
      { numRuns: 40 },
    );
    const short = ShareRows.of([
      { ...fc.sample(anyShare, 1)[0]!, extranonce1: new Uint8Array(7), extranonce2: new Uint8Array(0) },
    ]);
    expect(() => hashRows(kernel, jobs, short, Uint32Array.of(0), Uint32Array.of(0))).toThrow('share_bad');
  });

  it('have room for eight bytes of each extranonce, and are written for no more', () => {
    const share = { jobId: 1, difficulty: 1, ntime: 0, nonce: 0, version: 0 };
    const [full, long] = [new Uint8Array(8).fill(1), new Uint8Array(9).fill(1)];
    expect(() => ShareRows.of([{ ...share, extranonce1: full, extranonce2: full }])).not.toThrow();
    expect(() => ShareRows.of([{ ...share, extranonce1: long, extranonce2: full }])).toThrow();
    expect(() => ShareRows.of([{ ...share, extranonce1: full, extranonce2: long }])).toThrow();
  });
});
