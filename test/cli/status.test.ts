import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { statusText } from '../../src/cli/status.ts';
import { fetchStatus } from '../../src/daemon/status-client.ts';
import { destinationToml, STRATUM_TOML, Stand } from '../mining/stand.ts';
import { refusal, sharestream } from './program.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const json = (body: unknown): RequestListener => {
  return (_request, response) => response.end(typeof body === 'string' ? body : JSON.stringify(body));
};

const unreachable = (url: string): Promise<string> =>
  fetchStatus(url).then(
    () => 'an answer',
    (error: Error) => error.message,
  );

describe('the status of a daemon', () => {
  it('is shown for a person and as JSON, by URL', async () => {
    const stand = new Stand();
    const pool = await stand.pool();
    const proxy = await stand.proxy(STRATUM_TOML + destinationToml(pool, 'own'));
    const shown = await sharestream(['status', '--url', proxy.url]);
    expect(shown.stdout).toMatch(
      /^proxy \d+\.\d+\.\d+ on regtest\nnode {7}[0-9a-f]{64}\nminers {5}0 connected/,
    );
    expect(shown.stdout).toContain('upstream   own (fallback): ');
    const { code, json: answer } = await sharestream(['status', '--url', `${proxy.url}/`, '--json']);
    expect(code).toBe(0);
    expect(answer()).toMatchObject({ role: 'proxy', network: 'regtest', sessions: 0 });
    await stand.close();
  });

  it('says what is there instead', async () => {
    expect(await refusal(['status', '--url', 'http://127.0.0.1:1'])).toBe('1 daemon_unreachable');
    expect(await refusal(['status', '--url', 'ftp://x'])).toBe('2 usage');
    expect(await refusal(['status'])).toBe('2 usage');
    const gone = await serving(json({}));
    await new Promise((resolve) => servers.pop()!.close(resolve));
    expect(await unreachable(gone)).toMatch(/nothing listens there$/);
    expect(await unreachable(await serving(json('<html>')))).toMatch(/is no sharestream$/);
    expect(await unreachable(await serving(json([])))).toMatch(/is no sharestream$/);
    const refusing = await serving((_request, response) => {
      response.statusCode = 403;
      response.end('host \u001b[2Jnot allowed\n');
    });
    expect(await unreachable(refusing)).toMatch(/answers 403: host {2}\[2Jnot allowed$/);
    const moved = await serving((_request, response) => {
      response.writeHead(302, { location: 'http://192.0.2.1/' });
      response.end();
    });
    expect(await unreachable(moved)).toMatch(/^daemon_unreachable: /);
  });

  it('does not wait for one that never answers, nor read without end', async () => {
    expect(await unreachable(await serving(() => {}))).toMatch(/no answer in 5000 ms$/);
    const endless = await serving((_request, response) => {
      const more = (): void =>
        void (response.write('x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more));
      more();
    });
    expect(await unreachable(endless)).toMatch(/more than 16777216 bytes$|no answer in 5000 ms$/);
  });

  it('names luck that nobody would believe', () => {
    const luck = { solutions: 0, expected: 12, fewer: 6.1e-6, more: 1, least: 2, most: 28 };
    const proxy = { role: 'proxy', luck: { unlikely: [{ worker: 'w.1', solution: 'upstream', ...luck }] } };
    expect(statusText(proxy)).toContain(
      'LUCK       w.1: 0 of 12.0 expected for upstream, 2 to 28 are likely; UNLIKELY, 0.0000061',
    );
    const contract = {
      contractId: 'ab',
      luck: { block: { ...luck, solutions: 3 }, upstream: { expected: 0 } },
    };
    const maker = statusText({ role: 'maker', contracts: [contract] });
    expect(maker.at(-1)).toBe('  luck     3 of 12.0 expected for block, 2 to 28 are likely');
  });

  it('harms no terminal, and is shown whatever is missing or odd', () => {
    const evil = '\u001b]0;owned\u0007';
    const lines = statusText({
      role: `proxy${evil}`,
      version: 7,
      contracts: [{ id: evil, channel: 'none', price_msat_per_eh: '1'.repeat(400), ignored_edits: 3 }],
      destinations: 'none',
      chain: { nodes: [null, evil] },
      last_peer_error: evil,
    });
    expect(lines.join('')).not.toMatch(/\p{Cc}/u);
    expect(statusText({ role: 'proxy' }).length).toBeGreaterThan(0);
    expect(
      statusText({ role: 'maker', contracts: [{ contractId: 'ab', frozen: 'why' }] }).join('\n'),
    ).toContain('FROZEN   why');
  });

  it('says which edits have no effect, and what a contract costs', () => {
    const contract = {
      ...{ id: 'ab'.repeat(32), state: 'live', connected: true, live: true, price_msat_per_eh: '532407' },
      ignored_edits: [{ term: 'step_hashes', running: '1', configured: '2' }],
      channel: { state: 'open', signed_sat: '12', accrued_sat: '3', unspent_sat: '85' },
    };
    const text = statusText({ role: 'proxy', contracts: [contract] }).join('\n');
    expect(text).toContain('contract   abababababababab: live, channel open, connected, delivering');
    expect(text).toContain('price    532.407 sat/EH = 45999.9648 sat/PH/day');
    expect(text).toContain('sats     12 signed, 3 unsigned, 85 unspent');
    expect(text).toContain('edits    of step_hashes have no effect');
  });
});
