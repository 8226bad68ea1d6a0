import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readStatus } from '../../src/daemon/status-client.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import type { AsicReport } from '../../src/devnet/asic/asic-spec.ts';
import { ANYONE_SCRIPT_HEX } from '../../src/devnet/chain/chain.ts';
import { type ChaosStage, chaosFarm, SPARE_SCRIPT_HEX, startChaosStage } from './chaos-stage.ts';
import { Director } from './director.ts';
import { evidenceOf, until } from './evidence.ts';
import type { Recomputed } from './recompute.ts';

const SECONDS = Number(process.env['CHAOS_SECONDS'] ?? 80);
const SEED = Number(process.env['CHAOS_SEED'] ?? process.env['TEST_SEED']);
const RAMP_MS = 5_000;
/** Of the honest miners' submits, from all causes together: those of a switch are among them. */
const MAX_REJECTED = 0.005;

const directory = mkdtempSync(join(tmpdir(), 'sharestream-chaos-test-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function startAll(): Promise<{ stage: ChaosStage; fleet: AsicFleet }> {
  const stage = await startChaosStage(directory, (step) => cleanups.push(step));
  await stage.daemons.maker.start();
  await stage.daemons.proxy.start();
  await until('opening the channel', async () =>
    (await readStatus(stage.proxy.metricsUrl))?.contract?.live === true ? true : undefined,
  );
  const options = { trackAccepted: true, rampMs: RAMP_MS, reportIntervalMs: 1_000 };
  const fleet = await startAsics(chaosFarm(stage, SEED), options);
  cleanups.push(() => fleet.stop());
  return { stage, fleet };
}

async function metric(stage: ChaosStage, name: string): Promise<number> {
  const text = await (await fetch(`${stage.proxy.metricsUrl}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`sharestream_${name}`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** No more hashes; resolves when all that was submitted is answered. */
async function finish(fleet: AsicFleet): Promise<readonly AsicReport[]> {
  for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
  await until('the last answers', async () => {
    const reports = await fleet.refresh();
    return reports.every(({ pending, connected }) => pending === 0 && connected) ? true : undefined;
  });
  return fleet.stop();
}

type Credit = { readonly stream: string; readonly workHashes: bigint; readonly coinb2: string };

/** By header hash, over all streams. Fails when one is there twice. */
function creditsOf(streams: ReadonlyMap<string, Recomputed>): Map<string, Credit> {
  const credits = new Map<string, Credit>();
  for (const [stream, { hashes, works }] of streams) {
    for (const [index, hash] of hashes.entries()) {
      expect(credits.has(hash)).toBe(false);
      credits.set(hash, { stream, ...works[index]! });
    }
  }
  return credits;
}

const sum = (values: Iterable<bigint>): bigint => [...values].reduce((total, value) => total + value, 0n);
const isHonest = ({ behaviour }: AsicReport): boolean => behaviour === 'honest';

function printFindings(director: Director, reports: readonly AsicReport[], switches: number): void {
  const by = new Map<string, { submitted: number; accepted: number; rejected: Record<string, number> }>();
  for (const { behaviour, submitted, accepted, rejected } of reports) {
    const row = by.get(behaviour) ?? { submitted: 0, accepted: 0, rejected: {} };
    row.submitted += submitted;
    row.accepted += accepted;
    for (const [code, count] of Object.entries(rejected))
      row.rejected[code] = (row.rejected[code] ?? 0) + count;
    by.set(behaviour, row);
  }
  const rows = Object.fromEntries(by);
  process.stderr.write(
    `chaos: seed ${SEED}\n${JSON.stringify({ switches, done: director.done, rows }, null, 1)}\n`,
  );
}

/** What a miner was told is exactly what the ledger has for it: every share, at the target of its job. */
function checkMiners(
  fleet: AsicFleet,
  reports: readonly AsicReport[],
  credits: ReadonlyMap<string, Credit>,
): void {
  const told = new Set<string>();
  for (const [index, report] of reports.entries()) {
    const hashes = fleet.acceptedHashes(index);
    for (const hash of hashes) told.add(hash);
    const credited = hashes.map((hash) => credits.get(hash)?.workHashes ?? 0n);
    expect([report.worker, hashes.length, sum(credited)]).toEqual([
      report.worker,
      report.accepted,
      report.workHashes,
    ]);
  }
  const maybe = new Set(fleet.unansweredHashes());
  const unknown = [...credits.keys()].filter((hash) => !told.has(hash) && !maybe.has(hash));
  expect(unknown).toEqual([]);
}

/** The sums of each destination are the sums of its sessions, and every share pays that destination. */
function checkDestinations(
  fleet: AsicFleet,
  reports: readonly AsicReport[],
  streams: ReadonlyMap<string, Recomputed>,
  credits: ReadonlyMap<string, Credit>,
): void {
  const scripts = new Map([
    ['own:own-pool', ANYONE_SCRIPT_HEX],
    ['own:spare-pool', SPARE_SCRIPT_HEX],
  ]);
  const bySessions = new Map<string, bigint>();
  const add = (hash: string): void => {
    const credit = credits.get(hash);
    if (credit === undefined) return;
    bySessions.set(credit.stream, (bySessions.get(credit.stream) ?? 0n) + credit.workHashes);
  };
  for (const index of reports.keys()) {
    for (const hash of fleet.acceptedHashes(index)) add(hash);
    for (const hash of fleet.unansweredHashes(index)) add(hash);
  }
  for (const [stream, { workHashes, works }] of streams) {
    expect([stream, bySessions.get(stream)]).toEqual([stream, workHashes]);
    const script = scripts.get(stream);
    for (const [other, paid] of scripts) {
      const isOfOther = works.some(({ coinb2 }) => coinb2.includes(paid));
      expect([stream, other, isOfOther]).toEqual([stream, other, paid === script]);
    }
    if (script !== undefined) expect(works.every(({ coinb2 }) => coinb2.includes(script))).toBe(true);
  }
}

describe('500 miners of all behaviours', () => {
  it(
    'lose nothing and gain nothing by restarts, failover, switches and pauses of the contract',
    async () => {
      process.stderr.write(`chaos: ${SECONDS} s, seed ${SEED}\n`);
      const { stage, fleet } = await startAll();
      const director = new Director(stage, SEED);
      await director.run(SECONDS * 1000);
      const reports = await finish(fleet);
      const status = (await readStatus(stage.proxy.metricsUrl))!;
      const switches = await metric(stage, 'upstream_failovers_total');
      printFindings(director, reports, switches);
      expect(await stage.daemons.proxy.stop()).toBe(0);
      expect(await stage.daemons.maker.stop()).toBe(0);

      expect(switches).toBeGreaterThan(SECONDS / 8);
      // Who hangs up, and who talks nonsense for too long, is gone for that.
      const left = reports.filter(
        ({ behaviour, connections }) =>
          behaviour !== 'flaky' && behaviour !== 'garbage' && connections !== 1,
      );
      expect(left.map(({ worker, connections }) => [worker, connections])).toEqual([]);
      const honest = reports.filter(isHonest);
      const submitted = honest.reduce((total, report) => total + report.submitted, 0);
      const accepted = honest.reduce((total, report) => total + report.accepted, 0);
      expect(submitted).toBeGreaterThan(honest.length);
      expect(submitted - accepted).toBeLessThan(submitted * MAX_REJECTED);
      expect(honest.reduce((total, { unanswered }) => total + unanswered, 0)).toBe(0);
      for (const code of ['21', '22', '23'])
        expect(reports.some(({ rejected }) => (rejected[code] ?? 0) > 0)).toBe(true);

      const streams = await evidenceOf(stage.proxy.dataDir);
      expect(streams.size).toBe(3);
      const credits = creditsOf(streams);
      checkMiners(fleet, reports, credits);
      checkDestinations(fleet, reports, streams, credits);
      for (const { id, shares, work_hashes } of status.streams) {
        const { shares: found, workHashes } = streams.get(id)!;
        expect([id, shares, BigInt(work_hashes)]).toEqual([id, found, workHashes]);
      }
      for (const { hash } of stage.spare.acceptedShares())
        expect(credits.get(hash)?.stream ?? 'own:spare-pool').toBe('own:spare-pool');
    },
    SECONDS * 1000 + 120_000,
  );
});
