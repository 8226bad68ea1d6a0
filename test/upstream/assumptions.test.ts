import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../src/', import.meta.url).pathname;
const rows = readFileSync(join(root, 'upstream', 'BRAIDPOOL.md'), 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, id, what, source, code, check] = line.split(' | ').join('|').split('|');
    return /^ ?A\d+$/.test(id ?? '') ? [{ id: id!.trim(), what, source, code, check }] : [];
  });

describe('what is assumed of Braidpool', () => {
  it('has a source, code that leans on it, and a way to check it', () => {
    expect(rows.map(({ id }) => id)).toEqual(rows.map((_, index) => `A${index + 1}`));
    expect(rows.length).toBeGreaterThan(10);
    for (const { id, source, code, check } of rows)
      for (const cell of [source, code, check]) expect(cell?.trim().length, id).toBeGreaterThan(3);
  });

  it('is named where the code leans on it', () => {
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
    const text = files
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(join(root, path), 'utf8'))
      .join('\n');
    for (const { id } of rows) expect(text, id).toMatch(new RegExp(`\\b${id}\\b`));
  });
});
