import { describe, expect, it } from 'vitest';
import { isTxid, isVout, readHex, readRecord } from '../../src/channel/fields.ts';

describe('the fields of what a peer or a file says', () => {
  it('an output index is an integer of 32 bits', () => {
    for (const vout of [0, 1, 2 ** 32 - 1]) expect(isVout(vout), `${vout}`).toBe(true);
    for (const other of [-1, 0.5, 2 ** 32, Number.NaN, '1', null, undefined, 1n])
      expect(isVout(other), `${other}`).toBe(false);
  });

  it('a txid is 64 lower-case hex digits', () => {
    expect(isTxid('ab'.repeat(32))).toBe(true);
    for (const other of ['AB'.repeat(32), 'ab'.repeat(31), 'ab'.repeat(33), 'xy'.repeat(32), 7, undefined])
      expect(isTxid(other), `${other}`).toBe(false);
  });

  it('a record has the fields that it must have, may have the optional ones, and no others', () => {
    const read = (value: unknown) => () => readRecord(value, 'thing', ['a'], ['b']);
    expect(read({ a: 1, b: 2 })()).toEqual({ a: 1, b: 2 });
    expect(read({ a: undefined })()).toEqual({ a: undefined });
    for (const none of [null, [], 'a', 7]) expect(read(none)).toThrow('protocol: thing must be an object');
    expect(read({ b: 2 })).toThrow('protocol: thing lacks a');
    expect(read(Object.create({ a: 1 }))).toThrow('protocol: thing lacks a');
    expect(read({ a: 1, c: 3 })).toThrow('protocol: thing has fields that are not known');
    expect(() => readRecord({ a: 1, b: 2 }, 'thing', ['a'])).toThrow('not known');
  });

  it('hex is of its size, else of at most ten thousand bytes', () => {
    expect(readHex('00ff', 'x', 2)).toEqual(Uint8Array.of(0, 255));
    expect(readHex('', 'x')).toEqual(new Uint8Array(0));
    expect(readHex('ab'.repeat(10_000), 'x')).toHaveLength(10_000);
    expect(() => readHex('ab'.repeat(10_001), 'x')).toThrow('protocol: x must be some bytes of lower-case');
    for (const wrong of ['00', '00FF', '0g11', 'ab0', 7, undefined])
      expect(() => readHex(wrong, 'x', 2)).toThrow('protocol: x must be 2 bytes of lower-case hex');
  });
});
