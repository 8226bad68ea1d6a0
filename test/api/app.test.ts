import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createApi } from '../../src/api/app.ts';
import { type Operation, pageQuery, type Served, serve, servePage } from '../../src/api/operation.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { Api } from '../../src/http/server.ts';
import { limited } from '../../src/log/limited.ts';
import type { Logger } from '../../src/log/logger.ts';
import { silentLogger } from '../../src/log/logger.ts';

const TOKENS = { watch: 'a'.repeat(64), operate: 'b'.repeat(64), money: 'c'.repeat(64) };
const HERE = '127.0.0.1';

const row = z.object({
  name: z.string(),
  paid_sat: z.string(),
  more: z.object({ rate: z.number() }).nullable(),
});
const read = { method: 'get', role: 'watch', summary: 'x', answer: row } as const;
const getOne = { ...read, name: 'getOne', path: '/one', kind: 'value' } as const satisfies Operation;
const listAll = {
  ...read,
  name: 'listAll',
  path: '/all',
  kind: 'page',
  query: pageQuery,
} as const satisfies Operation;
const pay = {
  ...{ name: 'pay', method: 'post', path: '/pay', role: 'money', kind: 'value', summary: 'x' },
  ...{ body: z.object({ sat: z.int().optional() }), answer: z.object({ paid: z.boolean() }) },
} as const satisfies Operation;

const ROWS = ['=cmd()', 'b, "c"', 'd', '-1'].map((name, index) => {
  return { name, paidSat: 10n ** 20n + BigInt(index), more: null, secret: 'key' };
});

type Line = Readonly<Record<string, unknown>>;

function apiOf(
  more: readonly Served[] = [],
  isPublic = false,
): {
  api: Api;
  lines: Line[];
  paid: unknown[];
  refused: Line[];
  pass: (ms: number) => void;
} {
  const lines: Line[] = [];
  const paid: unknown[] = [];
  const refused: Line[] = [];
  let nowMs = 0;
  const info = (fields: Line): void => void lines.push(fields);
  const warn = (fields: Line): void => void refused.push(fields);
  const log: Logger = { ...silentLogger, info, warn, child: () => log };
  const served = [
    serve(getOne, () => ROWS[1]!),
    servePage(
      listAll,
      () => ROWS,
      ({ name }) => name,
    ),
    serve(pay, ({ body }) => {
      if (body.sat === 13) throw new CodedError('wrong_status', 'not today');
      paid.push(body);
      return { paid: true };
    }),
    ...more,
  ];
  const clock = { monotonicMs: () => nowMs, nowMs: () => nowMs };
  const api = createApi('proxy', served, {
    ...{ tokens: TOKENS, isPublic, clock, log },
    refusals: limited(log, 10_000, clock),
  });
  return { api, lines, paid, refused, pass: (ms) => (nowMs += ms) };
}

function request(path: string, init: RequestInit = {}): Request {
  return new Request(`http://localhost/api/v1${path}`, init);
}

function posted(body: string, token = TOKENS.money): Request {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return request('/pay', { method: 'POST', headers, body });
}

/** The code of what refuses a request. */
async function refusal(api: Api, asked: Request, address = HERE): Promise<string> {
  return await api(asked, { address }).then(
    ({ status }) => String(status),
    (error: unknown) => codeOf(error),
  );
}

describe('an answer', () => {
  it('has the fields of its schema and no others, in snake case, amounts as decimal strings', async () => {
    const answer = await apiOf().api(request('/one'), { address: HERE });
    expect(await answer.json()).toEqual({ name: 'b, "c"', paid_sat: '100000000000000000001', more: null });
  });

  it('is sent again only where it changed', async () => {
    const { api } = apiOf();
    const etag = (await api(request('/one'), { address: HERE })).headers.get('etag')!;
    const again = async (tag: string): Promise<number> =>
      (await api(request('/one', { headers: { 'if-none-match': tag } }), { address: HERE })).status;
    expect([
      await again(etag),
      await again(`"x", W/${etag}`),
      await again('*'),
      await again('"x"'),
    ]).toEqual([...[304, 304, 304, 200]]);
  });

  it('is a table where that is asked for, in which no word of a stranger is a formula', async () => {
    const answer = await apiOf().api(request('/all?format=csv&limit=3'), { address: HERE });
    expect(await answer.text()).toBe(
      `name,paid_sat,more.rate\r\n-1,100000000000000000003,\r\n'=cmd(),100000000000000000000,\r\n"b, ""c""",100000000000000000001,\r\n`,
    );
    const next = answer.headers.get('next-cursor')!;
    const last = await apiOf().api(request(`/all?format=csv&cursor=${next}`), { address: HERE });
    expect(await last.text()).toBe('name,paid_sat,more.rate\r\nd,100000000000000000002,\r\n');
    expect(last.headers.get('next-cursor')).toBe(null);
  });
});

describe('who may ask', () => {
  it('is anybody on this machine who only looks, and whoever has a token', async () => {
    const { api } = apiOf();
    const near = [HERE, '::1', '::ffff:127.0.0.1', '127.255.0.9'];
    const far = ['192.0.2.1', '::ffff:192.0.2.1', '2001:db8::1', '', 'x127.0.0.1'];
    for (const address of near) expect(await refusal(api, request('/one'), address), address).toBe('200');
    for (const address of far)
      expect(await refusal(api, request('/one'), address), address).toBe('unauthorized');
    const headers = { authorization: `Bearer ${TOKENS.watch}` };
    for (const address of far)
      expect(await refusal(api, request('/one', { headers }), address)).toBe('200');
    const wrong = { authorization: `Bearer ${'d'.repeat(64)}` };
    expect(await refusal(api, request('/one', { headers: wrong }))).toBe('unauthorized');
    for (const name of ['forwarded', 'x-forwarded-for'])
      expect(await refusal(api, request('/one', { headers: { [name]: 'for=192.0.2.1' } }))).toBe(
        'unauthorized',
      );
    expect(await refusal(api, request('/openapi.json'), '192.0.2.1')).toBe('unauthorized');
  });

  it('is nobody without the token of the role, and nothing is done then', async () => {
    const { api, paid, lines, refused } = apiOf();
    expect(await refusal(api, request('/pay', { method: 'POST' }))).toBe('unauthorized');
    for (const token of [TOKENS.money.slice(1), `${TOKENS.money}c`, 'd'.repeat(64)])
      expect(await refusal(api, posted('{}', token))).toBe('unauthorized');
    for (const token of [TOKENS.watch, TOKENS.operate])
      expect(await refusal(api, posted('{}', token))).toBe('forbidden');
    expect([paid, lines]).toEqual([[], []]);
    // One line of each kind in ten seconds, however many guess.
    expect(refused).toEqual([
      { code: 'unauthorized', method: 'post', path: '/pay', address: HERE },
      { code: 'forbidden', method: 'post', path: '/pay', address: HERE },
    ]);
    expect(await refusal(api, posted('{}'))).toBe('200');
    expect(paid).toEqual([{}]);
  });

  it('is heard no more often than is good, each address for itself', async () => {
    const { api, pass } = apiOf();
    const asked = await Promise.all(Array.from({ length: 1001 }, () => refusal(api, request('/one'))));
    expect(asked.filter((code) => code === '200').length).toBe(1000);
    expect(asked.at(-1)).toBe('too_many_requests');
    expect(await refusal(api, request('/one'), '::1')).toBe('200');
    pass(10);
    expect([await refusal(api, request('/one')), await refusal(api, request('/one'))]).toEqual([
      ...['200', '200'],
    ]);
    expect(await refusal(api, request('/one'))).toBe('too_many_requests');
  });
});

describe('a write', () => {
  it('is in the log with who asked and what came of it', async () => {
    const { api, lines } = apiOf();
    await refusal(api, posted('{"sat":1}'));
    expect(await refusal(api, posted('{"sat":13}'))).toBe('wrong_status');
    expect(await refusal(api, posted('{"sat":"x"}'))).toBe('bad_request');
    const said = { action: 'pay', role: 'money', address: HERE };
    expect(lines).toEqual([
      { ...said, outcome: 'done' },
      { ...said, outcome: 'wrong_status' },
      { ...said, outcome: 'bad_request' },
    ]);
  });

  it.each([
    ['{"sat":', 'bad_request'],
    ['[]', 'bad_request'],
    ['null', 'bad_request'],
    ['"x"', 'bad_request'],
    ['{"sat":1.5}', 'bad_request'],
  ])('of %s is refused, and nothing is done', async (body, code) => {
    const { api, paid } = apiOf();
    expect(await refusal(api, posted(body))).toBe(code);
    expect(paid).toEqual([]);
  });

  it('knows nothing but its fields', async () => {
    const { api, paid } = apiOf();
    expect(await refusal(api, posted('{"sat":1,"__proto__":{"x":1},"more":2}'))).toBe('200');
    expect(paid).toEqual([{ sat: 1 }]);
  });
});

describe('a path', () => {
  it('exists only by its own name and method', async () => {
    const { api } = apiOf();
    for (const path of [
      '/',
      '',
      '/toString',
      '/__proto__',
      '/one/',
      '/ONE',
      '/one/x',
      '/../one%2f',
      '/%6fne%00',
    ])
      expect(await refusal(api, request(path)), path).toBe('not_found');
    expect(await refusal(api, request('/pay'))).toBe('method_not_allowed');
    expect(await refusal(api, request('/one', { method: 'POST' }))).toBe('method_not_allowed');
    await expect(api(request('/pay'), { address: HERE })).rejects.toMatchObject({
      headers: { allow: 'POST' },
    });
  });

  it('that fails is an error of the listener, with its own code', async () => {
    const broken = { ...getOne, name: 'getBroken', path: '/broken' } as const;
    const { api } = apiOf([serve(broken, () => Promise.reject(new TypeError('secret')))]);
    expect(await refusal(api, request('/broken'))).toBe('internal');
  });
});

it('tells everybody what is for nobody in particular, where it is public, and nothing else', async () => {
  const toAll = {
    ...getOne,
    name: 'getPublic',
    path: '/public',
    role: 'none',
  } as const satisfies Operation;
  const far = { address: '203.0.113.7' };
  for (const isPublic of [false, true]) {
    const { api } = apiOf([serve(toAll, () => ROWS[1]!)], isPublic);
    const codes = await Promise.all(
      ['/public', '/one', '/all'].map((path) =>
        api(request(path), far).then(
          ({ status }) => status,
          (error: CodedError) => error.code,
        ),
      ),
    );
    expect(codes).toEqual([isPublic ? 200 : 'unauthorized', 'unauthorized', 'unauthorized']);
  }
});
