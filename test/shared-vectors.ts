import { existsSync, readFileSync } from 'node:fs';
import { describe } from 'vitest';

const FOLDER = new URL('../../shared/vectors/', import.meta.url);

/**
 * Whether the mainnet data beside the project is there; tests that need it are skipped with a message where
 * it is not.
 */
export const haveSharedVectors = existsSync(FOLDER);

/** A file of mainnet data, by name. */
export function sharedText(name: string): string {
  return readFileSync(new URL(name, FOLDER), 'utf8');
}

export function sharedJson(name: string): unknown {
  return JSON.parse(sharedText(name));
}

/** `describe` for tests that need the mainnet data. */
export const describeWithVectors = describe.skipIf(!haveSharedVectors);

if (!haveSharedVectors)
  process.stderr.write('mainnet vectors are absent: the tests that need them are skipped\n');
