import { rmSync } from 'node:fs';
import { CodedError } from '../base/errors.ts';
import { createPrivateFile } from '../base/private-file.ts';
import { openSqliteFileForReading, toLedgerError } from './sqlite-file.ts';
import { type Verification, verifyLedger } from './verify.ts';

/**
 * Copies a ledger, also while its writer runs: everything committed before the call, in a file of its own
 * that is verified before this resolves, and gone where that fails. Only its owner may read it, and nothing
 * is written over. Throws `output_refused`, `ledger_corrupt` where either of the two does not verify, and as
 * `verifyLedger`.
 */
export async function backupLedger(path: string, out: string): Promise<Verification> {
  const source = openSqliteFileForReading(path);
  try {
    createPrivateFile(out, () => {
      try {
        source.db.prepare('VACUUM INTO ?').run(out);
      } catch (error) {
        throw toLedgerError(error);
      }
    });
  } finally {
    source.close();
  }
  const verification = await verifyLedger(out);
  if (verification.ok) return verification;
  rmSync(out);
  const where = `row ${verification.firstBadSeq}: ${verification.problem}`;
  throw new CodedError('ledger_corrupt', `the copy does not verify; ${where}`, { verification });
}
