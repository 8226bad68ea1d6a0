import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll } from 'vitest';

/** A directory of the test file's own, removed when its tests are over. */
export function temporaryDirectory(): { readonly file: (name: string) => string } {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-ledger-'));
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));
  return { file: (name) => path.join(directory, name) };
}
