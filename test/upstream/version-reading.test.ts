import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rolledVersion, upstreamVersion, type VersionReading } from '../../src/stratum/version-rolling.ts';
import type { UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import {
  INITIAL_READING,
  mayBeWrongVersion,
  READING_OPTIONS,
  type ReadingState,
  transition,
  VersionReadingTracker,
} from '../../src/upstream/version-reading.ts';
import { Driver, MASK } from './driver.ts';
import { notify } from './work.ts';

const { strikes: STRIKES, strikesConfirmed: STRIKES_CONFIRMED } = READING_OPTIONS;

const refused = (code: number | undefined, reason: string): UpstreamVerdict => ({
  outcome: 'refused',
  code,
  reason,
  rttMs: 1,
});

describe('what a refusal may be due to', () => {
  it.each([
    [refused(23, 'Low difficulty share'), true],
    [refused(23, 'low difficulty job'), true],
    [refused(23, 'bad-version'), true],
    [refused(undefined, 'refused without a reason'), true],
    [refused(20, 'Other/Unknown'), true],
    [refused(undefined, 'Above target'), true],
    [refused(21, 'Job not found'), false],
    [refused(undefined, 'Stale'), false],
    [refused(22, 'x'), false],
    [refused(undefined, 'Unauthorized worker'), false],
    [refused(20, 'ntime out of range'), false],
    [{ outcome: 'timeout', code: undefined, reason: 'upstream_timeout', rttMs: undefined } as const, false],
    [{ outcome: 'lost', code: undefined, reason: 'upstream_closed', rttMs: undefined } as const, false],
  ])('%j: wrong version %s', (verdict, expected) => {
    expect(mayBeWrongVersion(verdict)).toBe(expected);
  });
});

describe('the guess', () => {
  it('tries the other after a few refusals in a row, and later once one was confirmed', () => {
    const no = { type: 'verdict', guess: 'kept', accepted: false } as const;
    const yes = { type: 'verdict', guess: 'kept', accepted: true } as const;
    const judged = (evidence: readonly (typeof no | typeof yes)[]) =>
      evidence.reduce<ReadingState>((before, event) => {
        const { state, effects } = transition(READING_OPTIONS, before, event, 0);
        const { guess } = state;
        expect(effects).toEqual(guess === before.guess ? [] : [{ type: 'changed', guess }]);
        return state;
      }, INITIAL_READING);
    expect(judged(Array(STRIKES - 1).fill(no)).guess).toBe('kept');
    expect(judged(Array(STRIKES).fill(no))).toEqual({ guess: 'xor', isConfirmed: false, strikes: 0 });
    expect(judged([no, no, yes, no, no]).guess).toBe('kept');
    expect(judged([yes, ...Array(STRIKES_CONFIRMED - 1).fill(no)]).guess).toBe('kept');
    expect(judged([yes, ...Array(STRIKES_CONFIRMED).fill(no)]).guess).toBe('xor');
    expect(judged(Array(STRIKES + 9).fill(no)).guess).toBe('xor');
  });
});

/** An upstream of one reading, which refuses some shares for other reasons. */
function upstreamOf(reading: VersionReading) {
  const book = new VersionReadingTracker('auto');
  let wrong = 0;
  return {
    book,
    wrong: () => wrong,
    share: (version: number, roll: number, stale: boolean): boolean => {
      const hex = version.toString(16).padStart(8, '0');
      const driver = new Driver({ reading: book }).up().line(notify({ version: hex }));
      const { job } = driver;
      const versionBits = (roll & job.versionMask) >>> 0;
      driver.submit(job, { versionBits });
      const bits = Number.parseInt(String(driver.last.params[5]), 16);
      const hashed = rolledVersion(version, job.versionMask, versionBits);
      const right = upstreamVersion(reading, version, MASK, bits) === hashed;
      expect(bits & ~MASK).toBe(0);
      if (!right) wrong += 1;
      if (stale) driver.reply(null, [21, 'Stale', null]);
      else if (right) driver.reply(true);
      else driver.reply(null, [23, 'Low difficulty share', null]);
      return right;
    },
  };
}

describe('auto', () => {
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  const share = fc.tuple(fc.oneof(u32, fc.constant(0x20000000)), u32, fc.boolean());

  it.each(['replace', 'or', 'xor'] as const)(
    'costs at most a few shares at an upstream that reads %s',
    (reading) => {
      fc.assert(
        fc.property(fc.array(share, { maxLength: 60 }), (shares) => {
          const upstream = upstreamOf(reading);
          let refusals = 0;
          for (const [version, roll, stale] of shares) {
            const right = upstream.share(version, roll, stale);
            if (right || stale) continue;
            refusals += 1;
            expect(refusals).toBeLessThanOrEqual(STRIKES);
          }
          if (reading !== 'xor') expect(upstream.wrong()).toBe(0);
          if (refusals === STRIKES) {
            expect(upstream.book.state.guess).toBe('xor');
            expect(upstream.share(0x3fffffff, 0, false)).toBe(true);
          }
        }),
        { numRuns: 60 },
      );
    },
  );

  it('returns from a wrong guess that noise led to', () => {
    const upstream = upstreamOf('replace');
    for (let strike = 0; strike < STRIKES; strike += 1)
      upstream.book.learn('kept', refused(undefined, 'a strange reason'), 0);
    expect(upstream.book.state.guess).toBe('xor');
    for (let strike = 0; strike < STRIKES; strike += 1) upstream.share(0x3fffe000, 0, false);
    expect(upstream.book.state.guess).toBe('kept');
    expect(upstream.share(0x3fffe000, 0x2000, false)).toBe(true);
    expect(upstream.book.state.isConfirmed).toBe(true);
  });

  it('learns nothing where the readings agree, or where a wrong version may pass by chance', () => {
    const upstream = upstreamOf('xor');
    for (let count = 0; count < 10; count += 1)
      expect(upstream.share(0x20000000, 0x6000, false)).toBe(true);
    expect(upstream.book.state).toEqual(INITIAL_READING);
    const easy = new Driver({ reading: upstream.book, shareTarget: 'network' })
      .up()
      .line(notify({ version: '3fffffff', bits: '207fffff' }));
    easy.submit(easy.job).reply(true);
    expect(upstream.book.state).toEqual(INITIAL_READING);
  });
});
