import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { upstreamExtranonce2 } from '../../src/upstream/destination.ts';
import { FAILOVER_OPTIONS, isHealthy } from '../../src/upstream/failover.ts';
import { PoolDestination } from '../../src/upstream/pool-destination.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { Outcomes } from '../base/outcomes.ts';
import { FakePool, ok, plainPool, until } from './fake-pool.ts';
import { notify, shareOf } from './work.ts';

const cleanups: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function setup(accepts: () => boolean) {
  const clock = new ManualClock();
  const told: string[] = [];
  const pool = await FakePool.listen((request, peer) => {
    if (request.method !== 'mining.submit') return plainPool(request, peer);
    clock.advance(80);
    return accepts() ? ok(request, true) : JSON.stringify({ id: request.id, result: null, error: 'Low' });
  });
  const destination = new PoolDestination(
    {
      name: 'own',
      host: '127.0.0.1',
      port: pool.port,
      worker: 'w',
      password: '',
      userAgent: 'test',
      profile: 'generic',
      resume: false,
      timeouts: { tickMs: 5 },
    },
    {
      timers: systemTimers,
      clock,
      random: { bytes: (size) => new Uint8Array(size) },
      log: silentLogger,
      listener: {
        onUp: (from) => told.push(`up ${from.name}`),
        onDown: (from, code) => told.push(`down ${from.name} ${code}`),
        onJob: (from, job) => told.push(`job ${from.name} ${job.upstreamJobId}`),
        onVerdict: (_from, verdict) => told.push(verdict.outcome),
      },
    },
  );
  cleanups.push(
    () => destination.stop(),
    () => pool.close(),
  );
  destination.start();
  return { clock, told, pool, destination };
}

describe('PoolDestination', () => {
  it('loses its health while its extranonce2 size or its version mask flaps', async () => {
    const { clock, pool, destination } = await setup(() => true);
    await until(() => destination.client.up);
    const change = async (size: number, mask: string): Promise<void> => {
      const { jobs } = destination.client.stats;
      const call = (method: string, params: unknown[]): string =>
        JSON.stringify({ id: null, method, params });
      pool.peer.send(
        call('mining.set_extranonce', ['0a0b0c0d', size]),
        call('mining.set_version_mask', [mask]),
        notify({ jobId: `${jobs}` }),
      );
      await until(() => destination.client.stats.jobs > jobs);
      clock.advance(1_000);
    };
    await change(8, '1fffe000');
    for (let at = 0; at < 3; at += 1) {
      await change(12, '1fffe000');
      await change(8, '1fffe000');
    }
    expect(isHealthy(FAILOVER_OPTIONS, destination.health)).toBe(true);
    await change(8, '00000000');
    expect(isHealthy(FAILOVER_OPTIONS, destination.health)).toBe(false);
    clock.advance(600_000);
    expect(destination.health.shapeChanges).toBe(0);
  });

  it('knows its health', async () => {
    let accept = true;
    const { clock, told, pool, destination } = await setup(() => accept);
    expect(destination.health).toMatchObject({
      name: 'own',
      isUp: false,
      jobAgeMs: undefined,
      rttMs: undefined,
    });
    await until(() => destination.client.up);
    pool.peer.send(notify());
    await until(() => destination.lastJob !== undefined);
    expect(told).toEqual(['up own', 'job own 1']);
    clock.advance(1_500);
    expect(destination.health).toMatchObject({ isUp: true, jobAgeMs: 1_500, verdicts: 0, rejectRatio: 0 });
    const submit = async (): Promise<void> => {
      const before = told.length;
      destination.submit(shareOf(destination.lastJob!));
      await until(() => told.length > before);
    };
    await submit();
    expect(destination.health.rttMs).toBeCloseTo(10, 5);
    accept = false;
    await submit();
    expect(destination.health).toMatchObject({ verdicts: 2, rejectRatio: 0.5 });
    expect(destination.figures.lastRefusal).toBe('Low');
    for (let share = 0; share < 40; share += 1) await submit();
    expect(destination.health.rejectRatio).toBeGreaterThan(0.9);
    clock.advance(600_000);
    expect(destination.health).toMatchObject({ verdicts: 0, rejectRatio: 0, rttMs: undefined });
  });

  it('forgets its work and its past with the connection', async () => {
    const { clock, told, pool, destination } = await setup(() => false);
    await until(() => destination.client.up);
    pool.peer.send(notify());
    await until(() => destination.lastJob !== undefined);
    const job = destination.lastJob!;
    destination.submit(shareOf(job));
    await until(() => told.includes('refused'));
    pool.peer.drop();
    await until(() => told.includes('down own upstream_closed'));
    expect(destination.lastJob).toBeUndefined();
    expect(destination.health).toMatchObject({ isUp: false, jobAgeMs: undefined, verdicts: 1 });
    destination.submit(shareOf(job));
    await until(() => told.includes('lost'));
    expect(destination.health.verdicts).toBe(1);
    clock.advance(60_000);
    await until(() => destination.client.up);
    expect(destination.health).toMatchObject({ verdicts: 0, rejectRatio: 0 });
  });

  it('counts its verdicts against ours, whichever is first', async () => {
    let accept = true;
    const { pool, destination } = await setup(() => accept);
    await until(() => destination.client.up);
    pool.peer.send(notify());
    await until(() => destination.lastJob !== undefined);
    const share = shareOf(destination.lastJob!);
    const submit = async (token: object, ours: boolean, oursFirst: boolean): Promise<void> => {
      let theirs = false;
      destination.submit(
        share,
        () => {
          theirs = true;
        },
        token,
      );
      if (oursFirst) destination.judged(token, ours);
      await until(() => theirs);
      destination.judged(token, ours);
    };
    await submit({}, true, true);
    await submit({}, false, false);
    accept = false;
    await submit({}, true, false);
    pool.peer.drop();
    await until(() => !destination.client.up);
    await submit({}, false, true);
    destination.judged({}, true);
    expect(destination.figures.verdicts).toEqual({
      weAcceptedTheyAccepted: 1,
      weAcceptedTheyRejected: 1,
      weAcceptedTheySilent: 0,
      weRejectedTheyAccepted: 1,
      weRejectedTheyRejected: 0,
      weRejectedTheySilent: 1,
      incomplete: 0,
    });
  });
});

describe('upstreamExtranonce2', () => {
  it('is zeros, then the session and the miner', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect([...upstreamExtranonce2({ extranonce2Size: 10 }, bytes)]).toEqual([
      0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    expect([...upstreamExtranonce2({ extranonce2Size: 8 }, bytes)]).toEqual([...bytes]);
  });

  it('refuses an upstream that leaves too little', () => {
    const outcomes = new Outcomes('fits', 'refused');
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 32 }),
        fc.uint8Array({ maxLength: 33 }),
        (extranonce2Size, bytes) => {
          try {
            const out = upstreamExtranonce2({ extranonce2Size }, bytes);
            expect(bytes.length).toBeLessThanOrEqual(extranonce2Size);
            expect(out).toHaveLength(extranonce2Size);
            outcomes.saw('fits');
          } catch (error) {
            if (!(error instanceof CodedError)) throw error;
            expect(error.code).toBe('extranonce_too_small');
            expect(bytes.length).toBeGreaterThan(extranonce2Size);
            outcomes.saw('refused');
          }
        },
      ),
    );
    outcomes.expectEach();
  });
});
