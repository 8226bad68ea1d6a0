import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where processes of a run keep what they compiled, for the next: each starts with a third of the work. Every
 * process of the run inherits it.
 */
export function keepCompiled(): void {
  process.env['NODE_COMPILE_CACHE'] ??= mkdtempSync(join(tmpdir(), 'sharestream-compiled-'));
}

/** Once, after the tests. */
export function teardown(): void {
  const folder = process.env['NODE_COMPILE_CACHE'];
  if (folder?.startsWith(join(tmpdir(), 'sharestream-compiled-')) === true)
    rmSync(folder, { recursive: true, force: true });
}
