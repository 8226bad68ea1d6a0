import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { codecsOf, printParams } from '../../src/peer/messages.ts';
import {
  MAX_PACKED_CHARS,
  packedSharesCodec,
  packRows,
  packWireShares,
  unpackWireShares,
  type WireShare,
} from '../../src/peer/packed-shares.ts';
import { ShareRows } from '../../src/work/share-rows.ts';

const bytesUpTo = (max: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ maxLength: max }).map((value) => Uint8Array.from(value));
const u32 = fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 1, 0x7fff_ffff, 0xffff_ffff));
const difficulty = fc.oneof(
  fc.constantFrom(1, 1024, 65_536, 0.1, Number.MIN_VALUE, Number.MAX_VALUE, 2 ** 53 + 2),
  fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true }),
);
const anyShare: fc.Arbitrary<WireShare> = fc.record({
  jobId: fc.oneof(
    fc.maxSafeNat(),
    fc.constantFrom(0, 127, 128, 2 ** 32, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER),
  ),
  extranonce1: bytesUpTo(8),
  extranonce2: bytesUpTo(8),
  ntime: u32,
  nonce: u32,
  version: u32,
  difficulty,
});

/** As a proxy sends them: few jobs and difficulties, extranonces of one size. */
const anyBatch: fc.Arbitrary<readonly WireShare[]> = fc
  .tuple(
    fc.array(anyShare, { minLength: 1, maxLength: 4 }),
    fc.array(fc.nat(), { minLength: 1, maxLength: 64 }),
  )
  .map(([kinds, picks]) =>
    picks.map((pick, index) => {
      const kind = kinds[pick % kinds.length]!;
      return { ...kind, nonce: (kind.nonce ^ pick) >>> 0, ntime: Math.max(0, kind.ntime - (index % 7)) };
    }),
  );

function unpack(bytes: Uint8Array): string {
  try {
    unpackWireShares(bytes);
    return 'taken';
  } catch (error) {
    return codeOf(error);
  }
}

/** A farm's batch: three jobs, four difficulties, 4 and 4 bytes of extranonces. */
function farmBatch(count: number): WireShare[] {
  return Array.from({ length: count }, (_, index) => ({
    jobId: 2 ** 32 + 7000 + (index % 3),
    extranonce1: Uint8Array.of(0, 0, index % 7, index % 251),
    extranonce2: Uint8Array.of(index % 256, (index >> 8) % 256, 3, 4),
    ntime: 1_700_000_000 + (index % 30),
    nonce: (index * 2_654_435_761) >>> 0,
    version: (0x2000_0000 + (index % 65_536) * 0x2000) >>> 0,
    difficulty: 8192 * 2 ** (index % 4),
  }));
}

describe('packed shares', () => {
  it('come back as they were, whatever they are', () => {
    fc.assert(
      fc.property(fc.oneof(anyBatch, fc.array(anyShare, { minLength: 1, maxLength: 40 })), (shares) => {
        const text = packedSharesCodec.print(ShareRows.of(shares));
        expect(packedSharesCodec.parse(text).shares()).toEqual(shares);
      }),
    );
    const full = Array.from({ length: 1024 }, (_, index) => ({
      jobId: Number.MAX_SAFE_INTEGER - index,
      extranonce1: new Uint8Array(8),
      extranonce2: new Uint8Array(8),
      ...{ ntime: 0xffff_ffff, nonce: index, version: 0, difficulty: 1 },
    }));
    const text = packedSharesCodec.print(ShareRows.of(full)) as string;
    expect(packedSharesCodec.parse(text).shares()).toEqual(full);
    expect(text.length).toBeLessThanOrEqual(MAX_PACKED_CHARS);
  });

  it('have the bytes of the layout', () => {
    const share: WireShare = {
      jobId: 300,
      extranonce1: Uint8Array.of(0xaa, 0xbb),
      extranonce2: Uint8Array.of(0xcc),
      ntime: 0x01020304,
      nonce: 0x11223344,
      version: 0x20000000,
      difficulty: 1,
    };
    const shares = [
      share,
      { ...share, ntime: share.ntime - 1 },
      { ...share, difficulty: 2, ntime: 0 },
      { ...share, ntime: share.ntime + 64 },
    ];
    const hex = [
      '01' + '02',
      'ac02' + '000000000000f03f' + '21' + '04030201',
      'ac02' + '0000000000000040' + '21' + '00000000',
      '04',
      '00' + 'aabb' + 'cc' + '00' + '44332211' + '00000020',
      '00' + 'aabb' + 'cc' + '01' + '44332211' + '00000020',
      '01' + 'aabb' + 'cc' + '00' + '44332211' + '00000020',
      '00' + 'aabb' + 'cc' + '8001' + '44332211' + '00000020',
    ].join('');
    expect(toHex(packWireShares(shares))).toBe(hex);
    expect(unpackWireShares(fromHex(hex))).toEqual(shares);
  });

  it('have one encoding: whatever decodes is what its shares encode to', () => {
    const junk = fc
      .tuple(anyBatch, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }))
      .map(([shares, changes]) => {
        const bytes = Uint8Array.from(packWireShares(shares));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    let taken = 0;
    fc.assert(
      fc.property(fc.oneof(junk, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        let shares: WireShare[];
        try {
          shares = unpackWireShares(bytes);
        } catch (error) {
          expect(codeOf(error)).toBe('protocol');
          return;
        }
        taken += 1;
        expect(toHex(packWireShares(shares))).toBe(toHex(bytes));
      }),
      { numRuns: 2000 },
    );
    expect(taken).toBeGreaterThan(50);
  });

  it('are refused with anything cut off, added or spelled otherwise', () => {
    const bytes = packWireShares(farmBatch(20));
    for (let size = 0; size < bytes.length; size += 1)
      expect(unpack(bytes.slice(0, size))).toBe('protocol');
    expect(unpack(concat(bytes, Uint8Array.of(0)))).toBe('protocol');
    const one = '01' + '000000000000f03f' + '00' + '00000000';
    const share = '00' + '00' + '00000000' + '00000000';
    const cases: Readonly<Record<string, string>> = {
      '0101010000000000f03f': 'ends early',
      [`0201${one}01${share}`]: 'another format',
      [`0100${'01'}${share}`]: 'no context',
      [`0101${one}00`]: 'no share',
      [`018100${one}01${share}`]: 'a long varint',
      [`0101${one.replace('f03f', '0000')}01${share}`]: 'difficulty 0',
      [`0101${one.replace('f03f', 'f07f')}01${share}`]: 'difficulty infinite',
      [`0102${one}${one}02${share}01${share.slice(2)}`]: 'a context twice',
      [`0101${one}01${share.replace(/^0000/, '0002')}`]: 'first share of another ntime',
      [`0101${one}02${share}${share.replace(/^0000/, '0001')}`]: 'ntime below 0',
      [`0101${one}01${share.replace(/^00/, '01')}`]: 'no such context',
      [`0101${one}818001${share}`]: 'too many shares',
    };
    for (const [hex, why] of Object.entries(cases)) expect(unpack(fromHex(hex)), why).toBe('protocol');
    expect(unpack(fromHex(`0101${one}01${share}`))).toBe('taken');
  });

  it.each(['', 'AA', 'AA=', ' ', 'AAA*', 'AB==', 7, null, 'A'.repeat(MAX_PACKED_CHARS + 4)])(
    'are refused as base64 %j',
    (text) => {
      expect(codeOf(thrown(() => packedSharesCodec.parse(text)))).toBe('protocol');
    },
  );
});

function thrown(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe('work.batch', () => {
  const batch = {
    contractId: '11'.repeat(32),
    firstSeq: 5,
    shares: ShareRows.of(farmBatch(2)),
    workTotal: 99n,
  };
  const codec = codecsOf('work.batch').params;

  it('is packed for a peer that agreed to it, and else a list of the old bytes', () => {
    const packed = printParams('work.batch', batch, new Set(['packed_shares']));
    expect(Object.keys(packed as object)).toEqual(['contract_id', 'first_seq', 'packed', 'work_total']);
    expect(codec.parse(packed)).toEqual(batch);
    const listed = printParams('work.batch', batch, new Set(['terms_v3']));
    expect(codec.parse(listed)).toEqual(batch);
    expect(JSON.stringify(listed)).toBe(
      `{"contract_id":"${'11'.repeat(32)}","first_seq":5,"shares":[` +
        '{"job":"100001b58","extranonce1":"00000000","extranonce2":"00000304","ntime":"6553f100",' +
        '"nonce":"00000000","version":"20000000","difficulty":8192},' +
        '{"job":"100001b59","extranonce1":"00000101","extranonce2":"01000304","ntime":"6553f101",' +
        '"nonce":"9e3779b1","version":"20002000","difficulty":16384}],"work_total":"99"}',
    );
  });

  it('has no extranonce of more bytes than a record has room for, packed or not', () => {
    const shares = (size: number): object[] => [
      {
        ...{ job: '1', extranonce1: '', extranonce2: '00'.repeat(size), ntime: '00000000' },
        ...{ nonce: '00000000', version: '00000000', difficulty: 1 },
      },
    ];
    const listed = { ...(printParams('work.batch', batch, new Set()) as object) };
    expect(codec.parse({ ...listed, shares: shares(8) }).shares.extranonce2Size(0)).toBe(8);
    expect(codeOf(thrown(() => codec.parse({ ...listed, shares: shares(9) })))).toBe('protocol');
  });

  it('is refused with both, with none, and with more', () => {
    const packed = printParams('work.batch', batch, new Set(['packed_shares'])) as object;
    const listed = printParams('work.batch', batch, new Set()) as object;
    const { packed: _packed, ...neither } = packed as { packed: string };
    for (const each of [{ ...listed, ...packed }, neither, { ...packed, more: 1 }])
      expect(codeOf(thrown(() => codec.parse(each)))).toBe('protocol');
  });

  it('takes these bytes and this time a share, packed and as a list', () => {
    const full = { ...batch, shares: ShareRows.of(farmBatch(1024)) };
    const measure = (features: ReadonlySet<'packed_shares'>): string => {
      let text = '';
      const startedMs = performance.now();
      for (let round = 0; round < 20; round += 1) {
        text = JSON.stringify(printParams('work.batch', full, features));
        codec.parse(JSON.parse(text));
      }
      const usPerShare = ((performance.now() - startedMs) / 20 / 1024) * 1000;
      return `${(text.length / 1024).toFixed(1)} B/share, ${usPerShare.toFixed(2)} us/share both ways`;
    };
    process.stderr.write(`list: ${measure(new Set())}; packed: ${measure(new Set(['packed_shares']))}\n`);
    expect(packRows(full.shares).length / 1024).toBeLessThan(20);
  });
});
