import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { loadOrCreateToken } from '../http/token.ts';
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

/** The API token in the folder of a daemon; where there can be none, one that nobody has. */
export function apiToken(dataDir: string, log: Logger): string {
  try {
    return loadOrCreateToken(join(dataDir, 'api-token'), systemRandom);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { code, message: detail } = error;
    log.error({ code, detail }, 'without its token nothing can be asked for over the status page');
    return toHex(systemRandom.bytes(32));
  }
}
