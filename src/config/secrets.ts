import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';

type Env = Readonly<Record<string, string | undefined>>;

const MAX_SECRET_BYTES = 4096;

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

/**
 * The text of a secret file without the white space around it. Throws `config_unreadable`, never with the
 * content.
 */
export function readSecretFile(file: string, env: Env): string {
  const problem = secretFileProblem(file, env);
  if (problem !== undefined) throw new CodedError('config_unreadable', problem);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CodedError(
      'config_unreadable',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
