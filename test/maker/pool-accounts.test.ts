import { expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { PoolAccounts } from '../../src/maker/pool-accounts.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

async function stood() {
  const ledger = new MemoryLedger();
  const accounts = new PoolAccounts(['one', 'two'], ledger);
  await accounts.load();
  const credit = (name: string, hashes: bigint) => ledger.appendNow([accounts.credit(name, hashes)]);
  return { ledger, accounts, credit };
}

it('a pool owes for what was credited and not paid, also after a start', async () => {
  const { ledger, accounts, credit } = await stood();
  await credit('one', 70n);
  await credit('one', 30n);
  expect(await accounts.paid('one', 40n)).toMatchObject({ creditedHashes: 100n, unpaidHashes: 60n });
  const again = new PoolAccounts(['two'], ledger);
  await again.load();
  // One that gives no jobs any more owes all the same.
  expect(again.all).toEqual([
    { name: 'two', creditedHashes: 0n, paidHashes: 0n, unpaidHashes: 0n },
    { name: 'one', creditedHashes: 100n, paidHashes: 40n, unpaidHashes: 60n },
  ]);
  expect(again.roomHashes(50n)).toBe(50n);
});

it('there is room for what each pool may still owe, and none beyond that of one in another', async () => {
  const { accounts, credit } = await stood();
  expect(accounts.roomHashes(100n)).toBe(200n);
  await credit('one', 150n);
  expect(accounts.roomHashes(100n)).toBe(100n);
  await accounts.paid('one', 60n);
  expect(accounts.roomHashes(100n)).toBe(110n);
});

it('no pool pays more than it owes, or without having been credited for, and a failed write pays nothing', async () => {
  const { ledger, accounts, credit } = await stood();
  await credit('one', 10n);
  expect(await accounts.paid('one', 11n).catch(codeOf)).toBe('config_invalid');
  for (const hashes of [0n, 1n]) {
    const refused = await accounts.paid('none', hashes).catch((error: CodedError) => error.message);
    expect(refused).toBe('config_invalid: no work was credited for none');
  }
  ledger.failNext(new CodedError('ledger_io'));
  expect(await accounts.paid('one', 10n).catch(codeOf)).toBe('ledger_io');
  expect(accounts.accountOf('one').unpaidHashes).toBe(10n);
});

it('work whose entry did not come to the disk is taken back', async () => {
  const { accounts } = await stood();
  accounts.credit('one', 10n);
  accounts.release('one', 10n);
  expect(accounts.accountOf('one').unpaidHashes).toBe(0n);
});
