import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Driver } from './driver.ts';
import { call, notify } from './work.ts';

describe('notifies that come too fast', () => {
  it('are given out in a burst, then only the newest', () => {
    const driver = new Driver({ jobsPerSecond: 10 }).up();
    for (let job = 0; job < 100; job += 1) driver.line(notify({ jobId: `${job}` }));
    expect(driver.jobs.map((job) => job.upstreamJobId)).toEqual(
      Array.from({ length: 20 }, (_, job) => `${job}`),
    );
    driver.after(100);
    expect(driver.job.upstreamJobId).toBe('99');
    expect(driver.jobs).toHaveLength(21);
    expect(driver.stats).toMatchObject({ jobs: 21, jobsSkipped: 79 });
  });

  it('stay clean when one of those left out was', () => {
    const driver = new Driver({ jobsPerSecond: 1 }).up().line(notify({ jobId: 'a' }));
    driver.line(notify({ jobId: 'b' })).line(notify({ jobId: 'c', clean: true }));
    driver.line(notify({ jobId: 'd' })).after(1_000);
    expect(driver.job).toMatchObject({ upstreamJobId: 'd', clean: true });
  });

  it('are as many when the version mask or the extranonce is what changes', () => {
    const driver = new Driver({ jobsPerSecond: 5 }).up().line(notify());
    for (let turn = 0; turn < 100; turn += 1) {
      driver.line(call('mining.set_version_mask', [turn % 2 === 0 ? '00002000' : '1fffe000']));
      driver.line(call('mining.set_extranonce', [`0${turn % 10}`, 8])).line(notify());
    }
    expect(driver.jobs.length).toBe(10);
  });

  it('never exceed the rate, and the last one is always given out', () => {
    const arrival = fc.record({ afterMs: fc.nat({ max: 300 }), count: fc.nat({ max: 20 }) });
    fc.assert(
      fc.property(
        fc.array(arrival, { maxLength: 40 }),
        fc.integer({ min: 1, max: 30 }),
        (arrivals, rate) => {
          const driver = new Driver({ jobsPerSecond: rate }).up();
          const startMs = driver.nowMs;
          let id = 0;
          for (const { afterMs, count } of arrivals) {
            driver.after(afterMs);
            for (let one = 0; one < count; one += 1) driver.line(notify({ jobId: `${id++}` }));
            const elapsedSeconds = (driver.nowMs - startMs) / 1000;
            expect(driver.jobs.length).toBeLessThanOrEqual(2 * rate + rate * elapsedSeconds + 1e-6);
          }
          driver.after(1_000).after(1_000);
          expect(driver.jobs.at(-1)?.upstreamJobId).toBe(id === 0 ? undefined : `${id - 1}`);
          expect(driver.stats.jobs + driver.stats.jobsSkipped).toBe(id);
        },
      ),
    );
  });
});

describe('what only some servers know', () => {
  it('is asked once authorised, and only when wanted', () => {
    expect(new Driver().up().sent.map((request) => request.method)).not.toContain(
      'mining.extranonce.subscribe',
    );
    const driver = new Driver({ extranonceSubscribe: true, suggestDifficulty: 512 }).up();
    expect(driver.sent.slice(-2)).toMatchObject([
      { method: 'mining.extranonce.subscribe', params: [] },
      { method: 'mining.suggest_difficulty', params: [512] },
    ]);
    for (const { id } of driver.sent.slice(-2))
      driver.line(JSON.stringify({ id, result: null, error: [20, 'Not supported.', null] }));
    expect(driver.stats.unknownReplies).toBe(0);
    expect(driver.session.phase).toBe('up');
  });

  it('is never suggested to a Braidpool node, whose set_difficulty then means nothing', () => {
    const driver = new Driver({ profile: 'braidpool', suggestDifficulty: 1 }).up();
    expect(driver.sent.map((request) => request.method)).not.toContain('mining.suggest_difficulty');
  });
});
