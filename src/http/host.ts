import { isIP } from 'node:net';

/**
 * True when a request was meant for this server: its `Host` is an address, localhost, or one of `names`. A
 * page of a foreign site whose name was made to resolve to this machine (DNS rebinding) carries that name and
 * is refused.
 */
export function isExpectedHost(header: string | undefined, names: ReadonlySet<string>): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/@]+))(?::\d{1,5})?$/.exec(header ?? '');
  if (match === null) return false;
  if (match[1] !== undefined) return isIP(match[1]) === 6;
  const name = match[2]!.toLowerCase();
  return isIP(name) === 4 || name === 'localhost' || names.has(name);
}

/** True when a browser sent the request from a page of this server, or it did not come from a page at all. */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  return origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
}
