import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import {
  BEAD_WATCH_OPTIONS,
  BeadWatch,
  type BeadWatchEffect,
  type BeadWatchEvent,
  type BeadWatchState,
  beadPayoutAddress,
  NOTHING_WATCHED,
  transition,
} from '../../src/upstream/bead-watch.ts';
import { BraidpoolRpc } from '../../src/upstream/braidpool-rpc.ts';
import { PoolDestination } from '../../src/upstream/pool-destination.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { startNode } from './braid-node.ts';
import { until } from './fake-pool.ts';
import { hashOfShare, shareOf } from './work.ts';

const OPTIONS = { ...BEAD_WATCH_OPTIONS, timeoutMs: 10_000, firstRetryMs: 100, maxRetryMs: 1_000 };

class Machine {
  state: BeadWatchState = NOTHING_WATCHED;
  readonly options: typeof OPTIONS;
  readonly effects: BeadWatchEffect[] = [];
  nowMs = 0;

  constructor(options: Partial<typeof OPTIONS> = {}) {
    this.options = { ...OPTIONS, ...options };
  }

  on(event: BeadWatchEvent): this {
    const frozen = new Map(this.state.watched);
    const before = this.state;
    const { state, effects } = transition(this.options, before, event, this.nowMs);
    expect(before.watched).toEqual(frozen);
    this.state = state;
    this.effects.push(...effects);
    return this;
  }

  after(ms: number): this {
    this.nowMs += ms;
    return this.on({ type: 'tick' });
  }

  get queries(): number {
    return this.effects.filter((effect) => effect.type === 'query').length;
  }

  get outcomes(): string[] {
    return this.effects.flatMap((effect) => (effect.type === 'outcome' ? [effect.outcome] : []));
  }
}

const forwarded = (hash: string): BeadWatchEvent => ({ type: 'forwarded', hash, payoutAddress: 'me.1' });

describe('the watch of beads', () => {
  it('asks at once, then less and less often', () => {
    const machine = new Machine().on(forwarded('a'));
    expect(machine.effects).toEqual([{ type: 'query', hash: 'a' }]);
    const asked: number[] = [];
    for (let queries = machine.queries; machine.outcomes.length === 0; ) {
      if (machine.queries > queries) asked.push(machine.nowMs);
      if (machine.queries > queries || asked.length === 0) machine.on({ type: 'absent', hash: 'a' });
      queries = machine.queries;
      machine.after(100);
      if (machine.nowMs > 20_000) break;
    }
    expect(asked.slice(0, 6)).toEqual([100, 300, 700, 1_500, 2_500, 3_500]);
    expect(machine.outcomes).toEqual(['missing']);
  });

  it('tells the right payout address from another', () => {
    const machine = new Machine().on(forwarded('a')).on(forwarded('b'));
    machine.nowMs = 250;
    machine.on({ type: 'bead', hash: 'a', payoutAddress: 'me.1' });
    machine.on({ type: 'bead', hash: 'b', payoutAddress: 'me' });
    machine.on({ type: 'bead', hash: 'never forwarded', payoutAddress: 'me.1' });
    expect(machine.effects.filter((effect) => effect.type === 'outcome')).toEqual([
      { type: 'outcome', hash: 'a', outcome: 'confirmed', expected: 'me.1', paid: 'me.1', waitedMs: 250 },
      { type: 'outcome', hash: 'b', outcome: 'wrong_payout', expected: 'me.1', paid: 'me', waitedMs: 250 },
    ]);
    expect(machine.state.watched.size).toBe(0);
  });

  it('does not call missing what it could not ask for', () => {
    const machine = new Machine().on(forwarded('a')).on({ type: 'failed', hash: 'a' }).after(10_000);
    expect(machine.outcomes).toEqual(['unknown']);
    const denied = new Machine().on(forwarded('a')).on({ type: 'absent', hash: 'a' }).after(200);
    denied.on({ type: 'failed', hash: 'a' }).after(10_000);
    expect(denied.outcomes).toEqual(['missing']);
  });

  it('ends every share once and keeps its bounds, in any order of events', () => {
    const hash = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
    const event = fc.oneof(
      fc.record({ type: fc.constant('forwarded' as const), hash, payoutAddress: fc.constant('x') }),
      fc.record({ type: fc.constant('bead' as const), hash, payoutAddress: fc.constantFrom('x', 'y') }),
      fc.record({ type: fc.constantFrom('absent' as const, 'failed' as const), hash }),
      fc.record({ type: fc.constant('tick' as const) }),
    );
    const step = fc.record({ event, afterMs: fc.nat({ max: 3_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const machine = new Machine({ watched: 4, queries: 2 });
        let begun = 0;
        for (const { event: one, afterMs } of steps) {
          machine.nowMs += afterMs;
          if (one.type === 'forwarded' && !machine.state.watched.has(one.hash)) begun += 1;
          machine.on(one);
          expect(machine.state.watched.size).toBeLessThanOrEqual(4);
          const asking = [...machine.state.watched.values()].filter((entry) => entry.asking);
          expect(asking.length).toBeLessThanOrEqual(2);
          expect(machine.outcomes.length + machine.state.watched.size).toBe(begun);
        }
        machine.after(OPTIONS.timeoutMs);
        expect(machine.outcomes).toHaveLength(begun);
      }),
    );
  });
});

it('the payout address of a worker is that of the mode', () => {
  expect(beadPayoutAddress('bc1q.rig.1', 'normal')).toBe('bc1q.rig.1');
  expect(beadPayoutAddress('bc1q.rig.1', 'audit')).toBe('bc1q.rig');
  expect(beadPayoutAddress('bc1q', 'audit')).toBe('bc1q');
});

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe('BeadWatch', () => {
  it('confirms a forwarded share at a simulated node, and sees where another is paid', async () => {
    const { node } = await startNode();
    const rpc = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
    const watch = new BeadWatch(
      { tickMs: 10 },
      { timers: systemTimers, getBead: (hash) => rpc.getBead(hash), clock: systemClock, log: silentLogger },
    );
    const worker = 'bcrt1qmaker.proxy';
    const destination = new PoolDestination(
      {
        ...{ name: 'node', host: node.host, port: node.port, worker, password: '' },
        ...{ userAgent: 'test', profile: 'braidpool' },
      },
      {
        timers: systemTimers,
        ...{ clock: systemClock, random: systemRandom, log: silentLogger },
        listener: {
          onVerdict: (_from, verdict, share) => {
            if (verdict.outcome !== 'accepted') return;
            const address = share.nonce % 2 === 0 ? worker : 'somebody else';
            watch.forwarded(hashOfShare(share), address);
          },
        },
      },
    );
    closers.push(
      () => node.close(),
      () => rpc.close(),
      () => watch.stop(),
      () => destination.stop(),
    );
    watch.start();
    destination.start();
    const mine = async (parity: number): Promise<void> => {
      await until(() => destination.lastJob !== undefined, 'a job');
      const job = destination.lastJob!;
      const { target } = job;
      let nonce = parity;
      while (BigInt(`0x${hashOfShare(shareOf(job, { nonce }))}`) > target) nonce += 2;
      destination.submit(shareOf(job, { nonce }));
      await until(() => destination.lastJob !== job, 'the next job');
    };
    await mine(0);
    await until(() => watch.stats.confirmed === 1);
    await mine(1);
    await until(() => watch.stats.wrong_payout === 1);
    expect(watch.stats).toMatchObject({ missing: 0, unknown: 0, failures: 0 });
    expect(watch.pending).toBe(0);
    expect(destination.client.stats.accepted).toBe(2);
  });

  it('counts what the node does not know, and what it cannot be asked', async () => {
    const clock = new ManualClock();
    let fails = false;
    const told: string[] = [];
    const codes: unknown[] = [];
    const watch = new BeadWatch(
      { tickMs: 2 },
      {
        timers: systemTimers,
        getBead: () => (fails ? Promise.reject(new Error('gone')) : Promise.resolve(undefined)),
        clock,
        log: { ...silentLogger, warn: ({ code }) => codes.push(code) },
        onOutcome: ({ outcome }) => told.push(outcome),
      },
    );
    closers.push(() => watch.stop());
    watch.start();
    watch.forwarded('a', 'x');
    await until(() => watch.stats.queries === 1);
    clock.advance(250);
    await until(() => watch.stats.queries === 2);
    clock.advance(60_000);
    await until(() => watch.stats.missing === 1);
    fails = true;
    watch.forwarded('b', 'x');
    await until(() => watch.stats.failures === 1);
    clock.advance(60_000);
    await until(() => watch.stats.unknown === 1);
    expect(told).toEqual(['missing', 'unknown']);
    expect(codes).toEqual(['bead_missing', 'braidpool_unreachable']);
  });
});
