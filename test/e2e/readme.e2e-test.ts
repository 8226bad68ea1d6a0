import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../../src/base/random.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { filesUnder, ROOT } from '../source-tree.ts';
import { fillIn, optionsOf } from './fill-in.ts';
import { commandsOf, type Terminal, type Typed, Typist } from './typist.ts';

/** Whole lives of two installs, typed by hand: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

const PATIENCE_MS = 120_000;

const README = 'README.md';
const TRYING = 'src/devnet/TRYING.md';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-readme-'));
const clone = join(folder, 'sharestream');
const prefix = join(folder, 'prefix');

/**
 * What is not as a person types it, and why. Ports are other ones, as somebody may use those of the
 * documents; blocks come faster; packages are there already and stay off the network; `npm link` has a
 * prefix of its own, which needs no root. Everything else is word for word.
 */
const DEFAULT_PORTS = [3333, 7333, 9332, 9333, 18_443, 18_533, 18_534, 18_633, 18_634] as const;
const ports = new Map<number, number>();
const env: Record<string, string> = {
  PATH: `${join(prefix, 'bin')}:${process.env['PATH']}`,
  HOME: join(folder, 'home'),
  TMPDIR: folder,
  NODE_COMPILE_CACHE: join(folder, 'compiled'),
  npm_config_prefix: prefix,
  npm_config_cache: join(folder, 'npm-cache'),
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
};
const ADAPTED: Readonly<Record<string, (command: string) => string>> = {
  'npm ci && npm run demo': () => `npm run demo -- --stratum 127.0.0.1:${ports.get(3333)}`,
  'npm ci && npm link': () => 'npm link',
  'sharestream devnet --out try': (command) => `${command} --block-interval 2 ${devnetPorts()}`,
  'sharestream devnet --out market --strangers': (command) =>
    `${command} --block-interval 2 ${devnetPorts()}`,
  'sharestream devnet fund ADDRESS_OF_THE_MAKER ADDRESS_OF_THE_MINER': (command) =>
    `${command} ${atChain()}`,
  'sharestream devnet mine 2': (command) => `${command} ${atChain()}`,
};
/** Not run here: it is the suite that runs before this one. */
const ELSEWHERE = ['npm ci && npm test'];

const devnetPorts = (): string =>
  ['chain 18443', 'node 18533', 'node-rpc 18534', 'pool 18633', 'maker-pool 18634']
    .map((text) => text.split(' '))
    .map(([name, port]) => `--${name}-port ${ports.get(Number(port))}`)
    .join(' ');
const atChain = (): string => `--rpc-url http://127.0.0.1:${ports.get(18_443)}`;

const typist = new Typist({ folder: clone, env });
const documented = [...commandsOf(README), ...commandsOf(TRYING)];
const typed = new Set<string>();
/** What the documents write in capitals, once it was printed. */
const blanks = new Map<string, string>();
const left = new Map<string, Terminal>();

/** What is typed for a command of the documents. */
function wordsOf(command: string): string {
  if (!documented.includes(command)) throw new Error(`no document shows ${command}`);
  typed.add(command);
  const adapted = ADAPTED[command]?.(command) ?? command;
  const filled = [...blanks].reduce((text, [blank, value]) => text.replaceAll(blank, value), adapted);
  return withPorts(filled);
}

function withPorts(text: string): string {
  return [...ports].reduce(
    (all, [from, to]) => all.replaceAll(`127.0.0.1:${from}`, `127.0.0.1:${to}`),
    text,
  );
}

async function type(command: string): Promise<string> {
  const { code, text }: Typed = await typist.type(wordsOf(command));
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${text}`);
  return text;
}

async function leave(command: string, ready: RegExp): Promise<Terminal> {
  const terminal = await typist.leave(wordsOf(command), ready);
  left.set(command, terminal);
  return terminal;
}

/** Ctrl+C in each window: all end in order. */
async function stop(commands: readonly string[]): Promise<void> {
  const codes: (number | null)[] = [];
  for (const command of commands) codes.push(await left.get(command)!.ctrlC());
  expect(codes).toEqual(commands.map(() => 0));
}

/** Types it again until it says so. */
async function typeUntil(command: string, pattern: RegExp): Promise<string> {
  const giveUpMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const text = await type(command);
    if (pattern.test(text)) return text;
    if (performance.now() < giveUpMs) continue;
    const windows = [...left].map(([name, terminal]) => `$ ${name}\n${terminal.text.slice(-2_000)}`);
    throw new Error(`${command} never said ${String(pattern)}:\n${text}\n${windows.join('\n')}`);
  }
}

const field = (text: string, name: string): string => new RegExp(`^${name} +(\\S+)$`, 'm').exec(text)![1]!;

function edit(file: string, change: (text: string) => string): void {
  const path = join(clone, file);
  writeFileSync(path, change(readFileSync(path, 'utf8')));
}

const READY = /"msg":"ready"/;
const SHARES = /[1-9]\d* shares accepted/;
const PAID = /open +state [1-9]\d* +paid [1-9]/;
const CLOSING = /miner +clos(?:ing|ed)\b.*paid [1-9]/;

beforeAll(async () => {
  for (const path of filesUnder('')) {
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    cpSync(join(ROOT, path), join(clone, path));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
  mkdirSync(env['HOME']!);
  const free = await freePorts(DEFAULT_PORTS.length, systemRandom);
  for (const [index, port] of DEFAULT_PORTS.entries()) ports.set(port, free[index]!);
});

afterAll(async () => {
  await typist.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('what the documents say to type', () => {
  it('shows the demo, which Ctrl+C ends with the channel closed', async () => {
    const demo = await leave('npm ci && npm run demo', /state [1-9]/);
    await demo.ctrlC();
    expect(demo.text).toContain('The channel is closed on chain at state');
  });

  it('puts sharestream on the path', async () => {
    await type('npm ci && npm link');
    expect((await typist.type('cd / && sharestream --version')).text).toMatch(/^sharestream \d/);
  });

  it('starts a devnet, and lets two strangers work against it to the close', async () => {
    await leave('sharestream devnet --out try', /Ctrl\+C ends it/);
    const maker = await type('sharestream keys new maker --config try/maker.toml');
    const proxy = await type('sharestream keys new proxy --config try/proxy.toml --mnemonic');
    blanks.set('NODE_ID_OF_THE_MAKER', field(maker, 'node id'));
    blanks.set('NODE_ID_OF_THE_PROXY', field(proxy, 'node id'));
    blanks.set('ADDRESS_OF_THE_MAKER', field(maker, 'address'));
    blanks.set('ADDRESS_OF_THE_MINER', field(proxy, 'address'));
    for (const file of ['try/maker.toml', 'try/proxy.toml']) {
      expect(statSync(join(clone, file)).mode & 0o777).toBe(0o600);
      edit(file, (text) =>
        withPorts([...blanks].reduce((all, [blank, value]) => all.replaceAll(blank, value), text)),
      );
    }
    await type('sharestream devnet fund ADDRESS_OF_THE_MAKER ADDRESS_OF_THE_MINER');
    await leave('sharestream maker --config try/maker.toml', READY);
    const running = await leave('sharestream proxy --config try/proxy.toml', READY);
    expect(running.text).toContain(`"node_id":"${blanks.get('NODE_ID_OF_THE_PROXY')}"`);
    await leave('sharestream devnet asics 127.0.0.1:3333', SHARES);
    await type('sharestream devnet mine 2');
    await typeUntil('sharestream channel list --config try/proxy.toml', PAID);
    expect(await type('sharestream channel show --config try/proxy.toml')).toMatch(/^status +open$/m);
    await type('sharestream channel close --config try/proxy.toml --yes');
    await typeUntil('sharestream channel list --config try/proxy.toml', CLOSING);
    await stop([
      'sharestream devnet asics 127.0.0.1:3333',
      'sharestream proxy --config try/proxy.toml',
      'sharestream maker --config try/maker.toml',
    ]);
  });

  it('takes a maker and a miner from a sample to the close, and an operator around', async () => {
    await type('sharestream config sample maker --out maker.toml');
    await type('sharestream config sample proxy --out proxy.toml');
    const wanted = (role: string): Record<string, unknown> =>
      optionsOf(readFileSync(join(clone, `try/${role}.toml`), 'utf8'), ['data_dir']);
    edit('maker.toml', (text) => fillIn(text, { network: wanted('maker')['network'] }));
    edit('proxy.toml', (text) => fillIn(text, { network: wanted('proxy')['network'] }));
    const maker = await type('sharestream keys new maker --config maker.toml --mnemonic');
    const proxy = await type('sharestream keys new proxy --config proxy.toml --mnemonic');
    expect(field(proxy, 'key file')).toBe(join(env['HOME']!, '.sharestream/proxy/seed'));
    const [makerId, minerId] = [field(maker, 'node id'), field(proxy, 'node id')];
    blanks.set('ADDRESS_OF_THE_MAKER', field(maker, 'address'));
    blanks.set('ADDRESS_OF_THE_MINER', field(proxy, 'address'));
    await type('sharestream devnet fund ADDRESS_OF_THE_MAKER ADDRESS_OF_THE_MINER');
    edit('maker.toml', (text) => fillIn(text, { ...wanted('maker'), peers: { allow: [minerId] } }));
    edit('proxy.toml', (text) => {
      const sold = { ...(wanted('proxy')['contract'] as object), maker_node_id: makerId };
      const payout = { address: blanks.get('ADDRESS_OF_THE_MINER') };
      return fillIn(text, { ...wanted('proxy'), contract: sold, payout });
    });
    await type('sharestream config check maker --config maker.toml');
    await type('sharestream config check proxy --config proxy.toml');
    await leave('sharestream maker --config maker.toml', READY);
    expect(await type('sharestream doctor proxy --config proxy.toml')).toMatch(/^ok /m);
    await leave('sharestream proxy --config proxy.toml', READY);
    await leave('sharestream devnet asics 127.0.0.1:3333', SHARES);
    await typeUntil('sharestream channel list --config proxy.toml', PAID);
    expect(await type('sharestream status --config proxy.toml')).toContain(minerId);
    expect(await type("curl -s 'http://127.0.0.1:9332/readyz?verbose'")).toContain('[+]upstream ok');
    await type('sharestream ledger verify --config proxy.toml');
    await type('sharestream keys backup proxy --config proxy.toml --reveal --out keys.backup');
    expect(readFileSync(join(clone, 'keys.backup'), 'utf8')).toBe(
      readFileSync(field(proxy, 'key file'), 'utf8'),
    );
    await type('sharestream ledger backup --config proxy.toml --out ledger.backup');
    await type('sharestream channel export --config proxy.toml --out export.json');
    await type('sharestream channel close --config proxy.toml --yes');
    await typeUntil('sharestream channel list --config proxy.toml', CLOSING);
    await stop([
      'sharestream devnet asics 127.0.0.1:3333',
      'sharestream proxy --config proxy.toml',
      'sharestream maker --config maker.toml',
      'sharestream devnet --out try',
    ]);
  });

  it('brings two strangers together by one pasted line, to the first paid state', async () => {
    await leave('sharestream devnet --out market --strangers', /Ctrl\+C ends it/);
    const maker = await type('sharestream keys new maker --config market/maker.toml');
    const proxy = await type('sharestream keys new proxy --config market/proxy.toml');
    blanks.set('ADDRESS_OF_THE_MAKER', field(maker, 'address'));
    blanks.set('ADDRESS_OF_THE_MINER', field(proxy, 'address'));
    edit('market/maker.toml', withPorts);
    edit('market/proxy.toml', (text) =>
      withPorts(text.replaceAll('ADDRESS_OF_THE_MINER', blanks.get('ADDRESS_OF_THE_MINER')!)),
    );
    await type('sharestream devnet fund ADDRESS_OF_THE_MAKER ADDRESS_OF_THE_MINER');
    await leave('sharestream maker --config market/maker.toml', READY);
    await leave('sharestream proxy --config market/proxy.toml', READY);
    await leave('sharestream devnet asics 127.0.0.1:3333', SHARES);
    const offer = await type('sharestream offer make --config market/maker.toml --endpoint 127.0.0.1:7333');
    blanks.set('OFFER', /^shst1\S+$/m.exec(offer)![0]);
    expect(await type('sharestream contract quote OFFER --config market/proxy.toml')).toMatch(/^1\. /m);
    // Nothing opens by asking.
    expect(await type('sharestream contract list --config market/proxy.toml')).toContain('no contract');
    const taken = await type('sharestream contract take OFFER --config market/proxy.toml --yes');
    const contract = /^taken: contract ([0-9a-f]{64}) /m.exec(taken)![1]!;
    await typeUntil('sharestream contract list --config market/proxy.toml', PAID);
    const book = await type('sharestream maker book --config market/maker.toml');
    expect(book).toContain(`contract   ${contract.slice(0, 16)}`);
    await type('sharestream maker policy set halt=true --config market/maker.toml');
    expect(await type('sharestream maker policy show --config market/maker.toml')).toMatch(
      /^halt +true +\(set; without that false\)$/m,
    );
    const refused = await typist.type(
      wordsOf('sharestream contract quote OFFER --config market/proxy.toml'),
    );
    expect([refused.code, refused.text]).toEqual([1, expect.stringContaining('maker_halted')]);
    await stop([
      'sharestream devnet asics 127.0.0.1:3333',
      'sharestream proxy --config market/proxy.toml',
      'sharestream maker --config market/maker.toml',
      'sharestream devnet --out market --strangers',
    ]);
  });

  it('is all of what they show', () => {
    expect(documented.filter((command) => !typed.has(command) && !ELSEWHERE.includes(command))).toEqual([]);
  });
});
