import { afterEach, describe, expect, it } from 'vitest';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import type { BraidpoolNode, BraidpoolNodeOptions } from '../../src/devnet/braidpool/braidpool-node.ts';
import type { BraidpoolDag } from '../../src/mining/braidpool-view.ts';
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

/** A block, and so a bead, takes some 16,000 hashes. */
const BITS = 0x1f03ffff;
const WORKER = 'bcrt1qmaker.rig';

async function world(
  payoutMode: string,
  options: BraidpoolNodeOptions = {},
): Promise<{ readonly node: BraidpoolNode; readonly proxy: ProxyUnderTest }> {
  const { chain } = await startPool({}, BITS);
  const node = await startNode({ peerBeadsPerTip: 1, tipIntervalMs: 150, ...options }, chain);
  const proxy = await runProxy(`
[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = 1, min = 0.000001 }
[[destination]]
name = "braidpool"
url = "stratum+tcp://${node.host}:${node.port}"
worker = "${WORKER}"
profile = "braidpool"
payout_mode = "${payoutMode}"
rpc_url = "${node.rpcUrl}"
`);
  await until(async () => (await proxy.status()).destinations[0]!.up, 'the destination');
  return { node, proxy };
}

async function mine(proxy: ProxyUnderTest, isEnough: () => Promise<boolean>): Promise<readonly string[]> {
  const spec = { host: '127.0.0.1', port: proxy.port, hashesPerSecond: 100_000 };
  const fleet = await startAsics(
    [
      { ...spec, worker: 'a' },
      { ...spec, worker: 'b' },
    ],
    { trackAccepted: true },
  );
  onClose(() => fleet.stop());
  await until(isEnough, 'beads');
  await quiet(fleet);
  return fleet.acceptedHashes();
}

const shares = async (proxy: ProxyUnderTest) => (await proxy.status()).braidpool[0]!.shares;

describe('the RPC of a Braidpool node', () => {
  it('confirms that shares became beads that pay the worker, and shows the braid', async () => {
    const { node, proxy } = await world('normal');
    const accepted = await mine(proxy, async () => (await shares(proxy)).confirmed > 20);
    await until(async () => (await shares(proxy)).pending === 0, 'the last beads');
    const ours = node.beads().filter(({ payoutAddress }) => payoutAddress === WORKER);
    expect(await shares(proxy)).toEqual({
      ...{ confirmed: ours.length, wrong_payout: 0, missing: 0, unknown: 0, pending: 0 },
    });
    const beads = new Set(ours.map(({ hash }) => hash));
    // The solution of a block that was replaced goes to the node too; its miner is told that it is stale.
    const { combinations } = (await proxy.status()).destinations[0]!;
    const late = combinations['we_rejected_they_accepted']!;
    expect(accepted.filter((hash) => beads.has(hash)).length).toBe(ours.length - late);
    const url = `http://${String(proxy.running.ready['http'])}/api/v1/dag`;
    await until(
      async () => (await proxy.status()).braidpool[0]!.beads >= ours.length,
      'a look at the braid',
    );
    const [dag] = (await (await fetch(url)).json()) as BraidpoolDag[];
    expect(dag).toMatchObject({
      name: 'braidpool',
      reachable: true,
      subscribed: true,
      payout_address: WORKER,
    });
    expect(dag!.newest_cohorts.length).toBeGreaterThan(1);
    for (const { beads: cohort } of dag!.newest_cohorts) {
      for (const hash of cohort) expect(node.bead(hash)).toBeDefined();
    }
    expect(dag!.newest_beads.some(({ ours: isOurs }) => isOurs)).toBe(true);
    expect(dag!.newest_beads.every((bead) => bead.ours === (bead.payout_address === WORKER))).toBe(true);
    expect(await proxy.metric('braidpool_shares_total{target="braidpool",outcome="confirmed"}')).toBe(
      ours.length,
    );
    expect(await proxy.metric('braidpool_subscribed{target="braidpool"}')).toBe(1);
  });

  it('tells of beads that pay another address than the one that was meant', async () => {
    const { proxy } = await world('audit');
    await mine(proxy, async () => (await shares(proxy)).wrong_payout > 3);
    expect(await shares(proxy)).toMatchObject({ confirmed: 0, missing: 0, unknown: 0 });
    expect(
      await proxy.metric('braidpool_shares_total{target="braidpool",outcome="wrong_payout"}'),
    ).toBeGreaterThan(3);
  });
});

describe('a node of before the longer extranonces', () => {
  it('leaves four bytes, and so gets a connection for each miner', async () => {
    const { node, proxy } = await world('normal', {
      quirks: { extranonce1Size: 4, extranonce2Size: 4, textResults: true },
    });
    await mine(proxy, async () => (await shares(proxy)).confirmed > 5);
    const status = await proxy.status();
    expect(status.destinations[0]).toMatchObject({ shares: { refused: 0, timeout: 0 } });
    expect(status.braidpool[0]!.shares).toMatchObject({ wrong_payout: 0, missing: 0, unknown: 0 });
    expect(status.destinations[0]!.links).not.toBeNull();
    expect(node.beads().filter(({ payoutAddress }) => payoutAddress === WORKER).length).toBeGreaterThan(5);
  });
});

describe('a node as it is specified', () => {
  it('takes every share as a bead, at a new template each 150 ms', async () => {
    const { node, proxy } = await world('normal', { profile: 'spec', weakTargetDifficulty: 2 ** -19 });
    const accepted = await mine(proxy, async () => (await shares(proxy)).confirmed > 40);
    await until(async () => (await shares(proxy)).pending === 0, 'the last beads');
    const beads = new Set(node.beads().map(({ hash }) => hash));
    expect(accepted.filter((hash) => !beads.has(hash))).toEqual([]);
    expect(await shares(proxy)).toMatchObject({ wrong_payout: 0, missing: 0, unknown: 0 });
    const [destination] = (await proxy.status()).destinations;
    expect(destination!.shares).toMatchObject({ refused: 0, timeout: 0, lost: 0 });
    expect(destination!.shares.accepted).toBeGreaterThanOrEqual(accepted.length);
    expect(node.stats.weakShares).toBeGreaterThan(5);
  });
});
