import * as fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { appendFrameSize, FrameWriter } from '../../src/ledger/frame.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { openSqliteFile, toLedgerError } from '../../src/ledger/sqlite-file.ts';
import { SqliteJournal } from '../../src/ledger/sqlite-journal.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { type Verification, verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const temporary = temporaryDirectory();
const deps = { log: silentLogger };

async function written(name: string): Promise<string> {
  const path = temporary.file(name);
  const ledger = await openSqliteLedger({ path }, deps);
  for (let item = 0; item < 30; item += 1) await ledger.append([log(item, 1), put('s', String(item))]);
  await ledger.close();
  return path;
}

/** All that a reader of the file can learn from it, or why nothing can be. */
async function contentOf(path: string): Promise<Verification | string> {
  try {
    return await verifyLedger(path);
  } catch (error) {
    expect(error).toBeInstanceOf(CodedError);
    return (error as CodedError).code;
  }
}

describe('a damaged file', () => {
  it('is never taken for another content, whichever bit is flipped', async () => {
    const path = await written('flip.db');
    const good = fs.readFileSync(path);
    const sound = (await contentOf(path)) as Verification;
    expect(sound.ok).toBe(true);
    const rows = contentsOfDocuments(path);
    let found = 0;
    const flips = fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 7 }));
    await fc.assert(
      fc.asyncProperty(flips, async ([at, bit]) => {
        const bytes = Buffer.from(good);
        bytes[at]! ^= 1 << bit;
        fs.writeFileSync(path, bytes);
        const seen = await contentOf(path);
        if (typeof seen === 'string' || !seen.ok) {
          found += 1;
          return;
        }
        // What was hit is free space or a counter: whoever reads gets what was written.
        expect(seen).toEqual(sound);
        expect(contentsOfDocuments(path)).toEqual(rows);
      }),
      { numRuns: 400 },
    );
    expect(found).toBeGreaterThan(20);
  });

  it('is found out wherever it is cut off', async () => {
    const path = await written('cut.db');
    const good = fs.readFileSync(path);
    for (let size = 1; size < good.length; size += 1021) {
      fs.writeFileSync(path, good.subarray(0, size));
      const seen = await contentOf(path);
      expect(typeof seen === 'string' || !seen.ok, `${size} of ${good.length} bytes`).toBe(true);
    }
  });

  it('with its last rows and what points at them gone is told by a head hash noted elsewhere', async () => {
    const path = await written('shorter.db');
    const noted = (await verifyLedger(path)).headHash;
    const db = new DatabaseSync(path);
    db.exec('DROP TRIGGER journal_is_deleted_once_sealed; DELETE FROM document WHERE seq > 58');
    db.exec('INSERT INTO document SELECT kind, key, max(seq) FROM journal WHERE op = 2 AND seq <= 58');
    db.exec('DELETE FROM journal WHERE seq > 58');
    db.close();
    const seen = await verifyLedger(path);
    expect(seen).toMatchObject({ ok: true, rows: 58 });
    expect(seen.headHash).not.toBe(noted);
  });
});

function contentsOfDocuments(path: string): unknown[] {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return db.prepare('SELECT d.kind, d.id, j.body FROM document d JOIN journal j ON j.seq = d.seq').all();
  } finally {
    db.close();
  }
}

function frameOf(entries: readonly LedgerEntry[]): Uint8Array {
  const writer = new FrameWriter();
  writer.push(entries, appendFrameSize(entries));
  const { buffer, size } = writer.finish();
  return new Uint8Array(buffer, 0, size);
}

describe('a full disk', () => {
  it('fails the commit with a coded error; all that was answered is there, and it goes on with more room', async () => {
    const path = await written('full.db');
    const file = openSqliteFile({ path, nowMs: 0 });
    const { page_count: pages } = file.db.prepare('PRAGMA page_count').get() as { page_count: number };
    file.db.exec(`PRAGMA max_page_count = ${pages + 3}`);
    const journal = new SqliteJournal(file);
    let item = 30;
    let error: CodedError | undefined;
    while (error === undefined) {
      try {
        const filler = put('filler', 'x'.repeat(2000) + item);
        journal.begin();
        journal.commit([frameOf([log(item, 1), put('s', String(item)), filler])], 0);
        item += 1;
      } catch (thrown) {
        error = toLedgerError(thrown);
      }
    }
    // 13: SQLITE_FULL.
    expect(error).toMatchObject({ code: 'ledger_io', meta: { errcode: 13 } });
    expect(item).toBeGreaterThan(30);
    file.close();
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 3 * item - 30 });
    const ledger = await openSqliteLedger({ path }, deps);
    expect(await ledger.get('stream', 's')).toBe(String(item - 1));
    await ledger.append([log(item, 1)]);
    await ledger.close();
  });
});
