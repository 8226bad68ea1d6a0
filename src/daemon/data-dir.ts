import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { loadOrCreateToken, ROLES, type Role, type Tokens } from '../http/token.ts';
import type { Logger } from '../log/logger.ts';

/** Makes the folder of a daemon, for it alone, where there is none. Throws `file_unusable`. */
export function makeDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodedError('file_unusable', `the folder ${path} cannot be made (${code})`, {}, { cause });
  }
}

/** Where the token of each role is: that of `money` may do everything. */
const TOKEN_FILES = { watch: 'api-token-watch', operate: 'api-token-operate', money: 'api-token' } as const;

/** The API tokens in the folder of a daemon; where there can be none, that role is nobody's. */
export function apiTokens(dataDir: string, log: Logger): Tokens {
  const tokenOf = (role: Role): Tokens => {
    try {
      return { [role]: loadOrCreateToken(join(dataDir, TOKEN_FILES[role]), systemRandom) };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const { code, message: detail } = error;
      log.error({ code, detail, role }, 'without its token nobody has this role at the API');
      return {};
    }
  };
  return Object.assign({}, ...ROLES.map(tokenOf)) as Tokens;
}
