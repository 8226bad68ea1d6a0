import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';

const text = readFileSync(new URL('../../src/peer/README.md', import.meta.url), 'utf8');

/** As the table says it: bytes in whole KiB or MiB where they are that. */
function figureOf(limit: string, value: number): string {
  if (!/Bytes|Chars/.test(limit)) return String(value);
  const kib = Math.floor(value / 1024);
  return kib % 1024 === 0 ? `${kib / 1024} MiB` : `${kib} KiB`;
}

const rows = text.split('\n').flatMap((line) => {
  const limit = /\| `(peer\w+)` \|$/.exec(line)?.[1];
  return limit === undefined ? [] : [{ limit, most: line.split(' | ')[1]! }];
});

it.each(rows)('the table of what a peer can do has the figure of $limit', ({ limit, most }) => {
  expect(Object.keys(LIMITS)).toContain(limit);
  const figure = figureOf(limit, LIMITS[limit as keyof typeof LIMITS]);
  expect(most === figure || most.startsWith(`${figure} `) || most.startsWith(`${figure},`)).toBe(true);
});

it('the table has all of them', () => {
  expect(rows).toHaveLength(21);
});
