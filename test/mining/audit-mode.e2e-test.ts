import { afterEach, describe, expect, it } from 'vitest';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import type { AsicSpec } from '../../src/devnet/asic/asic-spec.ts';
import type { BraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import type { DevnetChain } from '../../src/devnet/chain/chain.ts';
import type { DevnetPool } from '../../src/devnet/pool/pool.ts';
import { evidenceOf } from '../e2e/evidence.ts';
import {
  closeAll,
  onClose,
  type ProxyUnderTest,
  quiet,
  runProxy,
  startNode,
  startPool,
  until,
} from './braidpool-stage.ts';

afterEach(closeAll);

/** Of shares the node takes; some 8,000 hashes each. */
const DIFFICULTY = 2 ** -19;

type World = {
  readonly pool: DevnetPool;
  readonly node: BraidpoolNode;
  readonly chain: DevnetChain;
  readonly proxy: ProxyUnderTest;
};

/** A pool, a node in audit mode before it, and the proxy before both. */
async function world(lines = '', others = ''): Promise<World> {
  const { pool, chain } = await startPool({ difficulty: DIFFICULTY * 4 });
  const upstream = { host: pool.host, port: pool.port, username: 'node.audit' };
  const node = await startNode({ audit: { upstream, minerDifficulty: DIFFICULTY } }, chain);
  const proxy = await runProxy(`
[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = ${DIFFICULTY}, min = ${DIFFICULTY / 4} }
[failover]
return_after = "0s"
[[destination]]
name = "audit"
url = "stratum+tcp://${node.host}:${node.port}"
worker = "bcrt1qmaker.proxy"
profile = "braidpool"
payout_mode = "audit"
rpc_url = "${node.rpcUrl}"
${lines}
${others}`);
  await until(async () => (await proxy.status()).destinations[0]!.up, 'the destination');
  return { pool, node, chain, proxy };
}

type Miner = Partial<AsicSpec>;

async function mine(
  { proxy }: Pick<World, 'proxy'>,
  miners: number | readonly Miner[],
): Promise<AsicFleet> {
  const each = typeof miners === 'number' ? Array.from({ length: miners }, (): Miner => ({})) : miners;
  const specs = each.map((rest, index) => ({
    ...{ host: '127.0.0.1', port: proxy.port, worker: `farm.rig${index}`, hashesPerSecond: 80_000 },
    userAgent: 'cgminer/4.12',
    ...rest,
  }));
  const fleet = await startAsics(specs, { trackAccepted: true });
  onClose(() => fleet.stop());
  return fleet;
}

/** One that can be told of another extranonce1, and one that cannot. */
const BOTH: readonly Miner[] = [{ extranonceSubscribe: true }, { extranonceSubscribe: false }];

const moreThan = (fleet: AsicFleet, shares: number) => (): boolean =>
  fleet.acceptedHashes().length > shares;

describe('a destination that leaves one byte of extranonce2', () => {
  it('gets a connection for each miner: every accepted share is a bead that pays the right address', async () => {
    const all = await world();
    const { node, pool, proxy } = all;
    const fleet = await mine(all, 4);
    await until(moreThan(fleet, 40), 'shares');
    const { commitment } = node.audit!;
    pool.announce(false);
    await until(() => node.audit!.commitment !== commitment, 'the next generation');
    await until(moreThan(fleet, 80), 'shares of it');
    await until(() => node.connections().length === 4 + 1 + 2, 'spare connections');
    const extranonces = node.connections().map(({ extranonce1 }) => extranonce1.slice(0, 12));
    expect(new Set(extranonces).size).toBe(extranonces.length);
    expect((await proxy.status()).destinations[0]).toMatchObject({
      sessions: 4,
      links: { attached: 4, spare: 2 },
    });
    const reports = await quiet(fleet);
    expect(reports.map(({ connections }) => connections)).toEqual([1, 1, 1, 1]);
    for (const { rejected } of reports) expect({ 21: 0, ...rejected }).toEqual({ 21: expect.any(Number) });
    const late = reports.reduce((sum, { rejected }) => sum + (rejected['21'] ?? 0), 0);
    const accepted = fleet.acceptedHashes();
    expect(new Set(accepted).size).toBe(accepted.length);
    await until(() => node.stats.submits === accepted.length + late, 'the last of them at the node');
    const beads = new Set(node.beads().map(({ hash }) => hash));
    // The node's own rule: a share that was on its way when the commitment changed is none.
    const stale = accepted.filter((hash) => !beads.has(hash));
    expect(stale.length + late).toBe(node.audit!.stats.stale);
    expect(new Set(node.beads().map(({ payoutAddress }) => payoutAddress))).toEqual(
      new Set(['bcrt1qmaker']),
    );
    const { stats } = node.audit!;
    await until(() => stats.upstreamAccepted + stats.upstreamRejected === stats.forwarded, 'the pool');
    expect(pool.credits().get('node.audit')!.shares).toBe(stats.upstreamAccepted);
    expect(stats.upstreamAccepted).toBeGreaterThan(5);
    await until(async () => (await proxy.status()).braidpool[0]!.shares.pending === 0, 'the beads');
    const { destinations, braidpool } = await proxy.status();
    expect(destinations[0]!.shares).toEqual({
      ...{ accepted: beads.size, refused: stale.length + late, timeout: 0, lost: 0 },
    });
    expect(braidpool[0]).toMatchObject({
      ...{ name: 'audit', reachable: true, subscribed: true, payout_address: 'bcrt1qmaker' },
      shares: { confirmed: beads.size, wrong_payout: 0, missing: 0, unknown: 0 },
    });
    await proxy.running.close();
    const evidence = await evidenceOf(proxy.dataDir);
    expect([...evidence.keys()]).toEqual(['own:audit']);
    expect([...evidence.get('own:audit')!.hashes].sort()).toEqual([...accepted].sort());
  });

  it('lets go of the connection when its miner goes, and gives each miner another', async () => {
    const all = await world('spare_links = 0');
    const { node, proxy } = all;
    for (const count of [3, 1, 2]) {
      const fleet = await mine(all, count);
      await until(moreThan(fleet, 5), 'shares');
      await until(() => node.connections().length === count + 1, 'a connection each');
      await fleet.stop();
      await until(() => node.connections().length === 1, 'the end of the connections');
      expect((await proxy.status()).destinations[0]!.links).toEqual({ attached: 0, spare: 0, refused: 0 });
    }
    expect(await proxy.metric('upstream_links{target="audit",state="spare"}')).toBe(0);
  });

  it('comes back from a restart of the node without a share lost or credited twice', async () => {
    const all = await world();
    const { node, proxy } = all;
    const fleet = await mine(all, 3);
    await until(moreThan(fleet, 40), 'shares');
    await node.restart(400);
    const before = fleet.acceptedHashes().length;
    await until(moreThan(fleet, before + 40), 'shares after the restart');
    const reports = await fleet.stop();
    expect(reports.map(({ connections }) => connections)).toEqual([1, 1, 1]);
    await expectCreditedOnce(proxy, fleet, ['own:audit']);
  });

  it('tells miners of another extranonce1, or makes those connect anew that cannot be told', async () => {
    const all = await world('link_extranonce1 = "upstream"');
    const { pool, proxy } = all;
    const fleet = await mine(all, BOTH);
    await until(moreThan(fleet, 20), 'shares');
    const before = fleet.acceptedHashes().length;
    pool.announce(false);
    await until(moreThan(fleet, before + 30), 'shares of the next generation');
    const [told, untold] = await fleet.stop();
    expect(told!.connections).toBe(1);
    expect(untold!.connections).toBeGreaterThan(1);
    const moved = await proxy.metric('downstream_disconnects_total{reason="moved"}');
    expect([untold!.connections - 1, untold!.connections]).toContain(moved);
  });

  it('refuses miners for whom no connection is left', async () => {
    const all = await world('max_links = 2');
    const fleet = await mine(all, 3);
    await until(moreThan(fleet, 20), 'shares');
    await until(() => fleet.reports().some(({ connections }) => connections > 1), 'a refusal');
    expect(all.node.connections()).toHaveLength(1 + 2);
    const { destinations, sessions } = await all.proxy.status();
    expect(destinations[0]!.links).toMatchObject({ attached: 2, spare: 0 });
    expect(destinations[0]!.links!.refused).toBeGreaterThan(0);
    expect(sessions).toBeLessThanOrEqual(3);
    expect(await all.proxy.metric(`downstream_disconnects_total{reason="session_limit"}`)).toBeGreaterThan(
      0,
    );
  });
});

/** What miners were told is accepted is credited, once, and nothing else but what they never heard of. */
async function expectCreditedOnce(
  proxy: ProxyUnderTest,
  fleet: AsicFleet,
  streams: readonly string[],
): Promise<void> {
  const accepted = [...fleet.acceptedHashes()].sort();
  expect(new Set(accepted).size).toBe(accepted.length);
  await proxy.running.close();
  const evidence = await evidenceOf(proxy.dataDir);
  expect([...evidence.keys()].sort()).toEqual(streams);
  const credited = [...evidence.values()].flatMap(({ hashes }) => hashes);
  const unanswered = new Set(fleet.unansweredHashes());
  expect(credited.filter((hash) => !unanswered.has(hash)).sort()).toEqual(accepted);
}

const destinationToml = (pool: DevnetPool): string => `
[[destination]]
name = "own"
url = "stratum+tcp://${pool.host}:${pool.port}"
worker = "farm"
priority = 1`;

describe('such a destination', () => {
  it('gives its miners to a pool while it is away, and gets them back', async () => {
    const { pool: other } = await startPool({ difficulty: DIFFICULTY, name: 'other' });
    const all = await world('', destinationToml(other));
    const { node, proxy } = all;
    const fleet = await mine(all, BOTH);
    await until(moreThan(fleet, 20), 'shares');
    const back = node.restart(5_000);
    await until(async () => {
      const [atNode, atPool] = (await proxy.status()).destinations;
      return atNode!.sessions === 0 && atPool!.sessions === 2;
    }, 'all miners at the pool');
    await until(() => (other.credits().get('farm')?.shares ?? 0) > 20, 'shares for the pool');
    await back;
    await until(async () => (await proxy.status()).destinations[0]!.sessions === 2, 'the return');
    const beads = node.beads().length;
    await until(() => node.beads().length > beads + 20, 'beads after the return');
    const reports = await fleet.stop();
    expect(reports[0]!.connections).toBe(1);
    expect(reports[1]!.connections).toBeGreaterThanOrEqual(3);
    await expectCreditedOnce(proxy, fleet, ['own:audit', 'own:own']);
  });

  it('shares its miners with a pool when there are too many', async () => {
    const { pool: other } = await startPool({ difficulty: DIFFICULTY, name: 'other' });
    const all = await world('max_links = 1\nspare_links = 0', destinationToml(other));
    await until(async () => (await all.proxy.status()).destinations.every(({ up }) => up), 'both');
    const fleet = await mine(all, 2);
    await until(() => all.node.beads().length > 5, 'beads');
    await until(() => (other.credits().get('farm')?.shares ?? 0) > 5, 'shares for the pool');
    const reports = await quiet(fleet);
    expect(reports.map(({ connections }) => connections)).toEqual([1, 1]);
    await expectCreditedOnce(all.proxy, fleet, ['own:audit', 'own:own']);
  });

  it('may take the place of one that could be shared', async () => {
    const { pool, chain } = await startPool({ difficulty: DIFFICULTY });
    const shared = await startNode({ weakTargetDifficulty: DIFFICULTY }, chain);
    const proxy = await runProxy(`
[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = ${DIFFICULTY}, min = ${DIFFICULTY} }
[[destination]]
name = "node"
url = "stratum+tcp://${shared.host}:${shared.port}"
worker = "w"
profile = "braidpool"`);
    const fleet = await mine({ proxy }, BOTH);
    await until(() => shared.beads().length > 5, 'beads');
    await shared.close();
    const upstream = { host: pool.host, port: pool.port, username: 'node.audit' };
    const audit = await startNode({ audit: { upstream }, port: shared.port }, chain);
    await until(() => audit.beads().length > 20, 'beads of the node in audit mode');
    await until(
      async () => (await proxy.status()).destinations[0]!.links?.attached === 2,
      'two connections',
    );
    const [told] = await quiet(fleet);
    expect(told!.connections).toBe(1);
    await expectCreditedOnce(proxy, fleet, ['own:node']);
  });
});
