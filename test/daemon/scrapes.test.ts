import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEVNET_STEP_HASHES } from '../../src/devnet/devnet.ts';
import { METRIC_ROWS, type MetricRole } from '../../src/metrics/catalogue.ts';
import { AllDaemons } from './all-daemons.ts';

const daemons = new AllDaemons();
let stopMaker: () => Promise<void>;

/** Those with no value at a moment where all is well, and why. */
const AT_TIMES: Readonly<Record<string, string>> = {
  disk_full_seconds: 'no space is used up',
  hash_value_msat_per_eh: 'the chain has no day of blocks',
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

/** The names of the metrics that have a series now. */
async function seriesOf(role: MetricRole): Promise<ReadonlySet<string>> {
  const names = [
    ...(await daemons.page(role, '/metrics')).matchAll(/^sharestream_(\w+?)(?:_bucket)?[{ ]/gm),
  ];
  return new Set(names.map((match) => match[1]!));
}

beforeAll(async () => {
  stopMaker = await daemons.start();
}, 60_000);

afterAll(() => daemons.close(), 60_000);

describe('daemons of every kind, with a contract that is delivered to', () => {
  it('say of each part that it can be used', async () => {
    await daemons.comes('proxy', 'channel_state{state="open"}', 1);
    await daemons.comes('proxy', 'contract_state{state="live"}', 1);
    await daemons.comes('maker', 'channel_updates_total{result="signed"}', 2);
    for (const [role, parts] of Object.entries({
      proxy: ['node', 'miners', 'ledger', 'upstream', 'contract', 'channel', 'maker', 'parts'],
      maker: ['node', 'ledger', 'peers', 'contract', 'channel', 'miners', 'upstream'],
      watch: ['node', 'ladders'],
      auditor: ['ledger'],
    } satisfies Record<MetricRole, readonly string[]>)) {
      const lines = parts.map((part) => `[+]${part} ok`);
      expect(await daemons.page(role as MetricRole, '/readyz?verbose'), role).toBe(
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
    await daemons.comes('watch', 'watch_ladders{state="waiting"}', 1);
    const text = await daemons.page('watch', '/metrics');
    expect(text).toMatch(/^sharestream_watch_ladder_expiry_blocks\{contract="[0-9a-f]{64}"\} \d+$/m);
    expect(text).not.toContain('watch_ladder_age_seconds{');
  });

  it('tell at both sides what is in the channel, and until when', async () => {
    for (const role of ['proxy', 'maker'] as const) {
      expect(await daemons.metric(role, 'channel_balance_sats{side="maker"}'), role).toBeGreaterThan(0);
      expect(await daemons.metric(role, 'channel_expiry_blocks'), role).toBeGreaterThan(10_000);
      expect(await daemons.metric(role, 'contracts_without_peer'), role).toBe(0);
      expect(await daemons.metric(role, 'contract_work_hashes'), role).toBe(
        Number(DEVNET_STEP_HASHES * 4000n),
      );
    }
  });
});

describe('a proxy whose maker is gone', () => {
  it('is not ready, and says why; the channel is', async () => {
    await stopMaker();
    await daemons.comes('proxy', 'contracts_without_peer', 1);
    const text = await daemons.page('proxy', '/readyz?verbose');
    expect(text).toMatch(/^\[-\]maker failed: contract [0-9a-f]{16}: not connected/m);
    expect(text).toContain('[+]channel ok');
    expect(text).toContain('[+]upstream ok');
    expect(text).toMatch(/not ready\n$/);
    expect((await fetch(`${daemons.urls.get('proxy')}/healthz`)).status).toBe(200);
  }, 60_000);
});
