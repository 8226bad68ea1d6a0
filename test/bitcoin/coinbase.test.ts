import * as bitcoin from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, toHex } from '../../src/base/bytes.ts';
import { buildCoinbase, coinbaseOutputs, compactSize, heightPush } from '../../src/bitcoin/coinbase.ts';
import { Outcomes } from '../base/outcomes.ts';

const output = fc.record({
  script: fc.uint8Array({ minLength: 0, maxLength: 60 }),
  valueSat: fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n }),
});

describe('coinbase', () => {
  it('parses in bitcoinjs-lib, whatever the extranonce and the outputs', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 3_000_000 }),
        fc.uint8Array({ minLength: 0, maxLength: 32 }),
        fc.array(output, { minLength: 1, maxLength: 300 }),
        (height, extranonce, outputs) => {
          const split = buildCoinbase({
            height,
            extranonceSize: extranonce.length,
            tag: new Uint8Array(8),
            outputs,
          });
          const raw = concat(split.coinb1, extranonce, split.coinb2);
          const parsed = bitcoin.Transaction.fromBuffer(raw);
          expect(parsed.isCoinbase()).toBe(true);
          expect(toHex(parsed.ins[0]!.script)).toBe(
            toHex(concat(heightPush(height), extranonce, new Uint8Array(8))),
          );
          expect(parsed.outs.map((out) => [toHex(out.script), out.value])).toEqual(
            outputs.map((out) => [toHex(out.script), out.valueSat]),
          );
          expect(coinbaseOutputs(raw).map((out) => [toHex(out.script), out.valueSat])).toEqual(
            outputs.map((out) => [toHex(out.script), out.valueSat]),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuses truncated and padded bytes', () => {
    const split = buildCoinbase({
      height: 7,
      extranonceSize: 0,
      tag: new Uint8Array(2),
      outputs: [{ script: Uint8Array.of(0x51), valueSat: 5n }],
    });
    const raw = concat(split.coinb1, split.coinb2);
    for (let size = 0; size < raw.length; size += 1) {
      expect(() => coinbaseOutputs(raw.subarray(0, size))).toThrow('malformed');
    }
    expect(() => coinbaseOutputs(concat(raw, Uint8Array.of(0)))).toThrow('malformed');
  });

  it('any bytes are outputs or a coded error', () => {
    const outputs = [{ script: Uint8Array.of(0x51), valueSat: 5n }];
    const { coinb1, coinb2 } = buildCoinbase({
      height: 7,
      extranonceSize: 0,
      tag: new Uint8Array(2),
      outputs,
    });
    const whole = concat(coinb1, coinb2);
    const changed = fc
      .tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }))
      .map(([at, value]) => whole.with(at, value));
    const seen = new Outcomes('outputs', 'refused');
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), changed), (bytes) => {
        try {
          const parsed = coinbaseOutputs(bytes);
          expect(parsed.every(({ valueSat }) => valueSat >= 0n)).toBe(true);
          seen.saw('outputs');
        } catch (error) {
          expect(error).toHaveProperty('code', 'malformed');
          seen.saw('refused');
        }
      }),
      { numRuns: 1000 },
    );
    seen.expectEach(50);
  });

  it('encodes heights and lengths as Bitcoin does', () => {
    expect(toHex(heightPush(227_836))).toBe('03fc7903');
    expect(toHex(heightPush(128))).toBe('028000');
    expect(toHex(heightPush(16))).toBe('60');
    expect(toHex(compactSize(252))).toBe('fc');
    expect(toHex(compactSize(253))).toBe('fdfd00');
    expect(toHex(compactSize(65_536))).toBe('fe00000100');
  });
});
