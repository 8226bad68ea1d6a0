import { closeSync, constants, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** What has been done when a process might die. */
export type ReplaceStep = 'opened' | 'written' | 'synced' | 'renamed' | 'durable';

/**
 * Replaces a file, readable by its owner alone, so that after any crash it holds the old text or the new:
 * a file beside it, fsync, rename, fsync of the directory. Throws what the file system throws.
 * @param onStep told after each step; for tests that stop there
 */
export function replaceFile(
  path: string,
  text: string,
  onStep: (step: ReplaceStep) => void = () => {},
): void {
  const beside = `${path}.tmp`;
  const bytes = Buffer.from(text);
  const file = openSync(beside, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY, 0o600);
  try {
    onStep('opened');
    if (writeSync(file, bytes) !== bytes.length) throw new Error('short write');
    onStep('written');
    fsyncSync(file);
    onStep('synced');
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
  onStep('renamed');
  const directory = openSync(dirname(path), constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
  onStep('durable');
}
