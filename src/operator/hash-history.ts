import { CodedError } from '../base/errors.ts';
import { hashValueMsatPerEh } from '../base/price.ts';
import { MAX_SATS } from '../base/units.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';

/** One day of the past. */
export type HistoryDay = {
  readonly day: string;
  /** The value of an EH, msat; undefined where the file has no difficulty. */
  readonly valueMsatPerEh: bigint | undefined;
  /** What somebody's machines made that day, hashes per second; undefined where the file does not say. */
  readonly hashrate: number | undefined;
};

/** Most days of a history: a century. */
const MOST_DAYS = 36_525;

const COLUMNS = ['date', 'difficulty', 'subsidy_sat', 'fees_sat', 'hashrate'] as const;
type Column = (typeof COLUMNS)[number];

/**
 * A history of days, from text of comma-separated values with a line of names: `date` (YYYY-MM-DD), and
 * `difficulty` with `subsidy_sat` and `fees_sat` of a mean block, or `hashrate` in hashes per second, or all
 * of them. Other columns are left alone. Days rise without a gap. Throws `bad_history`, with the line.
 */
export function parseHistory(text: string): readonly HistoryDay[] {
  const [names = '', ...lines] = text
    .replace(/^\uFEFF/, '')
    .trimEnd()
    .split(/\r?\n/);
  const columns = names.split(',').map((name) => name.trim());
  for (const column of COLUMNS)
    if (columns.indexOf(column) !== columns.lastIndexOf(column)) refuse(1, `names ${column} twice`);
  if (!columns.includes('date')) refuse(1, 'names no column "date"');
  if (!columns.includes('difficulty') && !columns.includes('hashrate'))
    refuse(1, 'names neither "difficulty" nor "hashrate"');
  if (lines.length > MOST_DAYS)
    refuse(MOST_DAYS + 2, `is beyond the ${MOST_DAYS} days that a history may have`);
  const days = lines.map((line, index) => parseDay(columns, line, index + 2));
  for (const [index, { day }] of days.entries())
    if (index > 0 && day !== dayAfter(days[index - 1]!.day))
      refuse(index + 2, `is of ${day}: the day after ${days[index - 1]!.day} is missing`);
  return days;
}

function parseDay(columns: readonly string[], line: string, number: number): HistoryDay {
  const cells = line.split(',');
  if (cells.length !== columns.length) refuse(number, `has ${cells.length} values, not ${columns.length}`);
  const cell = (column: Column): string | undefined => {
    const at = columns.indexOf(column);
    return at === -1 ? undefined : cells[at]!.trim();
  };
  const day = cell('date')!;
  if (!isDay(day)) refuse(number, 'has no date such as 2024-01-31');
  const value = columns.includes('difficulty') ? hashValueOf(cell, number) : undefined;
  const hashrate = cell('hashrate');
  return {
    day,
    valueMsatPerEh: value,
    hashrate: hashrate === undefined ? undefined : parseNumber(hashrate, 'hashrate', 1e30, number),
  };
}

function hashValueOf(cell: (column: Column) => string | undefined, line: number): bigint {
  const difficulty = parseNumber(cell('difficulty')!, 'difficulty', 1e24, line);
  if (difficulty <= 0) refuse(line, 'has a difficulty that is not above 0');
  const sats = (column: Column): bigint => {
    const text = cell(column);
    if (text === undefined) refuse(line, `lacks ${column}, which a difficulty needs`);
    const amount = /^\d{1,16}$/.test(text)
      ? BigInt(text)
      : refuse(line, `has a ${column} that is no whole number`);
    return amount > MAX_SATS ? refuse(line, `has a ${column} beyond all bitcoin there can be`) : amount;
  };
  const reward = sats('subsidy_sat') + sats('fees_sat');
  const value = hashValueMsatPerEh(workOfTarget(targetOfDifficulty(difficulty)), reward);
  return value === 0n ? refuse(line, 'makes an EH worth less than 1 msat') : value;
}

function parseNumber(text: string, column: Column, most: number, line: number): number {
  const value = /^\d+(?:\.\d+)?(?:e\+?\d{1,2})?$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0 && value <= most)) refuse(line, `has a ${column} that is no number from 0 to ${most}`);
  return value;
}

function isDay(text: string): boolean {
  return (
    /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text
  );
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

export function dayAfter(day: string): string {
  return dayOf(Date.parse(day) + 86_400_000);
}

function refuse(line: number, why: string): never {
  throw new CodedError('bad_history', `line ${line} ${why}`);
}
