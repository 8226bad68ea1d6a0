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

/** The token in a file. Throws `bad_key_file` as `loadOrCreateToken`. */
export function readToken(file: string): string {
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
 * What a caller may do: look; run the daemon; move money. Each may what those before it may.
 */
export const ROLES = ['watch', 'operate', 'money'] as const;
export type Role = (typeof ROLES)[number];

export type Tokens = Readonly<Partial<Record<Role, string>>>;

/** True when a caller of a role may do what is for `least` and above. */
export function mayAct(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/**
 * The role whose token an `Authorization` header carries; undefined when it carries none. Takes as long for a
 * wrong token as for a right one.
 */
export function roleOf(header: string | undefined, tokens: Tokens): Role | undefined {
  const presented = /^Bearer ([^\s]{1,256})$/i.exec(header ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const held = ROLES.filter((role) => tokens[role] !== undefined);
  const matching = held.filter((role) => timingSafeEqual(digest(presented), digest(tokens[role]!)));
  return presented === '' ? undefined : matching.at(-1);
}
