import * as fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/hash.ts';
import { encodeRecord, sealRecord } from '../../src/ledger/frame.ts';
import { genesisHash } from '../../src/ledger/schema.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { codeOfRejection, insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const temporary = temporaryDirectory();

/** A copy of one ledger that was written and closed. */
async function written(name: string): Promise<string> {
  first ??= write(temporary.file('first.db'));
  const path = temporary.file(name);
  fs.copyFileSync(await first, path);
  return path;
}
let first: Promise<string> | undefined;

async function write(path: string): Promise<string> {
  const ledger = await openSqliteLedger({ path }, { log: silentLogger });
  await ledger.append([insert('1', 'job'), log(0, 3), put('s', '3')]);
  await ledger.append([log(3, 3), put('s', '6')]);
  await ledger.append([put('s', '7')]);
  await ledger.close();
  return path;
}

function tamper(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(
    'DROP TRIGGER IF EXISTS journal_is_never_updated; DROP TRIGGER IF EXISTS journal_is_deleted_once_sealed;' +
      ' PRAGMA foreign_keys = OFF',
  );
  db.exec(sql);
  db.close();
}

type Row = Record<'seq' | 'at_ms' | 'op' | 'first' | 'count', number> &
  Record<'kind' | 'key', string> & { readonly body: Uint8Array; readonly hash: Uint8Array };

/** Tampers, and then makes the chain of hashes good again: what an intruder does. */
function forge(path: string, sql: string): void {
  tamper(path, sql);
  const db = new DatabaseSync(path);
  const instance = String(db.prepare('SELECT instance FROM identity').get()!['instance']);
  let hash = genesisHash(instance);
  const rehash = db.prepare('UPDATE journal SET hash = ? WHERE seq = ?');
  for (const row of db.prepare('SELECT * FROM journal ORDER BY seq').all() as unknown as Row[]) {
    const record = encodeRecord(row)!;
    sealRecord(record, hash, row.seq, row.at_ms);
    hash = sha256(record);
    rehash.run(hash, row.seq);
  }
  db.close();
}

describe('verifyLedger of a chain that was rehashed', () => {
  /** The rows: 1 insert job 1, 2 log 0-3, 3 put stream s, 4 log 3-6, 5 put stream s, 6 put stream s. */
  const without = (seq: number): string => `DELETE FROM document; DELETE FROM journal WHERE seq = ${seq};
    UPDATE journal SET seq = seq - 1 WHERE seq > ${seq}`;
  const DOCUMENTS = "INSERT INTO document VALUES ('job', '1', 1), ('stream', 's', 6)";

  it('has nothing to say where only bodies were changed: the head differs from one noted elsewhere', async () => {
    const path = await written('forged.db');
    const { headHash } = await verifyLedger(path);
    forge(path, '');
    expect(await verifyLedger(path)).toEqual({ ok: true, rows: 6, headHash });
    forge(path, "UPDATE journal SET body = CAST('9' AS BLOB) WHERE seq = 3");
    const result = await verifyLedger(path);
    expect(result).toMatchObject({ ok: true, rows: 6 });
    expect(result.headHash).not.toBe(headHash);
  });

  it.each([
    ['a gap in the numbers', 'DELETE FROM journal WHERE seq = 2', 2, 'row 2 is missing'],
    [
      'a time that goes back',
      'UPDATE journal SET at_ms = 5 WHERE seq = 4',
      4,
      'is older than the row before',
    ],
    [
      'a time ahead',
      'UPDATE journal SET at_ms = at_ms + 9 WHERE seq = 2',
      3,
      'is older than the row before',
    ],
    ['shares that are gone', without(2), 3, 'leaves a gap in share s'],
    ['shares that begin late', 'UPDATE journal SET first = 1 WHERE seq = 2', 2, 'leaves a gap in share s'],
    ['shares cut short', 'UPDATE journal SET count = 2 WHERE seq = 2', 4, 'leaves a gap in share s'],
    [
      'shares of another stream',
      "UPDATE journal SET key = 't' WHERE seq = 4",
      4,
      'leaves a gap in share t',
    ],
    ['shares twice', 'UPDATE journal SET first = 2 WHERE seq = 4', 4, 'leaves a gap in share s'],
    ['a second insert', 'UPDATE journal SET op = 3 WHERE seq = 5', 5, 'inserts stream s again'],
    [
      'a document of an older row',
      "UPDATE document SET seq = 5 WHERE id = 's'",
      6,
      'points at row 5, not 6',
    ],
    [
      'a document of another row',
      "UPDATE document SET seq = 2 WHERE id = '1'",
      1,
      'points at row 2, not 1',
    ],
    [
      'a document too many',
      "INSERT INTO document VALUES ('a', '2', 1)",
      1,
      'points at row 1, not undefined',
    ],
    ['a document too few', "DELETE FROM document WHERE id = 's'", 6, 'document stream s is missing'],
    ['no documents', 'DELETE FROM document', 1, 'document job 1 is missing'],
    ['the newest row gone', `${without(6)}; ${DOCUMENTS}`, 5, 'document stream s points at row 6, not 5'],
    [
      'a kind renamed',
      "UPDATE journal SET kind = 'jobs' WHERE seq = 1",
      1,
      'document job 1 points at row 1',
    ],
  ])('finds %s', async (name, sql, firstBadSeq, problem) => {
    const path = await written(`forged-${name.replaceAll(' ', '-')}.db`);
    forge(path, sql);
    const result = await verifyLedger(path);
    expect(result).toMatchObject({ ok: false, firstBadSeq });
    expect(result.problem).toContain(problem);
  });
});

describe('verifyLedger', () => {
  it('accepts what was written and says where the chain stands', async () => {
    const path = await written('good.db');
    const result = await verifyLedger(path);
    expect(result).toEqual({ ok: true, rows: 6, headHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const db = new DatabaseSync(path);
    const last = db.prepare('SELECT hex(hash) AS hash FROM journal WHERE seq = 6').get();
    db.close();
    expect(result.headHash).toBe(String(last!['hash']).toLowerCase());
  });

  it.each([
    ['a body', "UPDATE journal SET body = x'010203' WHERE seq = 2", 2],
    ['one byte of a document', "UPDATE journal SET body = CAST('8' AS BLOB) WHERE seq = 5", 5],
    ['a time', 'UPDATE journal SET at_ms = at_ms + 1 WHERE seq = 4', 4],
    ['a key', "UPDATE journal SET key = 't' WHERE seq = 4", 4],
    ['a kind', "UPDATE journal SET kind = 'shares' WHERE seq = 2", 2],
    ['an operation', 'UPDATE journal SET op = 2 WHERE seq = 1', 1],
    ['a first item', 'UPDATE journal SET first = 2 WHERE seq = 4', 4],
    ['a count', 'UPDATE journal SET count = 4 WHERE seq = 4', 4],
    ['a negative count', 'UPDATE journal SET count = -1 WHERE seq = 4', 4],
    ['a hash', 'UPDATE journal SET hash = zeroblob(32) WHERE seq = 3', 3],
    ['a row that is gone', 'DELETE FROM journal WHERE seq = 3', 3],
    ['the first row gone', 'DELETE FROM journal WHERE seq = 1', 1],
    [
      'two rows exchanged',
      'UPDATE journal SET seq = 99 WHERE seq = 2; UPDATE journal SET seq = 2 WHERE seq = 4',
      2,
    ],
    ['the instance', "UPDATE identity SET instance = 'x'", 1],
    ['a document that points back', "UPDATE document SET seq = 3 WHERE kind = 'stream'", 6],
    ['a document that is gone', "DELETE FROM document WHERE kind = 'job'", 1],
    ['a document from nowhere', "INSERT INTO document VALUES ('job', '2', 1)", 1],
    ['the last row gone', 'DELETE FROM journal WHERE seq = 6', 5],
  ])('finds %s', async (name, sql, firstBadSeq) => {
    const path = await written(`bad-${name.replaceAll(' ', '-')}.db`);
    tamper(path, sql);
    expect(await verifyLedger(path)).toMatchObject({ ok: false, firstBadSeq });
  });

  it('finds pages that were overwritten', async () => {
    const path = await written('pages.db');
    const bytes = fs.readFileSync(path);
    bytes.fill(0x5a, 4096, bytes.length);
    fs.writeFileSync(path, bytes);
    expect(await codeOfRejection(verifyLedger(path))).toBe('ledger_corrupt');
    expect(await codeOfRejection(openSqliteLedger({ path }, { log: silentLogger }))).toBe('ledger_corrupt');
  });

  it('is refused where the file has lost its identity', async () => {
    const path = await written('nobody.db');
    tamper(path, 'DELETE FROM identity');
    expect(await codeOfRejection(verifyLedger(path))).toBe('ledger_corrupt');
    expect(await codeOfRejection(openSqliteLedger({ path }, { log: silentLogger }))).toBe('ledger_corrupt');
  });

  it('is backed by the schema: rows are neither changed nor deleted by accident', async () => {
    const path = await written('triggers.db');
    const db = new DatabaseSync(path);
    expect(() => db.exec('UPDATE journal SET count = 9')).toThrow('append-only');
    expect(() => db.exec('DELETE FROM journal')).toThrow('append-only');
    db.close();
  });
});

it('opening checks the last row of the chain', async () => {
  const path = await written('open.db');
  tamper(path, "UPDATE journal SET body = CAST('9' AS BLOB) WHERE seq = 6");
  expect(await codeOfRejection(openSqliteLedger({ path }, { log: silentLogger }))).toBe('ledger_corrupt');
});
