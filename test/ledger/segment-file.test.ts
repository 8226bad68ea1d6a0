import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import type { BlockRow, JournalRow } from '../../src/ledger/journal-row.ts';
import { decodeBlock, encodeBlock } from '../../src/ledger/segment-block.ts';
import {
  SegmentFile,
  type SegmentIndex,
  SegmentWriter,
  segmentName,
} from '../../src/ledger/segment-file.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
const START = new Uint8Array(32).fill(9);
const FOOTER = 4 + 32 + 8;

const row = (seq: number, changes: Partial<JournalRow> = {}): JournalRow => ({
  ...{ seq, atMs: 100 + seq, op: 1, kind: 'share', key: 's', first: seq, count: 1 },
  ...{ hash: new Uint8Array(32).fill(seq % 256), body: Uint8Array.of(seq % 256) },
  ...changes,
});

type Written = { readonly at: string; readonly index: SegmentIndex; readonly digest: Uint8Array };

function write(rows: readonly JournalRow[], evidence: readonly number[] = []): Written {
  const writer = new SegmentWriter(file('segments'), { instance: 'site' });
  for (const each of rows) writer.push(each, evidence.includes(each.seq));
  const { index, digest } = writer.finish(START);
  return { at: path.join(file('segments'), segmentName(index.firstSeq, index.lastSeq)), index, digest };
}

/** Why a segment is refused, to be opened or read. */
function refusal(at: string, digest?: Uint8Array): string {
  let opened: SegmentFile | undefined;
  try {
    opened = new SegmentFile(at, digest);
    for (const number of opened.index.blocks.keys()) opened.block(number);
  } catch (error) {
    expect(error).toBeInstanceOf(CodedError);
    return (error as CodedError).message;
  } finally {
    opened?.close();
  }
  return 'none';
}

describe('a segment', () => {
  it('has its name, its mode, and what was put into it', () => {
    const rows = [
      row(5),
      row(6, { op: 3, kind: 'job', key: 'a', first: 0, count: 0 }),
      row(7, { op: 3, kind: 'job', key: 'b', first: 0, count: 0 }),
      row(8, { first: 6, count: 2, body: new Uint8Array(8) }),
      row(9, { key: 't', first: 40 }),
      row(10, { op: 2, kind: 'terms', key: 'c', first: 0, count: 0 }),
    ];
    const { at, index, digest } = write(rows, [6, 7, 10]);
    expect(path.basename(at)).toBe('0000000000000005-0000000000000010.seg');
    expect(fs.readdirSync(file('segments'))).toEqual([path.basename(at)]);
    expect([file('segments'), at].map((name) => fs.statSync(name).mode & 0o777)).toEqual([0o700, 0o600]);
    expect(index).toEqual({
      ...{ instance: 'site', firstSeq: 5, lastSeq: 10, firstAtMs: 105, lastAtMs: 110 },
      ...{ startHash: '09'.repeat(32), endHash: '0a'.repeat(32) },
      documents: { job: ['a', 'b'], terms: ['c'] },
      blocks: [
        {
          ...{ offset: 8, size: expect.any(Number) as number, firstSeq: 5, rows: 6 },
          sha256: expect.any(String) as string,
          logs: { 'share\0s': [5, 8], 'share\0t': [40, 41] },
        },
      ],
    });
    const bytes = fs.readFileSync(at);
    const [block] = index.blocks;
    expect(block!.sha256).toBe(toHex(sha256(bytes.subarray(8, 8 + block!.size))));
    expect(bytes.subarray(0, 8).toString('latin1')).toBe('SHSTSEG1');
    expect(bytes.subarray(-8).toString('latin1')).toBe('SHSTSEG1');
    expect(toHex(bytes.subarray(-40, -8))).toBe(toHex(digest));
    const opened = new SegmentFile(at, digest);
    expect(opened.index).toEqual(index);
    expect(opened.block(0)).toEqual(
      rows.map((each) => ({ ...each, hash: undefined, body: Buffer.from(each.body) })),
    );
    opened.close();
    expect(() => opened.block(0)).toThrow();
  });

  it('begins a block behind each megabyte of bodies', () => {
    const half = new Uint8Array(512 * 1024);
    const rows = [1, 2, 3, 4, 5].map((seq) => row(seq, { body: half }));
    const { at, index } = write([...rows, row(6, { body: new Uint8Array(2 * half.length) })]);
    expect(index.blocks.map(({ firstSeq, rows: count }) => [firstSeq, count])).toEqual([
      [1, 2],
      [3, 2],
      [5, 2],
    ]);
    expect(index.blocks.map(({ offset }) => offset)).toEqual([
      8,
      8 + index.blocks[0]!.size,
      8 + index.blocks[0]!.size + index.blocks[1]!.size,
    ]);
    const short = write([row(1, { body: half.subarray(1) }), row(2, { body: half }), row(3)]);
    expect(short.index.blocks.map(({ rows: count }) => count)).toEqual([3]);
    const opened = new SegmentFile(at);
    expect(opened.block(2).map(({ seq, body }) => [seq, body.length])).toEqual([
      [5, half.length],
      [6, 2 * half.length],
    ]);
    opened.close();
  });

  it('names as many documents as it has, also where that is longer than a block of a disk', () => {
    const id = (seq: number): string => toHex(sha256(Uint8Array.of(seq >> 8, seq)));
    const rows = Array.from({ length: 2_500 }, (_, at) =>
      row(at + 1, { op: 3, kind: 'job', key: id(at), first: 0, count: 0 }),
    );
    const { at, index, digest } = write(
      rows,
      rows.map(({ seq }) => seq),
    );
    // Digests do not get smaller by being packed.
    expect(fs.statSync(at).size).toBeGreaterThan(2_500 * 32 + 64 * 1024);
    expect(index.documents['job']).toHaveLength(2_500);
    const opened = new SegmentFile(at, digest);
    expect(opened.index).toEqual(index);
    opened.close();
  });

  it('that is abandoned leaves nothing', () => {
    const writer = new SegmentWriter(file('segments'), { instance: 'site' });
    writer.push(row(1), false);
    expect(fs.readdirSync(file('segments'))).toEqual(['next.tmp']);
    writer.abandon();
    expect(fs.readdirSync(file('segments'))).toEqual([]);
  });
});

describe('a segment that is not as it was written', () => {
  it('is refused with what is wrong', () => {
    const { at, index, digest } = write([row(1), row(2), row(3)]);
    const good = fs.readFileSync(at);
    const name = `ledger_corrupt: segment ${path.basename(at)}: `;
    const refused = (bytes: Uint8Array, known?: Uint8Array): string => {
      fs.writeFileSync(at, bytes);
      return refusal(at, known).replace(name, '');
    };
    const changed = (offset: number): Buffer => {
      const bytes = Buffer.from(good);
      bytes[offset < 0 ? bytes.length + offset : offset]! ^= 1;
      return bytes;
    };
    expect(refused(good, digest)).toBe('none');
    expect(refused(good, new Uint8Array(32))).toBe('its index does not match its digest');
    expect(refused(good.subarray(0, FOOTER + 7))).toBe('it is cut short');
    expect(refused(good.subarray(0, FOOTER + 8))).toBe('it is no segment, or cut short');
    expect(refused(changed(0))).toBe('it is no segment, or cut short');
    expect(refused(changed(-1))).toBe('it is no segment, or cut short');
    expect(refused(changed(-9))).toBe('its index does not match its digest');
    expect(refused(changed(-FOOTER - 1))).toBe('its index does not match its digest');
    expect(refused(changed(9))).toBe('rows 1 to 3 do not match their digest');
    const size = good.readUInt32LE(good.length - FOOTER);
    const tooLong = Buffer.from(good);
    tooLong.writeUInt32LE(good.length - FOOTER + 1, good.length - FOOTER);
    expect(refused(tooLong)).toBe('it is no segment, or cut short');
    expect(size).toBe(good.length - FOOTER - 8 - index.blocks[0]!.size);
    fs.rmSync(at);
    expect(refusal(at)).toBe(`${name}it cannot be opened (ENOENT)`);
  });

  /** The same with another index, whose digest is right. */
  function reindexed(at: string, change: (index: Record<string, unknown>) => unknown): void {
    const good = fs.readFileSync(at);
    const end = good.length - FOOTER;
    const packed = good.subarray(end - good.readUInt32LE(end), end);
    const index = JSON.parse(gunzipSync(packed).toString('utf8')) as Record<string, unknown>;
    const again = gzipSync(JSON.stringify(change(index)));
    const size = Buffer.alloc(4);
    size.writeUInt32LE(again.length);
    const head = good.subarray(0, end - packed.length);
    fs.writeFileSync(at, Buffer.concat([head, again, size, sha256(again), good.subarray(-8)]));
  }

  it.each<[string, (index: Record<string, unknown>) => unknown]>([
    ['a list', () => []],
    ['nothing', () => null],
    ['without an end', (index) => ({ ...index, endHash: undefined })],
    ['with half an end', (index) => ({ ...index, endHash: 'ab'.repeat(16) })],
    ['without blocks', (index) => ({ ...index, blocks: {} })],
  ])('has an index that cannot be read: %s', (_, change) => {
    const { at } = write([row(1)]);
    reindexed(at, change);
    expect(refusal(at)).toContain('its index cannot be read');
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['fewer rows than its index says', { rows: 4 }, 'rows 1 to 4 are not whole'],
    ['more rows than its index says', { rows: 2 }, 'rows 1 to 2 are not whole'],
    ['a block beyond its end', { offset: 1e6 }, 'it is cut short'],
    [
      'a block that is not packed',
      { offset: 0, size: 8, sha256: toHex(sha256(Buffer.from('SHSTSEG1'))) },
      'rows 1 to 3 cannot be unpacked',
    ],
  ])('has %s', (_, block, why) => {
    const { at } = write([row(1), row(2), row(3)]);
    reindexed(at, (index) => ({ ...index, blocks: [{ ...(index['blocks'] as object[])[0], ...block }] }));
    expect(refusal(at)).toContain(why);
  });
});

describe('the bytes of a block', () => {
  const log = (count: number, body: Uint8Array): BlockRow => ({
    ...{ atMs: 2 ** 33, op: 1, kind: 'share', key: 's', first: 2 ** 40, count, body },
  });
  const text = (body: string): BlockRow => ({
    ...{ atMs: 1, op: 2, kind: 'k', key: '\u20ac', first: 0, count: 0, body: Buffer.from(body) },
  });
  const bytes = (size: number, from = 0): Uint8Array =>
    Uint8Array.from({ length: size }, (_, at) => (from + at) % 251);

  it('are items by columns where all are of one size of 2 to 4096 bytes', () => {
    const tail = (rows: readonly BlockRow[], size: number): number[] => [
      ...encodeBlock(rows).subarray(-size),
    ];
    expect(tail([log(2, Uint8Array.of(1, 2, 3, 4))], 4)).toEqual([1, 3, 2, 4]);
    expect(tail([log(2, Uint8Array.of(1, 2))], 2)).toEqual([1, 2]);
    expect(tail([log(2, Uint8Array.of(1, 2, 3))], 3)).toEqual([1, 2, 3]);
    expect(tail([text('xy'), log(1, Uint8Array.of(1, 2)), log(1, Uint8Array.of(3, 4))], 6)).toEqual([
      ...[120, 121, 1, 3, 2, 4],
    ]);
    const largest = encodeBlock([log(2, bytes(8192))]);
    expect([largest.at(-8192), largest.at(-8191)]).toEqual([0, 4096 % 251]);
    const larger = encodeBlock([log(2, bytes(8194))]);
    expect([...larger.subarray(-8194)]).toEqual([...bytes(8194)]);
    // Documents are as they are, whatever their length.
    expect(tail([{ ...text('abcd'), count: 2 }], 4)).toEqual([97, 98, 99, 100]);
  });

  it('give back rows of several sizes of items, in their order, and large numbers', () => {
    const rows = [
      log(2, bytes(8)),
      log(4, bytes(8, 50)),
      text(''),
      log(3, bytes(12, 9)),
      log(1, bytes(4, 3)),
      { ...log(0, bytes(5)), first: Number.MAX_SAFE_INTEGER, count: 0 },
      log(2, bytes(2)),
      log(2, new Uint8Array(0)),
    ];
    const back = decodeBlock(encodeBlock(rows));
    expect(back.map((each) => ({ ...each, body: [...each.body] }))).toEqual(
      rows.map((each) => ({ ...each, body: [...each.body] })),
    );
    expect(decodeBlock(encodeBlock([]))).toEqual([]);
  });

  it('are refused wherever they are cut, and where there are more', () => {
    const block = encodeBlock([log(2, bytes(8)), text('abc')]);
    for (let size = 0; size < block.length; size += 1)
      expect(() => decodeBlock(block.subarray(0, size)), String(size)).toThrow(
        'a block of a segment is too short',
      );
    expect(() => decodeBlock(Buffer.concat([block, Buffer.alloc(1)]))).toThrow(
      'a block of a segment is too long',
    );
  });
});
