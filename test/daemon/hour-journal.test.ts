import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Row } from '../../src/api/feed.ts';
import { CodedError } from '../../src/base/errors.ts';
import { HourJournal } from '../../src/daemon/hour-journal.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const SAMPLE = z.object({ sessions: z.int(), paid_sat: z.string() });
const HOUR_MS = 3_600_000;
const log = silentLogger;

const rowOf = (sequence: number, sessions = 1): Row => ({
  ...{ sequence, at_ms: (sequence + 1) * HOUR_MS, sessions, paid_sat: '7' },
});
const newLedger = (): MemoryLedger => new MemoryLedger({}, { clock: new ManualClock() });
/** All that was appended before is on disk. */
const written = (ledger: MemoryLedger): Promise<void> => ledger.append([]);

describe('the hours of a daemon', () => {
  it('are there after a restart, each once', async () => {
    const ledger = newLedger();
    const journal = await HourJournal.open(SAMPLE, undefined, { ledger, log });
    for (const row of [rowOf(490_000), rowOf(490_001), rowOf(490_001, 2), rowOf(490_005)])
      journal.keep(row);
    await written(ledger);
    const again = await HourJournal.open(SAMPLE, undefined, { ledger, log });
    expect(again.rows).toEqual([rowOf(490_000), rowOf(490_001, 2), rowOf(490_005)]);
    expect(again.rows).toEqual(journal.rows);
  });

  it('are those of ninety days and of this instance', async () => {
    const ledger = newLedger();
    const journal = await HourJournal.open(SAMPLE, 'one', { ledger, log });
    for (let hour = 0; hour < 2_200; hour += 1) journal.keep(rowOf(490_000 + hour));
    (await HourJournal.open(SAMPLE, 'other', { ledger, log })).keep(rowOf(480_000));
    await written(ledger);
    const { rows } = await HourJournal.open(SAMPLE, 'one', { ledger, log });
    expect([rows.length, rows[0]?.sequence, rows.at(-1)?.sequence]).toEqual([2_160, 490_040, 492_199]);
    expect((await HourJournal.open(SAMPLE, 'other', { ledger, log })).rows).toEqual([rowOf(480_000)]);
  });

  it('of another version are shown as far as they are whole', async () => {
    const ledger = newLedger();
    const bodies = [
      { version: 1, ...rowOf(490_000), later: 'field' },
      { version: 1, sequence: 490_001, at_ms: 5, sessions: 3 },
      { version: 1, ...rowOf(490_002), sequence: 'x' },
      'text',
    ];
    await ledger.append(
      bodies.map((body, id) => ({
        ...{ type: 'put' as const, kind: 'history_hour', id: `000${id}`, body: JSON.stringify(body) },
      })),
    );
    const { rows } = await HourJournal.open(SAMPLE, undefined, { ledger, log });
    expect(rows).toEqual([rowOf(490_000)]);
  });

  it('hold up nothing where the ledger cannot be written, and say so', async () => {
    const lines: unknown[] = [];
    const journal = await HourJournal.open(SAMPLE, undefined, {
      ledger: {
        list: async () => [],
        append: async () => {
          throw new CodedError('ledger_io', 'the disk is full');
        },
      },
      log: { ...silentLogger, warn: (fields) => void lines.push(fields) },
    });
    journal.keep(rowOf(490_000));
    await new Promise(setImmediate);
    expect(journal.rows).toEqual([rowOf(490_000)]);
    expect(lines).toEqual([{ code: 'ledger_io' }]);
  });
});
