import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { parseClientLine } from '../../src/stratum/client-messages.ts';
import {
  BAD_FIELD,
  fillSubmitFields,
  NO_VERSION_BITS,
  parseSubmitFast,
  SubmitFields,
} from '../../src/stratum/submit-parser.ts';

function values(fields: SubmitFields): Record<string, unknown> {
  const { id, jobId, ntime, nonce, versionBits, extranonce2Size } = fields;
  const worker = Buffer.from(fields.workerBytes.subarray(fields.workerStart, fields.workerEnd)).toString();
  const extranonce2 = extranonce2Size < 0 ? '' : toHex(fields.extranonce2.subarray(0, extranonce2Size));
  return { id, jobId, ntime, nonce, versionBits, extranonce2Size, worker, extranonce2 };
}

/** By the fast way, with other bytes around the line as in a real buffer; undefined when it declines. */
function fast(line: string): Record<string, unknown> | undefined {
  const before = 'x{"id":';
  const bytes = Buffer.from(`${before}${line}}"]}`, 'utf8');
  const start = before.length;
  const fields = new SubmitFields();
  return parseSubmitFast(bytes, start, start + Buffer.byteLength(line), fields)
    ? values(fields)
    : undefined;
}

function slow(line: string): Record<string, unknown> | undefined {
  const request = parseClientLine(line);
  if (request.type !== 'submit') return undefined;
  const fields = new SubmitFields();
  fillSubmitFields(request, fields);
  return values(fields);
}

const FIELD = {
  worker: 'bc1q.rig-1',
  jobId: 0x1f00000002,
  extranonce2: '0badcafe',
  extranonce2Size: 4,
  ntime: 0x57478db3,
  nonce: 0x7e5fb903,
  versionBits: NO_VERSION_BITS,
};
const P = '"bc1q.rig-1","1f00000002","0badcafe","57478db3","7e5fb903"';

const firmware: readonly [who: string, line: string, expected: Record<string, unknown>][] = [
  [
    'cgminer',
    `{"params": [${P.replaceAll(',', ', ')}], "id": 41, "method": "mining.submit"}`,
    { ...FIELD, id: 41 },
  ],
  [
    'ESP-Miner',
    `{"id":9,"method":"mining.submit","params":[${P},"00c02000"]}`,
    { ...FIELD, id: 9, versionBits: 0x00c02000 },
  ],
  [
    'cpuminer',
    `{"method": "mining.submit", "params": [${P.replaceAll(',', ', ')}], "id":4}`,
    { ...FIELD, id: 4 },
  ],
  [
    'a string id',
    `{"id":"submit-7","method":"mining.submit","params":[${P}]}`,
    { ...FIELD, id: '"submit-7"' },
  ],
  ['a null id', `{"id":null,"method":"mining.submit","params":[${P}]}`, { ...FIELD, id: 'null' }],
  [
    'NerdMiner',
    `{"id":5,"method":"mining.submit","params":["bc1q.rig-1","1f00000002","0badcafe","57478db3","fb903"]}`,
    { ...FIELD, id: 5, nonce: 0x000fb903 },
  ],
  [
    'upper-case hex',
    `{"id":5,"method":"mining.submit",` +
      `"params":["bc1q.rig-1","1f00000002","0BADCAFE","57478DB3","7E5FB903"]}`,
    { ...FIELD, id: 5 },
  ],
];

describe('parseSubmitFast', () => {
  it.each(firmware)('reads %s without JSON.parse', (_who, line, expected) => {
    expect(fast(line)).toEqual(expected);
    expect(slow(line)).toEqual(expected);
  });

  const leftToSlow: readonly [what: string, line: string][] = [
    ['an escape in the worker', `{"id":1,"method":"mining.submit","params":["a\\u0062","1","00","0","0"]}`],
    ['a worker beyond ASCII', `{"id":1,"method":"mining.submit","params":["bergwerk-ü","1","00","0","0"]}`],
    ['another key', `{"jsonrpc":"2.0","id":1,"method":"mining.submit","params":[${P}]}`],
    ['a number as id with a fraction', `{"id":1.5,"method":"mining.submit","params":[${P}]}`],
    ['a null sixth parameter', `{"id":1,"method":"mining.submit","params":[${P},null]}`],
    ['a duplicated key', `{"id":1,"id":2,"method":"mining.submit","params":[${P}]}`],
    ['tabs', `{\t"id":1,"method":"mining.submit","params":[${P}]}`],
  ];
  it.each(leftToSlow)('leaves %s to JSON.parse', (_what, line) => {
    expect(fast(line)).toBeUndefined();
    expect(slow(line)).toBeDefined();
  });

  it('marks what is no number', () => {
    const line = (params: string) => `{"id":1,"method":"mining.submit","params":[${params}]}`;
    expect(fast(line('"w","1F","00","0","0"'))).toMatchObject({ jobId: BAD_FIELD });
    expect(fast(line('"w","01","00","0","0"'))).toMatchObject({ jobId: BAD_FIELD });
    expect(fast(line('"w","0","00","0","0"'))).toMatchObject({ jobId: 0 });
    expect(fast(line('"w","1ffffffffffffff","00","0","0"'))).toMatchObject({ jobId: BAD_FIELD });
    expect(fast(line('"w","1","0","0","0"'))).toMatchObject({ extranonce2Size: BAD_FIELD });
    expect(fast(line('"w","1","0g","0","0"'))).toMatchObject({ extranonce2Size: BAD_FIELD });
    expect(fast(line(`"w","1","${'00'.repeat(17)}","0","0"`))).toMatchObject({
      extranonce2Size: BAD_FIELD,
    });
    expect(fast(line('"w","1","00","","0"'))).toMatchObject({ ntime: BAD_FIELD });
    expect(fast(line('"w","1","00","123456789","0"'))).toMatchObject({ ntime: BAD_FIELD });
    expect(fast(line('"w","1","00","0","-1"'))).toMatchObject({ nonce: BAD_FIELD });
    expect(fast(line('"w","1","00","0","0","0x20"'))).toMatchObject({ versionBits: BAD_FIELD });
  });

  it('agrees with JSON.parse on every line it accepts', () => {
    let accepted = 0;
    fc.assert(
      fc.property(submitLine, (line) => {
        const result = fast(line);
        if (result === undefined) return;
        accepted += 1;
        expect(result).toEqual(slow(line));
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it('accepts no line that was damaged into another meaning', () => {
    const base = Buffer.from(`{"id": 12, "method": "mining.submit", "params": [${P},"00c02000"]}`);
    const edit = fc.record({
      at: fc.nat({ max: base.length - 1 }),
      drop: fc.nat({ max: 3 }),
      put: fc.string({ maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        let line = base.toString();
        for (const { at, drop, put } of edits) line = line.slice(0, at) + put + line.slice(at + drop);
        const result = fast(line);
        if (result !== undefined) expect(result).toEqual(slow(line));
      }),
      { numRuns: 3000 },
    );
  });
});

const hexish = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), maxLength: 16 }),
  fc.string({ unit: fc.constantFrom(...'0189aAfFgG xX-'.split('')), maxLength: 10 }),
);
const worker = fc.oneof(
  fc.constantFrom('a', 'bc1q.rig', 'ü', 'a"b', 'a\\b', ''),
  fc.string({ maxLength: 12 }),
);
const id = fc.oneof(
  { weight: 4, arbitrary: fc.integer().map(String) },
  { weight: 2, arbitrary: fc.maxSafeInteger().map(String) },
  { weight: 2, arbitrary: fc.string({ maxLength: 70 }).map((text) => JSON.stringify(text)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '0',
      '-0',
      '-1',
      '01',
      '007',
      '1e3',
      'null',
      'nul',
      'true',
      '""',
      '"a\\n"',
      '"é"',
      '{}',
    ),
  },
);
const param = fc.oneof(
  { weight: 40, arbitrary: hexish.map((text) => JSON.stringify(text)) },
  { weight: 1, arbitrary: fc.constantFrom('null', '5', '[]', '"a') },
);
function mostly(common: string, ...rare: string[]): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(common) },
    { weight: 1, arbitrary: fc.constantFrom(...rare) },
  );
}
const submitLine = fc
  .record({
    id,
    worker,
    params: fc.array(param, { minLength: 3, maxLength: 6, size: 'max' }),
    space: fc.constantFrom('', ' ', '  ', '', ' ', '  ', '\t'),
    method: mostly('"mining.submit"', '"mining.submiT"'),
    order: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom([0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]) },
      { weight: 1, arbitrary: fc.constantFrom([0, 1, 1], [0, 0, 1, 2], [0, 1, 2, 2], [0, 2]) },
    ),
    tail: mostly('', ' ', '}', ',', 'x'),
  })
  .map(({ id: idText, worker: name, params, space, method, order, tail }) => {
    const parts = [
      `"id":${space}${idText}`,
      `"method":${space}${method}`,
      `"params":${space}[${[JSON.stringify(name), ...params].join(`,${space}`)}]`,
    ];
    return `{${order.map((index) => parts[index]).join(`,${space}`)}${space}}${tail}`;
  });
