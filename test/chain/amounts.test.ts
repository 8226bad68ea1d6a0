import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SATS } from '../../src/base/units.ts';
import { amountText, parseExactJson, satsOfBtc } from '../../src/chain/amounts.ts';

describe('amounts', () => {
  it('are read exactly in every spelling a node uses', () => {
    expect(satsOfBtc('0.00000001')).toBe(1n);
    expect(satsOfBtc('1e-8')).toBe(1n);
    expect(satsOfBtc('1.5E-07')).toBe(15n);
    expect(satsOfBtc('3')).toBe(300_000_000n);
    expect(satsOfBtc('0.10000000')).toBe(10_000_000n);
    expect(satsOfBtc('0.100000000')).toBe(10_000_000n);
    expect(satsOfBtc('0.00000010e-1')).toBe(1n);
    expect(satsOfBtc('20999999.97690000')).toBe(2_099_999_997_690_000n);
    expect(satsOfBtc('21000000.00000000')).toBe(MAX_SATS);
    expect(satsOfBtc('2.1e7')).toBe(MAX_SATS);
  });

  it('are refused when negative, finer than a satoshi, too large or not numbers', () => {
    for (const text of ['-1', '0.000000001', '21000000.00000001', '1e9', '', 'NaN', '1,5', '0x10', '1e']) {
      expect(() => satsOfBtc(text), text).toThrow(/chain_rpc/);
    }
    expect(() => satsOfBtc('x'.repeat(99))).toThrow(/not an amount: "x{60}"$/);
    expect(() => amountText(null, 'value')).toThrow(/chain_rpc/);
  });

  it('survive JSON for any number of satoshis', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAX_SATS }), (sats) => {
        const digits = sats.toString().padStart(9, '0');
        const text = `{"value":${digits.slice(0, -8)}.${digits.slice(-8)}}`;
        const { value } = parseExactJson(text) as { value: unknown };
        expect(satsOfBtc(amountText(value, 'value'))).toBe(sats);
      }),
    );
  });

  it('leave plain integers and strings in JSON alone', () => {
    const text = '{"a":12,"b":"1.5","c":[18446744073709551615,-3],"d":null}';
    expect(parseExactJson(text)).toEqual({ a: 12, b: '1.5', c: ['18446744073709551615', -3], d: null });
  });
});
