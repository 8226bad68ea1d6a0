import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import type { DestinationConfig } from '../../src/config/config.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import type { DevnetPool } from '../../src/devnet/pool/pool.ts';
import { ownStream } from '../../src/mining/destination-work.ts';
import type { ContractWork } from '../../src/mining/work-routes.ts';
import { FakePool, ok, plainPool } from '../upstream/fake-pool.ts';
import { notify } from '../upstream/work.ts';
import { FakeDestination } from './fake-destination.ts';
import { DIFFICULTY, destinationToml, type MiningStand, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
beforeEach(() => {
  stand = new Stand();
});
afterEach(() => stand.close());

const [A, B] = ['a1'.repeat(32), 'b2'.repeat(32)];
const MINERS = 6;
const SPLIT_TOML = '[split]\nmin_stay = "1s"\nslice = "5s"\n';

type Scene = MiningStand & {
  readonly fleet: AsicFleet;
  readonly contractA: ContractWork;
  readonly contractB: ContractWork;
};

/** Two pools for contracts, the second added at run time, and a pool of the miner's own. */
async function scene(): Promise<Scene> {
  const [left, right, own] = [await stand.pool(), await stand.pool(), await stand.pool()];
  const rows = [destinationToml(left, 'left', 'role = "contract"'), destinationToml(own, 'own')];
  const made = await stand.mining([STRATUM_TOML, SPLIT_TOML, ...rows].join(''));
  made.mining.addPool(rowOf(made, right, 'right'));
  await until(
    () => made.mining.destinations.every(({ health }) => health.jobAgeMs !== undefined),
    'all are up',
  );
  const { port } = made.mining.server.addresses()[0]!;
  const spec = { host: '127.0.0.1', port, hashesPerSecond: 60_000 };
  const fleet = await startAsics(
    Array.from({ length: MINERS }, (_, index) => ({ ...spec, worker: `farm.rig${index}` })),
    { trackAccepted: true },
  );
  stand.onClose(() => fleet.stop());
  await until(() => placed(made)['own'] === MINERS, 'all are at work');
  const contractA = { contractId: A, destination: 'left', difficulty: DIFFICULTY, isDelivering: true };
  const contractB = { ...contractA, contractId: B, destination: 'right', difficulty: 2 * DIFFICULTY };
  made.work.assign(A, 'left');
  made.work.assign(B, 'right');
  return { ...made, fleet, contractA, contractB };
}

function rowOf({ config }: MiningStand, { host, port }: DevnetPool, name: string): DestinationConfig {
  return { ...config.destinations[0]!, host, port, name };
}

/** Miners by what they are assigned to. */
function placed({ mining }: MiningStand): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { destination } of mining.server.sessions()) {
    counts[destination] = (counts[destination] ?? 0) + 1;
  }
  return counts;
}

/** Stops the hashing and waits until every share is answered. */
async function settled({ fleet, mining }: Scene) {
  for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
  await until(async () => {
    const isQuiet = mining.engine.stats.queued + mining.engine.stats.uncommitted === 0;
    return isQuiet && (await fleet.refresh()).every(({ pending }) => pending === 0);
  }, 'everything is answered');
  return fleet.refresh();
}

/** Every accepted share is in one stream, at the difficulty of that stream; none was refused. */
async function expectExactCredit(at: Scene): Promise<void> {
  const reports = await settled(at);
  expect(reports.map(({ rejected }) => rejected)).toEqual(reports.map(() => ({})));
  expect(reports.map(({ connections }) => connections)).toEqual(reports.map(() => 1));
  const { meters, fleet, contractA, contractB } = at;
  const totals = meters.streams().map((stream) => meters.total(stream));
  const hashes = fleet.acceptedHashes();
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(totals.reduce((sum, { seq }) => sum + seq, 0)).toBe(hashes.length);
  expect(totals.reduce((sum, { workHashes }) => sum + workHashes, 0n)).toBe(
    reports.reduce((sum, { workHashes }) => sum + workHashes, 0n),
  );
  for (const { contractId, difficulty = 0 } of [contractA, contractB]) {
    const { seq, workHashes } = meters.total(contractId);
    expect(workHashes).toBe(BigInt(seq) * workOfTarget(targetOfDifficulty(difficulty)));
  }
}

describe('two contracts at two pools', () => {
  it('share the hashrate, each in its own stream at its own difficulty; who pauses leaves it to the other', async () => {
    const at = await scene();
    const { mining, meters, contractA, contractB } = at;
    const sold = (id: string) => (): boolean => meters.total(id).seq > 20;
    await until(() => meters.total(ownStream('own')).seq > 10, 'own work');
    mining.setContract(contractA);
    expect(placed(at)).toEqual({ [`left@${A}`]: MINERS });
    expect(mining.destination).toBe('left');
    await until(sold(A), 'work for the first');
    mining.setContract(contractB);
    expect(mining.activeDestinations).toEqual(['left', 'right']);
    await until(() => (placed(at)[`right@${B}`] ?? 0) >= 2, 'the second has its part');
    await until(sold(B), 'work for the second');

    mining.setContract({ ...contractA, isDelivering: false });
    expect(placed(at), 'at once').toEqual({ [`right@${B}`]: MINERS });
    mining.setContract({ ...contractB, isDelivering: false });
    expect(placed(at), 'nobody buys').toEqual({ own: MINERS });
    const ownBefore = meters.total(ownStream('own')).seq;
    await until(() => meters.total(ownStream('own')).seq > ownBefore + 10, 'own work again');

    mining.setContract(contractA);
    mining.setContract(contractB);
    await until(() => (placed(at)[`left@${A}`] ?? 0) < MINERS, 'both again');
    mining.endContract(A);
    expect(placed(at), 'the first is over').toEqual({ [`right@${B}`]: MINERS });
    await sleep(600);
    const atEnd = meters.total(A).seq;
    const before = meters.total(B).seq;
    await until(() => meters.total(B).seq > before + 10, 'the second goes on');
    expect(meters.total(A).seq).toBe(atEnd);
    await expectExactCredit(at);
    for (const name of ['left', 'right', 'own']) {
      const { verdicts } = mining.destinations.find((one) => one.name === name)!.figures;
      expect(verdicts.weAcceptedTheyAccepted + verdicts.weAcceptedTheyRejected).toBe(
        at.work.total(name).seq,
      );
      expect(verdicts.incomplete).toBe(0);
    }
  }, 60_000);

  it('lose nothing when a destination is removed under load, and can have it again', async () => {
    const at = await scene();
    const { mining, meters, contractA, contractB, config } = at;
    mining.setContract(contractA);
    mining.setContract(contractB);
    await until(() => meters.total(A).seq > 20 && meters.total(B).seq > 20, 'both are delivered to');
    const left = mining.destinations.find(({ name }) => name === 'left')!;

    expect(mining.removeDestination('left')).toBe(true);
    expect(mining.removeDestination('left')).toBe(false);
    expect(placed(at), 'at once').toEqual({ [`right@${B}`]: MINERS });
    expect(mining.destinations.map(({ name }) => name)).toEqual(['right', 'own']);
    expect(() => mining.setContract(contractA)).toThrow(/no destination/);
    await until(() => !left.health.isUp, 'its connection is closed');
    const { verdicts } = left.figures;
    expect(verdicts.weAcceptedTheyAccepted + verdicts.weAcceptedTheyRejected).toBe(meters.total(A).seq);
    expect(verdicts.weAcceptedTheySilent + verdicts.incomplete).toBe(0);

    mining.addPool(config.destinations[0]!);
    expect(() => mining.addPool(config.destinations[0]!)).toThrow(/taken/);
    mining.setContract(contractA);
    const before = meters.total(A).seq;
    await until(() => meters.total(A).seq > before + 20, 'the first is delivered to again');
    mining.removeDestination('left');
    mining.removeDestination('right');
    expect(placed(at)).toEqual({ own: MINERS });
    await until(() => meters.total(ownStream('own')).seq > 10, 'own work');
    await expectExactCredit(at);
  }, 60_000);
});

describe('two contracts at one pool', () => {
  it('get jobs of their own for the same upstream work, and no share twice', async () => {
    const at = await scene();
    const { mining, meters, contractA } = at;
    const contractB = { ...at.contractB, destination: 'left' };
    mining.setContract(contractA);
    mining.setContract(contractB);
    await until(() => meters.total(A).seq > 10 && meters.total(B).seq > 10, 'both are delivered to');
    const jobs = [A, B].map((id) => mining.jobs.current(`left@${id}`)!);
    expect(jobs.map(({ stream, fixedDifficulty }) => [stream, fixedDifficulty])).toEqual([
      [A, DIFFICULTY],
      [B, 2 * DIFFICULTY],
    ]);
    expect(jobs[0]!.wireId).not.toBe(jobs[1]!.wireId);
    for (const [first, second] of [
      [contractA, contractB],
      [contractB, contractA],
    ] as const) {
      const { seq } = meters.total(second.contractId);
      mining.setContract({ ...first, isDelivering: false });
      expect(placed(at)).toEqual({ [`left@${second.contractId}`]: MINERS });
      await until(() => meters.total(second.contractId).seq > seq + 20, 'all to the other');
      mining.setContract(first);
    }
    await expectExactCredit(at);
    expect(mining.destinations[0]!.figures.shares.accepted).toBeGreaterThan(0);
  }, 60_000);
});

describe('a destination of another kind', () => {
  it('is mined to like a pool, by what the interface says alone', async () => {
    const at = await scene();
    const { mining, meters } = at;
    const lastJob = mining.destinations[0]!.lastJob!;
    let relayed: FakeDestination | undefined;
    mining.addDestination(
      { name: 'relayed', role: 'contract', priority: 0, quota: undefined, extranonce1: 'auto' },
      (listener) => {
        relayed = new FakeDestination('relayed', listener);
        return relayed;
      },
    );
    expect(relayed!.isStarted).toBe(true);
    const contractB = { ...at.contractB, destination: 'relayed' };
    mining.setContract(contractB);
    relayed!.give({ ...lastJob, upstreamJobId: 'relayed', target: 2n ** 256n - 1n, clean: true });
    expect(placed(at)).toEqual({ [`relayed@${B}`]: MINERS });
    await until(() => meters.total(B).seq > 20, 'work is delivered');
    mining.endContract(B);
    await expectExactCredit(at);
    expect(relayed!.shares.length).toBe(meters.total(B).seq);
    expect(new Set(relayed!.shares.map(({ job }) => job.upstreamJobId))).toEqual(new Set(['relayed']));
    mining.removeDestination('relayed');
    await until(() => !relayed!.isStarted, 'it is closed');
  }, 60_000);
});

describe('a job that its buyer would not pay for', () => {
  it('is not mined for the contract: the hashrate is elsewhere at once, and back with a paid one', async () => {
    const at = await scene();
    const { mining } = at;
    const lastJob = mining.destinations[0]!.lastJob!;
    let relayed: FakeDestination | undefined;
    mining.addDestination(
      { name: 'relayed', role: 'contract', priority: 0, quota: undefined, extranonce1: 'auto' },
      (listener) => {
        relayed = new FakeDestination('relayed', listener);
        return relayed;
      },
    );
    const unpaid = new Set(['bad']);
    mining.setContract({
      ...at.contractB,
      destination: 'relayed',
      unpaidReason: ({ upstreamJobId }) => (unpaid.has(upstreamJobId) ? 'it pays another' : undefined),
    });
    const give = (upstreamJobId: string): void =>
      relayed!.give({ ...lastJob, upstreamJobId, target: 2n ** 256n - 1n, clean: true });
    give('good');
    expect(placed(at)).toEqual({ [`relayed@${B}`]: MINERS });
    expect(mining.unpaidReason(B)).toBeUndefined();
    give('bad');
    expect(placed(at)).toEqual({ own: MINERS });
    expect(mining.unpaidReason(B)).toBe('it pays another');
    give('better');
    expect(placed(at)).toEqual({ [`relayed@${B}`]: MINERS });
    // What is learnt later of the same job counts too, either way.
    unpaid.add('better');
    give('bad');
    unpaid.delete('bad');
    await until(() => placed(at)[`relayed@${B}`] === MINERS, 'the job is good after all');
    expect(mining.jobs.current(`relayed@${B}`)?.upstream.upstreamJobId).toBe('bad');
    unpaid.add('bad');
    await until(() => placed(at)['own'] === MINERS, 'the job is bad after all');
    mining.endContract(B);
    await expectExactCredit(at);
  }, 60_000);
});

describe('a destination that never answers a share', () => {
  it('is closed all the same some seconds after it was removed, and each share gets a verdict', async () => {
    const pool = await FakePool.listen((request, peer) => {
      if (request.method === 'mining.submit') return undefined;
      if (request.method !== 'mining.authorize') return plainPool(request, peer);
      peer.send(ok(request, true), notify({ jobId: 'only', bits: '207fffff' }));
      return undefined;
    });
    stand.onClose(() => pool.close());
    const url = `stratum+tcp://127.0.0.1:${pool.port}`;
    const { mining, meters } = await stand.mining(
      `${STRATUM_TOML}[[destination]]\nname = "mute"\nurl = "${url}"\nworker = "w"\n`,
    );
    await until(() => mining.destination === 'mute', 'the pool');
    const { port } = mining.server.addresses()[0]!;
    const fleet = await startAsics([
      { host: '127.0.0.1', port, worker: 'farm.rig', hashesPerSecond: 60_000 },
    ]);
    stand.onClose(() => fleet.stop());
    await until(() => meters.total(ownStream('mute')).seq > 5, 'shares');
    const [mute] = mining.destinations;
    mining.removeDestination('mute');
    const removedAtMs = performance.now();
    expect(mining.destination).toBe('none');
    await until(() => !mute!.health.isUp, 'it is closed');
    expect(performance.now() - removedAtMs).toBeGreaterThan(4_000);
    const { verdicts, sharesInFlight } = mute!.figures;
    expect(sharesInFlight).toBe(0);
    expect(verdicts.weAcceptedTheySilent).toBe(meters.total(ownStream('mute')).seq);
  }, 60_000);
});
