import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exampleToml, optionTable } from '../../src/config/document.ts';
import { loadConfig, optionsOf } from '../../src/config/load.ts';
import { flatRows } from '../../src/config/options.ts';
import { Invalid } from '../../src/config/values.ts';

const ROLES = ['proxy', 'maker'] as const;

describe.each(ROLES)('the table of %s', (role) => {
  const rows = flatRows(optionsOf(role));

  it('has defaults, examples and bounds that its own kinds accept', () => {
    for (const { path, row } of rows) {
      for (const value of [row.default, row.example, row.min, row.max]) {
        if (value !== undefined) expect(row.kind.parse(value), path).not.toBeInstanceOf(Invalid);
      }
      expect(row.default !== undefined || row.example !== undefined, path).toBe(true);
      expect(row.doc, path).toMatch(/\.$/);
    }
  });

  it('is complete in the example and the table of the document', () => {
    const example = exampleToml(role);
    for (const { path } of rows) {
      const key = path.slice(path.lastIndexOf('.') + 1);
      expect(example, path).toMatch(new RegExp(`^(# )?${key} = `, 'm'));
      expect(optionTable(role)).toContain(`| \`${path}\` |`);
    }
    expect(example.split('\n').filter((line) => line.length > 110)).toEqual([]);
  });

  it('makes an example that loads, and says no more than the defaults do', () => {
    const folder = mkdtempSync(join(tmpdir(), 'example-'));
    const load = (text: string) => {
      const file = join(folder, 'a.toml');
      writeFileSync(file, text);
      return loadConfig(role, { file, env: { HOME: '/h' } });
    };
    const required = rows
      .filter(
        ({ path, row }) =>
          row.required &&
          !/^(?:stratum\.listener|chain\.nodes|contract\.payout_binding\.outputs|pool|maker)\./.test(path),
      )
      .map(({ path, row }) => [path, String(row.example)]);
    const bare = loadConfig(role, { env: { HOME: '/h' }, flags: Object.fromEntries(required) });
    expect(load(exampleToml(role))).toEqual(bare);
    rmSync(folder, { recursive: true });
  });
});
