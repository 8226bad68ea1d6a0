import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROWS } from './row-names.ts';

const folder = new URL('.', import.meta.url);
const sources = fs
  .readdirSync(folder)
  .filter((file) => /^rows-.*\.node-test\.ts$/.test(file))
  .map((file) => fs.readFileSync(new URL(file, folder), 'utf8'))
  .join('\n');

describe('the table of rows', () => {
  it.each(ROWS)('has a case of its row: %s', (name) => {
    const quoted = [`'${name}'`, `"${name}"`];
    expect(quoted.some((text) => new RegExp(`[rR]ow\\(\\s*${escaped(text)},`).test(sources))).toBe(true);
  });
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
