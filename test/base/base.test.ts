import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigFromLe, bigToLe, fromHex, isHex, toHex, u32hex } from '../../src/base/bytes.ts';
import { CodedError, codeOf, ERROR_TABLE, rpcNumber, stratumNumber } from '../../src/base/errors.ts';
import { taggedHash } from '../../src/base/hash.ts';
import { canonicalJson } from '../../src/base/json.ts';
import {
  formatGrouped,
  formatSi,
  HASHES_PER_EH,
  owedMsat,
  owedSat,
  parseDecimal,
} from '../../src/base/units.ts';

describe('hex', () => {
  it('survives the round trip', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromHex(toHex(bytes))).toEqual(bytes);
      }),
    );
  });

  it.each(['0', 'zz', '00 ', '0x00', ' 00', '0g'])('%j is refused, not cut', (text) => {
    expect(isHex(text)).toBe(false);
    expect(() => fromHex(text)).toThrow('malformed');
  });

  it('holds an exact size', () => {
    expect(() => fromHex('0011', 4)).toThrow('expected 4 bytes');
  });

  it('writes a u32 in eight digits', () => {
    expect(u32hex(1)).toBe('00000001');
    expect(u32hex(-1)).toBe('ffffffff');
  });
});

describe('little-endian bigints', () => {
  it('survive the round trip', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }), (n) => {
        expect(bigFromLe(bigToLe(n, 32))).toBe(n);
      }),
    );
  });

  it('do not wrap', () => {
    expect(() => bigToLe(256n, 1)).toThrow(RangeError);
    expect(() => bigToLe(-1n, 1)).toThrow(RangeError);
  });
});

describe('pay', () => {
  it('of 1 EH at 485 sat is 485 sat', () => {
    expect(owedSat(HASHES_PER_EH, 485_000n)).toBe(485n);
  });

  it('I8, I56: cumulative pay does not depend on how the work was cut, and rounds down by less than 1 msat', () => {
    const work = fc.bigInt({ min: 0n, max: 10n ** 24n });
    fc.assert(
      fc.property(
        fc.array(work, { maxLength: 20 }),
        fc.bigInt({ min: 1n, max: 10n ** 9n }),
        (parts, price) => {
          const total = parts.reduce((sum, part) => sum + part, 0n);
          const paid = owedMsat(total, price);
          expect(paid * HASHES_PER_EH <= total * price).toBe(true);
          expect((paid + 1n) * HASHES_PER_EH > total * price).toBe(true);
          let running = 0n;
          let last = 0n;
          for (const part of parts) {
            running += part;
            expect(owedMsat(running, price) >= last).toBe(true);
            last = owedMsat(running, price);
          }
          expect(last === paid || parts.length === 0).toBe(true);
        },
      ),
    );
  });
});

describe('decimal strings', () => {
  it.each(['', '01', '-1', '+1', '1.0', '1e3', ' 1', '0x1', 1, null, '9'.repeat(79)])(
    '%j is refused',
    (value) => {
      expect(() => parseDecimal(value, 'amount')).toThrow('protocol');
    },
  );

  it('survive the round trip', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 77n }), (n) => {
        expect(parseDecimal(n.toString(), 'n')).toBe(n);
      }),
    );
  });
});

describe('canonical JSON', () => {
  it('has one spelling whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (record) => {
        const turned = Object.fromEntries(Object.entries(record).reverse());
        const value = record as Parameters<typeof canonicalJson>[0];
        const other = turned as Parameters<typeof canonicalJson>[0];
        expect(canonicalJson(value)).toBe(canonicalJson(other));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(record)));
      }),
    );
  });
});

describe('errors', () => {
  it('carry a code, a hint and numbers for the wire', () => {
    const error = new CodedError('low_difficulty', 'hash above target');
    expect(error.message).toBe('low_difficulty: hash above target');
    expect(codeOf(error)).toBe('low_difficulty');
    expect(stratumNumber('low_difficulty')).toBe(23);
    expect(stratumNumber('chain_rpc')).toBe(20);
    expect(rpcNumber('over_budget')).toBe(-32014);
    expect(codeOf(new Error('x'))).toBe('internal');
  });

  it('each say what to do', () => {
    for (const row of Object.values(ERROR_TABLE)) expect(row.hint.length).toBeGreaterThan(8);
  });
});

describe('display', () => {
  it.each([
    [0, '0 H/s'],
    [999, '999 H/s'],
    [1_230, '1.23 kH/s'],
    [45_600_000_000_000, '45.6 TH/s'],
  ])('%s', (value, text) => expect(formatSi(value, 'H/s')).toBe(text));

  it('groups digits', () => expect(formatGrouped(1_234_567n)).toBe('1\u2009234\u2009567'));
});

describe('tagged hash', () => {
  it('is the one of BIP340: its challenge of an empty message', () => {
    expect(toHex(taggedHash('BIP0340/challenge', new Uint8Array(0)))).toHaveLength(64);
    expect(toHex(taggedHash('TapLeaf', Uint8Array.of(0xc0, 0x01, 0x51)))).not.toBe(
      toHex(taggedHash('TapBranch', Uint8Array.of(0xc0, 0x01, 0x51))),
    );
  });
});
