import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { type AsicFleet, type AsicFleetOptions, startAsics } from '../../src/devnet/asic/asic.ts';
import { garbageLine } from '../../src/devnet/asic/asic-misdeeds.ts';
import type { AsicReport, AsicSpec } from '../../src/devnet/asic/asic-spec.ts';
import { startBraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';
import { type DevnetPool, type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { farmOf, MIXED_FARM } from './asic-farm.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const clock = systemClock;
const log = silentLogger;

/** Blocks too hard for the ASICs follow after `easyBlocks` mined at once. */
function newChain(bits: number, easyBlocks = 1): DevnetChain {
  const chain = new DevnetChain({ bits, easyBlocks }, { clock });
  while (chain.height < easyBlocks) chain.generate(1);
  return chain;
}

/** Replaces the last block by another. */
function moveTip(chain: DevnetChain): void {
  chain.invalidateTip();
  chain.generate(1);
}

async function startPool(options: DevnetPoolOptions): Promise<{ chain: DevnetChain; pool: DevnetPool }> {
  const chain = newChain(0x1d00ffff, 3);
  const pool = await startDevnetPool(options, { chain, log, clock });
  closers.push(() => pool.close());
  return { chain, pool };
}

async function fleetOf(
  specs: readonly Partial<AsicSpec>[],
  port: number,
  options: AsicFleetOptions = {},
): Promise<AsicFleet> {
  const full = specs.map((spec, index) => ({ host: '127.0.0.1', port, worker: `rig.${index}`, ...spec }));
  const fleet = await startAsics(full, { trackAccepted: true, ...options });
  closers.push(() => fleet.stop());
  return fleet;
}

async function until(
  fleet: AsicFleet,
  done: (reports: readonly AsicReport[]) => boolean,
): Promise<readonly AsicReport[]> {
  for (;;) {
    const reports = await fleet.refresh();
    if (done(reports)) return reports;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Stops hashing and waits for the last answers. */
async function settle(fleet: AsicFleet): Promise<readonly AsicReport[]> {
  for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
  return until(fleet, (reports) => reports.every((report) => report.pending === 0));
}

describe('with the simulated Braidpool node', () => {
  it('finds a real block over real TCP, rolling versions', async () => {
    const chain = newChain(0x1e7fffff);
    const random = { bytes: (size: number) => new Uint8Array(size).fill(7) };
    const deps = { chain, log, clock, random };
    const node = await startBraidpoolNode({}, deps);
    closers.push(() => node.close());
    const fleet = await fleetOf(
      [{ worker: 'bcrt1qbuyer.rig', hashesPerSecond: 1_000_000, initialDifficulty: 2 ** -15 }],
      node.port,
    );
    while (chain.height < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    await settle(fleet);
    const block = chain.blockAt(2)!;
    const inner = createHash('sha256').update(serializeHeader(block.header)).digest();
    const hash = createHash('sha256').update(inner).digest().reverse().toString('hex');
    expect(hash).toBe(block.hash);
    expect(hash < `00007fffff${'0'.repeat(54)}`).toBe(true);
    expect(block.transactions.length).toBeGreaterThanOrEqual(9);
    expect(node.bead(hash)?.payoutAddress).toBe('bcrt1qbuyer.rig');
    expect(fleet.acceptedHashes(0)).toContain(hash);
  });
});

describe('with the node in audit mode', () => {
  it('follows each set_extranonce with its one byte of extranonce2 and wastes nothing', async () => {
    const { chain, pool } = await startPool({ difficulty: 2 ** -18, trackAccepted: true });
    const random = { bytes: (size: number) => new Uint8Array(size).fill(7) };
    const upstream = { host: pool.host, port: pool.port, username: 'node' };
    const audit = { upstream, minerDifficulty: 2 ** -20 };
    const node = await startBraidpoolNode({ audit }, { chain, log, clock, random });
    closers.push(() => node.close());
    const fleet = await fleetOf([{}, {}, { versionRolling: false }], node.port);
    for (let job = 0; job < 3; job += 1) {
      const before = node.beads().length;
      await until(fleet, () => node.beads().length >= before + 8);
      pool.announce(false);
    }
    const reports = await settle(fleet);
    let refused = 0;
    for (const { rejected, submitted, accepted } of reports) {
      expect(submitted).toBe(accepted + (rejected['false'] ?? 0));
      refused += submitted - accepted;
    }
    // Found under the commitment before, while the new one was on its way: nothing else is refused.
    expect(refused).toBe(node.audit!.stats.stale);
    const beads = node.beads().map((bead) => bead.hash);
    expect([...fleet.acceptedHashes()].sort()).toEqual([...beads].sort());
    while (node.audit!.stats.upstreamAccepted < node.audit!.stats.forwarded) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(node.audit!.stats.upstreamRejected).toBe(0);
    const forwarded = node.audit!.records().filter((record) => record.upstreamEligible);
    expect(
      pool
        .acceptedShares()
        .map(({ hash }) => hash)
        .sort(),
    ).toEqual(forwarded.map(({ shareId }) => shareId).sort());
    expect(forwarded.length).toBeGreaterThan(0);
    expect(forwarded.length).toBeLessThan(beads.length);
  });
});

describe('with a node that does not answer', () => {
  it('counts the submits it lost with the connection, and goes on', async () => {
    const chain = newChain(0x1d00ffff, 3);
    const random = { bytes: (size: number) => new Uint8Array(size) };
    const options = { weakTargetDifficulty: 2 ** -17 };
    const node = await startBraidpoolNode(options, { chain, log, clock, random });
    closers.push(() => node.close());
    const fleet = await fleetOf([{}], node.port);
    await until(fleet, ([report]) => report!.accepted >= 1);
    node.faults.silent = true;
    await until(fleet, ([report]) => report!.pending >= 1);
    node.faults.silent = false;
    node.disconnectAll();
    const [lost] = await until(fleet, ([report]) => report!.connections === 2);
    expect(lost!.unanswered).toBeGreaterThanOrEqual(1);
    await until(fleet, ([report]) => report!.accepted > lost!.accepted);
    const [report] = await settle(fleet);
    expect(report!.submitted).toBe(report!.accepted + report!.unanswered);
    expect(node.beads().map((bead) => bead.hash)).toEqual(fleet.acceptedHashes(0));
  });
});

describe('with an ordinary pool', () => {
  it('is credited for exactly what it reports as accepted', async () => {
    const { pool } = await startPool({ difficulty: 2 ** -17 });
    const fleet = await fleetOf([{}, { versionRolling: false }, { hashesPerSecond: 0 }], pool.port);
    await until(fleet, ([first, second]) => first!.accepted >= 5 && second!.accepted >= 5);
    const reports = await settle(fleet);
    for (const report of reports.slice(0, 2)) {
      expect(pool.credits().get(report.worker)?.shares).toBe(report.accepted);
      expect(report.rejected).toEqual({});
      expect(report.submitted).toBe(report.accepted);
    }
    expect(reports[2]).toMatchObject({ connected: true, submitted: 0, hashes: 0 });
    const hashes = fleet.acceptedHashes();
    expect(new Set(hashes).size).toBe(reports[0]!.accepted + reports[1]!.accepted);
  });

  it('is told 22, 21 and 23 when it repeats, lags or exaggerates', async () => {
    const { chain, pool } = await startPool({ difficulty: 2 ** -17 });
    const behaviours = ['duplicate', 'stale', 'low_difficulty'] as const;
    const fleet = await fleetOf(
      behaviours.map((behaviour) => ({ behaviour })),
      pool.port,
    );
    await until(fleet, (reports) => reports.every((report) => report.accepted >= 1));
    while ((await fleet.refresh())[1]!.rejected['21'] === undefined) {
      moveTip(chain);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await until(fleet, (reports) => reports[0]!.rejected['22']! >= 1 && reports[2]!.rejected['23']! >= 1);
    const [duplicate, stale, low] = await settle(fleet);
    expect(Object.keys(stale!.rejected)).toEqual(['21']);
    expect(duplicate!.rejected['23']).toBeUndefined();
    expect(low!.rejected['22']).toBeUndefined();
  });

  it('obeys a new difficulty from the next job on', async () => {
    const { pool } = await startPool({ difficulty: 2 ** -17 });
    const fleet = await fleetOf([{}], pool.port);
    await until(fleet, ([report]) => report!.accepted >= 1);
    pool.setDifficulty(2 ** -16);
    await until(fleet, ([report]) => report!.difficulty === 2 ** -16);
    const before = (await fleet.refresh())[0]!.accepted;
    await until(fleet, ([report]) => report!.accepted > before);
    expect((await settle(fleet))[0]!.rejected).toEqual({});
  });

  it('comes back after its connection dies and sends nothing twice', async () => {
    const { pool } = await startPool({ difficulty: 2 ** -17 });
    const fleet = await fleetOf([{}], pool.port);
    await until(fleet, ([report]) => report!.accepted >= 1);
    pool.disconnectAll();
    const [back] = await until(fleet, ([report]) => report!.connections === 2 && report!.connected);
    await until(fleet, ([report]) => report!.accepted > back!.accepted);
    const [report] = await settle(fleet);
    expect(report!.rejected).toEqual({});
    expect(report!.submitted).toBe(report!.accepted + report!.unanswered);
    expect(pool.credits().get('rig.0')!.shares).toBeGreaterThanOrEqual(report!.accepted);
  });

  it('never exceeds its rate', async () => {
    const { pool } = await startPool({ difficulty: 1 });
    const began = performance.now();
    const fleet = await fleetOf([{ hashesPerSecond: 50_000 }], pool.port);
    const [report] = await until(fleet, ([first]) => first!.hashes >= 10_000);
    expect(report!.hashes).toBeLessThanOrEqual((50_000 * (performance.now() - began)) / 1000);
  });

  it('is refused with a number when not authorised, and tries again later', async () => {
    const { pool } = await startPool({ acceptsWorker: (worker) => worker !== 'rig.0' });
    const fleet = await fleetOf([{}], pool.port);
    const [report] = await until(fleet, ([first]) => first!.connections >= 2);
    expect(report).toMatchObject({ submitted: 0, accepted: 0 });
  });
});

describe('misbehaving', () => {
  it('spells a share anew: a server that reads liberally has to see through it', async () => {
    const { pool } = await startPool({ difficulty: 2 ** -20, unpaddedNumbers: true, trackAccepted: true });
    const fleet = await fleetOf([{ behaviour: 'respelled' }], pool.port);
    await until(fleet, ([report]) => (report!.rejected['22'] ?? 0) >= 2);
    const [report] = await settle(fleet);
    expect(Object.keys(report!.rejected)).toEqual(['22']);
    expect(report!.workHashes).toBe(pool.credits().get('rig.0')!.workHashes);
    expect([...fleet.acceptedHashes()]).toEqual(pool.acceptedShares().map(({ hash }) => hash));
  });

  it('hangs up, stops reading, talks nonsense, and counts it', async () => {
    const { pool } = await startPool({ difficulty: 2 ** -18 });
    const kinds = ['flaky', 'slow_reader', 'garbage'] as const;
    const behaviours = Array.from({ length: 24 }, (_, index) => kinds[index % 3]!);
    const fleet = await fleetOf(
      behaviours.map((behaviour) => ({ behaviour, hashesPerSecond: 20_000 })),
      pool.port,
    );
    const did = (reports: readonly AsicReport[], kind: string): AsicReport | undefined =>
      reports.find(({ behaviour, misdeeds }) => behaviour === kind && misdeeds > 0);
    const reports = await until(fleet, (all) => kinds.every((kind) => did(all, kind) !== undefined));
    const flaky = reports.filter(({ behaviour }) => behaviour === 'flaky');
    const drops = flaky.reduce((sum, { misdeeds }) => sum + misdeeds, 0);
    const connectionsOf = (all: readonly AsicReport[]): number =>
      all.reduce((sum, { connections }) => sum + connections, 0);
    const made = (all: readonly AsicReport[]): AsicReport[] =>
      all.filter(({ behaviour }) => behaviour === 'flaky');
    const after = await until(fleet, (all) => connectionsOf(made(all)) >= flaky.length + drops);
    expect(connectionsOf(made(after))).toBeGreaterThanOrEqual(flaky.length + drops);
  });

  it('sends nonsense of many kinds, a line each', () => {
    const random = seededRandom(3);
    const lines = Array.from({ length: 200 }, () => garbageLine(random));
    expect(lines.every((line) => line.indexOf('\n') === line.length - 1)).toBe(true);
    expect(new Set(lines.map((line) => line.slice(0, 5))).size).toBeGreaterThan(10);
  });
});

describe('a farm', () => {
  it('is the same for the same seed, mixed as asked for', () => {
    const options = { host: 'h', port: 1, count: 500, seed: 9, difficulty: 2 ** -20, sharesPerMinute: 6 };
    const specs = farmOf(options);
    expect(farmOf(options)).toEqual(specs);
    expect(farmOf({ ...options, seed: 10 })).not.toEqual(specs);
    const counts = Object.keys(MIXED_FARM).map((behaviour) => {
      const { length } = specs.filter((spec) => spec.behaviour === behaviour);
      return [behaviour, length >= 5, length];
    });
    expect(counts.every(([, enough]) => enough)).toBe(true);
    expect(specs[0]!.hashesPerSecond).toBeCloseTo(4096 / 10, 0);
    expect(new Set(specs.map((spec) => spec.seed)).size).toBe(500);
    const only = farmOf({ ...options, mix: { stale: 1 } });
    expect(new Set(only.map((spec) => spec.behaviour))).toEqual(new Set(['stale']));
  });

  it('of 500 hashes no faster than allowed and agrees with the pool to the hash', async () => {
    const difficulty = 2 ** -20;
    const { pool } = await startPool({ difficulty, trackAccepted: true, unpaddedNumbers: true });
    const { host, port } = pool;
    const specs = farmOf({ host, port, count: 500, seed: 5, difficulty, sharesPerMinute: 60 });
    const maxHashesPerSecond = 1_000_000;
    const began = performance.now();
    const fleet = await startAsics(specs, { trackAccepted: true, maxHashesPerSecond, rampMs: 500 });
    closers.push(() => fleet.stop());
    await until(fleet, (reports) => reports.reduce((sum, { accepted }) => sum + accepted, 0) >= 500);
    const reports = await fleet.stop();
    const hashes = reports.reduce((sum, report) => sum + report.hashes, 0);
    expect(hashes).toBeLessThanOrEqual((maxHashesPerSecond * (performance.now() - began)) / 1000);
    const accepted = fleet.acceptedHashes();
    const unanswered = new Set(fleet.unansweredHashes());
    const taken = new Set(pool.acceptedShares().map((share) => share.hash));
    expect(new Set(accepted).size).toBe(accepted.length);
    expect(accepted.every((hash) => taken.has(hash))).toBe(true);
    const known = new Set([...accepted, ...unanswered]);
    expect([...taken].every((hash) => known.has(hash))).toBe(true);
    const work = reports.reduce((sum, report) => sum + report.workHashes, 0n);
    expect(work).toBe(BigInt(accepted.length) * workOfTarget(targetOfDifficulty(difficulty)));
    for (const [index, report] of reports.entries()) {
      expect(fleet.acceptedHashes(index)).toHaveLength(report.accepted);
      const rejected = Object.values(report.rejected).reduce((sum, count) => sum + count, 0);
      expect(report.submitted).toBe(report.accepted + rejected + report.unanswered);
      expect(fleet.unansweredHashes(index)).toHaveLength(report.unanswered);
    }
    const honest = reports.filter((report) => report.behaviour === 'honest');
    expect(honest.every((report) => Object.keys(report.rejected).length === 0)).toBe(true);
  });
});
