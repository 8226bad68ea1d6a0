import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { BeadStream, type BeadStreamOptions } from '../../src/upstream/bead-stream.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { startNode } from './braid-node.ts';
import { settle, until } from './fake-pool.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function watch(url: string, options: Partial<BeadStreamOptions> = {}, clock = systemClock) {
  const beads: Bead[] = [];
  const told: string[] = [];
  const stream = new BeadStream(
    { url: url.replace('http', 'ws'), tickMs: 5, backoff: { baseMs: 20, maxMs: 50 }, ...options },
    {
      timers: systemTimers,
      ...{ clock, random: systemRandom, log: silentLogger },
      onBead: (bead) => beads.push(bead),
      onUp: () => told.push('up'),
      onDown: (reason) => told.push(reason),
    },
  );
  closers.push(() => stream.stop());
  stream.start();
  return { stream, beads, told };
}

describe('BeadStream', () => {
  it('tells beads as they come, exactly', async () => {
    const { node } = await startNode({ tipIntervalMs: 10, peerBeadsPerTip: 1 });
    closers.push(() => node.close());
    const { stream, beads, told } = watch(node.rpcUrl);
    await until(() => beads.length >= 5, 'five beads');
    expect(told).toEqual(['up']);
    for (const bead of beads) {
      const exact = node.bead(bead.hash)!.bead;
      expect(bead.payoutAddress).toBe(exact.committed_metadata.payout_address);
      expect(bead.extranonce1).toBe(exact.uncommitted_metadata.extra_nonce_1);
    }
    expect(stream.stats).toMatchObject({ connects: 1, garbage: 0 });
  });

  it('comes back after the node restarted', async () => {
    const { node } = await startNode({ tipIntervalMs: 10, peerBeadsPerTip: 1 });
    closers.push(() => node.close());
    const { stream, beads, told } = watch(node.rpcUrl);
    await until(() => beads.length > 0);
    await node.restart(50);
    await until(() => told.length === 3);
    expect(told[2]).toBe('up');
    const before = beads.length;
    await until(() => beads.length > before);
    expect(stream.stats.disconnects).toBeGreaterThan(0);
  });

  it('takes a silent node for dead only when it does not answer', async () => {
    const { node } = await startNode();
    closers.push(() => node.close());
    const clock = new ManualClock();
    const { stream, told } = watch(node.rpcUrl, { silenceMs: 60_000, answerMs: 10_000 }, clock);
    await until(() => stream.up);
    const { requests } = node.rpcStats;
    clock.advance(60_000);
    await until(() => node.rpcStats.requests > requests);
    await settle();
    clock.advance(10_000);
    await settle();
    expect(told).toEqual(['up']);
    node.rpcFaults.silent = true;
    clock.advance(60_000);
    await settle();
    clock.advance(10_000);
    await until(() => told.length === 2);
    expect(told[1]).toBe('silent');
  });

  it('keeps trying where nobody answers, and stops when told', async () => {
    const { stream, told } = watch('http://127.0.0.1:1');
    await until(() => stream.stats.connects >= 3);
    expect(stream.up).toBe(false);
    stream.stop();
    const { connects } = stream.stats;
    await settle(120);
    expect(stream.stats.connects).toBe(connects);
    expect(told).toEqual([]);
    expect(watch('not a url').stream.lastFailure).toBeDefined();
  });
});
