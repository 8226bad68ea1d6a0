import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { backupLedger } from '../../src/ledger/backup.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
const deps = { log: silentLogger };
const put = (id: string, body: string) => ({ type: 'put', kind: 'k', id, body }) as const;

describe('a backup', () => {
  it('taken while the writer writes holds everything acknowledged, verifies, and is a ledger of its own', async () => {
    const path = file('running.sqlite');
    const ledger = await openSqliteLedger({ path }, deps);
    for (let index = 0; index < 200; index += 1) await ledger.append([put(`a${index}`, 'x'.repeat(500))]);
    const writing = Array.from({ length: 2000 }, (_, index) => ledger.append([put(`b${index}`, 'y')]));
    const out = file('copy.sqlite');
    const copied = await backupLedger(path, out);
    await Promise.all(writing);
    await ledger.close();

    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(copied.rows).toBeGreaterThanOrEqual(200);
    expect(await verifyLedger(out)).toEqual(copied);
    const copy = await openSqliteLedger({ path: out }, deps);
    expect((await copy.list('k', 'a')).map(({ body }) => body)).toEqual(
      Array.from({ length: 200 }, () => 'x'.repeat(500)),
    );
    await copy.append([put('after', 'z')]);
    expect(await copy.get('k', 'after')).toBe('z');
    await copy.close();
    expect(await verifyLedger(out)).toMatchObject({ ok: true, rows: copied.rows + 1 });
  });

  it('is never written over anything, and nothing is left where it fails', async () => {
    const path = file('quiet.sqlite');
    const ledger = await openSqliteLedger({ path }, deps);
    await ledger.append([put('a', 'b')]);
    await ledger.close();
    const out = file('taken');
    writeFileSync(out, 'mine');
    const failed = async (from: string, to: string): Promise<string> =>
      backupLedger(from, to).then(
        () => 'done',
        (error: unknown) => codeOf(error),
      );
    expect(await failed(path, out)).toBe('output_refused');
    expect(readFileSync(out, 'utf8')).toBe('mine');
    expect(await failed(path, path)).toBe('output_refused');
    expect(await failed(file('none'), file('new'))).toBe('ledger_io');
    expect(existsSync(file('new'))).toBe(false);
  });

  it('of a ledger that was altered is refused and removed', async () => {
    const path = file('altered.sqlite');
    const ledger = await openSqliteLedger({ path }, deps);
    await ledger.append([put('a', 'b'), put('c', 'd')]);
    await ledger.close();
    const db = new DatabaseSync(path);
    db.exec('DROP TRIGGER journal_is_never_updated');
    db.exec("UPDATE journal SET body = X'00' WHERE seq = 1");
    db.close();
    const out = file('altered-copy.sqlite');
    await expect(backupLedger(path, out)).rejects.toMatchObject({ code: 'ledger_corrupt' });
    expect(existsSync(out)).toBe(false);
  });
});
