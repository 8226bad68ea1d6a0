import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import {
  parseConfigureResult,
  parseServerLine,
  parseSubscribeResult,
  printError,
  printNotify,
  printServerMessage,
  type ServerMessage,
} from '../../src/stratum/server-messages.ts';
import { prevHashes } from '../vectors.ts';
import { bytes32, difficulty, rawId, u32 } from './arbitraries.ts';

const message: fc.Arbitrary<Exclude<ServerMessage, { kind: 'malformed' }>> = fc.oneof(
  fc.record({
    kind: fc.constant('notify' as const),
    jobId: fc.string(),
    prevHash: bytes32,
    coinb1: fc.uint8Array({ maxLength: 200 }),
    coinb2: fc.uint8Array({ maxLength: 200 }),
    branches: fc.array(bytes32, { maxLength: 14 }),
    version: u32,
    bits: u32,
    time: u32,
    clean: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('set_difficulty' as const), difficulty }),
  fc.record({
    kind: fc.constant('set_extranonce' as const),
    extranonce1: fc.uint8Array({ maxLength: 32 }),
    extranonce2Size: fc.nat({ max: 32 }),
  }),
  fc.record({ kind: fc.constant('set_version_mask' as const), mask: u32 }),
  fc.record({
    kind: fc.constant('show_message' as const),
    text: fc.string({ unit: 'grapheme', maxLength: 99 }),
  }),
  fc.record({
    kind: fc.constant('reconnect' as const),
    host: fc.constantFrom('pool.example', '10.0.0.1'),
    port: fc.integer({ min: 1, max: 65_535 }),
    waitSeconds: fc.nat({ max: 60 }),
  }),
  fc.constant({ kind: 'reconnect' as const }),
  fc.record({ kind: fc.constantFrom('ping', 'get_version'), id: rawId }),
  fc.record({ kind: fc.constant('response' as const), id: rawId, result: fc.jsonValue({ maxDepth: 3 }) }),
  fc.record({
    kind: fc.constant('response' as const),
    id: rawId,
    result: fc.constantFrom(null, false),
    error: fc.record(
      { code: fc.integer({ min: -32_800, max: 400 }), message: fc.string({ maxLength: 40 }) },
      { requiredKeys: ['message'] },
    ),
  }),
);

it('parses what it prints, in ASCII and on one line', () => {
  fc.assert(
    fc.property(message, (sent) => {
      const line = printServerMessage(sent);
      expect(line).toMatch(/^[\x20-\x7e]*\n$/);
      const parsed = parseServerLine(line);
      // -0 is no JSON value: both sides are compared as JSON would carry them.
      expect(plain(parsed)).toEqual(plain(sent));
    }),
    { numRuns: 500 },
  );
});

function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, item: unknown) => (item instanceof Uint8Array ? toHex(item) : item)),
  );
}

const errors: readonly [
  shape: string,
  json: string,
  expected: { code?: number; message: string } | undefined,
][] = [
  [
    'a list',
    '{"id":1,"result":null,"error":[23,"Low difficulty",null]}',
    { code: 23, message: 'Low difficulty' },
  ],
  [
    'an object',
    '{"id":1,"result":null,"error":{"code":-32601,"message":"no"}}',
    { code: -32601, message: 'no' },
  ],
  ['a bare string', '{"id":1,"result":null,"error":"Stale"}', { message: 'Stale' }],
  [
    'string codes',
    '{"id":1,"result":null,"error":["21","job not found"]}',
    { code: 21, message: 'job not found' },
  ],
  [
    'AntPool',
    '{"id":1,"result":null,"error":[40,"unfit, ignore"]}',
    { code: 40, message: 'unfit, ignore' },
  ],
  [
    'a sibling key',
    '{"id":1,"result":false,"error":null,"reject-reason":"Above target"}',
    { message: 'Above target' },
  ],
  ['null', '{"id":1,"result":false,"error":null}', undefined],
  ['nothing', '{"id":1,"result":true}', undefined],
];
it.each(errors)('understands an error that is %s', (_shape, json, expected) => {
  const parsed = parseServerLine(json);
  expect(parsed.kind === 'response' ? parsed.error : 'not a response').toEqual(expected);
});

it("takes Braidpool's difficulty reply that has no id", () => {
  expect(parseServerLine('{"method":"mining.set_difficulty","params":[7]}')).toEqual({
    kind: 'set_difficulty',
    difficulty: 7,
  });
});

const badNotifies: readonly [what: string, change: (params: unknown[]) => void][] = [
  ['a short prevhash', (params) => params.splice(1, 1, '00'.repeat(31))],
  ['odd hex', (params) => params.splice(2, 1, '012')],
  ['branches that are no list', (params) => params.splice(4, 1, 'ff')],
  ['a short branch', (params) => params.splice(4, 1, ['ff'])],
  ['no ntime', (params) => params.splice(7, 1, null)],
  ['no job id', (params) => params.splice(0, 1, null)],
];
it.each(badNotifies)('refuses a notify with %s', (_what, change) => {
  const params: unknown[] = [
    '1',
    '00'.repeat(32),
    '01',
    '02',
    [],
    '20000000',
    '1d00ffff',
    '495fab29',
    true,
  ];
  expect(parseServerLine(JSON.stringify({ id: null, method: 'mining.notify', params })).kind).toBe(
    'notify',
  );
  change(params);
  expect(parseServerLine(JSON.stringify({ id: null, method: 'mining.notify', params })).kind).toBe(
    'malformed',
  );
});

it('reads subscribe results of all pools', () => {
  const nested = [
    [
      ['mining.set_difficulty', '34'],
      ['mining.notify', '12'],
    ],
    '0011223344556677',
    8,
  ];
  expect(parseSubscribeResult(nested)).toEqual({
    extranonce1: fromHex('0011223344556677'),
    extranonce2Size: 8,
    sessionId: '12',
  });
  expect(parseSubscribeResult([['mining.notify', 'ab'], '00', 4]).sessionId).toBe('ab');
  expect(parseSubscribeResult([[], '', 4])).toEqual({ extranonce1: new Uint8Array(), extranonce2Size: 4 });
  for (const bad of [null, {}, [[], '0', 4], [[], '00', 4.5], [[], '00', -1], [[], '00', 99], [[], '00']]) {
    expect(() => parseSubscribeResult(bad), JSON.stringify(bad)).toThrow(/malformed/);
  }
});

it('cuts the granted mask to the requested one', () => {
  expect(
    parseConfigureResult({ 'version-rolling': true, 'version-rolling.mask': '5fffe000' }, 0x1fffe000),
  ).toBe(0x1fffe000);
  expect(parseConfigureResult({ 'version-rolling': false }, 0x1fffe000)).toBe(0);
  expect(parseConfigureResult(null, 0x1fffe000)).toBe(0);
});

it('prints errors with the number of the table', () => {
  expect(printError('"x"', 'low_difficulty')).toBe(
    '{"id":"x","result":null,"error":[23,"low difficulty",null]}\n',
  );
});

describe('mainnet prevhashes', () => {
  it.each(prevHashes())('$hash', (row) => {
    const params = ['1', row.stratum, '', '', [], '20000000', '1d00ffff', '495fab29', false];
    const notify = parseServerLine(JSON.stringify({ id: null, method: 'mining.notify', params }));
    if (notify.kind !== 'notify') throw new Error(notify.kind);
    expect(toHex(notify.prevHash)).toBe(row.header);
    expect(toHex(reversed(notify.prevHash))).toBe(row.hash);
    expect(printNotify(notify)).toContain(row.stratum);
  });
});
