import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerName } from '../../src/api/document.ts';
import type { Operation } from '../../src/api/operation.ts';
import { OPERATIONS } from '../api/all-operations.ts';
import { AllDaemons } from './all-daemons.ts';

type Role = keyof typeof OPERATIONS;
const ROLES = ['proxy', 'maker', 'auditor', 'watch'] as const satisfies readonly Role[];

const daemons = new AllDaemons();
const schemas = new Ajv2020({ strict: false, allErrors: true });
let contract: string;

beforeAll(async () => {
  await daemons.start();
  await daemons.comes('proxy', 'contract_state{state="live"}', 1);
  await daemons.comes('maker', 'channel_updates_total{result="signed"}', 2);
  for (const role of ROLES)
    schemas.addSchema(JSON.parse(await daemons.page(role, '/api/v1/openapi.json')), role);
  contract = (JSON.parse(await daemons.page('proxy', '/api/v1/status')) as { contract: { id: string } })
    .contract.id;
}, 120_000);

afterAll(() => daemons.close(), 60_000);

function tokenOf(role: Role, file = 'api-token'): string {
  const { stage, directory } = daemons;
  const dataDir = role === 'proxy' || role === 'maker' ? stage[role].dataDir : join(directory, role);
  return readFileSync(join(dataDir, file), 'utf8').trim();
}

type Asked = { readonly status: number; readonly headers: Headers; readonly text: string };

async function ask(role: Role, path: string, init: RequestInit = {}): Promise<Asked> {
  const response = await fetch(`${daemons.urls.get(role)}/api/v1${path}`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

function post(role: Role, path: string, body: unknown, token = tokenOf(role)): Promise<Asked> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return ask(role, path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function channelState(): Promise<string> {
  const { items } = JSON.parse(await daemons.page('proxy', '/api/v1/contracts')) as {
    items: { channel: { state: string } }[];
  };
  return items[0]!.channel.state;
}

/** The answer as the document of its daemon has it; fails with what is wrong. */
function expectFits(role: Role, schema: string, text: string): unknown {
  const fits = schemas.compile({ $ref: `${role}#/components/schemas/${schema}` });
  const value: unknown = JSON.parse(text);
  const isFit = fits(value);
  expect({ schema, isFit, errors: fits.errors }).toEqual({ schema, isFit: true, errors: null });
  return value;
}

const codeOf = (role: Role, { text }: Asked): string =>
  (expectFits(role, 'Error', text) as { error: { code: string } }).error.code;

type Write = readonly [body: object, outcome?: string, atMaker?: string];

/** What each write is asked with, and what comes of it at the proxy and the maker: done, or why not. */
const WRITES: Readonly<Record<string, Write>> = {
  'contract/stream': [{}],
  'contract/pause': [{ dry_run: true, reason: 'maintenance' }],
  'contract/resume': [{ dry_run: true }, 'wrong_status'],
  'contract/end': [{ dry_run: true }, 'notice_refused'],
  'contract/void': [{ dry_run: true }],
  'contract/topup': [{ dry_run: true }, 'done', 'wrong_status'],
  'contract/withdraw': [{ dry_run: true }, 'done', 'wrong_status'],
  'contract/refund': [{ dry_run: true }],
  'contract/update': [{ dry_run: true }],
  'contract/confirm': [{ dry_run: true }],
  'contract/revoke': [{ dry_run: true }],
  'contract/updates': [{}],
  'contract/clock': [{}],
  'contract/take': [{ dry_run: true, terms: {}, maker: '127.0.0.1:1', name: 'x' }, 'config_invalid'],
  // The stage names no [sell], and has asked for nothing.
  'market/ask': [{}, 'config_invalid'],
  'market/take': [{ quote: '00'.repeat(16) }, 'quote_unknown'],
  'fleet/drain': [{ instance: 'proxy' }, 'wrong_status'],
  'fleet/move': [{ name: 'one', instance: 'proxy' }, 'wrong_status'],
  'metering/end': [{}, 'unknown_channel'],
  'config/reload': [{}],
  'pool/paid': [{ pool: 'of nobody', hashes: '1' }, 'config_invalid'],
  'policy/show': [{}],
  'policy/set': [{ dry_run: true, changes: { max_price: '10 BTC/EH' } }],
};
/** Those that end the contract: the last of all. */
const CLOSES = ['channel/close', 'channel/force-close'];

/** Calls a write; the code of what refused it, or `done`. Either answer is as the document has it. */
async function callWrite(role: Role, { path, name, body }: Operation): Promise<string> {
  const [sent] = WRITES[path.slice(1)] ?? [{}];
  const answer = await post(role, path, { ...('contract' in body!.shape ? { contract } : {}), ...sent });
  if (answer.status !== 200) return codeOf(role, answer);
  expectFits(role, answerName({ name }), answer.text);
  return 'done';
}

async function callRead(role: Role, { path, kind, name }: Operation): Promise<void> {
  if (kind === 'events') return;
  const answer = await ask(role, path.replace('{contract_id}', contract));
  if (role === 'auditor' && path.includes('{contract_id}')) {
    expect([answer.status, codeOf(role, answer)]).toEqual([404, 'not_found']);
    return;
  }
  expect(answer.status, path).toBe(200);
  expectFits(role, answerName({ name }), answer.text);
  const etag = answer.headers.get('etag')!;
  if (name === 'getDocument')
    expect((await ask(role, path, { headers: { 'if-none-match': etag } })).status).toBe(304);
  if (kind !== 'page') return;
  const csv = await ask(role, `${path}?format=csv&limit=1`);
  expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(csv.text.split('\r\n')[0]!.split(',').length).toBeGreaterThan(2);
}

describe.each(ROLES)('the API of the %s', (role) => {
  it('is documented as the file of the project says', async () => {
    const file = new URL(`../../config/openapi/${role}.json`, import.meta.url);
    expect(JSON.parse((await ask(role, '/openapi.json')).text)).toEqual(
      JSON.parse(readFileSync(file, 'utf8')),
    );
  });

  it('answers all that is read in the shape of its document', async () => {
    for (const operation of OPERATIONS[role])
      if (operation.method === 'get') await callRead(role, operation);
  });
});

describe.each(['proxy', 'maker'] as const)('the API of the %s', (role) => {
  it('does all that is written, or says by a code why not', async () => {
    const writes = OPERATIONS[role].filter(({ method }) => method === 'post');
    for (const write of writes) {
      const path = write.path.slice(1);
      if (CLOSES.includes(path)) continue;
      const [, outcome = 'done', atMaker = outcome] = WRITES[path]!;
      expect([path, await callWrite(role, write)]).toEqual([path, role === 'maker' ? atMaker : outcome]);
    }
  }, 60_000);
});

describe.each(['proxy', 'maker'] as const)('the writes of the %s', (role) => {
  it('are in its ledger, but for what only looks or is tried out', async () => {
    const { items } = JSON.parse(await daemons.page(role, '/api/v1/writes')) as {
      items: { operation: string; role: string; outcome: string }[];
    };
    const seen = items.map(({ operation, role: by, outcome }) => [operation, by, outcome]);
    expect(seen).toContainEqual(['config/reload', 'money', 'done']);
    expect(seen).toContainEqual(['metering/end', 'money', 'unknown_channel']);
    expect(seen.map(([operation]) => operation)).not.toContain('contract/end');
    expect(seen.map(([operation]) => operation)).not.toContain('contract/stream');
  });
});

describe.each(['proxy', 'maker', 'auditor'] as const)('the API of the %s', (role) => {
  it('tells what changes to whoever follows, from where he left off', async () => {
    const events = async (
      headers: Record<string, string>,
    ): Promise<{ id: string; name: string; data: object }> => {
      const { body } = await fetch(`${daemons.urls.get(role)}/api/v1/events`, { headers });
      const reader = body!.getReader();
      let text = '';
      while (!text.includes('\n\n')) text += Buffer.from((await reader.read()).value!).toString();
      await reader.cancel();
      const [, id, name, data] = /^(?:retry: \d+\n)?id: (\S+)\nevent: (\w+)\ndata: (.+)\n\n/.exec(text)!;
      return { id: id!, name: name!, data: JSON.parse(data!) as object };
    };
    const { id, name, data } = await events({});
    expect(name).toBe('snapshot');
    expectFits(role, 'FollowEventsAnswer', JSON.stringify(data));
    if (role === 'auditor') return;
    const next = await events({ 'last-event-id': id });
    expect(next.name).toBe('change');
    expectFits(role, 'FollowEventsAnswer', JSON.stringify({ ...data, ...next.data }));
    const [run, at] = id.split('-');
    expect(next.id).toBe(`${run}-${Number(at) + 1}`);
  }, 60_000);
});

describe('whoever asks', () => {
  it('may do what its token is for, and nothing is done for another', async () => {
    const [watch, operate] = ['api-token-watch', 'api-token-operate'].map((file) => tokenOf('proxy', file));
    const asked = async (path: string, token: string): Promise<string> => {
      const answer = await post('proxy', path, { contract, dry_run: true, reason: 'other' }, token);
      return answer.status === 200 ? 'done' : `${answer.status} ${codeOf('proxy', answer)}`;
    };
    expect(await asked('/contract/updates', watch!)).toBe('done');
    expect(await asked('/contract/pause', watch!)).toBe('403 forbidden');
    expect(await asked('/contract/pause', operate!)).toBe('done');
    expect(await asked('/channel/close', operate!)).toBe('403 forbidden');
    expect(await asked('/channel/close', tokenOf('maker'))).toBe('401 unauthorized');
    expect(await asked('/contract/updates', '')).toBe('401 unauthorized');
    expect(await channelState()).toBe('open');
  });

  it('is told what is wrong with the request', async () => {
    const headers = { authorization: `Bearer ${tokenOf('proxy')}` };
    const json = { ...headers, 'content-type': 'application/json' };
    const wrong: readonly (readonly [path: string, init: RequestInit, answer: string])[] = [
      ['/nothing', {}, '404 not_found'],
      [`/contracts/${'0'.repeat(64)}`, {}, '404 not_found'],
      ['/contracts/x', {}, '400 bad_request'],
      ['/miners?limit=501', {}, '400 bad_request'],
      ['/miners?format=xml', {}, '400 bad_request'],
      ['/miners?cursor=nonsense', {}, '400 bad_cursor'],
      ['/status', { method: 'POST', headers: json, body: '{}' }, '405 method_not_allowed'],
      ['/channel/close', {}, '405 method_not_allowed'],
      ['/channel/close', { method: 'POST', headers: json, body: '{' }, '400 bad_request'],
      ['/channel/close', { method: 'POST', headers: json, body: '[]' }, '400 bad_request'],
      ['/channel/close', { method: 'POST', headers: json, body: '{"contract":7}' }, '400 bad_request'],
      ['/channel/close', { method: 'POST', headers, body: '{}' }, '415 unsupported_media_type'],
      [
        '/channel/close',
        { method: 'POST', headers: json, body: `"${'x'.repeat(70_000)}"` },
        '413 too_large',
      ],
      ['/status', { headers: { 'x-forwarded-for': '192.0.2.1' } }, '401 unauthorized'],
    ];
    for (const [path, init, expected] of wrong) {
      const answer = await ask('proxy', path, init);
      expect([path, `${answer.status} ${codeOf('proxy', answer)}`]).toEqual([path, expected]);
    }
    expect(await channelState()).toBe('open');
  });
});

describe.each(['proxy', 'maker'] as const)('the %s', (role) => {
  it('says what it runs on and with', async () => {
    const system = JSON.parse((await ask(role, '/system')).text) as Record<string, unknown>;
    expect(system).toMatchObject({
      listeners: [
        { name: role === 'proxy' ? 'stratum' : 'peer', at: expect.stringMatching(/^127\..+:\d+$/) },
      ],
      checks: expect.arrayContaining([{ name: 'ledger', ok: true, says: null }]),
      config: expect.arrayContaining([expect.objectContaining({ option: 'network', value: '"regtest"' })]),
    });
    expect(system['job'] === null).toBe(role === 'maker');
  });

  it.each(CLOSES)('says of %s what it would do, and does nothing', async (path) => {
    const answer = await post(role, `/${path}`, { contract, dry_run: true });
    const { name } = OPERATIONS[role].find((operation) => operation.path === `/${path}`)!;
    const said = expectFits(role, answerName({ name }), answer.text) as Record<string, string>;
    expect(said).toMatchObject({ contract, dry_run: true, closing: false });
    expect(BigInt(said['paid_sat']!)).toBeGreaterThan(0n);
    expect(BigInt(said['unspent_sat']!)).toBeGreaterThan(0n);
    expect(await channelState()).toBe('open');
    expect((await ask(role, '/writes')).text).not.toContain(path);
  });
});

describe('a close', () => {
  it.each(['proxy', 'maker'] as const)(
    'is asked for at the %s',
    async (role) => {
      const outcomes = [];
      for (const path of CLOSES) {
        const close = OPERATIONS[role].find((operation) => operation.path === `/${path}`)!;
        outcomes.push(await callWrite(role, close));
      }
      if (role === 'proxy') expect(outcomes[0]).toBe('done');
    },
    60_000,
  );
});
