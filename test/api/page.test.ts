import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { numberKey, pageOf } from '../../src/api/page.ts';
import '../seed.ts';

const keyOf = (row: unknown): string => String(row);

/** All pages of rows that may change between one page and the next. */
function turned(pages: (page: number) => readonly string[], limit: number): string[] {
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; ; page += 1) {
    const { items, next_cursor } = pageOf(pages(page), keyOf, { limit, cursor });
    seen.push(...(items as string[]));
    if (page > 100) throw new Error('the pages come to no end');
    if (items.length > limit) throw new Error(`${items.length} rows of ${limit}`);
    if (next_cursor === null) return seen;
    cursor = next_cursor;
  }
}

describe('pages', () => {
  it('show each row once, in order, whatever comes and goes beside it', () => {
    const names = fc.uniqueArray(
      fc.string({ unit: fc.constantFrom('a', 'b', '~', 'é', '\u{fffd}', '\u{1f600}') }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(names, names, fc.integer({ min: 1, max: 7 }), (all, others, limit) => {
        const passing = others.filter((name) => !all.includes(name));
        const seen = turned((page) => (page % 2 === 0 ? all : [...passing, ...all]), limit);
        expect(new Set(seen).size).toBe(seen.length);
        expect(seen.filter((name) => all.includes(name))).toEqual(all.toSorted((a, b) => (a < b ? -1 : 1)));
      }),
      { numRuns: 50 },
    );
  });

  it('of numbers are in their order', () => {
    const numbers = [10, 9, 2 ** 40, 0, 100];
    const rows = pageOf(numbers, (row) => numberKey(row as number), { limit: 10 }).items;
    expect(rows).toEqual([0, 9, 10, 100, 2 ** 40]);
  });

  it('have cursors that nobody makes up', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 60 }), fc.base64String()), (cursor) => {
        const own = Buffer.from(cursor, 'base64url').toString('utf8').startsWith('k:');
        fc.pre(!own);
        const refused = (): unknown => pageOf(['a'], keyOf, { limit: 1, cursor });
        expect(refused).toThrow(/^bad_cursor/);
      }),
    );
  });
});
