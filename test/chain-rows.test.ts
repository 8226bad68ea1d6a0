import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROWS } from './chain-node/row-names.ts';

const folder = new URL('chain-node/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');
const [ends, faults] = read('ROWS.md').split('## Faults') as [string, string];

/** The cells of the lines of a table, without its head. */
function tableOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(1).map((line) => line.slice(2, -2).split(' | '));
}

/** What is filled in at run time is three dots in the table. */
const shown = (title: string): string => title.replaceAll(/\$\{[^}]+\}/g, '...');

const cases = readdirSync(folder)
  .filter((file) => /^rows-.*\.node-test\.ts$/.test(file))
  .flatMap((file) => {
    const calls = read(file).matchAll(/\brow\(\s*(['"])((?:(?!\1).)+)\1,\s*(['"`])((?:(?!\3).)+)\3/g);
    return [...calls].map(([, , name, , detail]) => [name!, `\`${file.split('.')[0]}\``, shown(detail!)]);
  });

describe('the table of ends of a channel', () => {
  it('has each case that is played, and no other', () => {
    const order = (rows: readonly string[][]): string[] => rows.map((cells) => cells.join(' | ')).sort();
    expect(order(tableOf(ends))).toEqual(order(cases));
  });

  it('has a case of each row', () => {
    expect([...new Set(tableOf(ends).map(([name]) => name))]).toEqual([...ROWS]);
  });

  it('says of each fault what shows it, or that nothing of it is on a chain', () => {
    const rows = tableOf(faults);
    expect(rows.map(([fault]) => fault)).toEqual(Array.from({ length: 28 }, (_, at) => `F${at + 1}`));
    for (const [fault, file = '', title = ''] of rows) {
      if (file === '-') continue;
      const text = read(`${file.replaceAll('`', '')}.node-test.ts`);
      expect(text, `${fault}: ${title}`).toContain(title);
    }
  });
});
