import { describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/base/errors.ts';
import { optionsOf } from '../../src/config/load.ts';
import { flatRows } from '../../src/config/options.ts';
import { METRIC_PREFIX, METRIC_ROWS } from '../../src/metrics/catalogue.ts';
import { GENERATED, generated, readDocument } from './documents.ts';

describe.each(GENERATED)('%s', (path) => {
  it('is what the tables of the source make; `node test/ops/documents.ts` writes it', async () => {
    expect(await generated(path)).toBe(readDocument(path));
  });
});

/** The first cells of the rows of every table of a document, as they stand in backquotes. */
function rowsOf(path: string): string[] {
  return [...readDocument(path).matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!);
}

describe('no document names what is not there, nor leaves out what is', () => {
  it('options', () => {
    const paths = (['proxy', 'maker', 'auditor'] as const).flatMap((role) =>
      flatRows(optionsOf(role)).map(({ path }) => path),
    );
    expect(rowsOf('config/OPTIONS.md')).toEqual(paths);
  });

  it('metrics', () => {
    const names = Object.keys(METRIC_ROWS).map((name) => METRIC_PREFIX + name);
    expect(rowsOf('config/prometheus/METRICS.md')).toEqual(names);
  });

  it('error codes', () => {
    expect(rowsOf('src/base/ERRORS.md')).toEqual(Object.keys(ERROR_TABLE));
  });
});
