import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';

/** Processes that start, some of them together. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'sharestream-boot-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
let stage: Stage;

beforeAll(async () => {
  stage = await startStage(
    {
      directory: join(directory, 'stage'),
      stratum: { host: '127.0.0.1', port: 0 },
      bits: 0x1e00ffff,
      blockIntervalMs: 1_000,
      shareDifficulty: 2 ** -18,
      stepHashes: 2n ** 16n,
      workTotalHashes: 2n ** 16n * 100_000n,
      priceMsatPerEh: 2n * 10n ** 18n,
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  cleanups.push(() => stage.close());
});
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

type Fault = {
  /** Default: a proxy. */
  readonly role?: 'proxy' | 'maker';
  /** Of the configuration of a proxy with a contract: node and pools are there, its maker is not. */
  readonly edit?: (toml: string) => string;
  readonly env?: Readonly<Record<string, string>>;
  /** A file for its log instead of one of its own. */
  readonly logFile?: string;
  /** Bytes beyond which no file of it grows. */
  readonly fileBytes?: number;
};

type Booted = {
  readonly stratum: { readonly host: string; readonly port: number };
  readonly metricsUrl: string;
  readonly logFile: string;
  readonly said: () => string;
  readonly exited: Promise<number | null>;
  stop(): Promise<number | null>;
};

const at = ({ host, port }: { readonly host: string; readonly port: number }): string => `${host}:${port}`;

/** Of a port that nobody listens on. */
async function freeAddress(): Promise<{ readonly host: string; readonly port: number }> {
  const [port] = await freePorts(1, systemRandom);
  return { host: '127.0.0.1', port: port! };
}

/** A ledger in the folder of a proxy to come, which another program holds until it is closed. */
async function lockIn(name: string): Promise<DatabaseSync> {
  const dataDir = join(directory, name);
  mkdirSync(dataDir, { mode: 0o700 });
  const path = join(dataDir, 'ledger.sqlite');
  await (await openSqliteLedger({ path }, { log: silentLogger })).close();
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  return other;
}

/** A proxy of its own folder and ports on the stage. */
async function boot(name: string, fault: Fault = {}): Promise<Booted> {
  const dataDir = join(directory, name);
  mkdirSync(dataDir, { mode: 0o700, recursive: true });
  const [stratum, page] = [await freeAddress(), await freeAddress()];
  const { role = 'proxy' } = fault;
  const like = stage[role];
  const toml = readFileSync(like.configFile, 'utf8')
    .replace(at(stage.stratum), at(stratum))
    .replace(like.metricsUrl.slice('http://'.length), at(page));
  for (const file of ['seed', 'rpc-password'])
    writeFileSync(join(dataDir, file), readFileSync(join(like.dataDir, file)), { mode: 0o600 });
  const configFile = join(dataDir, 'config.toml');
  writeFileSync(configFile, fault.edit?.(toml) ?? toml);
  const logFile = fault.logFile ?? join(directory, `${name}.log`);
  const log = openSync(logFile, 'a');
  const words = [MAIN, role, '--config', configFile];
  const limit =
    fault.fileBytes === undefined ? [] : ['prlimit', `--fsize=${fault.fileBytes}:${fault.fileBytes}`];
  const [program, ...rest] = [...limit, process.execPath, ...words];
  const child = spawn(program!, rest, {
    stdio: ['ignore', log, 'pipe'],
    env: { ...process.env, ...fault.env },
  });
  closeSync(log);
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    return exited;
  };
  cleanups.push(() => child.kill('SIGKILL'));
  const metricsUrl = `http://${at(page)}`;
  return { stratum, metricsUrl, logFile, said: () => said, exited, stop };
}

/** Waits until a miner that comes gets work. */
async function served({ stratum, exited, said }: Booted): Promise<void> {
  let isOver = false;
  void exited.then(() => {
    isOver = true;
  });
  for (;;) {
    if (isOver) throw new Error(`the proxy ended: ${said()}`);
    if (await getsWork(stratum)) return;
    await sleep(50);
  }
}

function getsWork({ host, port }: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    let text = '';
    const timer = systemTimers.after(3_000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => {
      timer.cancel();
      resolve(text.includes('mining.notify'));
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('mining.notify')) socket.destroy();
    });
    const subscribe = '{"id":1,"method":"mining.subscribe","params":["boot/1"]}\n';
    socket.write(`${subscribe}{"id":2,"method":"mining.authorize","params":["farm.boot","x"]}\n`);
  });
}

/** Waits until the metrics have a series with a value. */
async function shows(
  { metricsUrl }: Booted,
  series: string,
  isSo: (value: number) => boolean,
): Promise<void> {
  for (;;) {
    const text = await fetch(`${metricsUrl}/metrics`).then(
      (answer) => answer.text(),
      () => '',
    );
    const line = text.split('\n').find((candidate) => candidate.startsWith(`sharestream_${series} `));
    if (line !== undefined && isSo(Number(line.split(' ')[1]))) return;
    await sleep(50);
  }
}

const is = (wanted: number) => (value: number) => value === wanted;

async function listening(onConnection = (socket: Socket): unknown => socket.destroy()): Promise<Server> {
  const server = createServer((socket) => void onConnection(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return server;
}

const addressOf = (server: Server): string =>
  at({ host: '127.0.0.1', port: (server.address() as { port: number }).port });

const DEAD = '127.0.0.1:1';
/** As if it were later by so much. */
const later = (ms: number): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=data:text/javascript,const%20now=Date.now;Date.now=()=>now()+${ms}`,
});

describe('a proxy that boots', () => {
  it.concurrent('stops in order and in time among nodes, makers and clients that say nothing', async ({
    expect,
  }) => {
    const held: Socket[] = [];
    cleanups.push(() => held.map((socket) => socket.destroy()));
    const silent = addressOf(await listening((socket) => held.push(socket)));
    const proxy = await boot('all-silent', {
      edit: (toml) =>
        toml
          .replace(/(\[chain\]\nrpc_url = )"[^"]*"/, `$1"http://${silent}"`)
          .replace(/(maker_url = )"[^"]*"/, `$1"${silent}"`),
    });
    await served(proxy);
    await shows(proxy, 'waiting_parts{part="contract"}', is(1));
    const { port } = new URL(proxy.metricsUrl);
    const half = connect(Number(port), '127.0.0.1', () => half.write('GET /metrics HTTP/1.1\r\nHost: '));
    const deaf = connect(Number(port), '127.0.0.1', () => deaf.pause().write('GET /metrics HTTP/1.1\r\n'));
    for (const socket of [half, deaf]) {
      held.push(socket.on('error', () => {}));
      await once(socket, 'connect');
    }
    const before = performance.now();
    expect(await proxy.stop()).toBe(0);
    // What systemd waits.
    expect(performance.now() - before).toBeLessThan(30_000);
  });

  it.concurrent('serves miners without a ledger or a page that are not to be had, now or at all', async ({
    expect,
  }) => {
    const page = await listening();
    const runs = [
      (async () => {
        const proxy = await boot('disk-full', { fileBytes: 8192 });
        await served(proxy);
        await shows(proxy, 'close_only', is(1));
        return proxy.stop();
      })(),
      (async () => {
        const lock = await lockIn('ledger-locked');
        const proxy = await boot('ledger-locked');
        await sleep(7_000);
        lock.close();
        await served(proxy);
        await shows(proxy, 'close_only', is(0));
        return proxy.stop();
      })(),
      (async () => {
        const lock = await lockIn('ledger-held');
        const proxy = await boot('ledger-held');
        await served(proxy);
        await shows(proxy, 'close_only', is(1));
        lock.close();
        await shows(proxy, 'close_only', is(0));
        await served(proxy);
        return proxy.stop();
      })(),
      (async () => {
        const proxy = await boot('page-taken', {
          edit: (toml) => toml.replace(/(\[metrics\]\nlisten = )"[^"]*"/, `$1"${addressOf(page)}"`),
        });
        await served(proxy);
        const log = (): string => readFileSync(proxy.logFile, 'utf8');
        while (!log().includes('"part":"page","code":"address_in_use"')) await sleep(50);
        return proxy.stop();
      })(),
    ];
    expect(await Promise.all(runs)).toEqual([0, 0, 0, 0]);
  });

  it('serves miners, whatever else is not there, and says what it lacks', async () => {
    const rows: readonly [string, Fault, readonly [string, (value: number) => boolean]][] = [
      [
        'node-down',
        { edit: (toml) => toml.replace(/(\[chain\]\nrpc_url = )"[^"]*"/, `$1"http://${DEAD}"`) },
        ['waiting_parts{part="contract"}', is(1)],
      ],
      ['maker-down', {}, ['market_peer_up', is(0)]],
      [
        'dns-dead',
        {
          edit: (toml) =>
            toml.replace(/(name = "braidpool"\nurl = )"[^"]*"/, '$1"stratum+tcp://pool.invalid:3333"'),
        },
        ['upstream_up{target="braidpool"}', is(0)],
      ],
      [
        'ipv6-dead',
        { edit: (toml) => toml.replace(/stratum\+tcp:\/\/127\.0\.0\.1:/g, 'stratum+tcp://localhost:') },
        ['upstream_up{target="own-pool"}', is(1)],
      ],
      [
        'clock-ahead',
        { env: later(20 * 60_000) },
        ['upstream_clock_offset_seconds{target="own-pool"}', (seconds) => seconds > 1100 && seconds < 1300],
      ],
      ['log-full', { logFile: '/dev/full' }, ['log_blocked', is(1)]],
    ];
    const runs = rows.map(async ([name, fault, [series, isSo]]) => {
      const proxy = await boot(name, fault);
      await served(proxy);
      await shows(proxy, series, isSo);
      return `${name} ${await proxy.stop()} ${proxy.said()}`;
    });
    expect(await Promise.all(runs)).toEqual(rows.map(([name]) => `${name} 0 `));
  });

  it('ends at once with one coded error where it cannot serve miners', async () => {
    const taken = addressOf(await listening());
    const rows: readonly [string, Fault, RegExp][] = [
      [
        'port-taken',
        { edit: (toml) => toml.replace(/(\[stratum\]\nlisten = )"[^"]*"/, `$1"${taken}"`) },
        new RegExp(`^address_in_use: ${taken}\n[^\n]+\n$`),
      ],
      [
        'bad-address',
        { edit: (toml) => toml.replace(/(\[stratum\]\nlisten = )"[^"]*"/, '$1"[2001:db8::1]:3333"') },
        /^address_unusable: \[2001:db8::1\]:3333 \(E\w+\)\n[^\n]+\n$/,
      ],
      [
        'peer-port-taken',
        {
          role: 'maker',
          edit: (toml) => toml.replace(/(\[peer\]\nlisten = )"[^"]*"/, `$1"${taken}"`),
        },
        new RegExp(`^address_in_use: ${taken}\n[^\n]+\n$`),
      ],
      [
        'data-dir-a-file',
        { edit: (toml) => toml.replace('data_dir = "."', 'data_dir = "config.toml"') },
        /^(file_unusable|bad_key_file): [^\n]+\n[^\n]+\n$/,
      ],
    ];
    const runs = rows.map(async ([name, fault, said]) => {
      const proxy = await boot(name, fault);
      return [name, await proxy.exited, said.test(proxy.said()) || proxy.said()];
    });
    expect(await Promise.all(runs)).toEqual(rows.map(([name]) => [name, 1, true]));
  });

  it('takes miners and says that they are not served, where no destination gives work', async () => {
    const dead = 'stratum+tcp://127.0.0.1:1';
    const edit = (toml: string): string => toml.replaceAll(/stratum\+tcp:\/\/127\.0\.0\.1:\d+/g, dead);
    const proxy = await boot('pools-down', { edit });
    await shows(proxy, 'upstream_up{target="own-pool"}', is(0));
    const health = await fetch(`${proxy.metricsUrl}/healthz?verbose`);
    expect([health.status, await health.text()]).toEqual([
      503,
      '[-]miners failed: no destination gives work\nnot ready\n',
    ]);
    expect(await proxy.stop()).toBe(0);
  });
});
