import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { WorkRelay } from '../../src/maker/work-relay.ts';
import type { Destination, DestinationListener } from '../../src/upstream/destination.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import type { UpstreamShare, UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { ManualPool, poolJob } from './work-stand.ts';

/** A pool that also says how many of its answers were refusals. */
class JudgedPool extends ManualPool {
  rejectRatio = 0;
  isStarted = false;

  override get health() {
    return { ...super.health, rejectRatio: this.rejectRatio, verdicts: 100 };
  }

  override start(): void {
    this.isStarted = true;
  }
}

/** A relay over two pools, the better first, and what it told. */
function stood(faultOf: (job: UpstreamJob) => ErrorCode | undefined = () => undefined) {
  const time = new VirtualTime();
  const book = new PoolBook(['good', 'spare']);
  const told: string[] = [];
  const pools: JudgedPool[] = [];
  const listeners: DestinationListener[] = [];
  const open = (name: string) => (listener: DestinationListener) => {
    listeners.push(listener);
    const pool = new JudgedPool(name, listener);
    pools.push(pool);
    return pool;
  };
  const relay = new WorkRelay(
    { pools: [open('good'), open('spare')], failover: FAILOVER_OPTIONS, faultOf },
    {
      ...{ clock: time.clock, timers: time.timers, book },
      onJob: (pool, job) => void told.push(`${pool.name} ${job.upstreamJobId}`),
      onLost: (pool, code) => void told.push(`lost ${pool}: ${code}`),
      onDown: (code) => void told.push(`down: ${code}`),
    },
  );
  const job = (pool: Destination, mark: number): UpstreamJob =>
    poolJob(1, mark, { extranonce1: Uint8Array.of(pool.name.length, 0, 0, 1) });
  /** A pool is up, with a job. */
  const give = (index: number, mark: number): void => {
    const pool = pools[index]!;
    pool.isUp = true;
    listeners[index]!.onUp?.(pool);
    pool.lastJob = job(pool, mark);
    listeners[index]!.onJob?.(pool, pool.lastJob);
  };
  const lose = (index: number, code: ErrorCode): void => {
    const pool = pools[index]!;
    pool.isUp = false;
    pool.lastJob = undefined;
    listeners[index]!.onDown?.(pool, code, 'it went');
  };
  const judge = (index: number, rejectRatio: number): void => {
    pools[index]!.rejectRatio = rejectRatio;
    const verdict: UpstreamVerdict = { outcome: 'refused', code: undefined, reason: '', rttMs: 5 };
    listeners[index]!.onVerdict?.(pools[index]!, verdict, {} as UpstreamShare);
  };
  const connections = (): number[] => book.figures.map((each) => each.connections);
  const said = (): string[] => told.splice(0);
  return { time, relay, pools, listeners, give, lose, judge, said, connections };
}

describe('the pool that is mined to', () => {
  it('is the best that is up, and another one the moment that it does badly', () => {
    const { relay, pools, give, judge, said } = stood();
    relay.start();
    expect(pools.map(({ isStarted }) => isStarted)).toEqual([true, true]);
    give(0, 1);
    give(1, 2);
    expect([relay.choice?.name, said()]).toEqual(['good', ['good u1']]);
    judge(0, 0.4);
    expect(said()).toEqual([]);
    judge(0, 0.9);
    expect([relay.choice?.name, said()]).toEqual(['spare', ['spare u2']]);
    give(0, 3);
    give(1, 4);
    expect(said()).toEqual(['spare u4']);
  });

  it('is returned to after its time, which nobody has to tell', async () => {
    const { time, relay, give, lose, said } = stood();
    relay.start();
    give(0, 1);
    give(1, 2);
    lose(0, 'upstream_closed');
    expect(said()).toEqual(['good u1', 'lost good: upstream_closed', 'spare u2']);
    give(0, 3);
    await time.advance(FAILOVER_OPTIONS.returnAfterMs - 1_000);
    expect(said()).toEqual([]);
    await time.advance(2_000);
    expect([relay.choice?.name, said()]).toEqual(['good', ['good u3']]);
  });

  it('is none where none is up, with the reason of the last, and once for each that goes', async () => {
    const { time, relay, give, lose, said } = stood();
    relay.start();
    expect([relay.whyDown, said()]).toEqual([undefined, []]);
    lose(1, 'upstream_closed');
    expect([relay.whyDown, said()]).toEqual([
      'upstream_closed',
      ['lost spare: upstream_closed', 'down: upstream_closed'],
    ]);
    give(0, 1);
    expect([relay.whyDown, said()]).toEqual([undefined, ['good u1']]);
    lose(0, 'upstream_timeout');
    expect([relay.choice, relay.whyDown]).toEqual([undefined, 'upstream_timeout']);
    expect(said()).toEqual(['lost good: upstream_timeout', 'down: upstream_timeout']);
    await time.advance(1_000);
    expect(said()).toEqual(['down: upstream_timeout']);
  });
});

describe('a tick', () => {
  it('says nothing before anything was heard, and again and again that all are down', async () => {
    const { time, relay, give, lose, said } = stood();
    relay.start();
    await time.advance(3_000);
    expect(said()).toEqual([]);
    lose(0, 'upstream_closed');
    expect(said()).toEqual(['lost good: upstream_closed', 'down: upstream_closed']);
    await time.advance(2_000);
    expect(said()).toEqual(['down: upstream_closed', 'down: upstream_closed']);
    give(1, 1);
    expect(said()).toEqual(['spare u1']);
    await time.advance(5_000);
    expect(said()).toEqual([]);
    // Whoever is down beside it is of no matter.
    lose(0, 'upstream_timeout');
    expect([said(), relay.whyDown]).toEqual([['lost good: upstream_timeout'], undefined]);
    await time.advance(2_000);
    expect(said()).toEqual([]);
  });

  it('is not waited for where a pool goes: the choice is another at once', () => {
    const { relay, give, lose, said } = stood();
    relay.start();
    give(0, 1);
    give(1, 2);
    said();
    lose(0, 'upstream_closed');
    expect([relay.choice?.name, said()]).toEqual(['spare', ['lost good: upstream_closed', 'spare u2']]);
  });

  it('that has not come yet is made up for by a job: it is not given if another pool is better now', async () => {
    const { time, relay, give, lose, said } = stood();
    relay.start();
    give(0, 1);
    give(1, 2);
    lose(0, 'upstream_closed');
    await time.advance(500);
    give(0, 3);
    said();
    // Between two ticks its time is over.
    await time.advance(FAILOVER_OPTIONS.returnAfterMs);
    give(1, 4);
    expect([relay.choice?.name, said()]).toEqual(['good', ['good u3']]);
  });

  it('says that work is down for want of any where no pool ever said why', () => {
    const { relay, pools, give, judge, said } = stood();
    relay.start();
    give(0, 1);
    said();
    // It is gone, and has not said so.
    pools[0]!.isUp = false;
    judge(0, 0);
    expect([relay.choice, relay.whyDown, said()]).toEqual([undefined, undefined, ['down: no_work']]);
  });

  it('gives no job twice, and none of a pool that is not chosen', () => {
    const { relay, give, said } = stood();
    relay.start();
    give(1, 1);
    give(1, 2);
    expect(said()).toEqual(['spare u1', 'spare u2']);
    give(0, 3);
    expect([relay.choice?.name, said()]).toEqual(['good', ['good u3']]);
    give(1, 4);
    expect(said()).toEqual([]);
    give(0, 5);
    expect(said()).toEqual(['good u5']);
  });
});

describe('a job that cannot be used', () => {
  const isBad = ({ upstreamJobId }: UpstreamJob): ErrorCode | undefined =>
    upstreamJobId === 'u9' ? 'pool_target' : undefined;

  it('loses its pool until it gives a better one', () => {
    const { relay, give, said } = stood(isBad);
    relay.start();
    give(0, 1);
    give(1, 2);
    said();
    give(0, 9);
    expect([relay.choice?.name, said()]).toEqual(['spare', ['lost good: pool_target', 'spare u2']]);
    give(1, 9);
    expect([relay.choice, relay.whyDown]).toEqual([undefined, 'pool_target']);
    expect(said()).toEqual(['lost spare: pool_target', 'down: pool_target']);
    give(1, 3);
    expect([relay.choice?.name, said()]).toEqual(['spare', ['spare u3']]);
  });

  it('is of no matter once its connection is another', () => {
    const { relay, give, lose, said } = stood(isBad);
    relay.start();
    give(0, 9);
    lose(0, 'upstream_closed');
    said();
    give(0, 1);
    expect([relay.choice?.name, said()]).toEqual(['good', ['good u1']]);
  });

  it('is one whose extranonce1 another connection has', () => {
    const book = new PoolBook(['pool']);
    const extranonce1 = Uint8Array.of(1, 2, 3, 4);
    book.hold('pool', extranonce1, {});
    const { clock, timers } = new VirtualTime();
    const told: string[] = [];
    let heard: DestinationListener = {};
    let pool: ManualPool | undefined;
    const relay = new WorkRelay(
      {
        pools: [
          (listener) => {
            heard = listener;
            pool = new ManualPool('pool', listener);
            return pool;
          },
        ],
        ...{ failover: FAILOVER_OPTIONS, faultOf: () => undefined },
      },
      {
        ...{ clock, timers, book },
        onJob: () => void told.push('job'),
        onLost: (_, code) => void told.push(code),
        onDown: (code) => void told.push(`down: ${code}`),
      },
    );
    relay.start();
    pool!.isUp = true;
    pool!.lastJob = poolJob(1, 1, { extranonce1 });
    heard.onJob?.(pool!, pool!.lastJob);
    expect([told, relay.whyDown]).toEqual([
      ['extranonce_shared', 'down: extranonce_shared'],
      'extranonce_shared',
    ]);
  });
});

describe('connections', () => {
  it('are counted once each, however often they say that they are up, and not after the end', async () => {
    const { time, relay, pools, listeners, give, lose, connections, said } = stood();
    relay.start();
    give(0, 1);
    listeners[0]!.onUp?.(pools[0]!);
    give(1, 2);
    expect(connections()).toEqual([1, 1]);
    lose(0, 'upstream_closed');
    lose(0, 'upstream_closed');
    expect(connections()).toEqual([0, 1]);
    said();
    relay.stop();
    expect([connections(), pools.map(({ isStopped }) => isStopped)]).toEqual([
      [0, 0],
      [true, true],
    ]);
    await time.advance(60_000);
    expect(said()).toEqual([]);
  });
});

it('a relay that never started can be stopped', () => {
  const { relay, pools } = stood();
  relay.stop();
  expect(pools.map(({ isStopped }) => isStopped)).toEqual([true, true]);
});
