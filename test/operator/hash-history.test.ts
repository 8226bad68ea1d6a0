import { describe, expect, it } from 'vitest';
import { parseHistory } from '../../src/operator/hash-history.ts';

const NAMES = 'date,difficulty,subsidy_sat,fees_sat,hashrate';

/** The complaint about a file. */
function complaint(...lines: readonly string[]): string {
  try {
    return `${parseHistory(lines.join('\n')).length} days`;
  } catch (error) {
    return (error as Error).message.replace(/^bad_history: /, '');
  }
}

describe('a history of days', () => {
  it('is read by the names of its columns, in any order, with others between', () => {
    const text =
      '\uFEFFpool,fees_sat,date,subsidy_sat,difficulty\r\nx,50000000,2024-02-28,625000000,1\r\ny,0,2024-02-29,625000000,2.5\r\n';
    const days = parseHistory(text);
    // Difficulty 1 is 4,295,032,833 hashes a block (floor of 2^256 / (target + 1)).
    expect(days).toEqual([
      {
        day: '2024-02-28',
        valueMsatPerEh: (675_000_000_000n * 10n ** 18n) / 4_295_032_833n,
        hashrate: undefined,
      },
      { day: '2024-02-29', valueMsatPerEh: expect.any(BigInt), hashrate: undefined },
    ]);
    expect(Number(days[0]!.valueMsatPerEh) / Number(days[1]!.valueMsatPerEh)).toBeCloseTo(
      2.5 * (675 / 625),
      6,
    );
  });

  it('may be of hashrates alone', () => {
    expect(parseHistory('date,pool_key,hashrate\n2023-12-01,p,131455136401851740000\n')).toEqual([
      { day: '2023-12-01', valueMsatPerEh: undefined, hashrate: 1.3145513640185174e20 },
    ]);
  });

  it.each([
    ['nothing', [''], 'line 1 names no column "date"'],
    ['no figures', ['date,price'], 'line 1 names neither "difficulty" nor "hashrate"'],
    ['a column twice', [`${NAMES},date`], 'line 1 names date twice'],
    ['a short line', [NAMES, '2024-01-01,1'], 'line 2 has 2 values, not 5'],
    ['a day that is none', [NAMES, '2024-02-30,1,1,1,1'], 'line 2 has no date such as 2024-01-31'],
    ['a day in words', [NAMES, 'Feb 3 2024,1,1,1,1'], 'line 2 has no date such as 2024-01-31'],
    [
      'a gap',
      [NAMES, '2024-01-01,1,1,1,1', '2024-01-03,1,1,1,1'],
      'line 3 is of 2024-01-03: the day after 2024-01-01 is missing',
    ],
    [
      'days that fall',
      [NAMES, '2024-01-02,1,1,1,1', '2024-01-01,1,1,1,1'],
      'line 3 is of 2024-01-01: the day after 2024-01-02 is missing',
    ],
    ['a difficulty of 0', [NAMES, '2024-01-01,0,1,1,1'], 'line 2 has a difficulty that is not above 0'],
    [
      'no difficulty',
      [NAMES, '2024-01-01,,1,1,1'],
      'line 2 has a difficulty that is no number from 0 to 1e+24',
    ],
    [
      'a negative one',
      [NAMES, '2024-01-01,-1,1,1,1'],
      'line 2 has a difficulty that is no number from 0 to 1e+24',
    ],
    [
      'no subsidy',
      ['date,difficulty,fees_sat', '2024-01-01,1,1'],
      'line 2 lacks subsidy_sat, which a difficulty needs',
    ],
    [
      'a part of a sat',
      [NAMES, '2024-01-01,1,6.25,1,1'],
      'line 2 has a subsidy_sat that is no whole number',
    ],
    [
      'more than there can be',
      [NAMES, '2024-01-01,1,2100000000000001,1,1'],
      'line 2 has a subsidy_sat beyond all bitcoin there can be',
    ],
    ['work worth nothing', [NAMES, '2024-01-01,1e24,0,0,1'], 'line 2 makes an EH worth less than 1 msat'],
    [
      'a hashrate beyond all',
      [NAMES, '2024-01-01,1,1,1,1e31'],
      'line 2 has a hashrate that is no number from 0 to 1e+30',
    ],
  ])('with %s is refused, with the line', (_, lines, why) => {
    expect(complaint(...lines)).toBe(why);
  });

  it('is bounded', () => {
    const lines = Array.from({ length: 36_526 }, () => 'x');
    expect(complaint(NAMES, ...lines)).toBe('line 36527 is beyond the 36525 days that a history may have');
  });
});
