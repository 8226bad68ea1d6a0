import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { CodedError } from '../../base/errors.ts';

/** As logged and counted: IPv4 out of its IPv6 form, no zone. */
export function plainAddress(remote: string | undefined): string {
  const address = remote?.replace(/%.*$/, '') ?? '';
  const inner = address.replace(/^::ffff:/i, '');
  return isIPv4(inner) ? inner : address;
}

/**
 * Whom an address belongs to, for limits and bans: an IPv4 address stands for itself, an IPv6 address for
 * its /64, of which one customer has all.
 */
export function addressGroup(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const first = groupsOf(head);
  const last = groupsOf(tail ?? '');
  const missing = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...new Array<string>(missing).fill('0'), ...last];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** Without leading zeros; an embedded IPv4 address counts two and is never among the first four. */
function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return ['0', '0'];
    return [Number.parseInt(group, 16).toString(16)];
  });
}

/**
 * Addresses and CIDR ranges (`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`) as one list. Throws
 * `config_invalid`.
 */
export function addressList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits, ...rest] = range.split('/');
    const family = isIP(address);
    const most = family === 6 ? 128 : 32;
    const isNumber = bits === undefined || /^[0-9]{1,3}$/.test(bits);
    if (family === 0 || rest.length > 0 || !isNumber || Number(bits ?? 0) > most) {
      throw new CodedError('config_invalid', `"${range}" is no IP address and no range such as 10.0.0.0/8`);
    }
    list.addSubnet(address, Number(bits ?? most), family === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** @param address as `plainAddress` gives it */
export function isListed(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
