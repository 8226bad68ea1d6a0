import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BraidpoolRpc, failureOf } from '../../src/upstream/braidpool-rpc.ts';
import { DagPoller } from '../../src/upstream/dag-view.ts';
import { addChain, startNode } from './braid-node.ts';
import { until } from './fake-pool.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function setup() {
  const { node } = await startNode();
  addChain(node, 30);
  const rpc = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
  closers.push(
    () => node.close(),
    () => rpc.close(),
  );
  expect(node.braid.cohortCount).toBe(31);
  return { node, rpc };
}

describe('DagPoller', () => {
  it('shows the braid as the node tells it, as JSON', async () => {
    const { node, rpc } = await setup();
    const poller = new DagPoller(
      { cohorts: 5, beads: 20, addresses: [node.beads()[0]!.payoutAddress] },
      { timers: systemTimers, rpc, clock: systemClock, log: silentLogger },
    );
    expect(poller.view).toMatchObject({ reachable: false, updatedAtMs: undefined, tips: [] });
    await poller.poll();
    const { view } = poller;
    expect(view).toMatchObject({ reachable: true, error: undefined });
    expect(view.cohorts).toHaveLength(5);
    expect(view.cohorts.map(({ id }) => id)).toEqual(
      Array.from({ length: 5 }, (_, at) => view.cohortCount - 5 + at),
    );
    expect(view.beads.map((bead) => bead.hash)).toEqual(expect.arrayContaining([...view.tips]));
    expect(BigInt(view.totalWork)).toBeGreaterThan(0n);
    expect(JSON.parse(JSON.stringify(view))).toEqual(view);
    for (const { hash } of node.beads()) poller.addBead((await rpc.getBead(hash))!);
    expect(poller.view.beads).toHaveLength(20);
    poller.addBead((await rpc.getBead(node.beads()[0]!.hash))!);
    expect(poller.view.beads.at(-1)).toMatchObject({ hash: node.beads()[0]!.hash, ours: true });
  });

  it('reads a node that has five methods, and calls none that answers unreachable', async () => {
    const { node } = await startNode({ profile: 'of2025' });
    addChain(node, 3);
    const rpc = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
    closers.push(
      () => node.close(),
      () => rpc.close(),
    );
    const poller = new DagPoller({}, { timers: systemTimers, rpc, clock: systemClock, log: silentLogger });
    await poller.poll();
    expect(poller.view).toMatchObject({ reachable: true, error: undefined, cohorts: [], totalWork: '0' });
    expect(poller.view).toMatchObject({
      beadCount: node.braid.size,
      cohortCount: 4,
      tips: node.braid.tips(),
    });
    expect(poller.view.beads.map(({ hash }) => hash)).toEqual(node.braid.tips());
    const answering = {
      getBraidInfo: () => Promise.reject(failureOf('getbraidinfo', { code: 2, message: 'Internal' })),
      getCohortById: () => Promise.resolve([]),
      getBead: () => Promise.resolve(undefined),
    };
    const other = new DagPoller(
      {},
      { timers: systemTimers, rpc: answering, clock: systemClock, log: silentLogger },
    );
    await other.poll();
    expect(other.view).toMatchObject({
      reachable: true,
      error: expect.stringContaining('Internal') as string,
    });
  });

  it('asks only for cohorts that may have changed', async () => {
    const { node, rpc } = await setup();
    const asked: number[] = [];
    const counting = {
      getBraidInfo: () => rpc.getBraidInfo(),
      getBead: (hash: string) => rpc.getBead(hash),
      getCohortById: (id: number) => {
        asked.push(id);
        return rpc.getCohortById(id);
      },
    };
    const poller = new DagPoller(
      { cohorts: 10 },
      { timers: systemTimers, rpc: counting, clock: systemClock, log: silentLogger },
    );
    await poller.poll();
    expect(asked).toHaveLength(10);
    const { cohortCount } = poller.view;
    asked.length = 0;
    addChain(node, 2);
    await poller.poll();
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(cohortCount - 2);
    for (const { id, beads } of poller.view.cohorts.slice(0, 5))
      expect(beads).toEqual(node.braid.cohort(id));
  });

  it('keeps the last view when the node is gone, and says so', async () => {
    const { node } = await setup();
    const rpc = new BraidpoolRpc({ url: node.rpcUrl, timeoutMs: 300 }, { timers: systemTimers });
    closers.push(() => rpc.close());
    const poller = new DagPoller(
      { pollMs: 10 },
      { timers: systemTimers, rpc, clock: systemClock, log: silentLogger },
    );
    closers.push(() => poller.stop());
    poller.start();
    await until(() => poller.view.reachable);
    node.rpcFaults.silent = true;
    await until(() => !poller.view.reachable);
    expect(poller.view.beadCount).toBeGreaterThan(0);
    expect(poller.view.error).toContain('braidpool_unreachable');
    node.rpcFaults.silent = false;
    await until(() => poller.view.reachable);
    expect(poller.view.error).toBeUndefined();
  });
});
