import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SessionWorker } from '../../src/downstream/session/worker.ts';

/** Hashes of one unit of difficulty. */
const HASHES = 2 ** 48 / 0xffff;
const FOLD_MS = 5_000;

/** Shares of difficulty 1, so many a second, for a time. */
function mine(worker: SessionWorker, perSecond: number, seconds: number): void {
  for (let at = 0; at < seconds; at += FOLD_MS / 1000) {
    worker.accept((perSecond * FOLD_MS) / 1000, 1, at);
    worker.fold(FOLD_MS);
  }
}

const ratesOf = (worker: SessionWorker): readonly number[] =>
  [worker.hashesPerSecondOneMinute, worker.hashesPerSecond, worker.hashesPerSecondOneHour].map(
    (rate) => rate / HASHES,
  );

describe('the hashrates of a worker', () => {
  it('are what it does from the first look on, however short it is here', () => {
    const worker = new SessionWorker('rig');
    expect(ratesOf(worker)).toEqual([0, 0, 0]);
    mine(worker, 4, 5);
    for (const rate of ratesOf(worker)) expect(rate).toBeCloseTo(4, 9);
  });

  it('follow a change the faster the shorter they are', () => {
    const worker = new SessionWorker('rig');
    mine(worker, 10, 7_200);
    mine(worker, 0, 300);
    const [minute, five, hour] = ratesOf(worker);
    expect(minute).toBeCloseTo(10 * Math.exp(-5), 3);
    expect(five).toBeCloseTo(10 * Math.exp(-1), 3);
    expect(hour! / 10).toBeGreaterThan(0.9);
  });

  it('lie between the least and the most that it did', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 60 }), (speeds) => {
        const worker = new SessionWorker('rig');
        for (const speed of speeds) mine(worker, speed, 5);
        for (const rate of ratesOf(worker)) {
          expect(rate).toBeGreaterThanOrEqual(Math.min(...speeds) * (1 - 1e-9));
          expect(rate).toBeLessThanOrEqual(Math.max(...speeds) * (1 + 1e-9));
        }
      }),
    );
  });
});
