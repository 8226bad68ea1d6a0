import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PROXY_HEADER_BYTES, parseProxyHeader } from '../../src/downstream/server/proxy-protocol.ts';

const text = (line: string): Uint8Array => Buffer.from(line, 'latin1');
const hex = (digits: string): Uint8Array => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const SIGNATURE = '0d0a0d0a000d0a515549540a';
const IPV4 = 'c0a80001 c0a8000b dc04 01bb';
const IPV6 = '20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb';

describe('version 1', () => {
  const good: readonly [line: string, source: object | undefined][] = [
    ['PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n', { address: '192.168.0.1', port: 56_324 }],
    ['PROXY TCP6 2001:db8:0:0::1 ::2 0 65535\r\n', { address: '2001:db8::1', port: 0 }],
    ['PROXY UNKNOWN\r\n', undefined],
    ['PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n', undefined],
  ];
  it.each(good)('reads %j', (line, source) => {
    const header = { type: 'header', size: line.length };
    const expected = source === undefined ? header : { ...header, source };
    expect(parseProxyHeader(text(line))).toEqual(expected);
    expect(parseProxyHeader(text(`${line}{"id":1}\n`))).toEqual(expected);
  });

  it.each([
    'PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n',
    'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 9\r\n',
    'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n',
    'PROXY  TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    'PROXY TCP4 192.168.0.256 192.168.0.11 56324 443\r\n',
    'PROXY TCP4 ::1 192.168.0.11 56324 443\r\n',
    'PROXY TCP6 192.168.0.1 192.168.0.11 56324 443\r\n',
    'PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n',
    'PROXY TCP4 192.168.0.1 192.168.0.11 056 443\r\n',
    'PROXY UDP4 192.168.0.1 192.168.0.11 56 443\r\n',
    'PROXY \r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    'PROXY UNKNOWN'.padEnd(107, ' '),
    'proxy UNKNOWN\r\n',
    '{"id":1,"method":"mining.subscribe"}\n',
    'GET / HTTP/1.1\r\n',
  ])('refuses %j', (line) => {
    expect(parseProxyHeader(text(line))).toEqual({ type: 'invalid' });
  });
});

describe('version 2', () => {
  const good: readonly [what: string, bytes: string, source: object | undefined][] = [
    ['TCP over IPv4', `${SIGNATURE} 21 11 000c ${IPV4}`, { address: '192.168.0.1', port: 56_324 }],
    ['TCP over IPv6', `${SIGNATURE} 21 21 0024 ${IPV6}`, { address: '2001:db8::1', port: 56_324 }],
    [
      'with extensions',
      `${SIGNATURE} 21 11 0010 ${IPV4} 03000100`,
      { address: '192.168.0.1', port: 56_324 },
    ],
    ['a health check', `${SIGNATURE} 20 00 0000`, undefined],
    ['a health check with addresses', `${SIGNATURE} 20 11 000c ${IPV4}`, undefined],
    ['an unknown protocol', `${SIGNATURE} 21 00 0000`, undefined],
    ['a local socket', `${SIGNATURE} 21 31 00d8 ${'00'.repeat(216)}`, undefined],
  ];
  it.each(good)('reads %s', (_what, bytes, source) => {
    const raw = hex(bytes);
    const header = { type: 'header', size: raw.length };
    expect(parseProxyHeader(raw)).toEqual(source === undefined ? header : { ...header, source });
  });

  it.each([
    ['another version', `${SIGNATURE} 11 11 000c ${IPV4}`],
    ['another command', `${SIGNATURE} 22 11 000c ${IPV4}`],
    ['datagrams', `${SIGNATURE} 21 12 000c ${IPV4}`],
    ['addresses cut off', `${SIGNATURE} 21 11 000b ${IPV4.slice(0, -2)}`],
    ['IPv6 addresses cut off', `${SIGNATURE} 21 21 000c ${IPV4}`],
    ['an endless header', `${SIGNATURE} 21 11 ffff`],
  ])('refuses %s', (_what, bytes) => {
    expect(parseProxyHeader(hex(bytes))).toEqual({ type: 'invalid' });
  });
});

const v1 = fc
  .record({ from: fc.ipV4(), to: fc.ipV4(), port: fc.nat({ max: 65_535 }) })
  .map(({ from, to, port }) => ({
    bytes: text(`PROXY TCP4 ${from} ${to} ${port} 1\r\n`),
    source: { address: from, port },
  }));
const v2 = fc
  .record({ from: fc.uint8Array({ minLength: 4, maxLength: 4 }), port: fc.nat({ max: 65_535 }) })
  .map(({ from, port }) => ({
    bytes: Buffer.concat([
      hex(`${SIGNATURE} 21 11 000c`),
      from,
      Uint8Array.of(1, 2, 3, 4, port >> 8, port & 255, 0, 1),
    ]),
    source: { address: from.join('.'), port },
  }));

describe('any header', () => {
  it('is incomplete until its last byte, and the same whatever follows', () => {
    fc.assert(
      fc.property(fc.oneof(v1, v2), fc.uint8Array({ maxLength: 50 }), ({ bytes, source }, rest) => {
        for (let size = 0; size < bytes.length; size += 1) {
          expect(parseProxyHeader(bytes.subarray(0, size))).toEqual({ type: 'incomplete' });
        }
        const header = { type: 'header', size: bytes.length, source };
        expect(parseProxyHeader(Buffer.concat([bytes, rest]))).toEqual(header);
      }),
    );
  });

  it('is decided within the limit, whatever the bytes', () => {
    const start = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', 'PROXY UNKNOWN').map(text);
    const begun = fc.constantFrom('', SIGNATURE, `${SIGNATURE}2111`, `${SIGNATURE}2000`).map(hex);
    const bytes = fc.uint8Array({
      minLength: MAX_PROXY_HEADER_BYTES,
      maxLength: 2 * MAX_PROXY_HEADER_BYTES,
    });
    fc.assert(
      fc.property(fc.oneof(start, begun), bytes, (begin, rest) => {
        const header = parseProxyHeader(Buffer.concat([begin, rest]));
        expect(header.type).not.toBe('incomplete');
        if (header.type === 'header') expect(header.size).toBeLessThanOrEqual(MAX_PROXY_HEADER_BYTES);
      }),
    );
  });
});
