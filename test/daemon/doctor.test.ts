import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Diagnosis, verdictOf } from '../../src/daemon/diagnosis.ts';
import { diagnose } from '../../src/daemon/doctor.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { sharestream } from '../cli/program.ts';

type Closer = () => unknown;
let folder: string;
const closers: Closer[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'doctor-'));
  mkdirSync(join(folder, 'data'), { mode: 0o700 });
  writeFileSync(join(folder, 'data', 'seed'), `${'11'.repeat(32)}\n`, { mode: 0o600 });
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true });
});

/** More than a busy machine takes for any answer; what never answers is given less. */
const TIMEOUT_MS = 30_000;

async function look(
  toml: string,
  more: { nowMs?: () => number; timeoutMs?: number } = {},
): Promise<Diagnosis[]> {
  const file = join(folder, 'proxy.toml');
  const head = 'network = "regtest"\ndata_dir = "data"\n';
  const listen = '[stratum]\nlisten = "127.0.0.1:0"\n[metrics]\nlisten = "127.0.0.1:0"\n';
  writeFileSync(file, head + (toml.includes('[stratum]') ? '' : listen) + toml);
  chmodSync(file, 0o600);
  const config = loadConfig('proxy', { file, env: { HOME: '/h' } });
  const deps = { timers: systemTimers, env: {}, nowMs: () => Date.now(), timeoutMs: TIMEOUT_MS, ...more };
  return diagnose(config, file, deps);
}

const of = (found: readonly Diagnosis[], check: string): Diagnosis[] =>
  found.filter((one) => one.check.startsWith(check));
const words = (found: readonly Diagnosis[]): string =>
  found.map(({ verdict, text, code }) => `${verdict} ${text} ${code ?? ''}`).join('\n');

const destination = (port: number, worker = 'w'): string =>
  `[[destination]]\nname = "own"\nurl = "stratum+tcp://127.0.0.1:${port}"\nworker = "${worker}"\nhandshake_timeout = "1s"\n`;
const chainToml = (url: string): string => `[chain]\nrpc_url = "${url}"\n`;

async function listening(server: Server, sockets: Set<Socket> = new Set()): Promise<number> {
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function node(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listening(createHttpServer(listener))}`;
}

/** A node that answers some methods by a table, and no others. */
function answering(table: Readonly<Record<string, unknown>>): RequestListener {
  return (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const { id, method } = JSON.parse(body) as { id: number; method: string };
      const known = Object.hasOwn(table, method);
      const error = { code: -32601, message: 'Method not found' };
      response.end(
        JSON.stringify({ jsonrpc: '2.0', id, ...(known ? { result: table[method] } : { error }) }),
      );
    });
  };
}

const GENESIS = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';
const HEALTHY = {
  getblockhash: GENESIS,
  getblockchaininfo: { chain: 'test', blocks: 100, headers: 100, time: 1_800_000_000, pruned: false },
  getnetworkinfo: {
    version: 300_000,
    subversion: '/Satoshi:30.0.0/',
    connections: 8,
    localrelay: true,
    timeoffset: 0,
  },
  getmempoolinfo: { fullrbf: true },
};
const AT = { nowMs: () => 1_800_000_060_000 };

describe('a doctor', () => {
  it('finds a proxy sound whose node and pool answer', async () => {
    const chain = new DevnetChain({ bits: 0x1e00ffff }, { clock: systemClock });
    const deps = { chain, log: silentLogger, clock: systemClock };
    const pool = await startDevnetPool({ difficulty: 0.001 }, deps);
    const rpc = await startChainRpcServer({}, deps);
    closers.push(
      () => pool.close(),
      () => rpc.close(),
    );
    const found = await look(destination(pool.port) + chainToml(rpc.url));
    expect(words(of(found, 'upstream'))).toContain(`ok 127.0.0.1:${pool.port} gives work`);
    expect(words(of(found, 'node'))).toContain('in step with the chain at block ');
    expect(words(of(found, 'node'))).toContain('it enforces version 3 (TRUC)');
    expect(words(of(found, 'fsync'))).toMatch(/a durable write takes [\d.]+ ms/);
    // How fast the disk is, and how full, is of the machine that runs this.
    const failed = found.filter(
      ({ check, verdict }) => verdict === 'fail' && !/^(?:fsync|space)/.test(check),
    );
    expect(failed).toEqual([]);
  });

  it('says what of a policy and a state endangers a close', async () => {
    const url = await node(
      answering({
        ...HEALTHY,
        getblockchaininfo: {
          ...{ chain: 'test', blocks: 90, headers: 100, initialblockdownload: true },
          ...{ time: 1_700_000_000, pruned: true, pruneheight: 12 },
        },
        getnetworkinfo: { ...HEALTHY.getnetworkinfo, version: 270_000, localrelay: false, timeoffset: -75 },
        getmempoolinfo: { fullrbf: false },
      }),
    );
    const said = words(of(await look(destination(1) + chainToml(url), AT), 'node'));
    expect(said).toContain('fail it is at block 90 of 100 chain_syncing');
    expect(said).toContain('warn it keeps no block below 12');
    expect(said).toContain('warn it relays no transactions (blocksonly)');
    expect(said).toContain('warn its clock is -75 s off that of its peers');
    expect(said).toContain('fail version 3 is refused truc_refused');
    expect(said).toContain('warn it does not replace every transaction (fullrbf)');
  });

  it('knows another network, an old tip and a clock that is wrong', async () => {
    const other = await node(answering({ ...HEALTHY, getblockhash: '00'.repeat(32) }));
    expect(words(of(await look(destination(1) + chainToml(other)), 'node'))).toContain(
      'fail its first block is not that of regtest chain_network',
    );
    const url = await node(answering(HEALTHY));
    const at = (nowMs: number) => look(destination(1) + chainToml(url), { nowMs: () => nowMs });
    expect(words(of(await at(1_800_010_800_000), 'node'))).toContain(
      'warn its newest block is 180 minutes old',
    );
    expect(words(of(await at(1_799_990_000_000), 'node'))).toContain(
      'fail its newest block is from the future',
    );
    expect(words(of(await at(1_800_000_060_000), 'node'))).not.toMatch(/warn|fail/);
  });

  it.each<[string, RequestListener, RegExp]>([
    ['nothing', () => {}, /^fail .*(?:no answer in|getblockhash)/],
    ['text', (_request, response) => response.end('<html>'), /^fail .*not JSON.* chain_unreachable/],
    [
      'no credentials',
      (_request, response) => response.writeHead(401).end(),
      /^fail .*refuses the credentials/,
    ],
    ['odd types', answering({ ...HEALTHY, getblockchaininfo: { blocks: 'x' } }), /^fail /],
    ['a list', answering({ ...HEALTHY, getblockchaininfo: [] }), /^fail /],
    ['no fields', answering({ ...HEALTHY, getnetworkinfo: {}, getmempoolinfo: 7 }), /fail /],
    [
      'without end',
      (_request, response) => {
        const more = (): void =>
          void (response.write('"x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more));
        response.on('error', () => {}).on('close', () => {});
        more();
      },
      /^fail .*more than 4194304 bytes/,
    ],
  ])('is not held by a node that answers %s', async (what, listener, expected) => {
    const started = performance.now();
    const found = await look(destination(1) + chainToml(await node(listener)), {
      timeoutMs: what === 'nothing' ? 1_500 : TIMEOUT_MS,
    });
    expect(words(of(found, 'node'))).toMatch(expected);
    expect(performance.now() - started).toBeLessThan(25_000);
    expect(verdictOf(found)).toBe('fail');
  });

  it.each<[string, (socket: Socket) => void, RegExp]>([
    ['says nothing', () => {}, /fail 127\.0\.0\.1:\d+: .* upstream_(?:timeout|closed)$/],
    ['hangs up', (socket) => socket.destroy(), /fail 127\.0\.0\.1:\d+: .* upstream_closed$/],
    ['sends garbage', (socket) => socket.write('hello\n{"id":1\n'.repeat(50)), /fail 127\.0\.0\.1:\d+: /],
    [
      'takes the worker and sends no work',
      (socket) =>
        socket.on('data', (chunk) => {
          for (const line of chunk.toString().trim().split('\n')) {
            const { id, method } = JSON.parse(line) as { id: number; method: string };
            const result = method === 'mining.subscribe' ? [[['mining.notify', 'a']], '0a0b0c0d', 8] : true;
            socket.write(`${JSON.stringify({ id, result, error: null })}\n`);
          }
        }),
      /fail 127\.0\.0\.1:\d+ sends no work upstream_timeout$/,
    ],
    [
      'refuses the worker',
      (socket) =>
        socket.on('data', (chunk) => {
          for (const line of chunk.toString().trim().split('\n')) {
            const { id, method } = JSON.parse(line) as { id: number; method: string };
            const result =
              method === 'mining.subscribe' ? [[['mining.notify', 'a']], '0a0b0c0d', 8] : false;
            socket.write(`${JSON.stringify({ id, result, error: [24, 'unknown user', null] })}\n`);
          }
        }),
      /fail 127\.0\.0\.1:\d+: .*upstream_refused$/,
    ],
  ])('says of a pool that it %s', async (what, onSocket, expected) => {
    const port = await listening(createServer(onSocket));
    expect(
      words(
        of(
          await look(destination(port), {
            timeoutMs: what.includes('no work') ? 5_000 : TIMEOUT_MS,
          }),
          'upstream',
        ),
      ),
    ).toMatch(expected);
  });

  it('says who has a port, and what is not private', async () => {
    const port = await listening(createServer());
    writeFileSync(join(folder, 'data', 'api-token'), 'x', { mode: 0o644 });
    chmodSync(join(folder, 'data'), 0o777);
    const taken = `[stratum]\nlisten = "127.0.0.1:${port}"\n[metrics]\nlisten = "127.0.0.1:0"\n`;
    const found = await look(taken + destination(1));
    expect(words(of(found, 'port'))).toContain(
      `fail stratum.listen 127.0.0.1:${port} is taken by another program`,
    );
    expect(words(of(found, 'token'))).toContain('can be read by others');
    expect(words(of(found, 'keys'))).toContain('is for its owner alone');
    expect(words(of(found, 'files'))).toContain(`fail others may write to ${join(folder, 'data')}`);
    expect(found.every(({ verdict, hint }) => verdict === 'ok' || hint !== undefined)).toBe(true);
    rmSync(join(folder, 'data'), { recursive: true });
    expect(words(of(await look(destination(1)), 'disk'))).toContain('the first start makes it');
  });

  it('is a command with an exit code and JSON', async () => {
    const file = join(folder, 'proxy.toml');
    const toml = `network = "regtest"\ndata_dir = "data"\n${destination(1)}`;
    writeFileSync(file, `${toml}[stratum]\nlisten = "127.0.0.1:0"\n[metrics]\nlisten = "127.0.0.1:0"\n`);
    const { code, json } = await sharestream([
      'doctor',
      'proxy',
      '--config',
      file,
      '--timeout',
      '2',
      '--json',
    ]);
    expect(code).toBe(1);
    expect(json()).toMatchObject({ verdict: 'fail' });
    const { checks } = json() as { checks: Diagnosis[] };
    expect(of(checks, 'upstream own')).toMatchObject([{ verdict: 'fail', code: 'upstream_closed' }]);
    expect(of(checks, 'configuration')).toMatchObject([{ verdict: 'ok' }]);
  });
});
