import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BeadNode } from '../../src/maker/bead-node.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { addChain, startNode } from '../upstream/braid-node.ts';
import { quiet, until } from './world.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function stand() {
  const { node } = await startNode();
  closers.push(() => node.close());
  const deps = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLogger };
  const beads = new BeadNode({ rpcUrl: node.rpcUrl }, deps);
  closers.push(() => beads.stop());
  return { node, beads };
}

it('a node is asked for a bead by its hash, and knows what it knows', async () => {
  const { node, beads } = await stand();
  addChain(node, 2);
  const [hash] = node.braid.tips();
  const payoutAddress = node.bead(hash!)!.bead.committed_metadata.payout_address;
  expect(await beads.getBead(hash!)).toMatchObject({ hash, payoutAddress });
  expect(await beads.getBead('ab'.repeat(32))).toBe(undefined);
  await node.close();
  expect(await beads.getBead(hash!).catch(codeOf)).toBe('braidpool_unreachable');
});

it('every listener hears of each new bead, from the start on and until it ends', async () => {
  const { node, beads } = await stand();
  const heard: Record<'one' | 'other', Bead[]> = { one: [], other: [] };
  const end = beads.onBead((bead) => heard.one.push(bead));
  beads.onBead((bead) => heard.other.push(bead));
  const { requests } = node.rpcStats;
  await quiet(() => node.rpcStats.requests);
  expect(node.rpcStats.requests).toBe(requests);
  beads.start();
  const tell = async (count: number): Promise<void> => {
    addChain(node, 1);
    await until('heard', () => heard.other.length === count);
  };
  await until('subscribed', () => node.rpcStats.requests > requests);
  await tell(1);
  expect(heard.one).toEqual(heard.other);
  expect(heard.one[0]!.hash).toBe(node.braid.tips()[0]);
  end();
  await tell(2);
  expect(heard.one).toHaveLength(1);
  beads.stop();
  addChain(node, 1);
  await quiet(() => heard.other.length);
  expect(heard.other).toHaveLength(2);
});
