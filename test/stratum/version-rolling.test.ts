import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  bitsWithin,
  commonMask,
  DEFAULT_VERSION_MASK,
  parseVersionMask,
  rollableMask,
  rolledVersion,
  upstreamVersion,
  upstreamVersionBits,
} from '../../src/stratum/version-rolling.ts';
import { u32 } from './arbitraries.ts';

it('replaces the bits of the mask, as BIP310 says', () => {
  expect(rolledVersion(0x20000000, DEFAULT_VERSION_MASK, 0x00c02000)).toBe(0x20c02000);
  expect(rolledVersion(0xffffffff, DEFAULT_VERSION_MASK, 0)).toBe(0xe0001fff);
  expect(bitsWithin(0x1fffe000, DEFAULT_VERSION_MASK)).toBe(true);
  expect(bitsWithin(0x20000000, DEFAULT_VERSION_MASK)).toBe(false);
  expect(bitsWithin(0x80000000, DEFAULT_VERSION_MASK)).toBe(false);
});

it('reads a mask in hex and in decimal, as pools and Braidpool write it', () => {
  expect(parseVersionMask('1fffe000')).toBe(DEFAULT_VERSION_MASK);
  expect(parseVersionMask('0x1FFFE000')).toBe(DEFAULT_VERSION_MASK);
  expect(parseVersionMask('536862720')).toBe(DEFAULT_VERSION_MASK);
  expect(parseVersionMask(536_862_720)).toBe(DEFAULT_VERSION_MASK);
  // As hex these would be bits that nobody rolls.
  expect(parseVersionMask('8192')).toBe(0x2000);
  expect(parseVersionMask('33546240')).toBe(0x01ffe000);
  expect(parseVersionMask('e000')).toBe(0xe000);
  expect(parseVersionMask('00002000')).toBe(0x2000);
  expect(parseVersionMask('00000000')).toBe(0);
  // AntPool has granted more than anybody asks for.
  expect(parseVersionMask('5fffe000')).toBe(0x5fffe000);
  for (const wrong of [
    '',
    'x',
    '1fffe0000',
    '-1',
    '99999999999',
    ' 8192',
    null,
    true,
    {},
    -1,
    0.5,
    2 ** 32,
  ])
    expect(parseVersionMask(wrong), String(wrong)).toBeUndefined();
});

it('reads every mask that can be granted in eight hex digits, and in decimal of any other length', () => {
  fc.assert(
    fc.property(u32, (bits) => {
      const mask = (bits & DEFAULT_VERSION_MASK) >>> 0;
      expect(parseVersionMask(mask.toString(16).padStart(8, '0'))).toBe(mask);
      expect(parseVersionMask(mask)).toBe(mask);
      if (String(mask).length !== 8) expect(parseVersionMask(String(mask))).toBe(mask);
    }),
    { numRuns: 2_000 },
  );
});

it('keeps to what everyone allows', () => {
  expect(commonMask(0x1fffe000, 0xffffffff, 0x5fffe000)).toBe(0x1fffe000);
  expect(commonMask(0xffffffff, 0xffffffff)).toBe(0xffffffff);
  expect(commonMask(0x1fffe000, 0)).toBe(0);
});

it('all readings coincide downstream, and each upstream arrives at the version that was hashed', () => {
  fc.assert(
    fc.property(
      u32,
      u32,
      u32,
      fc.constantFrom('replace' as const, 'xor' as const, 'or' as const),
      (jobVersion, mask, rolled, reading) => {
        const offered = rollableMask(reading, jobVersion, mask);
        const sentVersion = (jobVersion & ~offered) >>> 0;
        const bits = (rolled & offered) >>> 0;
        const hashed = rolledVersion(sentVersion, offered, bits);
        expect((sentVersion | bits) >>> 0).toBe(hashed);
        expect((sentVersion ^ bits) >>> 0).toBe(hashed);
        const sixth = upstreamVersionBits(reading, jobVersion, offered, hashed);
        expect(bitsWithin(sixth, offered)).toBe(true);
        expect(upstreamVersion(reading, jobVersion, offered, sixth)).toBe(hashed);
      },
    ),
  );
});
