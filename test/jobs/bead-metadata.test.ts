import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import type { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import {
  type BeadMetadata,
  COMMITMENT_PLACEHOLDER,
  commitmentIn,
  commitmentOf,
  commitmentOfJob,
  encodeMetadata,
  metadataAnswer,
  parseMetadata,
} from '../../src/jobs/bead-metadata.ts';
import {
  anyMetadata,
  commitmentScript,
  jobOn,
  metadataTo,
  OWN,
  outputsFor,
} from '../upstream/metadata-samples.ts';

const SCRIPT = `0014${'ab'.repeat(20)}`;

/** As the types of Rust's bitcoin crate are encoded, written down once more with Node's buffers. */
function encodedByHand(metadata: BeadMetadata): Buffer {
  const int = (size: 1 | 2 | 4 | 8, value: number): Buffer => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(BigInt(value));
    return out.subarray(0, size);
  };
  const varint = (value: number): Buffer => {
    if (value < 253) return int(1, value);
    return value < 65_536
      ? Buffer.concat([int(1, 253), int(2, value)])
      : Buffer.concat([int(1, 254), int(4, value)]);
  };
  const hash = (text: string): Buffer => Buffer.from(text, 'hex').reverse();
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([varint(bytes.length), bytes]);
  };
  return Buffer.concat([
    ...[int(8, metadata.transactionIds.length / 32), Buffer.from(metadata.transactionIds)],
    ...[varint(metadata.parents.length), ...metadata.parents.map(hash)],
    ...[int(8, metadata.parentTimestamps.length), ...metadata.parentTimestamps.map((time) => int(4, time))],
    ...[text(metadata.payoutAddress), int(4, metadata.startTimestamp)],
    ...[varint(metadata.commPubKeyHex.length / 2), Buffer.from(metadata.commPubKeyHex, 'hex')],
    ...[int(4, metadata.minTarget), int(4, metadata.weakTarget), text(metadata.minerIp)],
  ]);
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    return (error as CodedError).code;
  }
}

describe('the metadata of a bead', () => {
  it('is encoded byte for byte as written down by hand', () => {
    fc.assert(
      fc.property(anyMetadata, (metadata) => {
        const encoded = encodeMetadata(metadata);
        expect(toHex(encoded)).toBe(encodedByHand(metadata).toString('hex'));
        expect(parseMetadata(encoded)).toEqual(metadata);
      }),
    );
  });

  it('is one known vector', () => {
    const encoded = encodeMetadata(
      metadataTo(SCRIPT, { parents: [], parentTimestamps: [], payoutAddress: 'a.b' }),
    );
    const expected = [
      ...[`0100000000000000${'ab'.repeat(32)}`, '00', '0000000000000000', '03612e62', '01f15365'],
      ...[`21${'02'.repeat(33)}`, 'ffff7f20', 'ffff7f20', '0b3132372e302e302e313a31'],
    ].join('');
    expect(toHex(encoded)).toBe(expected);
    const once = createHash('sha256').update(Buffer.from(expected, 'hex')).digest();
    expect(toHex(commitmentOf(encoded))).toBe(createHash('sha256').update(once).digest('hex'));
  });

  it('has one spelling: other bytes are malformed, or other metadata', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(
          anyMetadata,
          fc.nat(),
          fc.integer({ min: 1, max: 255 }),
          fc.constantFrom('flip', 'cut', 'add'),
        )
        .map(([metadata, at, change, how]) => {
          const encoded = encodeMetadata(metadata);
          if (how === 'cut') return encoded.slice(0, at % encoded.length);
          if (how === 'add') return concat(encoded, Uint8Array.of(change));
          const flipped = Uint8Array.from(encoded);
          flipped[at % flipped.length]! ^= change;
          return flipped;
        }),
    );
    fc.assert(
      fc.property(bytes, (each) => {
        let read: BeadMetadata;
        try {
          read = parseMetadata(each);
        } catch (error) {
          expect((error as CodedError).code).toBe('malformed');
          return;
        }
        expect(encodeMetadata(read)).toEqual(each);
      }),
      { numRuns: 500 },
    );
  });

  it('is refused with a count spelt longer than it need be, too long, or without end', () => {
    const encoded = encodeMetadata(metadataTo(SCRIPT, { parents: [], parentTimestamps: [] }));
    const long = concat(encoded.subarray(0, 40), fromHex('fd0000'), encoded.subarray(41));
    expect(codeOf(() => parseMetadata(long))).toBe('malformed');
    const endless = fromHex(`${'ff'.repeat(8)}00`);
    expect(codeOf(() => parseMetadata(endless))).toBe('malformed');
    expect(codeOf(() => parseMetadata(new Uint8Array(LIMITS.beadMetadataBytes + 1)))).toBe('malformed');
    const parents = Array.from({ length: 1025 }, () => '00'.repeat(32));
    expect(codeOf(() => parseMetadata(encodeMetadata(metadataTo(SCRIPT, { parents }))))).toBe('malformed');
    const room = Math.floor((LIMITS.beadMetadataBytes - 300) / 32);
    const full = metadataTo(SCRIPT, {
      transactionIds: new Uint8Array(room * 32),
    });
    expect(parseMetadata(encodeMetadata(full))).toEqual(full);
  });

  it('of a node is believed by its hash alone', () => {
    const encoded = encodeMetadata(metadataTo(SCRIPT));
    const commitment = commitmentOf(encoded);
    expect(metadataAnswer(commitment, toHex(encoded))).toEqual(encoded);
    expect(codeOf(() => metadataAnswer(commitment, `${toHex(encoded)}00`))).toBe('braidpool_rpc');
    for (const answer of [undefined, 7, {}, 'zz', '', toHex(encoded).slice(1)])
      expect(codeOf(() => metadataAnswer(commitment, answer))).toBe('braidpool_rpc');
  });
});

describe('the commitment of a coinbase', () => {
  const commitment = commitmentOf(encodeMetadata(metadataTo(SCRIPT)));
  const other = { script: commitmentScript(new Uint8Array(32).fill(7), OWN), valueSat: 0n };
  const data: CoinbaseOutput = { script: fromHex(`6a20${'77'.repeat(32)}`), valueSat: 0n };

  it('is in its third output, and in no other', () => {
    const [reward, witness, own] = outputsFor(commitment) as [
      CoinbaseOutput,
      CoinbaseOutput,
      CoinbaseOutput,
    ];
    expect(commitmentIn([reward, witness, own])).toEqual(commitment);
    expect(commitmentIn([reward, witness, own, data])).toEqual(commitment);
    for (const outputs of [
      ...[[], [own], [reward, own], [reward, own, witness], [reward, witness, data, own]],
      ...[
        [reward, witness, own, other],
        [reward, other, own],
        [own, witness, own],
        [reward, witness, data],
      ],
      ...[[reward, witness, { ...own, valueSat: 1n }]],
    ])
      expect(commitmentIn(outputs)).toBeUndefined();
  });

  it('is none where a node has its placeholder', () => {
    expect(commitmentIn(outputsFor(new TextEncoder().encode(COMMITMENT_PLACEHOLDER)))).toBeUndefined();
  });

  it('of a job is there whatever its extranonce, or not at all', () => {
    const { coinb1, coinb2 } = jobOn(metadataTo(SCRIPT));
    const sizes = { extranonce1: new Uint8Array(4), extranonce2Size: 4 };
    expect(commitmentOfJob({ coinb1, coinb2, ...sizes })).toEqual(commitment);
    expect(commitmentOfJob({ coinb1, coinb2: coinb2.subarray(1), ...sizes })).toBeUndefined();
  });
});
