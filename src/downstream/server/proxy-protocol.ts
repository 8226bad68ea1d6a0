import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** What stands at the start of a connection that a load balancer passes on. */
export type ProxyHeader =
  /** A proper prefix of a header: wait for more. */
  | { readonly type: 'incomplete' }
  | { readonly type: 'invalid' }
  | {
      readonly type: 'header';
      /** Bytes of the header; the miner's own follow. */
      readonly size: number;
      /** Absent for the balancer's own connections (health checks) and unknown protocols. */
      readonly source?: { readonly address: string; readonly port: number };
    };

/** The longest header that is read: version 2 may carry extensions of up to 64 KiB, real ones take 100. */
export const MAX_PROXY_HEADER_BYTES = 2048;

const INCOMPLETE: ProxyHeader = { type: 'incomplete' };
const INVALID: ProxyHeader = { type: 'invalid' };

const V1_PREFIX = Buffer.from('PROXY ', 'latin1');
/** Version 1 with the longest addresses, line end included. */
const V1_MAX_BYTES = 107;
const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const V2_FIXED_BYTES = 16;
const V2_IPV4_BYTES = 12;
const V2_IPV6_BYTES = 36;

/** Reads a header of the PROXY protocol, version 1 or 2, at the start of `bytes`. Pure; never throws. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  if (bytes.length === 0) return INCOMPLETE;
  if (startsLike(bytes, V1_PREFIX)) return parseV1(bytes);
  if (startsLike(bytes, V2_SIGNATURE)) return parseV2(bytes);
  return INVALID;
}

/** One is a prefix of the other. */
function startsLike(bytes: Uint8Array, prefix: Uint8Array): boolean {
  const size = Math.min(bytes.length, prefix.length);
  for (let at = 0; at < size; at += 1) if (bytes[at] !== prefix[at]) return false;
  return true;
}

function parseV1(bytes: Uint8Array): ProxyHeader {
  const end = bytes.indexOf(0x0a);
  if (end < 0) return bytes.length < V1_MAX_BYTES ? INCOMPLETE : INVALID;
  if (end >= V1_MAX_BYTES || bytes[end - 1] !== 0x0d) return INVALID;
  const size = end + 1;
  const text = Buffer.from(bytes.subarray(0, end - 1)).toString('latin1');
  const [, family, source, destination, sourcePort, destinationPort, ...rest] = text.split(' ');
  if (family === 'UNKNOWN') return { type: 'header', size };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false;
  if (rest.length > 0 || source === undefined || destination === undefined) return INVALID;
  const port = parsePort(sourcePort);
  const isWhole = port !== undefined && parsePort(destinationPort) !== undefined;
  if (!isWhole || !isAddress(source) || !isAddress(destination)) return INVALID;
  return { type: 'header', size, source: { address: canonical(source), port } };
}

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:0|[1-9][0-9]{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port < 65_536 ? port : undefined;
}

function parseV2(bytes: Uint8Array): ProxyHeader {
  const command = bytes[12];
  const family = bytes[13];
  if (command !== undefined && command !== 0x20 && command !== 0x21) return INVALID;
  if (bytes.length < V2_FIXED_BYTES) return INCOMPLETE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint16(14);
  const size = V2_FIXED_BYTES + length;
  if (size > MAX_PROXY_HEADER_BYTES) return INVALID;
  if (bytes.length < size) return INCOMPLETE;
  if (command === 0x20) return { type: 'header', size };
  if (family === 0x11) return length < V2_IPV4_BYTES ? INVALID : v2Ipv4(view, size);
  if (family === 0x21) return length < V2_IPV6_BYTES ? INVALID : v2Ipv6(view, size);
  return family === 0x00 || family === 0x31 ? { type: 'header', size } : INVALID;
}

function v2Ipv4(view: DataView, size: number): ProxyHeader {
  const parts = [16, 17, 18, 19].map((at) => view.getUint8(at));
  return { type: 'header', size, source: { address: parts.join('.'), port: view.getUint16(24) } };
}

function v2Ipv6(view: DataView, size: number): ProxyHeader {
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(16 + 2 * index).toString(16));
  return {
    type: 'header',
    size,
    source: { address: canonical(groups.join(':')), port: view.getUint16(48) },
  };
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIPv6(address) ? 'ipv6' : 'ipv4' }).address;
}
