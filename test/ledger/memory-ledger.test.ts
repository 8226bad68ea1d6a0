import { expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { MemoryLedger } from './memory-ledger.ts';
import { codeOfRejection, ledgerSuite, put } from './suite.ts';

ledgerSuite('memory', async ({ clock, ...options }) => new MemoryLedger(options, { clock }));

it('fails the next append only, when told to', async () => {
  const ledger = new MemoryLedger();
  ledger.failNext(new CodedError('overload'));
  const codes = await Promise.all([
    codeOfRejection(ledger.append([put('a', '1')])),
    codeOfRejection(ledger.append([put('b', '1')])),
  ]);
  expect(codes).toEqual(['overload', 'resolved']);
  expect(await ledger.list('stream')).toEqual([{ id: 'b', body: '1' }]);
});

it('is failed for good after ledger_io', async () => {
  const failures: string[] = [];
  const ledger = new MemoryLedger({}, { onFailure: (error) => failures.push(error.code) });
  ledger.failNext(new CodedError('ledger_io'));
  const codes = await Promise.all([
    codeOfRejection(ledger.append([put('a', '1')])),
    codeOfRejection(ledger.append([put('b', '1')])),
  ]);
  expect(codes).toEqual(['ledger_io', 'ledger_io']);
  expect(await codeOfRejection(ledger.append([put('c', '1')]))).toBe('ledger_io');
  expect(await ledger.list('stream')).toEqual([]);
  expect(ledger.stats.failed).toBe(true);
  expect(failures).toEqual(['ledger_io']);
});

it('holds appends until released', async () => {
  const ledger = new MemoryLedger();
  ledger.hold();
  let settled = false;
  const done = ledger.append([put('a', '1')]).then(() => {
    settled = true;
  });
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(settled).toBe(false);
  expect(ledger.stats.queuedWrites).toBe(1);
  ledger.release();
  await done;
  expect(await ledger.get('stream', 'a')).toBe('1');
});
