import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SessionOptions } from '../../src/upstream/session.ts';
import { Driver } from './driver.ts';
import { call, notify, shareOf } from './work.ts';

const RESUME_MS = 120_000;
const OPTIONS: Partial<SessionOptions> = { resumeMs: RESUME_MS, versionMask: 0 };

/** Up under session id `sid`, with a job and shares in flight, then cut off. */
function cutOff(shares = 2): Driver {
  const driver = new Driver(OPTIONS)
    .start()
    .reply([
      [
        ['mining.set_difficulty', 'd1'],
        ['mining.notify', 'sid'],
      ],
      'aabb',
      8,
    ])
    .reply(true)
    .line(notify());
  for (let nonce = 0; nonce < shares; nonce += 1) driver.submit(driver.job, { nonce });
  return driver;
}

function next(before: Driver, afterMs = 1_000): Driver {
  const resume = before.session.detach();
  before.take(before.session.closed());
  const driver = new Driver({ ...OPTIONS, resume });
  driver.nowMs = before.nowMs + afterMs;
  return driver;
}

describe('a session that is resumed', () => {
  it('asks by the id of the mining.notify subscription', () => {
    const driver = next(cutOff()).start();
    expect(driver.last).toMatchObject({ method: 'mining.subscribe', params: ['test/1', 'sid'] });
  });

  it('sends its unanswered shares again when extranonce1 came back equal', () => {
    const before = cutOff();
    const driver = next(before).start().reply([[], 'aabb', 8]);
    expect(before.verdicts).toEqual([]);
    expect(driver.session.sharesInFlight).toBe(2);
    driver.submit(before.job, { nonce: 9 });
    driver.line(JSON.stringify({ id: driver.last.id, result: true, error: null }));
    const submits = driver.sent.filter((request) => request.method === 'mining.submit');
    expect(submits.map((request) => request.params[4])).toEqual(['00000000', '00000001', '00000009']);
    for (const submit of submits) driver.line(JSON.stringify({ id: submit.id, result: true, error: null }));
    expect(driver.stats).toMatchObject({ resumed: 1, resent: 3, accepted: 3, lost: 0 });
    expect(driver.verdicts.map((verdict) => verdict.outcome)).toEqual(['accepted', 'accepted', 'accepted']);
  });

  it('loses them when it is another session', () => {
    const driver = next(cutOff()).start().reply([[], 'aacc', 8]).reply(true);
    expect(driver.verdicts.map((verdict) => verdict.outcome)).toEqual(['lost', 'lost']);
    expect(driver.stats).toMatchObject({ resumed: 0, resent: 0, lost: 2 });
    expect(driver.session.phase).toBe('up');
  });

  it('calls a duplicate lost: the first copy had its verdict, which never arrived', () => {
    const driver = next(cutOff()).start().reply([[], 'aabb', 8]).reply(true);
    const [first, second] = driver.sent.filter((request) => request.method === 'mining.submit');
    driver.line(JSON.stringify({ id: first!.id, result: null, error: [22, 'Duplicate share', null] }));
    driver.line(JSON.stringify({ id: second!.id, result: null, error: [23, 'Low difficulty', null] }));
    expect(driver.stats).toMatchObject({ lost: 1, refused: 1, resentDuplicates: 1 });
    const fresh = cutOff(1);
    fresh.reply(null, [22, 'Duplicate share', null]);
    expect(fresh.stats).toMatchObject({ lost: 0, refused: 1, resentDuplicates: 0 });
  });

  it('does not send again what is too old, or of another extranonce', () => {
    const old = next(cutOff(), RESUME_MS + 1)
      .start()
      .reply([[], 'aabb', 8])
      .reply(true);
    expect(old.stats).toMatchObject({ resumed: 1, resent: 0, lost: 2 });
    const moved = cutOff()
      .line(call('mining.set_extranonce', ['ccdd', 8]))
      .line(notify({ jobId: '2' }));
    moved.submit(moved.job);
    const driver = next(moved).start().reply([[], 'ccdd', 8]).reply(true);
    expect(driver.stats).toMatchObject({ resumed: 1, resent: 1, lost: 2 });
  });

  it('starts afresh when the id is refused', () => {
    const driver = next(cutOff()).start().reply(null, [20, 'what is this', null]);
    expect(driver.last.params).toEqual(['test/1']);
    expect(driver.stats.lost).toBe(2);
    driver.reply([[], '01', 8]).reply(true);
    expect(driver.session.phase).toBe('up');
  });

  it('gives the id up after two connections that ended on it', () => {
    const neverMade = next(cutOff());
    const hungUp = next(neverMade).start();
    expect(hungUp.last.params).toEqual(['test/1', 'sid']);
    const again = next(hungUp).start();
    expect(again.last.params).toEqual(['test/1', 'sid']);
    expect(again.session.detach()).toBeUndefined();
    again.take(again.session.closed());
    expect(again.stats.lost).toBe(2);
  });

  it('is not tried without an id, nor when it is switched off', () => {
    const anonymous = new Driver(OPTIONS).start().reply([[], 'aa', 8]).reply(true);
    expect(anonymous.session.detach()).toBeUndefined();
    const off = new Driver({ versionMask: 0 }).up();
    expect(off.session.detach()).toBeUndefined();
  });
});

describe('any history of connections', () => {
  const step = fc.constantFrom('submit', 'answer', 'cut', 'handshake', 'other', 'wait', 'notify');

  it('gives every share exactly one verdict', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        let driver = cutOff(0);
        const verdicts: string[] = [];
        let submitted = 0;
        let nonce = 0;
        const { job } = driver;
        const collect = (): void => {
          verdicts.push(...driver.verdicts.splice(0).map((verdict) => verdict.outcome));
        };
        for (const what of steps) {
          if (what === 'submit') {
            submitted += 1;
            driver.take(driver.session.submit(shareOf(job, { nonce: nonce++ }), undefined, driver.nowMs));
          } else if (what === 'answer') {
            const waiting = driver.sent.filter((request) => request.method === 'mining.submit');
            const request = waiting[nonce % Math.max(1, waiting.length)];
            if (request !== undefined)
              driver.line(JSON.stringify({ id: request.id, result: true, error: null }));
          } else if (what === 'cut') {
            collect();
            const old = driver;
            driver = next(old, 500);
            verdicts.push(...old.verdicts.splice(0).map((verdict) => verdict.outcome));
          } else if (what === 'wait') driver.after(20_000);
          else if (what === 'notify') driver.line(notify({ jobId: `n${nonce++}` }));
          else {
            if (driver.session.phase === 'idle') driver.start();
            const extranonce1 = what === 'other' ? `${nonce % 10}${nonce % 10}` : 'aabb';
            if (driver.session.phase === 'subscribe')
              driver.reply([[['mining.notify', 'sid']], extranonce1, 8]);
            if (driver.session.phase === 'authorize') driver.reply(true);
          }
        }
        collect();
        driver.take(driver.session.closed());
        collect();
        expect(verdicts).toHaveLength(submitted);
        expect(driver.session.sharesInFlight).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
