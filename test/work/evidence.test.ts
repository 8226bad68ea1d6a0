import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, isHex, toHex, u32hex } from '../../src/base/bytes.ts';
import { swapWords } from '../../src/bitcoin/header.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import {
  jobDocument,
  jobDocumentId,
  jobRecordOf,
  parseJobDocument,
  readJobRecord,
  SHARE_RECORD_SIZE,
  type ShareRecord,
  unpackShares,
} from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { blockVector } from '../vectors.ts';
import { packShare, sampleJob, sampleShare } from './samples.ts';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const room = fc.uint8Array({ maxLength: 8 });
const record: fc.Arbitrary<ShareRecord> = fc.record({
  jobId: fc.maxSafeNat(),
  difficulty: fc.double({ min: 2 ** -20, max: 1e15, noNaN: true }),
  extranonce1: room,
  extranonce2: room,
  ntime: u32,
  nonce: u32,
  version: u32,
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
});

describe('packed shares', () => {
  it('are what was packed', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), (records) => {
        const body = ShareRows.of(records).body;
        expect(body).toHaveLength(records.length * SHARE_RECORD_SIZE);
        expect(unpackShares(body)).toEqual(records);
      }),
    );
  });

  it('carry each field of an accepted share at its place', () => {
    const job = sampleJob(0x1_2345_6789);
    const share = {
      submission: {
        job,
        assigned: shareTargetOf(0.5),
        extranonce: fromHex('a1a2a3a4b1b2b3b4'),
        ntime: 0x01020304,
        nonce: 0xfffefdfc,
        version: 0x20002000,
      },
      hash: Uint8Array.from({ length: 32 }, (_, index) => index),
    };
    expect(toHex(packShare(share, 4))).toBe(
      '8967452301000000000000000000e03fa1a2a3a400000000b1b2b3b400000000' +
        '04030201fcfdfeff0020002004040000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    );
    expect(unpackShares(packShare(share, 0))[0]).toMatchObject({
      jobId: 0x1_2345_6789,
      extranonce1: new Uint8Array(),
      extranonce2: fromHex('a1a2a3a4b1b2b3b4'),
    });
  });

  it('have no extranonce1 where the job of a session alone has it in its coinb1', () => {
    const target = shareTargetOf(1024);
    const job = sampleJob(7, 'own:pool', { extranonceSize: 1, minerExtranonce1Size: 11 });
    const [own] = unpackShares(packShare(sampleShare(job, target, 3), 4));
    expect([own!.extranonce1.length, own!.extranonce2.length]).toEqual([0, 1]);
    expect(own!.extranonce2).toEqual(sampleShare(job, target, 3).submission.extranonce);
    const shared = sampleJob(8, 'own:pool');
    const [other] = unpackShares(packShare(sampleShare(shared, target, 3), 4));
    expect([other!.extranonce1.length, other!.extranonce2.length]).toEqual([4, 4]);
  });

  it('pack the same from a submission and from its record', () => {
    fc.assert(
      fc.property(
        fc.nat(1e6),
        fc.nat(8),
        fc.nat(8),
        fc.constantFrom(1, 0.001, 65536.5),
        (number, s, m, difficulty) => {
          const job = sampleJob(number, 'own:pool', { extranonceSize: s + m });
          const body = packShare(sampleShare(job, shareTargetOf(difficulty), number), s);
          expect(ShareRows.of(unpackShares(body)).body).toEqual(body);
        },
      ),
    );
  });

  it.each([
    ['a byte too many', (body: Uint8Array) => Uint8Array.from([...body, 0])],
    ['a job id above 2^53', (body: Uint8Array) => body.fill(0xff, 7, 8)],
    ['a difficulty of zero', (body: Uint8Array) => body.fill(0, 8, 16)],
    ['a negative difficulty', (body: Uint8Array) => body.fill(0xbf, 15, 16)],
    [
      'an infinite difficulty',
      (body: Uint8Array) => body.fill(0, 8, 14).fill(0xf0, 14, 15).fill(0x7f, 15, 16),
    ],
    ['an extranonce1 of nine bytes', (body: Uint8Array) => body.fill(9, 44, 45)],
    ['an extranonce2 of nine bytes', (body: Uint8Array) => body.fill(9, 45, 46)],
    ['padding behind extranonce1', (body: Uint8Array) => body.fill(1, 23, 24)],
    ['padding behind extranonce2', (body: Uint8Array) => body.fill(1, 28, 29)],
    ['reserved bytes', (body: Uint8Array) => body.fill(1, 47, 48)],
  ])('refuse %s', (_name, damage) => {
    const good = packShare(sampleShare(sampleJob(1), shareTargetOf(1), 1), 4);
    expect(unpackShares(good)).toHaveLength(1);
    expect(() => unpackShares(damage(good))).toThrow('malformed');
  });
});

describe('job documents', () => {
  it('are read as the job they were made of', () => {
    const job = sampleJob(0xbeef, 'c'.repeat(64));
    const { id, wireId, stream, version, versionMask, prevHash, coinb1, coinb2, branches, bits, time } =
      job;
    expect(parseJobDocument(jobDocument(jobRecordOf(job)))).toEqual({
      id,
      wireId,
      stream,
      version,
      versionMask,
      prevHash,
      coinb1,
      coinb2,
      branches,
      bits,
      time,
      extranonceSize: 8,
      upstreamDifficulty: 1024,
    });
    expect(jobDocument(jobRecordOf(sampleJob(0xbeef, 'c'.repeat(64))))).toBe(jobDocument(jobRecordOf(job)));
    expect(jobDocumentId(0xbeef)).toBe('000000000000beef');
  });

  it.each([
    ['job', '01'],
    ['job', 'FF'],
    ['job', 'fffffffffffffff'],
    ['job', 1],
    ['version', '2000000'],
    ['prevhash', '00'],
    ['coinb1', 'xyz'],
    ['coinb2', '00'.repeat(40_000)],
    ['merkle_branches', 'none'],
    ['merkle_branches', ['00']],
    ['merkle_branches', Array<string>(33).fill('00'.repeat(32))],
    ['nbits', null],
    ['ntime', 5],
    ['stream', ''],
    ['version_mask', undefined],
    ['extranonce_size', 17],
    ['extranonce_size', 1.5],
    ['upstream_difficulty', -1],
  ])('refuse %s %j', (key, value) => {
    const good: unknown = JSON.parse(jobDocument(jobRecordOf(sampleJob(1))));
    expect(readJobRecord(good).wireId).toBe('1');
    expect(() => readJobRecord({ ...(good as object), [key]: value })).toThrow('malformed');
  });

  it.each(['', 'null', '[]', '{', '7'])('refuse %j', (text) => {
    expect(() => parseJobDocument(text)).toThrow('malformed');
  });
});

describe('a job of a real block', () => {
  it('is told as its mining.notify', () => {
    const [, prevhash, coinb1, coinb2, branches, version, nbits, ntime] =
      blockVector('block 413567').notify;
    expect(isHex(prevhash, 32)).toBe(true);
    const job = sampleJob(0x413567, 'own:pool', {
      prevHash: swapWords(fromHex(prevhash)),
      coinb1: fromHex(coinb1),
      coinb2: fromHex(coinb2),
      branches: branches.map((branch) => fromHex(branch)),
      version: Number.parseInt(version, 16),
      bits: Number.parseInt(nbits, 16),
      time: Number.parseInt(ntime, 16),
    });
    expect(JSON.parse(jobDocument(jobRecordOf(job)))).toMatchObject({
      job: '413567',
      prevhash,
      coinb1,
      coinb2,
      merkle_branches: branches,
      version,
      nbits,
      ntime,
    });
    expect(u32hex(parseJobDocument(jobDocument(jobRecordOf(job))).bits)).toBe(nbits);
  });
});
