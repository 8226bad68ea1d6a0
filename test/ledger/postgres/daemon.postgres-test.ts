import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OWNER } from './postgres-server.ts';
import { DATABASE } from './primary-and-standby.ts';
import { postgresStand } from './stand.ts';

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname;
const stand = postgresStand();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-daemon-'));
const config = path.join(folder, 'proxy.toml');
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

beforeAll(() => {
  const url = `postgres://${OWNER}@127.0.0.1:${stand.standby.port},127.0.0.1:${stand.primary.port}/${DATABASE}`;
  fs.writeFileSync(
    config,
    `network = "regtest"
data_dir = "data"
[ledger]
url = "${url}"
instance = "proxy-1"
[stratum]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[[destination]]
name = "own"
url = "stratum+tcp://127.0.0.1:1"
worker = "w"
`,
  );
});

function command(...words: string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words, '--config', config], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

/** Runs the proxy until it says something, and ends it. Returns all that it said. */
async function proxyUntil(line: string): Promise<string> {
  const child = spawn(process.execPath, [MAIN, 'proxy', '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      // A second signal would have it end at once.
      if (output.includes(line) && !child.killed) child.kill('SIGTERM');
    });
  await once(child, 'close');
  return output;
}

it('a proxy keeps its ledger there, and commands read it', async () => {
  expect(command('ledger', 'verify').output).toContain('ledger_schema');
  const first = await proxyUntil('"msg":"ready"');
  expect(first).toContain('"run":1,');
  expect(first).toMatch(/"engine":"postgresql \d+\.\d+"/);
  expect(await proxyUntil('"msg":"ready"')).toContain('"run":2,');
  expect(fs.existsSync(path.join(folder, 'data', 'ledger.sqlite'))).toBe(false);
  expect(command('ledger', 'verify')).toEqual({
    status: 0,
    output: expect.stringContaining('the ledger is sound'),
  });
  expect(command('ledger', 'migrate').output).toContain('all 3 migrations');
  expect(command('fleet', 'status').output).toMatch(
    /^instance proxy-1 {2}(here|gone), [\d.]+ s ago {2}\d+\.\d+\.\d+ {2}0 sessions, 0 H\/s, /,
  );
  // What it had is free again.
  expect(
    await stand.sql("SELECT number FROM sharestream.extranonce_range WHERE until > '-infinity'"),
  ).toHaveLength(2);
  expect(
    await stand.sql('SELECT number FROM sharestream.extranonce_range WHERE until > clock_timestamp()'),
  ).toEqual([]);
  expect(command('fleet', 'drain').output).toContain('say which');
  expect(command('fleet', 'drain', 'proxy-1').output).toContain('daemon_unreachable');
  expect(command('fleet', 'verify')).toEqual({
    status: 0,
    output: expect.stringMatching(/^proxy-1: \d+ rows, head [0-9a-f]{64}\nthe ledger is sound/),
  });
  expect(command('ledger', 'streams').status).toBe(0);
  expect(command('ledger', 'backup', '--out', path.join(folder, 'copy')).output).toContain('is for a file');
  expect(command('config', 'check', 'proxy').output).not.toContain('ledger.');
  expect(command('doctor', 'proxy').output).toMatch(
    /PostgreSQL \d+\.\d+ at 127\.0\.0\.1:\d+, with a synchronous/,
  );
});
