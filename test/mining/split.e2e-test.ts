import { afterEach, describe, expect, it } from 'vitest';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import type { DevnetPool } from '../../src/devnet/pool/pool.ts';
import { ownStream } from '../../src/mining/destination-work.ts';
import { destinationOfRoute } from '../../src/mining/work-routes.ts';
import { SHARE_KIND, unpackShares } from '../../src/work/evidence.ts';
import { DIFFICULTY, destinationToml, type MiningStand, STRATUM_TOML, Stand, until } from './stand.ts';

let stand: Stand;
afterEach(() => stand.close());

const SPLIT_TOML = '[split]\nmin_stay = "1s"\nslice = "5s"\n';
/** Work of all in a slice and a third, at the rates below. */
const WINDOW_HASHES = 5_200_000;
/** Unequal, so that no division of sessions meets three to one for long by chance. */
const RATES = [200_000, 150_000, 130_000, 110_000, 90_000, 60_000, 40_000, 20_000];

async function fleetOf({ mining }: MiningStand, rates: readonly number[]) {
  const { port } = mining.server.addresses()[0]!;
  const fleet = await startAsics(
    rates.map((hashesPerSecond, index) => ({
      ...{ host: '127.0.0.1', port, worker: `farm.rig${index}`, hashesPerSecond },
      versionRolling: index % 3 !== 0,
    })),
  );
  stand.onClose(() => fleet.stop());
  return fleet;
}

type Fleet = Awaited<ReturnType<typeof fleetOf>>;

/** Stops the hashing and waits until every share is answered, by us and by the pools. */
async function settled(fleet: Fleet, { mining }: MiningStand) {
  for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
  await until(async () => {
    const reports = await fleet.refresh();
    const isQuiet = mining.engine.stats.queued + mining.engine.stats.uncommitted === 0;
    const inFlight = mining.destinations.reduce((sum, { figures }) => sum + figures.sharesInFlight, 0);
    return isQuiet && inFlight === 0 && reports.every(({ pending }) => pending === 0);
  }, 'everything is answered');
  return fleet.refresh();
}

/** Credited work by destination. */
function workOf({ meters }: MiningStand, names: readonly string[]): bigint[] {
  return names.map((name) => meters.total(ownStream(name)).workHashes);
}

function creditOf(pool: DevnetPool) {
  return [...pool.credits().values()].reduce(
    (sum, { shares, workHashes }) => ({ shares: sum.shares + shares, work: sum.work + workHashes }),
    { shares: 0, work: 0n },
  );
}

/** Shares of the evidence in the ledger, by session: its extranonce1. */
async function sharesBySession({ ledger, meters }: MiningStand): Promise<Map<string, number>> {
  const shares = new Map<string, number>();
  for (const stream of meters.streams()) {
    for (const { body } of await ledger.readLog(SHARE_KIND, stream, 0, 1_000_000)) {
      for (const { extranonce1 } of unpackShares(body)) {
        const key = Buffer.from(extranonce1).toString('hex');
        shares.set(key, (shares.get(key) ?? 0) + 1);
      }
    }
  }
  return shares;
}

describe('hashrate split by weight', () => {
  it('converges three to one without a disconnect, and is accounted for to the hash', async () => {
    stand = new Stand();
    const [big, small] = [await stand.pool(), await stand.pool()];
    const toml = [
      STRATUM_TOML,
      SPLIT_TOML,
      destinationToml(big, 'big', 'weight = 3'),
      destinationToml(small, 'small', 'weight = 1'),
      destinationToml(await stand.pool(), 'spare'),
    ];
    const at = await stand.mining(toml.join(''));
    await until(() => at.mining.activeDestinations.length === 2, 'both are up');
    expect(at.mining.activeDestinations).toEqual(['big', 'small']);
    const fleet = await fleetOf(at, RATES);
    let before = workOf(at, ['big', 'small']);
    await until(() => {
      const now = workOf(at, ['big', 'small']);
      const [toBig, toSmall] = now.map((work, index) => Number(work - before[index]!));
      if (toBig! + toSmall! < WINDOW_HASHES) return false;
      before = now;
      const part = toBig! / (toBig! + toSmall!);
      // The first division may meet it by chance, until speeds are known.
      return at.mining.router.stats.moves > 0 && part > 0.66 && part < 0.84;
    }, 'three to one in a window of work');
    const reports = await settled(fleet, at);

    expect(reports.map(({ connections }) => connections)).toEqual(RATES.map(() => 1));
    const mined = reports.reduce((sum, { workHashes }) => sum + workHashes, 0n);
    const works = workOf(at, ['big', 'small', 'spare']);
    expect(works.reduce((sum, work) => sum + work, 0n)).toBe(mined);
    expect(works[2]).toBe(0n);
    expect(['big', 'small', 'spare'].map((name) => at.work.total(name).workHashes)).toEqual(works);
    const bySession = [...(await sharesBySession(at)).values()];
    const ascending = (a: number, b: number): number => a - b;
    expect(bySession.sort(ascending)).toEqual(reports.map(({ accepted }) => accepted).sort(ascending));
    expect(bySession).toHaveLength(RATES.length);

    for (const [pool, name] of [
      [big, 'big'],
      [small, 'small'],
    ] as const) {
      const { verdicts } = at.mining.destinations.find((one) => one.name === name)!.figures;
      const { seq, workHashes } = at.work.total(name);
      const credit = creditOf(pool);
      expect(credit.shares).toBe(verdicts.weAcceptedTheyAccepted + verdicts.weRejectedTheyAccepted);
      expect(verdicts.weAcceptedTheyAccepted + verdicts.weAcceptedTheyRejected).toBe(seq);
      expect(verdicts.incomplete + verdicts.weAcceptedTheySilent).toBe(0);
      if (verdicts.weAcceptedTheyRejected + verdicts.weRejectedTheyAccepted === 0) {
        expect(credit.work).toBe(workHashes);
      }
    }
  });
});

describe('a pool that fails while the hashrate is split', () => {
  it('loses its miners to the others at once, and gets its part again after a time of health', async () => {
    stand = new Stand();
    const [big, small] = [await stand.pool(), await stand.pool()];
    const toml = [
      STRATUM_TOML,
      '[failover]\nreturn_after = "2s"\n',
      SPLIT_TOML,
      destinationToml(big, 'big', 'weight = 3'),
      destinationToml(small, 'small', 'weight = 1'),
    ];
    const at = await stand.mining(toml.join(''));
    const { router, server } = at.mining;
    const placed = (name: string): number =>
      server.sessions().filter(({ destination }) => destination === name).length;
    await until(() => router.routes.length === 2, 'both are up');
    const rates = [100_000, 100_000, 100_000, 100_000];
    const fleet = await fleetOf(at, rates);
    await until(() => placed('big') === 3 && placed('small') === 1, 'three to one from the start');
    await until(() => server.sessions().every(({ accepted }) => accepted >= 8), 'speeds are known');

    const restarted = big.restart(500);
    await until(() => placed('small') === 4, 'all go to the other');
    expect(at.mining.activeDestinations).toEqual(['small']);
    await restarted;
    // It came back after the last look that found it away.
    let backAtMs = performance.now();
    await until(() => {
      const { isUp } = at.mining.destinations[0]!.health;
      if (!isUp) backAtMs = performance.now();
      return isUp;
    }, 'it is back');
    await until(() => router.routes.length === 2, 'it takes part again');
    expect(performance.now() - backAtMs).toBeGreaterThanOrEqual(2_000);
    await until(() => placed('big') >= 2, 'and gets miners');

    const reports = await settled(fleet, at);
    expect(reports.map(({ connections }) => connections)).toEqual(rates.map(() => 1));
    const works = workOf(at, ['big', 'small']);
    expect(works[0]! + works[1]!).toBe(reports.reduce((sum, { workHashes }) => sum + workHashes, 0n));
  });
});

describe('a contract with a rate', () => {
  const CONTRACT = 'c0'.repeat(32);
  const contract = { contractId: CONTRACT, destination: 'buyer', difficulty: DIFFICULTY };

  it('gets it while it wants hashrate, the own ones the rest by weight, and all of it in a pause', async () => {
    stand = new Stand();
    const pools = [await stand.pool(), await stand.pool(), await stand.pool()];
    const toml = [
      STRATUM_TOML,
      SPLIT_TOML,
      destinationToml(pools[0]!, 'buyer', 'role = "contract"\nrate = "200 kH/s"'),
      destinationToml(pools[1]!, 'a', 'weight = 1'),
      destinationToml(pools[2]!, 'b', 'weight = 1'),
    ];
    const at = await stand.mining(toml.join(''));
    const { mining } = at;
    const placed = (): Record<string, number> => {
      const counts: Record<string, number> = {};
      for (const { destination } of mining.server.sessions()) {
        const name = destinationOfRoute(destination);
        counts[name] = (counts[name] ?? 0) + 1;
      }
      return counts;
    };
    await until(() => mining.activeDestinations.length === 2, 'the own ones are up');
    const fleet = await fleetOf(
      at,
      RATES.map(() => 50_000),
    );
    await until(() => mining.server.stats.sharesAccepted > 100, 'all have earned');
    expect(placed()).toEqual({ a: 4, b: 4 });
    expect(workOf(at, ['buyer'])).toEqual([0n]);

    await until(() => mining.server.sessions().every(({ accepted }) => accepted >= 12), 'speeds are known');
    mining.setContract({ ...contract, isDelivering: true });
    expect(mining.activeDestinations).toEqual(['buyer', 'a', 'b']);
    await until(() => {
      const { buyer = 0, a = 0, b = 0 } = placed();
      return buyer >= 3 && buyer <= 5 && a >= 1 && b >= 1;
    }, 'the contract has about half');
    await until(() => at.meters.total(CONTRACT).seq > 50, 'work is delivered');

    mining.setContract({ ...contract, isDelivering: false });
    expect(placed()['buyer'], 'at once').toBeUndefined();
    expect(mining.activeDestinations).toEqual(['a', 'b']);
    mining.setContract({ ...contract, isDelivering: true });
    await until(() => (placed()['buyer'] ?? 0) >= 3, 'and back');

    const reports = await settled(fleet, at);
    expect(reports.map(({ connections }) => connections)).toEqual(RATES.map(() => 1));
    const own = workOf(at, ['a', 'b']).reduce((sum, work) => sum + work, 0n);
    const sold = at.meters.total(CONTRACT).workHashes;
    expect(own + sold).toBe(reports.reduce((sum, { workHashes }) => sum + workHashes, 0n));
    expect(at.work.total('buyer').workHashes).toBe(sold);
  });
});
