import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { WriteJournal } from '../../src/daemon/write-journal.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const NEWS = { operation: 'channel/close', role: 'money', address: '127.0.0.1', contract: 'c'.repeat(64) };

function stand(log: Logger = silentLogger) {
  const clock = new ManualClock();
  return { ledger: new MemoryLedger({}, { clock }), clock, log };
}

describe('the journal of writes', () => {
  it('has each write with its outcome after a restart, and what nobody answered as asked', async () => {
    const deps = stand();
    const journal = await WriteJournal.open(undefined, deps);
    journal.begin(NEWS)('done');
    journal.begin({ ...NEWS, operation: 'config/reload', role: 'operate', contract: null })(
      'config_invalid',
    );
    journal.begin(NEWS);
    await written(deps);
    const again = await WriteJournal.open(undefined, deps);
    expect(again.rows).toEqual(journal.rows);
    expect(again.rows.map(({ number, operation, outcome }) => [number, operation, outcome])).toEqual([
      [1, 'channel/close', 'done'],
      [2, 'config/reload', 'config_invalid'],
      [3, 'channel/close', 'asked'],
    ]);
    again.begin(NEWS)('done');
    expect(again.rows.at(-1)?.number).toBe(4);
  });

  it('keeps the newest, and those of this instance alone', async () => {
    const deps = stand();
    const [one, other] = [await WriteJournal.open('one', deps), await WriteJournal.open('other', deps)];
    for (let count = 0; count < 4100; count += 1) {
      one.begin(NEWS)('done');
      if (count % 100 === 0) await written(deps);
    }
    other.begin({ ...NEWS, operation: 'book' })('done');
    await written(deps);
    const rows = (await WriteJournal.open('one', deps)).rows;
    expect([rows.length, rows[0]?.number, rows.at(-1)?.number]).toEqual([4096, 5, 4100]);
    expect((await WriteJournal.open('other', deps)).rows.map(({ operation }) => operation)).toEqual([
      'book',
    ]);
  });

  it('holds up nothing where the ledger cannot be written, and says so', async () => {
    const lines: unknown[] = [];
    const deps = stand({ ...silentLogger, warn: (fields) => void lines.push(fields) });
    const journal = await WriteJournal.open(undefined, {
      ...deps,
      ledger: { list: async () => [], append: refuse },
    });
    journal.begin(NEWS)('done');
    await new Promise(setImmediate);
    expect(journal.rows.map(({ outcome }) => outcome)).toEqual(['done']);
    expect(lines).toMatchObject([
      { code: 'ledger_io', outcome: 'asked' },
      { code: 'ledger_io', outcome: 'done' },
    ]);
  });
});

/** All that was appended before is on disk. */
async function written({ ledger }: { readonly ledger: MemoryLedger }): Promise<void> {
  await ledger.appendNow([{ type: 'put', kind: 'x', id: 'x', body: '' }]);
}

async function refuse(): Promise<void> {
  throw new CodedError('ledger_io', 'full');
}
