import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Room for a private key with its certificates. */
const MAX_SECRET_BYTES = 64 * 1024;
const MAX_TEXT_BYTES = 1024 * 1024;

/**
 * Absolute path of a path in the configuration: `~/` and `$CREDENTIALS_DIRECTORY/` are known, the rest is
 * relative to `base`.
 */
export function resolvePath(path: string, base: string, env: Env): string {
  if (path === '~' || path.startsWith('~/')) return join(env['HOME'] ?? '/', path.slice(1));
  const credentials = '$CREDENTIALS_DIRECTORY/';
  if (path.startsWith(credentials)) {
    return join(env['CREDENTIALS_DIRECTORY'] ?? base, path.slice(credentials.length));
  }
  return isAbsolute(path) ? path : resolve(base, path);
}

/**
 * Why a secret file must not be used, or undefined. Others may never read it, and its group may not either,
 * except in systemd's credentials directory, where the mode shows an access list.
 */
export function secretFileProblem(file: string, env: Env): string | undefined {
  let mode: number;
  try {
    const stat = statSync(file);
    if (!stat.isFile()) return `${file} is not a file`;
    if (stat.size > MAX_SECRET_BYTES) return `${file} is larger than ${MAX_SECRET_BYTES} bytes`;
    mode = stat.mode;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${file} does not exist` : `${file} cannot be read (${code})`;
  }
  const inCredentials =
    env['CREDENTIALS_DIRECTORY'] !== undefined && dirname(file) === env['CREDENTIALS_DIRECTORY'];
  const forbidden = mode & (inCredentials ? 0o007 : 0o077);
  if (forbidden === 0) return undefined;
  return `${file} can be read by others (mode ${(mode & 0o777).toString(8).padStart(4, '0')}); run chmod 600 on it`;
}

/** Why a file that is no secret cannot be used, or undefined. */
export function textFileProblem(file: string): string | undefined {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) return `${file} is not a file`;
    return stat.size > MAX_TEXT_BYTES ? `${file} is larger than ${MAX_TEXT_BYTES} bytes` : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${file} does not exist` : `${file} cannot be read (${code})`;
  }
}

/** The whole text of a file that is no secret, such as a certificate. Throws `config_unreadable`. */
export function readTextFile(file: string): string {
  const problem = textFileProblem(file);
  if (problem !== undefined) throw new CodedError('config_unreadable', problem);
  return readText(file);
}

/**
 * The text of a secret file, all lines of it, without the white space around it. Throws `config_unreadable`,
 * never with the content.
 */
export function readSecretFile(file: string, env: Env): string {
  const problem = secretFileProblem(file, env);
  if (problem !== undefined) throw new CodedError('config_unreadable', problem);
  return readText(file).trim();
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CodedError(
      'config_unreadable',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
