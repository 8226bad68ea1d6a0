import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClientRequest, parseClientLine } from '../../src/stratum/client-messages.ts';
import { difficulty, rawId, u32 } from './arbitraries.ts';
import { printClientRequest } from './print-client-request.ts';

const name = fc.string({ unit: 'grapheme', maxLength: 40 });

const request: fc.Arbitrary<Exclude<ClientRequest, { type: 'malformed' }>> = fc.oneof(
  fc.record(
    {
      type: fc.constant('configure' as const),
      id: rawId,
      extensions: fc.array(name, { maxLength: 4 }),
      versionMask: u32,
      minBitCount: fc.oneof(fc.nat({ max: 32 }), fc.constantFrom('02', '00000002')),
      minimumDifficulty: difficulty,
    },
    { requiredKeys: ['type', 'id', 'extensions'] },
  ),
  fc.record(
    { type: fc.constant('subscribe' as const), id: rawId, userAgent: name, sessionId: name },
    { requiredKeys: ['type', 'id', 'userAgent'] },
  ),
  fc.record({ type: fc.constant('authorize' as const), id: rawId, worker: name, password: name }),
  fc.record(
    {
      type: fc.constant('submit' as const),
      id: rawId,
      worker: name,
      jobId: name,
      extranonce2: name,
      ntime: name,
      nonce: name,
      versionBits: name,
    },
    { requiredKeys: ['type', 'id', 'worker', 'jobId', 'extranonce2', 'ntime', 'nonce'] },
  ),
  fc.record({ type: fc.constant('suggest_difficulty' as const), id: rawId, difficulty }),
  fc.record({
    type: fc.constant('suggest_target' as const),
    id: rawId,
    target: fc.bigInt({ min: 1n, max: 2n ** 256n - 1n }),
  }),
  fc.record({
    type: fc.constant('multi_version' as const),
    id: rawId,
    versions: fc.integer({ min: 1, max: 9 }),
  }),
  fc.record({ type: fc.constant('get_transactions' as const), id: rawId, jobId: name }),
  fc.record({
    type: fc.constantFrom('extranonce_subscribe', 'get_version', 'ping', 'capabilities', 'response'),
    id: rawId,
  }),
  fc.record({
    type: fc.constant('unknown_method' as const),
    id: rawId,
    method: fc.constant('mining.term'),
  }),
);

describe('client messages', () => {
  it('parses what it prints, in ASCII and on one line', () => {
    fc.assert(
      fc.property(request, (message) => {
        const line = printClientRequest(message);
        expect(line).toMatch(/^[\x20-\x7e]*\n$/);
        expect(parseClientLine(line)).toEqual(message);
      }),
      { numRuns: 500 },
    );
  });

  const quirks: readonly [what: string, line: string, expected: Partial<ClientRequest>][] = [
    [
      'ESP-Miner answers a ping with a method',
      '{"id":7,"method":"pong","params":[]}',
      { type: 'response', id: '7' },
    ],
    ['cgminer answers a ping with a result', '{"id":7,"result":"pong","error":null}', { type: 'response' }],
    [
      'bfgminer has string ids',
      '{"id":"auth","method":"mining.authorize","params":["a.b","x"]}',
      { type: 'authorize', id: '"auth"', worker: 'a.b' },
    ],
    [
      'bfgminer declares capabilities with id null',
      '{"id":null,"method":"mining.capabilities","params":[{"notify":[]}]}',
      { type: 'capabilities', id: 'null' },
    ],
    [
      'cgminer retries subscribe without parameters',
      '{"id":1,"method":"mining.subscribe","params":[]}',
      { type: 'subscribe', userAgent: '' },
    ],
    [
      'LuxOS subscribes with four parameters',
      '{"id":1,"method":"mining.subscribe",' +
        '"params":["Antminer S19k Pro|LUXminer 1|x",null,"host:3333",null]}',
      { type: 'subscribe', userAgent: 'Antminer S19k Pro|LUXminer 1|x' },
    ],
    [
      'old clients write the parameter into the method',
      '{"id":3,"method":"mining.suggest_difficulty(512)","params":[]}',
      { type: 'suggest_difficulty', difficulty: 512 },
    ],
    [
      'the method text form of get_transactions',
      '{"id":3,"method":"mining.get_transactions(1f)","params":[]}',
      { type: 'get_transactions', jobId: '1f' },
    ],
    [
      'NerdMiner suggests a fraction',
      '{"id":2,"method":"mining.suggest_difficulty","params":[0.00015]}',
      { type: 'suggest_difficulty', difficulty: 0.00015 },
    ],
    [
      'Whatsminer asks for a mask without a bit count',
      '{"id":1,"method":"mining.configure",' +
        '"params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}',
      { type: 'configure', versionMask: 0xffffffff, extensions: ['version-rolling'] },
    ],
    ['absent params', '{"id":1,"method":"mining.extranonce.subscribe"}', { type: 'extranonce_subscribe' }],
    ['absent id', '{"method":"mining.ping"}', { type: 'ping', id: 'null' }],
    [
      'a number too large for a double keeps its spelling',
      '{"x":{"id":5},"id":123456789012345678901234567890,"method":"mining.ping"}',
      { type: 'ping', id: '123456789012345678901234567890' },
    ],
  ];
  it.each(quirks)('%s', (_what, line, expected) => {
    expect(parseClientLine(line)).toMatchObject(expected);
  });

  const bad: readonly [what: string, line: string, id: string][] = [
    ['not JSON', 'GET / HTTP/1.1', 'null'],
    ['a list', '[1,2]', 'null'],
    ['an object as id', '{"id":{},"method":"mining.ping"}', 'null'],
    ['an endless id', `{"id":"${'x'.repeat(200)}","method":"mining.ping"}`, 'null'],
    ['four submit parameters', '{"id":4,"method":"mining.submit","params":["a","b","c","d"]}', '4'],
    ['a number as nonce', '{"id":4,"method":"mining.submit","params":["a","b","c","d",5]}', '4'],
    ['difficulty 0', '{"id":5,"method":"mining.suggest_difficulty","params":[0]}', '5'],
    ['difficulty 1e400', '{"id":5,"method":"mining.suggest_difficulty","params":[1e400]}', '5'],
    ['a short target', '{"id":5,"method":"mining.suggest_target","params":["ff"]}', '5'],
    ['no extensions', '{"id":5,"method":"mining.configure","params":[]}', '5'],
    ['neither method nor result', '{"id":6}', '6'],
    ['a method behind __proto__', '{"id":6,"__proto__":{"method":"mining.ping"}}', '6'],
    ['a worker that is no string', '{"id":6,"method":"mining.authorize","params":[{}]}', '6'],
  ];
  it.each(bad)('refuses %s, with the id it has', (_what, line, id) => {
    expect(parseClientLine(line)).toMatchObject({ type: 'malformed', id });
  });

  it('survives nesting, duplicated keys and any other text', () => {
    const deep = '['.repeat(8000) + ']'.repeat(8000);
    expect(parseClientLine(`{"id":1.5,"method":"mining.ping","params":${deep}}`).type).toMatch(
      /ping|malformed/,
    );
    expect(parseClientLine('{"id":1,"id":2,"method":"mining.ping"}')).toMatchObject({ id: '2' });
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        expect(typeof parseClientLine(line).type).toBe('string');
      }),
      { numRuns: 500 },
    );
  });
});
