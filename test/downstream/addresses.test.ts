import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressGroup,
  addressList,
  isListed,
  plainAddress,
} from '../../src/downstream/server/addresses.ts';

describe('addresses', () => {
  it('lose their IPv6 form and their zone', () => {
    expect(plainAddress('::ffff:10.0.0.1')).toBe('10.0.0.1');
    expect(plainAddress('fe80::1%eth0')).toBe('fe80::1');
    expect(plainAddress('2001:db8::1')).toBe('2001:db8::1');
    expect(plainAddress(undefined)).toBe('');
  });

  it('of one /64 are one customer', () => {
    for (const [address, group] of [
      ['10.0.0.1', '10.0.0.1'],
      ['2001:db8::1', '2001:db8:0:0::/64'],
      ['2001:db8:0:0:ffff::', '2001:db8:0:0::/64'],
      ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
      ['2001:db8:1:2::', '2001:db8:1:2::/64'],
      ['::1', '0:0:0:0::/64'],
      ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
      ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4::/64'],
      ['', ''],
    ] as const) {
      expect(addressGroup(address)).toBe(group);
    }
  });

  it('of IPv6 are grouped by their first 64 bits, whatever the spelling', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const long = new URL(`http://[${address}]/`).hostname.slice(1, -1);
        expect(addressGroup(long)).toBe(addressGroup(address));
      }),
    );
  });

  it('are found in lists of ranges', () => {
    const list = addressList(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1']);
    const listed = ['10.255.0.1', '192.0.2.7', '2001:db8:ffff::1', '::1'];
    const others = ['11.0.0.1', '192.0.2.8', '2001:db9::1', '::2', '', 'nonsense'];
    expect(listed.filter((address) => isListed(list, address))).toEqual(listed);
    expect(others.filter((address) => isListed(list, address))).toEqual([]);
  });

  it.each([
    '10.0.0.0/33',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8/9',
    '10.0.0.0/',
    'example.com',
    '',
    '1.2.3.4/-1',
  ])('are no range: %j', (range) => {
    expect(() => addressList([range])).toThrow(/config_invalid/);
  });
});
