import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeEach } from 'vitest';

/** A directory of each test's own, removed when all of the file are over. */
export function temporaryDirectory(): { readonly file: (name: string) => string } {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-ledger-'));
  let directory = root;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(root, 'test-'));
  });
  afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
  return { file: (name) => path.join(directory, name) };
}
