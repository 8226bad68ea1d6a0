import { mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { BackupDate } from '../../src/daemon/backup-date.ts';
import { backupLedger, backupMark } from '../../src/ledger/backup.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';

const directory = mkdtempSync(join(tmpdir(), 'backup-date-'));
afterEach(() => rmSync(directory, { recursive: true }));

describe('the date of the last backup', () => {
  it('is that of the ledger where none was made, and then that of the newest', async () => {
    const path = join(directory, 'ledger.sqlite');
    const date = new BackupDate(path, { timers: systemTimers });
    await date.look();
    expect(date.seconds).toBeUndefined();
    const ledger = await openSqliteLedger(
      { path },
      { log: silentLogger, clock: systemClock, timers: systemTimers },
    );
    await ledger.appendNow([{ type: 'put', kind: 'k', id: '1', body: 'one' }]);
    await date.look();
    expect(date.seconds).toBeCloseTo(statSync(path).birthtimeMs / 1000, 1);
    await backupLedger(path, join(directory, 'first.sqlite'));
    utimesSync(backupMark(path), 1_000, 2_000);
    await date.look();
    expect(date.seconds).toBe(2_000);
    await backupLedger(path, join(directory, 'second.sqlite'));
    await date.look();
    expect(date.seconds).toBeGreaterThanOrEqual(Math.floor(statSync(path).birthtimeMs / 1000));
    await ledger.close();
  });
});
