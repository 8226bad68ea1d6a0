import { CodedError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { lockLedger } from '../ledger/sqlite-file.ts';
import { volatileLedger } from '../ledger/volatile-ledger.ts';
import type { Logger } from '../log/logger.ts';

/** The errors that say that a ledger cannot be used; a locked one is used by somebody else. */
const UNUSABLE: ReadonlySet<string> = new Set([
  'ledger_corrupt',
  'ledger_io',
  'ledger_schema',
  'ledger_settings',
  'ledger_version',
]);

/** True where a ledger cannot be used: corrupt, full, read only, of another program, on a failing disk. */
export function isUnusable(error: unknown): error is CodedError {
  return error instanceof CodedError && UNUSABLE.has(error.code);
}

/**
 * What is there in the place of a ledger that cannot be used: one that keeps nothing, under the same lock.
 * Throws what it is given where that says something else, and `ledger_locked`.
 */
export function replaceUnusable(
  path: string,
  error: unknown,
  log: Logger,
): { readonly ledger: Ledger; readonly unusable: CodedError; close(): Promise<void> } {
  if (!isUnusable(error)) throw error;
  const lock = lockOf(path, log);
  return { ledger: volatileLedger(), unusable: error, close: async () => lock?.close() };
}

/** The lock of a ledger that cannot be used. A folder that takes none lets nobody open the ledger either. */
function lockOf(path: string, log: Logger): { close(): void } | undefined {
  try {
    return lockLedger(path);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    log.warn({ code: error.code, detail: error.message }, 'the ledger could not be locked');
    return undefined;
  }
}
