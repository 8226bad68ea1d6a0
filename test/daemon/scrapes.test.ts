import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startAuditor } from '../../src/daemon/auditor.ts';
import { startMaker } from '../../src/daemon/maker.ts';
import { startProxy } from '../../src/daemon/proxy.ts';
import { startWatch } from '../../src/daemon/watch.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { METRIC_PREFIX, METRIC_ROWS, type MetricRole } from '../../src/metrics/catalogue.ts';

const directory = mkdtempSync(join(tmpdir(), 'scrapes-'));
const closers: (() => unknown)[] = [() => rmSync(directory, { recursive: true })];
const urls = new Map<MetricRole, string>();
let stage: Stage;
let stopMaker: () => Promise<void>;

/** Those with no value at a moment where all is well, and why. */
const AT_TIMES: Readonly<Record<string, string>> = {
  disk_full_seconds: 'no space is used up',
  upstream_wanted_hashes_per_second: 'the hashrate is not split',
  upstream_links: 'each destination is shared',
  upstream_links_refused_total: 'each destination is shared',
  ...Object.fromEntries(
    Object.keys(METRIC_ROWS)
      .filter((name) => name.startsWith('braidpool_'))
      .map((name) => [name, 'no node of Braidpool is mined at']),
  ),
  upstream_clock_offset_seconds: 'as long as no job was dated',
  work_jobs_refused_total: 'no job was refused',
  market_refused_terms_total: 'no quote or proposal was refused',
  upstream_disconnects_total: 'nothing was disconnected',
  watch_ladder_age_seconds: 'what is watched is a refund',
};

type Running = { readonly ready: Readonly<Record<string, unknown>>; close(): Promise<void> };

/** @returns what ends it, once */
function serve(role: MetricRole, daemon: Running): () => Promise<void> {
  urls.set(role, `http://${String(daemon.ready['http'])}`);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= daemon.close());
  closers.push(close);
  return close;
}

async function page(role: MetricRole, path: string): Promise<string> {
  return (await fetch(`${urls.get(role)}${path}`)).text();
}

/** The names of the metrics that have a series now. */
async function seriesOf(role: MetricRole): Promise<ReadonlySet<string>> {
  const names = [...(await page(role, '/metrics')).matchAll(/^sharestream_(\w+?)(?:_bucket)?[{ ]/gm)];
  return new Set(names.map((match) => match[1]!));
}

async function metric(role: MetricRole, series: string): Promise<number> {
  const line = (await page(role, '/metrics'))
    .split('\n')
    .find((candidate) => candidate.startsWith(`${METRIC_PREFIX}${series} `));
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}

/** Waits until a series is at least so much. */
async function comes(role: MetricRole, series: string, value: number): Promise<void> {
  await expect.poll(() => metric(role, series), { timeout: 60_000 }).toBeGreaterThanOrEqual(value);
}

beforeAll(async () => {
  stage = await startStage(
    {
      ...{ directory, bits: DEVNET_BITS, stratum: { host: '127.0.0.1', port: 0 }, blockIntervalMs: 500 },
      ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, stepHashes: DEVNET_STEP_HASHES },
      ...{ workTotalHashes: DEVNET_STEP_HASHES * 4000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 4n },
      makerPoolDifficulty: DEVNET_SHARE_DIFFICULTY * 2,
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  closers.push(() => stage.close());
  const config = <R extends 'proxy' | 'maker'>(role: R) =>
    loadConfig(role, { file: stage[role].configFile, env: {} });
  stopMaker = serve('maker', await startMaker(config('maker'), silentLogger));
  serve('proxy', await startProxy(config('proxy'), silentLogger));
  const { network, chain, closeDir } = config('maker');
  const watched = { network, chain: chain!, paths: [closeDir], readMs: 200, maxAgeMs: 60_000 };
  serve('watch', await startWatch(watched, { host: '127.0.0.1', port: 0 }, silentLogger));
  const file = join(directory, 'auditor.toml');
  const peer = '[peer]\nlisten = "127.0.0.1:0"\n[peers]\nallow = []\n[metrics]\nlisten = "127.0.0.1:0"\n';
  writeFileSync(file, `network = "regtest"\ndata_dir = "${join(directory, 'auditor')}"\n${peer}`);
  serve('auditor', await startAuditor(loadConfig('auditor', { file, env: {} }), silentLogger));
  const fleet = await startAsics([{ ...stage.stratum, worker: 'one' }]);
  closers.push(() => fleet.stop());
}, 60_000);

afterAll(async () => {
  for (const close of closers.reverse()) await close();
}, 60_000);

describe('daemons of every kind, with a contract that is delivered to', () => {
  it('say of each part that it can be used', async () => {
    await comes('proxy', 'channel_state{state="open"}', 1);
    await comes('proxy', 'contract_state{state="live"}', 1);
    await comes('maker', 'channel_updates_total{result="signed"}', 2);
    for (const [role, parts] of Object.entries({
      proxy: ['node', 'miners', 'ledger', 'upstream', 'contract', 'channel', 'maker', 'parts'],
      maker: ['node', 'ledger', 'peers', 'contract', 'channel', 'miners', 'upstream'],
      watch: ['node', 'ladders'],
      auditor: ['ledger'],
    } satisfies Record<MetricRole, readonly string[]>)) {
      const lines = parts.map((part) => `[+]${part} ok`);
      expect(await page(role as MetricRole, '/readyz?verbose'), role).toBe(
        `${[...lines, 'ready'].join('\n')}\n`,
      );
    }
  }, 120_000);

  it.each(['proxy', 'maker', 'watch', 'auditor'] as const)('have every metric of the %s', async (role) => {
    const names = await seriesOf(role);
    const missing = Object.entries(METRIC_ROWS)
      .filter(([name, row]) => row.roles.includes(role) && !names.has(name) && AT_TIMES[name] === undefined)
      .map(([name]) => name);
    expect(missing).toEqual([]);
  });

  it('call no refund of a maker old, which never changes', async () => {
    await comes('watch', 'watch_ladders{state="waiting"}', 1);
    const text = await page('watch', '/metrics');
    expect(text).toMatch(/^sharestream_watch_ladder_expiry_blocks\{contract="[0-9a-f]{64}"\} \d+$/m);
    expect(text).not.toContain('watch_ladder_age_seconds{');
  });

  it('tell at both sides what is in the channel, and until when', async () => {
    for (const role of ['proxy', 'maker'] as const) {
      expect(await metric(role, 'channel_balance_sats{side="maker"}'), role).toBeGreaterThan(0);
      expect(await metric(role, 'channel_expiry_blocks'), role).toBeGreaterThan(10_000);
      expect(await metric(role, 'contracts_without_peer'), role).toBe(0);
      expect(await metric(role, 'contract_work_hashes'), role).toBe(Number(DEVNET_STEP_HASHES * 4000n));
    }
  });
});

describe('a proxy whose maker is gone', () => {
  it('is not ready, and says why; the channel is', async () => {
    await stopMaker();
    await comes('proxy', 'contracts_without_peer', 1);
    const text = await page('proxy', '/readyz?verbose');
    expect(text).toMatch(/^\[-\]maker failed: contract [0-9a-f]{16}: not connected/m);
    expect(text).toContain('[+]channel ok');
    expect(text).toContain('[+]upstream ok');
    expect(text).toMatch(/not ready\n$/);
    expect((await fetch(`${urls.get('proxy')}/healthz`)).status).toBe(200);
  }, 60_000);
});
