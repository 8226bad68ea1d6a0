import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { createPrivateFile } from '../base/private-file.ts';
import { SEGMENT_STATES } from './schema.ts';
import { SealedRows } from './sealed-rows.ts';
import { segmentFolder } from './segment-file.ts';
import { openSqliteFileForReading, toLedgerError } from './sqlite-file.ts';
import { type Verification, verifyLedger } from './verify.ts';

/**
 * Copies a ledger, also while its writer runs: everything committed before the call, in a file of its own and
 * a folder with its segments. They are verified before this resolves, and gone where that fails. Only its
 * owner may read them, and nothing is written over; the date is kept beside the ledger. Throws
 * `output_refused`, `ledger_corrupt` where either of the two does not verify, and as `verifyLedger`.
 */
export async function backupLedger(path: string, out: string): Promise<Verification> {
  const folder = segmentFolder(out);
  if (fs.existsSync(folder)) throw new CodedError('output_refused', `${folder} exists`);
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
  const verification = await copySegments(path, out)
    .then(() => verifyLedger(out))
    .catch((error: unknown) => {
      remove(out);
      throw toLedgerError(error);
    });
  if (verification.ok) {
    markBackup(path);
    return verification;
  }
  remove(out);
  const where = `row ${verification.firstBadSeq}: ${verification.problem}`;
  throw new CodedError('ledger_corrupt', `the copy does not verify; ${where}`, { verification });
}

/** The file beside a ledger that is as old as its last backup. */
export function backupMark(path: string): string {
  return `${path}.backup`;
}

/** Whoever makes the backup may not be allowed to write there: the copy is good all the same. */
function markBackup(path: string): void {
  try {
    fs.writeFileSync(backupMark(path), 'backed up\n', { mode: 0o600 });
  } catch {
    // The age that is shown is of the one before.
  }
}

/** The segments that the copy names. */
async function copySegments(path: string, out: string): Promise<void> {
  const copy = openSqliteFileForReading(out);
  try {
    const [from, to] = [new SealedRows({ ...copy, path }), segmentFolder(out)];
    const held = from.all().filter(({ state }) => state !== SEGMENT_STATES.letGo);
    if (held.length > 0) fs.mkdirSync(to, { mode: 0o700 });
    for (const segment of held) {
      const file = from.pathOf(segment);
      await fs.promises.copyFile(file, join(to, basename(file)), fs.constants.COPYFILE_FICLONE);
    }
  } finally {
    copy.close();
  }
}

function remove(out: string): void {
  fs.rmSync(out);
  fs.rmSync(segmentFolder(out), { recursive: true, force: true });
}
