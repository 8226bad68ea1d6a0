import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CodedError } from './errors.ts';

/**
 * Creates a file that only its owner may read, never over an existing one, lets `fill` put something into it,
 * and returns once it is on disk, name and all. Nothing is left where that fails. Throws `output_refused`
 * where the file exists, cannot be made, or the place does not keep its mode (0600); and what `fill` throws.
 */
export function createPrivateFile(path: string, fill: (file: number) => void): void {
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;
  const file = open(path, flags);
  try {
    fchmodSync(file, 0o600);
    if ((fstatSync(file).mode & 0o777) !== 0o600) {
      throw new CodedError('output_refused', `${path} cannot be hidden from others there`);
    }
    fill(file);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
  const directory = openSync(dirname(resolve(path)), constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** The same with a text. */
export function writePrivateFile(path: string, text: string): void {
  const bytes = Buffer.from(text);
  createPrivateFile(path, (file) => {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
  });
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'exists already' : `cannot be created (${code})`;
    throw new CodedError('output_refused', `${path} ${why}`, {}, { cause });
  }
}
