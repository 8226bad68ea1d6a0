import { createHash, timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';

const TOKEN = /^[0-9a-f]{64}$/;

/**
 * The API token of this installation: 64 hex digits in `file`, made with mode 0600 when it is not there.
 * Throws `bad_key_file` when others can read it or it does not hold a token.
 */
export function loadOrCreateToken(file: string, random: Random): string {
  try {
    writeFileSync(file, `${toHex(random.bytes(32))}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EEXIST') throw new CodedError('bad_key_file', `${file} cannot be written (${code})`);
  }
  return readToken(file);
}

function readToken(file: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    throw new CodedError(
      'bad_key_file',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  try {
    const mode = fstatSync(descriptor).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw new CodedError('bad_key_file', `${file} can be read by others; run chmod 600 on it`);
    }
    const token = readFileSync(descriptor, 'utf8').trim();
    if (!TOKEN.test(token)) throw new CodedError('bad_key_file', `${file} does not hold 64 hex digits`);
    return token;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * True when an `Authorization` header carries the token. Takes as long for a wrong one as for the right one.
 */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const presented = /^Bearer ([^\s]{1,256})$/i.exec(header ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(presented), digest(token)) && presented !== '';
}
