import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Role } from '../../src/config/config.ts';
import { ConfigInForce } from '../../src/config/in-force.ts';
import { optionsOf } from '../../src/config/load.ts';
import { flatRows, type Input, isLive, type Row } from '../../src/config/options.ts';
import { startAuditor } from '../../src/daemon/auditor.ts';
import { startMaker } from '../../src/daemon/maker.ts';
import { startProxy } from '../../src/daemon/proxy.ts';
import type { Reload } from '../../src/daemon/reload.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { createLogger, type RootLogger } from '../../src/log/pino-logger.ts';
import { DIFFICULTY, Stand, until } from '../mining/stand.ts';

let directory: string;
let log: RootLogger;
const closers: (() => Promise<unknown>)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'reload-'));
  writeFileSync(join(directory, 'seed'), `${'7'.repeat(64)}\n`, { mode: 0o600 });
  writeFileSync(join(directory, 'secret'), 'hidden words\n', { mode: 0o600 });
  const lines = { write: (line: string) => void said.push(line) };
  log = createLogger({ level: 'info' }, { sink: lines });
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
  said.length = 0;
});

const said: string[] = [];

type Given = Readonly<Record<string, Input>>;
type Daemon = { readonly reload: Reload<Role>; readonly ready: Readonly<Record<string, unknown>> };

/** Seconds of work where a machine has nothing else to do. */
const LONG_MS = 300_000;

const PRICE = '44000 sat/PH/day';
const ANY_PORT = '127.0.0.1:0';
const SEED = { 'keys.seed_file': 'seed', network: 'regtest', 'metrics.listen': ANY_PORT };
const POOL = { 'destination.0.url': 'stratum+tcp://127.0.0.1:9', 'destination.0.worker': 'w' };
const BASES: Readonly<Record<Role, Given>> = {
  proxy: {
    ...{ ...SEED, ...POOL, 'stratum.listen': ANY_PORT, 'destination.0.name': 'own' },
    ...{ 'chain.rpc_url': 'http://127.0.0.1:9', 'sell.floor_price': '40000 sat/PH/day' },
    ...{ 'payout.script': '0014751e76e8199196d454941c45d1b3a323f1433bd6' },
  },
  maker: {
    ...{ ...SEED, 'peer.listen': ANY_PORT, 'policy.max_price': '46000 sat/PH/day' },
    ...{ 'policy.bindings': ['none'], 'policy.bonds.modes': ['hostage'] },
  },
  auditor: { ...SEED, 'peer.listen': ANY_PORT },
};

/** What has to be said beside an option for it to mean anything. */
const MAKER = { 'maker.0.name': 'a', 'maker.0.url': 'a.example:1', 'maker.0.node_id': 'c6'.repeat(32) };
const AUDITED = { 'sell.bonds.mode': 'auditor', 'sell.bonds.auditor_key': `02${'c6'.repeat(32)}` };
const STRANGERS = { 'policy.strangers.max_contracts': 1, 'policy.strangers.max_budget': '50000 sat' };
const BESIDE: readonly (readonly [RegExp, Given])[] = [
  [/^destination\.0\.(?:rpc_url|payout_mode)$/, { 'destination.0.profile': 'braidpool' }],
  [/^destination\.0\.tls_/, { 'destination.0.url': 'stratum+ssl://127.0.0.1:9' }],
  [/^maker\.0\./, MAKER],
  [/^sell\.keep$/, { ...MAKER, 'sell.max_exposure': '5000 sat' }],
  [
    /^sell\.bonds\./,
    { ...AUDITED, 'sell.bonds.maker_bond': '60000 sat', 'sell.bonds.collateral': '900 sat' },
  ],
  [/^sell\.max_rate/, { 'sell.rate': '5 PH/s' }],
  [/^sell\.delivery\./, { 'sell.rate': '5 PH/s', 'sell.delivery.enabled': true }],
  [/^sell\.min_cap$/, { 'sell.prices': ['moving'] }],
  [/^sell\.start_within/, { 'sell.start_after_blocks': 144 }],
  [/^policy\.pricing\.(?:premium|min_price|epoch)$/, { 'policy.pricing.rule': 'index' }],
  [
    /^policy\.pricing\.(?:strike|share)$/,
    { 'policy.pricing.rule': 'collar', 'policy.pricing.strike': PRICE },
  ],
  [/^policy\.strangers\./, { ...STRANGERS, 'policy.strangers.require_collateral': false }],
];

const GUESSES: Readonly<Record<string, readonly Input[]>> = {
  boolean: [true, false],
  integer: [2, 3, 7, 200, 500],
  'positive number': [0.25, 2, 600, 20_000],
  duration: ['2s', '3m', '2h', '2d'],
  work: ['2 EH', '200 TH'],
  amount: ['2000 sat', '70000 sat', '3000000 sat'],
  price: ['41000 sat/PH/day', '50000 sat/PH/day'],
  hashrate: ['6 PH/s', '2 PH/s'],
  name: ['other'],
  text: ['other'],
  'host:port': ['b.example:2'],
  '66 hex digits': [`03${'c6'.repeat(32)}`],
  '64 hex digits': ['aa'.repeat(32)],
  'list of 64 hex digits': [['aa'.repeat(32)]],
  'list of text': [['other.example']],
  'list of address range': [['192.0.2.0/24']],
  'Stratum URL': ['stratum+tcp://127.0.0.1:8'],
  'version mask': ['00000000'],
};

/** Values that an option may have instead of that of a base. */
function othersOf({ kind, example, default: usual, min, max }: Row<unknown>): readonly Input[] {
  const words = [...kind.name.matchAll(/"(\w+)"/g)].map(([, word]) => word!);
  const lists = kind.name.startsWith('list') ? words.map((word) => [word]) : words;
  const files = kind.name.startsWith('path') ? [join(directory, 'secret')] : [];
  const named = [example, min, max, usual].filter((value) => value !== undefined);
  return [...files, ...lists, ...(GUESSES[kind.name] ?? []), ...named];
}

function toml(given: Given): string {
  const lines = Object.entries(given).map(([path, value]): [string, string] => {
    const at = path.lastIndexOf('.');
    return [path.slice(0, Math.max(0, at)), `${path.slice(at + 1)} = ${JSON.stringify(value)}`];
  });
  const sections = [...new Set(lines.map(([section]) => section))].sort();
  return sections
    .map((section) => {
      const header = /\.\d$/.test(section) ? `[[${section.slice(0, -2)}]]` : `[${section}]`;
      const own = lines.filter(([other]) => other === section).map(([, line]) => line);
      return [...(section === '' ? [] : [header]), ...own].join('\n');
    })
    .join('\n');
}

function write(given: Given): void {
  writeFileSync(join(directory, 'a.toml'), `data_dir = "${join(directory, 'data')}"\n${toml(given)}\n`);
}

async function start(role: Role, given: Given): Promise<Daemon> {
  write(given);
  const input = { file: join(directory, 'a.toml'), env: {} };
  const source = <R extends Role>(of: R): ConfigInForce<R> => new ConfigInForce(of, input);
  const daemon = await {
    proxy: () => startProxy(source('proxy').config, log, source('proxy')),
    maker: () => startMaker(source('maker').config, log, source('maker')),
    auditor: () => startAuditor(source('auditor').config, log, source('auditor')),
  }[role]();
  closers.push(() => daemon.close());
  return daemon as Daemon;
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`;
    if (item instanceof Map || item instanceof Set) return [...item];
    return item;
  });

/** Reloads with each of the values until one is taken and is another: the paths that the answer names. */
function setAny(
  { reload }: Daemon,
  given: Given,
  { path, row }: { readonly path: string; readonly row: Row<unknown> },
): { readonly changed: readonly string[]; readonly restart: readonly string[] } | undefined {
  for (const value of othersOf(row)) {
    if (JSON.stringify(value) === JSON.stringify(given[path] ?? row.default)) continue;
    write({ ...given, [path]: value });
    try {
      const { changed, needs_restart: restart } = reload.run();
      const named = (rows: typeof changed): string[] => rows.map(({ option }) => option);
      if (changed.length + restart.length > 0) return { changed: named(changed), restart: named(restart) };
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error;
    }
  }
  return undefined;
}

const keyOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

describe.each(['proxy', 'maker', 'auditor'] as const)('a reload of the %s', (role) => {
  const rows = flatRows(optionsOf(role));

  it(
    'changes what runs by each option that is marked so',
    async () => {
      const daemon = await start(role, BASES[role]);
      const wrong: string[] = [];
      const known = new Map<string, string>();
      const live = rows.filter(({ path }) => isLive(optionsOf(role), path));
      expect(live.length).toBeGreaterThan(2);
      for (const { path, row } of live) {
        const beside = BESIDE.filter(([pattern]) => pattern.test(path)).map(([, given]) => given);
        const given: Given = Object.assign({}, BASES[role], ...beside);
        write(given);
        try {
          daemon.reload.run();
        } catch (error) {
          wrong.push(`${path}: ${(error as Error).message}`);
          continue;
        }
        const before = text(daemon.reload.inForce);
        const key = JSON.stringify(given);
        // Taken back, what was changed before it is as it was.
        if ((known.get(key) ?? before) !== before) wrong.push(`before ${path}: something stayed`);
        known.set(key, before);
        const named = setAny(daemon, given, { path, row });
        const isSaid = named?.changed.some((option) => keyOf(option) === keyOf(path)) === true;
        if (!isSaid || text(daemon.reload.inForce) === before) wrong.push(path);
      }
      expect(wrong).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'leaves what runs by every other option, and says that it needs a restart',
    async () => {
      const daemon = await start(role, BASES[role]);
      const before = text(daemon.reload.inForce);
      const changing: string[] = [];
      let tried = 0;
      for (const { path, row } of rows.filter((each) => !isLive(optionsOf(role), each.path))) {
        const named = setAny(daemon, BASES[role], { path, row });
        if (named === undefined) continue;
        tried += 1;
        if (named.changed.length > 0 || text(daemon.reload.inForce) !== before) changing.push(path);
      }
      expect(changing).toEqual([]);
      expect(tried).toBeGreaterThan(4);
    },
    LONG_MS,
  );

  it('changes nothing by a file that is wrong, and says why', async () => {
    const daemon = await start(role, BASES[role]);
    const before = text(daemon.reload.inForce);
    const codeOf = (): string => {
      try {
        daemon.reload.run();
        return 'done';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    write({ ...BASES[role], 'log.level': 'debug', 'log.colour': 'red' });
    expect(codeOf()).toBe('config_invalid');
    writeFileSync(join(directory, 'a.toml'), '[log\nlevel = "debug"');
    expect(codeOf()).toBe('config_invalid');
    rmSync(join(directory, 'a.toml'));
    expect(codeOf()).toBe('config_unreadable');
    expect(text(daemon.reload.inForce)).toBe(before);
    write({ ...BASES[role], 'log.level': 'debug' });
    expect(codeOf()).toBe('done');
    expect(log.level()).toBe('debug');
  });
});

describe('miners', () => {
  it(
    'move to another destination, and to other limits, over the connection that they have',
    async () => {
      const stand = new Stand();
      closers.push(() => stand.close());
      const [one, other] = [await stand.pool(), await stand.pool()];
      const at = (port: number, index: number, name: string): Given => ({
        [`destination.${index}.url`]: `stratum+tcp://127.0.0.1:${port}`,
        ...{ [`destination.${index}.name`]: name, [`destination.${index}.worker`]: 'w' },
      });
      const easy = { 'stratum.difficulty.min': DIFFICULTY / 4, 'stratum.difficulty.mode': 'fixed' };
      const base = { ...SEED, 'stratum.listen': ANY_PORT, ...easy, 'stratum.difficulty.start': DIFFICULTY };
      const daemon = await start('proxy', { ...base, ...at(one.port, 0, 'one') });
      const [host, port] = String(daemon.ready['stratum']).split(':');
      const fleet = await startAsics([
        { host: host!, port: Number(port), worker: 'farm.rig', hashesPerSecond: 1 },
      ]);
      closers.push(() => fleet.stop());
      const seen = async (): Promise<string> => {
        const page = await fetch(`http://${String(daemon.ready['http'])}/api/v1/miners`);
        const { items } = (await page.json()) as {
          items: { id: number; destination: string; difficulty: number }[];
        };
        return items.map(({ id, destination, difficulty }) => `${id} ${destination} ${difficulty}`).join();
      };
      await until(async () => (await seen()) === `1 one ${DIFFICULTY}`, 'the miner mines at one');
      const both = { ...base, ...at(one.port, 0, 'one'), ...at(other.port, 1, 'other') };
      write({ ...both, 'destination.0.priority': 5, 'failover.return_after': '0s' });
      daemon.reload.run();
      await until(
        async () => (await seen()) === `1 other ${DIFFICULTY}`,
        'the miner mines at the better one',
      );
      expect(one.stats.connections).toBe(1);
      write({ ...base, ...at(one.port, 0, 'one'), 'stratum.difficulty.start': DIFFICULTY / 4 });
      daemon.reload.run();
      // The work that it has keeps its difficulty: this is other work.
      one.changeExtranonces();
      await until(
        async () => (await seen()) === `1 one ${DIFFICULTY / 4}`,
        'it mines at what is left, and easier',
      );
      write({ ...base, ...at(one.port, 0, 'one'), 'stratum.limits.deny': ['127.0.0.1'] });
      daemon.reload.run();
      const refused = new Socket().connect(Number(port), host!);
      await once(
        refused.resume().on('error', () => {}),
        'close',
      );
      expect(await seen()).toMatch(/^1 one/);
    },
    LONG_MS,
  );
});

describe('a reload', () => {
  it('is asked for by whoever may run the daemon, and never says a secret', async () => {
    const daemon = await start('proxy', BASES.proxy);
    const ask = async (file: string, body: object): Promise<{ status: number; text: string }> => {
      const token = readFileSync(join(directory, 'data', file), 'utf8').trim();
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const url = `http://${String(daemon.ready['http'])}/api/v1/config/reload`;
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
      return { status: answer.status, text: await answer.text() };
    };
    write({ ...BASES.proxy, 'destination.0.password': 'of-the-pool', 'stratum.version_mask': '00000000' });
    expect((await ask('api-token-watch', {})).status).toBe(403);
    const dry = await ask('api-token-operate', { dry_run: true });
    const option = 'destination.own.password';
    const restart = { option: 'stratum.version_mask', before: '"1fffe000"', after: '"00000000"' };
    const changed = [{ option, before: '"x"', after: '(hidden)' }];
    expect(JSON.parse(dry.text)).toMatchObject({ dry_run: true, changed, needs_restart: [restart] });
    expect(text(daemon.reload.inForce)).not.toContain('of-the-pool');
    const done = await ask('api-token-operate', {});
    expect(JSON.parse(done.text)).toMatchObject({ dry_run: false, changed, needs_restart: [restart] });
    expect(text(daemon.reload.inForce)).toContain('of-the-pool');
    expect(JSON.parse((await ask('api-token-operate', {})).text)).toMatchObject({
      ...{ changed: [], needs_restart: [restart] },
    });
    write({ ...BASES.proxy, 'destination.0.password': 'of-another', 'destination.0.worker': '' });
    const refused = await ask('api-token-operate', {});
    expect([refused.status, refused.text]).toEqual([422, expect.stringContaining('config_invalid')]);
    expect([dry.text, done.text, refused.text, ...said].join('\n')).not.toMatch(/of-the-pool|of-another/);
  });

  it('refuses what does not go with what stays until a restart', async () => {
    const { 'sell.floor_price': _floor, ...others } = BASES.proxy;
    const daemon = await start('proxy', others);
    write(BASES.proxy);
    expect(() => daemon.reload.run()).toThrow(/config_invalid.*start connects/);
  });
});
