import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reversed, toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { printSubmit } from '../../src/stratum/client-messages.ts';
import {
  parseConfigureResult,
  parseServerLine,
  parseSubscribeResult,
  printError,
  printGetVersion,
  printNotify,
  printPing,
  printReconnect,
  printSetDifficulty,
  printSetExtranonce,
  printSetVersionMask,
  printShowMessage,
  type ServerMessage,
} from '../../src/stratum/server-messages.ts';
import { BIP323_VERSION_MASK } from '../../src/stratum/version-rolling.ts';
import { Outcomes } from '../base/outcomes.ts';
import { prevHashes } from '../vectors.ts';
import { bytes32, difficulty, u32 } from './arbitraries.ts';

const parse = (text: string): ServerMessage => parseServerLine(Buffer.from(text));

const NOTIFY = [
  'j',
  'c6c5ce115bd3005e4e0e86083ff6c64729b12b520542b54d0000000000000000',
  '01',
  '02',
  ['aa'.repeat(32)],
  '20000000',
  '18058436',
  '57478db3',
  true,
];
const notify = (params: readonly unknown[]): string =>
  JSON.stringify({ id: null, method: 'mining.notify', params });

describe('replies', () => {
  const rows: readonly [line: string, error: unknown][] = [
    ['{"id":1,"result":null,"error":[21,"Job not found",null]}', { code: 21, text: 'Job not found' }],
    ['{"id":1,"result":null,"error":["21","Job not found"]}', { code: 21, text: 'Job not found' }],
    ['{"id":1,"result":null,"error":[-3,"Method not found",null]}', { code: -3, text: 'Method not found' }],
    ['{"id":1,"result":null,"error":[40,"unfit, ignore"]}', { code: 40, text: 'unfit, ignore' }],
    ['{"id":1,"result":null,"error":"Stale"}', { code: undefined, text: 'Stale' }],
    ['{"id":1,"result":null,"error":["Stale"]}', { code: undefined, text: 'Stale' }],
    ['{"id":1,"error":{"code":-32601,"message":"no"}}', { code: -32601, text: 'no' }],
    [
      '{"id":1,"result":false,"error":null,"reject-reason":"Above target"}',
      { code: undefined, text: 'Above target' },
    ],
    ['{"id":1,"result":false,"error":[23,"x"],"reject-reason":"Low"}', { code: 23, text: 'Low' }],
    ['{"id":1,"result":false,"error":7}', { code: 7, text: '' }],
    ['{"id":1,"result":false,"error":true}', { code: undefined, text: '' }],
    ['{"id":1,"result":true,"error":null,"reject-reason":null}', undefined],
    ['{"id":1,"result":true}', undefined],
    ['{"id":1,"result":true,"error":false}', undefined],
    ['{"id":1,"result":true,"error":[]}', undefined],
    ['{"id":1,"result":true,"error":""}', undefined],
  ];
  it.each(rows)('%s', (line, error) => {
    expect(parse(line)).toMatchObject({ type: 'reply', id: 1, error });
  });

  it('takes ids back as integers, integer strings and null', () => {
    expect(parse('{"id":"12","result":true}')).toMatchObject({ id: 12 });
    expect(parse('{"id":null,"result":null,"error":[20,"bye",null]}')).toMatchObject({ id: undefined });
    expect(() => parse('{"id":1.5,"result":true}')).toThrow(/malformed/);
    expect(() => parse('{"id":{},"result":true}')).toThrow(/malformed/);
  });

  it('bounds and cleans the texts of an upstream', () => {
    const line = JSON.stringify({ id: 1, result: null, error: `\u001b[31m\n${'x'.repeat(10_000)}` });
    const message = parse(line);
    if (message.type !== 'reply' || message.error === undefined) throw new Error('expected an error reply');
    expect(message.error.text.length).toBe(200);
    expect(message.error.text).not.toMatch(/\p{C}/u);
  });
});

describe('notify', () => {
  it('undoes the word swap of prevhash', () => {
    const message = parse(notify(NOTIFY));
    if (message.type !== 'notify') throw new Error('expected notify');
    expect(toHex(message.job.prevHash)).toBe(
      '11cec5c65e00d35b08860e4e47c6f63f522bb1294db542050000000000000000',
    );
    expect(message.job).toMatchObject({ jobId: 'j', version: 0x20000000, bits: 0x18058436, clean: true });
  });

  const bad: readonly [what: string, at: number, value: unknown][] = [
    ['numeric job id', 0, 7],
    ['empty job id', 0, ''],
    ['endless job id', 0, 'j'.repeat(129)],
    ['short prevhash', 1, 'aa'],
    ['odd coinb1', 2, '0'],
    ['non-hex coinb2', 3, 'zz'],
    ['coinbase beyond the limit', 2, 'aa'.repeat(40 * 1024)],
    ['branches as an object', 4, {}],
    ['33 branches', 4, Array.from({ length: 33 }, () => 'aa'.repeat(32))],
    ['a short branch', 4, ['aa']],
    ['numeric version', 5, 536870912],
    ['nbits of no target', 6, '00000000'],
    ['negative nbits', 6, '18858436'],
    ['short ntime', 7, '57478d'],
    ['clean as another number', 8, 2],
    ['clean as text', 8, 'yes'],
  ];
  it.each(bad)('refuses %s', (_what, at, value) => {
    expect(() => parse(notify(NOTIFY.with(at, value as never)))).toThrow(/malformed/);
  });

  it.each([
    [true, true],
    [1, true],
    [false, false],
    [0, false],
    [null, false],
  ])('takes clean_jobs %j as %j, as real pools write it', (value, clean) => {
    expect(parse(notify(NOTIFY.with(8, value as never)))).toMatchObject({ job: { clean } });
  });

  it('takes a notify without clean_jobs', () => {
    expect(parse(notify(NOTIFY.slice(0, 8)))).toMatchObject({ job: { clean: false } });
  });

  it('ignores params after the ninth', () => {
    expect(parse(notify([...NOTIFY, 'more']))).toMatchObject({ type: 'notify' });
  });
});

describe('other calls', () => {
  it.each([
    ['mining.set_difficulty', [0.001], { type: 'difficulty', difficulty: 0.001 }],
    ['mining.set_difficulty', ['0.001'], { type: 'difficulty', difficulty: 0.001 }],
    ['mining.set_difficulty', ['65536'], { type: 'difficulty', difficulty: 65_536 }],
    ['mining.set_version_mask', ['536862720'], { type: 'versionMask', mask: 0x1fffe000 }],
    ['mining.set_version_mask', ['1fffe000'], { type: 'versionMask', mask: 0x1fffe000 }],
    ['client.reconnect', [], { type: 'reconnect', host: undefined, port: undefined, waitMs: 0 }],
    ['client.reconnect', ['h', '3334', 5], { type: 'reconnect', host: 'h', port: 3334, waitMs: 5000 }],
    [
      'client.reconnect',
      ['h', 70_000, 1e9],
      { type: 'reconnect', host: 'h', port: undefined, waitMs: 3_600_000 },
    ],
    [
      'client.reconnect',
      [{}, [[1]], 'x'],
      { type: 'reconnect', host: undefined, port: undefined, waitMs: 0 },
    ],
    ['client.show_message', ['hi'], { type: 'message', text: 'hi' }],
    ['mining.ping', [], { type: 'ping', id: 9 }],
    ['client.get_version', [], { type: 'getVersion', id: 9 }],
    ['mining.set_goal', ['x'], { type: 'other', method: 'mining.set_goal' }],
  ])('%s %j', (method, params, expected) => {
    expect(parse(JSON.stringify({ id: 9, method, params }))).toEqual(expected);
  });

  it.each([
    ['mining.set_difficulty', '[0]'],
    ['mining.set_difficulty', '[-1]'],
    ['mining.set_difficulty', '[1e400]'],
    ['mining.set_difficulty', '[1e300]'],
    ['mining.set_difficulty', '["one"]'],
    ['mining.set_difficulty', '[""]'],
    ['mining.set_difficulty', '{}'],
    ['mining.set_extranonce', '["zz",4]'],
    ['mining.set_extranonce', '["aa",0]'],
    ['mining.set_extranonce', '["aa",33]'],
    ['mining.set_extranonce', '["aa",1.5]'],
    [`mining.set_extranonce`, `["${'aa'.repeat(33)}",4]`],
    ['mining.set_version_mask', '["-1"]'],
    ['mining.set_version_mask', '[1.5]'],
    ['mining.set_version_mask', '[4294967296]'],
  ])('refuses %s %s', (method, params) => {
    expect(() => parse(`{"id":null,"method":"${method}","params":${params}}`)).toThrow(/malformed/);
  });

  it.each([
    [
      [
        ['mining.set_difficulty', 'a'],
        ['mining.notify', 'b'],
      ],
      'b',
    ],
    [[['mining.set_difficulty', 'a']], 'a'],
    [['mining.notify', 'b'], 'b'],
    [[['mining.notify', 7]], undefined],
    [[['mining.notify', 'with space']], undefined],
    [[['mining.notify', 'x'.repeat(129)]], undefined],
    [[], undefined],
    [null, undefined],
    ['mining.notify', undefined],
  ])('reads the session id of %j as %j', (subscriptions, sessionId) => {
    expect(parseSubscribeResult([subscriptions, '00', 4]).sessionId).toBe(sessionId);
  });

  it('reads the results of the handshake', () => {
    expect(parseSubscribeResult([[['mining.notify', '1']], '0011', 8])).toEqual({
      extranonce1: Uint8Array.of(0, 0x11),
      extranonce2Size: 8,
      sessionId: '1',
    });
    expect(() => parseSubscribeResult(true)).toThrow(/malformed/);
    expect(parseConfigureResult({ 'version-rolling': true, 'version-rolling.mask': '1fffe000' })).toBe(
      0x1fffe000,
    );
    expect(
      parseConfigureResult({ 'version-rolling': 'no', 'version-rolling.mask': '1fffe000' }),
    ).toBeUndefined();
    expect(() => parseConfigureResult({ 'version-rolling': true })).toThrow(/malformed.*version mask/);
    expect(parseConfigureResult(null)).toBeUndefined();
  });

  it('writes submits that parse as JSON', () => {
    const share = { jobId: 'a"b', extranonce2: '00ff', ntime: 1, nonce: 0xffffffff };
    expect(JSON.parse(printSubmit(5, JSON.stringify('w"é'), share, 0x2000))).toEqual({
      id: 5,
      method: 'mining.submit',
      params: ['w"é', 'a"b', '00ff', '00000001', 'ffffffff', '00002000'],
    });
    expect(JSON.parse(printSubmit(5, '"w"', share, undefined)).params).toHaveLength(5);
  });
});

describe('garbage', () => {
  /** How each of the lines ends: parsed, or refused with the one code. */
  const judge = (line: Uint8Array): 'parsed' | 'malformed' => {
    try {
      parseServerLine(line);
      return 'parsed';
    } catch (error) {
      expect(error).toBeInstanceOf(CodedError);
      expect((error as CodedError).code).toBe('malformed');
      return 'malformed';
    }
  };

  it('is malformed, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (line) => {
        expect(judge(line)).toBe('malformed');
      }),
    );
  });

  it('is malformed, whatever the values of a known method', () => {
    const outcomes = new Outcomes('parsed', 'malformed');
    const method = fc.constantFrom(
      ...['mining.notify', 'mining.set_difficulty', 'mining.set_extranonce', 'mining.set_version_mask'],
      ...['client.reconnect', 'client.show_message', 'client.get_version', 'mining.ping'],
    );
    const message = fc.oneof(
      fc.record({ id: fc.jsonValue(), method, params: fc.jsonValue() }),
      fc.record({ id: fc.jsonValue(), result: fc.jsonValue(), error: fc.jsonValue() }),
      fc
        .tuple(fc.nat({ max: 8 }), fc.jsonValue())
        .map(([at, value]) => ({ method: 'mining.notify', params: (NOTIFY as unknown[]).with(at, value) })),
    );
    fc.assert(
      fc.property(message, (value) => outcomes.saw(judge(Buffer.from(JSON.stringify(value))))),
      { numRuns: 500 },
    );
    outcomes.expectEach(20);
  });

  it('may be nested as deep as a line allows', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    for (const text of [
      deep,
      `{"id":1,"result":${deep},"error":${deep}}`,
      `{"id":${deep},"result":1}`,
      `{"method":"client.reconnect","params":[${deep},${deep},${deep}]}`,
      `{"method":"mining.notify","params":${deep}}`,
    ])
      expect(['parsed', 'malformed']).toContain(judge(Buffer.from(text)));
  });
});

it('parses what it prints, in ASCII and on one line', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const printed = fc.oneof(
    fc
      .record({
        ...{ jobId: fc.string({ minLength: 1, maxLength: 128 }), prevHash: bytes32, coinb1: bytes },
        ...{ coinb2: bytes, branches: fc.array(bytes32, { maxLength: 14 }), version: u32 },
        ...{ bits: fc.constantFrom(0x1d00ffff, 0x17034219), time: u32, clean: fc.boolean() },
      })
      .map((job) => [printNotify(job), { type: 'notify', job }] as const),
    difficulty.map(
      (value) => [printSetDifficulty(value), { type: 'difficulty', difficulty: value }] as const,
    ),
    // Of eight digits beyond the bits that anybody rolls some are read as decimal.
    u32.map((drawn) => {
      const mask = drawn & BIP323_VERSION_MASK;
      return [printSetVersionMask(mask), { type: 'versionMask', mask }] as const;
    }),
    fc.string({ maxLength: 99 }).map((text) => [printShowMessage(text), { type: 'message' }] as const),
    fc.constant([
      printReconnect(),
      { type: 'reconnect', host: undefined, port: undefined, waitMs: 0 },
    ] as const),
    fc.constant([printGetVersion('7'), { type: 'getVersion', id: 7 }] as const),
    fc
      .record({
        extranonce1: fc.uint8Array({ maxLength: 32 }),
        extranonce2Size: fc.integer({ min: 1, max: 32 }),
      })
      .map((extranonce) => [printSetExtranonce(extranonce), { type: 'extranonce', extranonce }] as const),
    fc.constant([printPing('7'), { type: 'ping', id: 7 }] as const),
  );
  fc.assert(
    fc.property(printed, ([line, expected]) => {
      expect(line).toMatch(/^[\x20-\x7e]*\n$/);
      expect(plain(parse(line))).toMatchObject(plain(expected) as object);
    }),
    { numRuns: 500 },
  );
});

/** With byte strings as hex. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, item: unknown) => (item instanceof Uint8Array ? toHex(item) : item)),
  );
}

it("takes Braidpool's difficulty reply that has no id", () => {
  expect(parse('{"method":"mining.set_difficulty","params":[7]}')).toEqual({
    type: 'difficulty',
    difficulty: 7,
  });
});

it('prints errors with the number of the table', () => {
  expect(printError('"x"', 'low_difficulty')).toBe(
    '{"id":"x","result":null,"error":[23,"low difficulty",null]}\n',
  );
});

describe('mainnet prevhashes', () => {
  it.each(prevHashes())('$hash', (row) => {
    const params = ['1', row.stratum, '', '', [], '20000000', '1d00ffff', '495fab29', false];
    const message = parse(notify(params));
    if (message.type !== 'notify') throw new Error(message.type);
    const { job } = message;
    expect(toHex(job.prevHash)).toBe(row.header);
    expect(toHex(reversed(job.prevHash))).toBe(row.hash);
    expect(printNotify(job)).toContain(row.stratum);
  });
});
