import * as fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { codeOfRejection, insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const temporary = temporaryDirectory();

async function written(name: string): Promise<string> {
  const path = temporary.file(name);
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
    'DROP TRIGGER journal_is_never_updated; DROP TRIGGER journal_is_never_deleted;' +
      ' PRAGMA foreign_keys = OFF',
  );
  db.exec(sql);
  db.close();
}

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
  ])('finds %s', async (_name, sql, firstBadSeq) => {
    const path = await written(`bad-${Math.random()}.db`);
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
