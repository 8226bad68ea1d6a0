import { closeSync, constants, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A step of replacing a file, named by what is done after it. */
export type ReplaceStep = 'opened' | 'written' | 'synced' | 'renamed' | 'durable';

/**
 * Replaces a file, readable by its owner alone, so that after any crash it holds the old text or the new: a
 * file beside it, fsync, rename, fsync of the directory. Throws what the file system throws.
 * @param onStep called after each step, for tests that stop there
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

/** `replaceFile` without blocking the event loop. A path must not have two writers at a time. */
export async function replaceFileAsync(path: string, text: string): Promise<void> {
  const beside = `${path}.tmp`;
  const file = await open(beside, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
