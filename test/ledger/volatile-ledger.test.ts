import { expect, it } from 'vitest';
import { volatileLedger } from '../../src/ledger/volatile-ledger.ts';
import { insert, log, put } from './suite.ts';

it('a ledger that keeps nothing takes every append, finds none of them, and counts as failed', async () => {
  const ledger = volatileLedger();
  await expect(ledger.append([insert('1', 'job'), log(0, 3), put('s', '3')])).resolves.toBeUndefined();
  await expect(ledger.appendNow([put('s', '4')])).resolves.toBeUndefined();
  expect(await ledger.get('stream', 's')).toBeUndefined();
  expect(await ledger.list('stream')).toEqual([]);
  expect(await ledger.readLog('share', 's', 0, 10)).toEqual([]);
  expect(await ledger.readLogSince('share', 0)).toEqual([]);
  await expect(ledger.close()).resolves.toBeUndefined();
  expect(ledger.stats).toMatchObject({ failed: true, commits: 0, rows: 0 });
});
