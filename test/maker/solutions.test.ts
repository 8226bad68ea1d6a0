import { describe, expect, it } from 'vitest';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { type Solution, Solutions } from '../../src/maker/solutions.ts';
import type { GivenJob } from '../../src/maker/work-jobs.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import type { UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { casesOf, judgedNow, type ShareCase } from './share-cases.ts';
import { offer } from './work-fixtures.ts';

const MINUTE_MS = 60_000;
/** Id of a job of an earlier run. */
const EARLIER = 9;
const EASY_BITS = 0x207fffff;
/** A hash is below it where its nonce is below 1000. */
const TARGET = (1000n << 224n) - 1n;

/** The hash of a nonce: its highest word. */
function hashOf(nonce: number): Uint8Array {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(28, nonce, true);
  return hash;
}

/** A kernel that hashes as `hashOf`. */
function kernel(): ShareKernel {
  const hashes = new Uint8Array(8 * 32);
  return {
    ...{ name: 'test', capacity: 8, hashes, addJob: () => 1, removeJob: () => {}, run: () => {} },
    setShare: (slot, _job, _extranonce, _ntime, nonce) => hashes.set(hashOf(nonce), slot * 32),
    hashTree: () => {},
  };
}

function stand(solutionsPerMinute = 60, latePpm = 0) {
  const time = new VirtualTime();
  const book = new PoolBook(['pool']);
  const submitted: Solution[] = [];
  const verdict: UpstreamVerdict = { outcome: 'accepted', code: undefined, reason: '', rttMs: undefined };
  const answers: UpstreamVerdict[] = [];
  const solutions = new Solutions(
    { latePpm, solutionsPerMinute },
    {
      ...{ kernel: kernel(), clock: time.clock, book },
      canSubmit: ({ job }) => job.id !== EARLIER,
      submit: async (_given, solution) => {
        submitted.push(solution);
        return answers.shift() ?? verdict;
      },
    },
  );
  const given = (changes: Partial<GivenJob['job']> = {}): GivenJob => ({
    ...{
      instance: 'i',
      pool: 'pool',
      key: 'k',
      status: 'live',
      replacedBy: undefined,
      isMissed: false,
      freeUntilMs: Number.POSITIVE_INFINITY,
      untilMs: 0,
    },
    job: { id: 1, clean: false, ...offer(1, 1), extranonce2Size: 8, upstreamTarget: TARGET, ...changes },
  });
  const own = given();
  const solution = (nonce: number, changes: Partial<Solution> = {}): Solution => ({
    ...{ extranonce2: new Uint8Array(8), ntime: 5, nonce, version: own.job.version, ...changes },
  });
  const show = async (nonce: number, changes: Partial<Solution> = {}, of = own): Promise<unknown> =>
    solutions.show(of, solution(nonce, changes)).catch((error: { code: string }) => error.code);
  const caseOf = (nonce: number, changes: Partial<ShareCase> = {}): ShareCase => ({
    share: {
      ...{
        extranonce1: new Uint8Array(4).fill(1),
        extranonce2: new Uint8Array(4).fill(2),
        ntime: 5,
        nonce,
      },
      ...{ version: own.job.version },
    } as ShareCase['share'],
    ...{ job: undefined, code: undefined, target: undefined, hash: hashOf(nonce) },
    ...changes,
  });
  /** Judges shares of one batch; gives their codes. */
  const judge = (...cases: readonly ShareCase[]): unknown[] => {
    judgedNow(cases, (each) => solutions.judge(each, () => own));
    return cases.map(({ code }) => code);
  };
  return { time, book, solutions, submitted, answers, given, own, show, caseOf, judge };
}

describe('a solution that is shown', () => {
  it('is sent once, and its verdict is told as often as it is asked for', async () => {
    const { show, submitted, answers, book } = stand();
    answers.push({ outcome: 'refused', code: 21, reason: 'late', rttMs: 12.6 });
    const told = { outcome: 'refused', code: 21, reason: 'late', rttMs: 13 };
    expect([await show(7), await show(7)]).toEqual([told, told]);
    expect(submitted).toHaveLength(1);
    expect(book.figures[0]).toMatchObject({ solutions: { refused: 1 }, lateSolutions: 0 });
    expect(await show(8)).toEqual({ outcome: 'accepted' });
  });

  it.each<[Partial<UpstreamVerdict>, unknown]>([
    [{ code: 2 ** 31 }, { outcome: 'refused', code: 2 ** 31 }],
    [{ code: -(2 ** 31) }, { outcome: 'refused', code: -(2 ** 31) }],
    [{ code: 2 ** 31 + 1 }, { outcome: 'refused' }],
    [{ code: 1.5 }, { outcome: 'refused' }],
    [{ code: 0 }, { outcome: 'refused', code: 0 }],
    [{ reason: 'x'.repeat(201) }, { outcome: 'refused', reason: 'x'.repeat(200) }],
    [{ rttMs: 0 }, { outcome: 'refused', rttMs: 0 }],
  ])('has of the verdict %j what the protocol can tell', async (verdict, told) => {
    const { show, answers } = stand();
    answers.push({ outcome: 'refused', code: undefined, reason: '', rttMs: undefined, ...verdict });
    expect(await show(1)).toEqual(told);
  });

  it('fits its job, or is refused', async () => {
    const { show, submitted, given, own } = stand();
    for (const size of [7, 9])
      expect(await show(1, { extranonce2: new Uint8Array(size) })).toBe('share_bad');
    expect(await show(1, { version: own.job.version ^ 0x40000000 })).toBe('share_bad');
    expect(submitted).toEqual([]);
    expect(await show(1, { version: own.job.version ^ 0x2000 })).toEqual({ outcome: 'accepted' });
    expect(await show(2, { extranonce2: new Uint8Array(4) }, given({ extranonce2Size: 4 }))).toEqual({
      outcome: 'accepted',
    });
  });

  it('is below the target of the pool, or of the network where that is easier', async () => {
    const { show, given } = stand();
    expect([await show(999), await show(1000)]).toEqual([{ outcome: 'accepted' }, 'share_low']);
    const network = Number(targetOfCompact(EASY_BITS) >> 224n);
    const easy = given({ bits: EASY_BITS });
    expect([await show(network - 1, {}, easy), await show(network + 1, {}, easy)]).toEqual([
      { outcome: 'accepted' },
      'share_low',
    ]);
  });

  it.each([
    [8, 16],
    [7, 16],
    [60, 120],
  ])(
    'of %i a minute is one of %i at once, and of twice as many as time passes',
    async (perMinute, burst) => {
      const { time, show } = stand(perMinute);
      for (let nonce = 0; nonce < burst; nonce += 1)
        expect(await show(nonce)).toEqual({ outcome: 'accepted' });
      expect(await show(900)).toBe('too_often');
      await time.advance(Math.ceil(MINUTE_MS / (2 * perMinute)) - 1);
      expect(await show(901)).toBe('too_often');
      await time.advance(1);
      expect(await show(902)).toEqual({ outcome: 'accepted' });
    },
  );
});

describe('the solutions of a batch', () => {
  it('are sent where they were not shown, and are late then', async () => {
    const { show, judge, caseOf, submitted, book, solutions, own } = stand(60, 1_000_000);
    await show(1);
    expect(judge(caseOf(1), caseOf(2), caseOf(1000))).toEqual([undefined, undefined, undefined]);
    expect(submitted.slice(1)).toEqual([
      {
        ...{ ntime: 5, nonce: 2, version: own.job.version },
        extranonce2: Uint8Array.of(1, 1, 1, 1, 2, 2, 2, 2),
      },
    ]);
    expect(book.figures[0]).toMatchObject({ lateSolutions: 1 });
    expect(solutions.late).toMatchObject({ solutions: 2, late: 1 });
    // One that is there again is counted, and not sent.
    judge(caseOf(2));
    expect([submitted.length, solutions.late]).toMatchObject([2, { solutions: 3, late: 1 }]);
  });

  it('that have a code, no hash or no job of ours are none', () => {
    const { solutions, judge, caseOf, submitted } = stand();
    expect(judge(caseOf(1, { code: 'share_low' }), caseOf(2, { hash: undefined }))).toEqual([
      'share_low',
      undefined,
    ]);
    const foreign = caseOf(3);
    judgedNow([foreign], (each) => solutions.judge(each, () => undefined));
    expect([submitted, solutions.late.solutions]).toEqual([[], 0]);
  });

  it('are neither late nor sent where their job is of an earlier run, and pause as the others', () => {
    const { solutions, judge, caseOf, submitted, given } = stand();
    const earlier = given({ id: EARLIER });
    const cases = [1, 2, 3, 4].map((nonce) => caseOf(nonce));
    judgedNow(cases, (each) => solutions.judge(each, () => earlier));
    expect(cases.map(({ code }) => code)).toEqual(cases.map(() => undefined));
    expect([submitted, solutions.late]).toMatchObject([[], { solutions: 0, late: 0 }]);
    judge(caseOf(5), caseOf(6), caseOf(7));
    const paused = caseOf(8);
    judgedNow([paused], (each) => solutions.judge(each, () => earlier));
    expect(paused.code).toBe('late_solutions');
  });

  it('pause the credit of all that follows, also in their batch, for a minute', async () => {
    const { time, solutions, judge, caseOf } = stand();
    expect(judge(caseOf(2000), caseOf(1), caseOf(2), caseOf(3), caseOf(2001))).toEqual([
      ...[undefined, undefined, undefined, 'late_solutions', 'late_solutions'],
    ]);
    expect(solutions.isPaused).toBe(true);
    await time.advance(MINUTE_MS - 1);
    expect(judge(caseOf(2002))).toEqual(['late_solutions']);
    await time.advance(1);
    expect([solutions.isPaused, ...judge(caseOf(2003))]).toEqual([false, undefined]);
  });

  it('are judged in the book once, but for repeats', async () => {
    const { time, solutions, judge, caseOf, book } = stand(60, 1_000_000);
    const cases = [1, 2, 3].map((nonce) => caseOf(nonce));
    judge(...cases);
    await time.settle();
    cases[1]!.code = 'share_unbound';
    cases[2]!.code = 'share_duplicate';
    solutions.judged(casesOf([...cases, caseOf(4), caseOf(5, { hash: undefined })]));
    expect(book.figures[0]!.verdicts).toMatchObject({
      ...{ weAcceptedTheyAccepted: 1, weRejectedTheyAccepted: 1, incomplete: 0 },
    });
  });
});

describe('a solution that was not shown', () => {
  /** Shows solutions, one at each of these seconds; a batch brings another. @returns whether it is late */
  async function isLateAfter(
    seconds: readonly number[],
    atSecond: number,
    perMinute = 10,
  ): Promise<boolean> {
    const { time, show, judge, caseOf, solutions } = stand(perMinute, 1_000_000);
    let nonce = 0;
    for (const second of seconds) {
      await time.advance(second * 1000 - time.clock.monotonicMs());
      await show(nonce);
      nonce += 1;
    }
    await time.advance(atSecond * 1000 - time.clock.monotonicMs());
    judge(caseOf(999));
    return solutions.late.late === 1;
  }
  const at = (second: number, count: number): number[] => Array.from({ length: count }, () => second);

  it('is excused where nine tenths of what is agreed were shown in one minute of the last two', async () => {
    expect(await isLateAfter(at(200, 9), 200)).toBe(false);
    expect(await isLateAfter(at(200, 8), 200)).toBe(true);
    expect(await isLateAfter([], 5)).toBe(true);
    expect(await isLateAfter(at(200, 9), 319)).toBe(false);
    expect(await isLateAfter(at(200, 9), 320)).toBe(true);
    expect(await isLateAfter(at(200, 9), 5000)).toBe(true);
  });

  it('is excused by those of one minute, wherever that lies, and not by those of two', async () => {
    expect(await isLateAfter([...at(200, 5), ...at(259, 4)], 300)).toBe(false);
    expect(await isLateAfter([...at(200, 5), ...at(260, 4)], 300)).toBe(true);
    expect(await isLateAfter([...at(200, 5), ...at(230, 4), ...at(261, 8)], 262)).toBe(false);
    expect(await isLateAfter([...at(200, 3), ...at(210, 3), ...at(270, 3), ...at(310, 3)], 310)).toBe(true);
    // Seconds that passed without one are empty.
    expect(await isLateAfter([...at(200, 8), ...at(320, 1)], 320)).toBe(true);
    expect(await isLateAfter([...at(200, 8), ...at(440, 8)], 440)).toBe(true);
  });

  it('is not excused by one that was shown again and again', async () => {
    const { show, judge, caseOf, solutions } = stand(10, 1_000_000);
    for (let time = 0; time < 12; time += 1) await show(1);
    judge(caseOf(2));
    expect(solutions.late.late).toBe(1);
  });
});
