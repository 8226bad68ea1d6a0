import * as fs from 'node:fs';
import { expect, inject, it } from 'vitest';
import type { RowEnd, RowName } from './row-names.ts';

const ends = new Map<string, RowEnd>();

/** What a case of a row came to; once a case, when everything is asserted. */
export function recordEnd(end: RowEnd): void {
  ends.set(expect.getState().currentTestName ?? '', end);
}

/**
 * A case of a row on the real node. It must say who has what in the end (`recordEnd`), which the table at the
 * end of the suite shows.
 */
export function row(name: RowName, detail: string, run: () => Promise<void>): void {
  it(`${name}: ${detail}`, async () => {
    await run();
    const end = ends.get(expect.getState().currentTestName ?? '');
    expect(end, 'the case says who has what').toBeDefined();
    const texts = Object.entries(end!).map(([key, value]) => [key, value.toString()]);
    const record = { row: name, detail, ...Object.fromEntries(texts) };
    fs.appendFileSync(inject('rowsFile'), `${JSON.stringify(record)}\n`);
  });
}

declare module 'vitest' {
  interface ProvidedContext {
    rowsFile: string;
  }
}
