import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { systemTimers } from '../../../src/base/system-timers.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { verifyPostgresLedger } from '../../../src/ledger/postgres/verify.ts';
import { Sealing } from '../../../src/ledger/sealing.ts';
import type { MaintainedLedger } from '../../../src/ledger/writer-ledger.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { ManualClock } from '../../base/manual-clock.ts';
import { equivalenceWith } from '../equivalence.ts';
import { codeOfRejection, insert, log, put } from '../suite.ts';
import { OWNER } from './postgres-server.ts';
import { DATABASE } from './primary-and-standby.ts';
import { postgresStand } from './stand.ts';

const stand = postgresStand();
const DAY_MS = 86_400_000;
let ledgers = 0;

function open(options: PostgresOptions, clock = new ManualClock()): Promise<MaintainedLedger> {
  return openPostgresLedger({ ...options, groupCommitMs: 0 }, { log: silentLogger, clock });
}

equivalenceWith('PostgreSQL', 8, () => {
  const options = stand.options();
  return {
    open: (clock) => openPostgresLedger({ ...options, groupCommitMs: 0 }, { log: silentLogger, clock }),
    verify: () => verifyPostgresLedger(options),
  };
});

describe('a chain', () => {
  it('has one writer at a time; readers are let in', async () => {
    const options = stand.options();
    const ledger = await open(options);
    expect(ledger.engine).toMatch(/^postgresql \d+\.\d+$/);
    await ledger.append([put('a', '1')]);
    expect(await codeOfRejection(open(options))).toBe('ledger_locked');
    const reader = await openPostgresLedger({ ...options, readOnly: true }, { log: silentLogger });
    await ledger.append([put('a', '2'), log(0, 3)]);
    expect(await reader.get('stream', 'a')).toBe('2');
    expect(await codeOfRejection(reader.append([put('a', '3')]))).toBe('ledger_io');
    expect(await verifyPostgresLedger(options)).toMatchObject({ ok: true, rows: 3 });
    await reader.close();
    await ledger.close();
    await (await open(options)).close();
  });

  it('is left by a writer whose connection was lost while another program took it', async () => {
    const options = stand.options();
    const failures: string[] = [];
    const first = await openPostgresLedger(options, {
      log: silentLogger,
      onFailure: (error) => failures.push(error.code),
    });
    await first.append([put('a', '1')]);
    await stand.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sharestream ${options.instance}'`,
    );
    const second = await open(options);
    await second.append([put('a', '2')]);
    await second.close();
    expect(await codeOfRejection(first.append([put('a', '3')]))).toBe('ledger_io');
    expect(failures).toEqual(['ledger_locked']);
    await first.close();
    const third = await open(options);
    expect(await third.get('stream', 'a')).toBe('2');
    await third.close();
  });

  it('writes nothing for an epoch that is over, whoever holds which lock', async () => {
    const options = stand.options();
    const ledger = await open(options);
    await ledger.append([put('a', '1')]);
    await stand.sql(
      `UPDATE sharestream.chain SET epoch = epoch + 1 WHERE instance = '${options.instance}'`,
    );
    expect(await codeOfRejection(ledger.append([put('a', '2')]))).toBe('ledger_io');
    await ledger.close();
    const again = await open(options);
    expect(await again.get('stream', 'a')).toBe('1');
    await again.close();
  });

  it('is one of many in a database, each by itself', async () => {
    const [a, b] = [await open(stand.options()), await open(stand.options())];
    await Promise.all([a.append([log(0, 2), put('x', 'a')]), b.append([log(0, 5), put('x', 'b')])]);
    expect([await a.get('stream', 'x'), await b.get('stream', 'x')]).toEqual(['a', 'b']);
    expect(await a.logRange('share', 's')).toEqual({ first: 0, end: 2 });
    await Promise.all([a.close(), b.close()]);
  });

  it('commits what waits as one row, whatever it is', async () => {
    const options = stand.options();
    const ledger = await open(options);
    await ledger.append([put('first', '')]);
    await Promise.all(Array.from({ length: 200 }, (_, index) => ledger.append([log(index, 1)])));
    const [count] = await stand.sql(
      `SELECT count(*)::integer AS n FROM sharestream.batch AS b JOIN sharestream.chain AS c ON c.number = b.chain
        WHERE c.instance = '${options.instance}'`,
    );
    expect(count?.['n']).toBeLessThan(10);
    expect(await ledger.readLog('share', 's', 0, 1000)).toHaveLength(200);
    await ledger.close();
  });
});

describe('damage', () => {
  /** A ledger with three batches, and one row of a table changed by hand. */
  async function damaged(sql: (where: string) => string): Promise<PostgresOptions> {
    const options = stand.options();
    const ledger = await open(options);
    for (const item of [0, 1, 2]) await ledger.append([log(item, 1), put('s', `${item}`)]);
    await ledger.close();
    const chain = `chain = (SELECT number FROM sharestream.chain WHERE instance = '${options.instance}')`;
    await stand.sql(`SET session_replication_role = replica; ${sql(chain)}`);
    return options;
  }
  const rowsOf = (where: string, first: number, to: string): string =>
    `UPDATE sharestream.batch SET ${to} WHERE ${where} AND first_seq = ${first}`;

  it('of a row in the middle is found by verify, and named', async () => {
    const flipped = 'rows = set_byte(rows, length(rows) - 1, get_byte(rows, length(rows) - 1) # 1)';
    const options = await damaged((where) => rowsOf(where, 3, flipped));
    expect(await verifyPostgresLedger(options)).toMatchObject({ ok: false, firstBadSeq: 3 });
  });

  it('that leaves no rows to unpack is found too, and a batch that is gone', async () => {
    const cut = await damaged((where) => rowsOf(where, 3, 'rows = substring(rows FROM 1 FOR 20)'));
    expect(await verifyPostgresLedger(cut)).toMatchObject({ ok: false, firstBadSeq: 3 });
    const gone = await damaged((where) => `DELETE FROM sharestream.batch WHERE ${where} AND first_seq = 3`);
    expect(await verifyPostgresLedger(gone)).toMatchObject({ ok: false, firstBadSeq: 3 });
  });

  it('of the end keeps the ledger from being opened', async () => {
    const hash = 'end_hash = set_byte(end_hash, 0, get_byte(end_hash, 0) # 1)';
    for (const to of [hash, 'rows = set_byte(rows, 4, 2)'])
      expect(await codeOfRejection(open(await damaged((where) => rowsOf(where, 5, to))))).toBe(
        'ledger_corrupt',
      );
    const gone = await damaged((where) => `DELETE FROM sharestream.batch WHERE ${where} AND first_seq = 5`);
    expect(await codeOfRejection(open(gone))).toBe('ledger_corrupt');
  });

  it('of a document is found by verify: changed, gone, of another row', async () => {
    for (const [sql, problem] of [
      ["UPDATE sharestream.document SET body = '9'", 'is not as row 6 has it'],
      ['UPDATE sharestream.document SET seq = 4', 'is of row 4, not 6'],
      ['DELETE FROM sharestream.document', '1 documents are missing'],
    ] as const) {
      const options = await damaged((where) => `${sql} WHERE ${where}`);
      const { ok, problem: found } = await verifyPostgresLedger(options);
      expect([ok, found]).toEqual([false, expect.stringContaining(problem)]);
    }
  });

  it('is not to be done by mistake: batches are only added', async () => {
    const ledger = await open(stand.options());
    await ledger.append([put('a', '1')]);
    await ledger.close();
    for (const sql of ['UPDATE sharestream.batch SET at_ms = 0', 'DELETE FROM sharestream.batch'])
      await expect(stand.sql(sql)).rejects.toThrow('append-only');
  });
});

describe('days', () => {
  const sealingOf = (ledger: MaintainedLedger, clock: ManualClock, held: string[] = []): Sealing =>
    new Sealing(
      { path: '', keptMs: 2 * DAY_MS, evidenceKinds: ['job'] },
      { ledger, clock, timers: systemTimers, log: silentLogger, heldStreams: async () => held },
    );
  const partitions = async (): Promise<unknown[]> =>
    (
      await stand.sql(
        `SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'sharestream.batch'::regclass AND c.relname < 'batch_20200101' ORDER BY 1`,
      )
    ).map(({ relname }) => relname);
  /** In a time of its own: partitions are for all chains. */
  const oldClock = (): ManualClock => {
    ledgers += 1;
    return new ManualClock(Date.UTC(2018, ledgers, 1, 12));
  };
  async function fill(ledger: Ledger, clock: ManualClock, days: number): Promise<void> {
    for (let day = 0; day < days; day += 1) {
      await ledger.append([log(day * 3, 3), insert(`${day}`, `job ${day}`), put('total', `${day}`)]);
      if (day === 0) await ledger.append([put('old', 'kept'), log(0, 4, 'held')]);
      clock.advance(DAY_MS);
    }
  }

  it('that are over are let go of with their evidence, and the rest stands alone', async () => {
    const clock = oldClock();
    const options = stand.options();
    const ledger = await open(options, clock);
    await fill(ledger, clock, 6);
    expect(await partitions()).toHaveLength(6);
    const sealing = sealingOf(ledger, clock);
    for (let round = 0; round < 10; round += 1) await sealing.run();
    expect(sealing.stats).toMatchObject({ failures: 0, segments: 0 });
    expect(await partitions()).toHaveLength(3);
    const check = async (from: Ledger): Promise<void> => {
      expect(await from.get('stream', 'old')).toBe('kept');
      expect(await from.get('stream', 'total')).toBe('5');
      expect(await from.logRange('share', 's')).toEqual({ first: 12, end: 18 });
      expect(await from.logRange('share', 'held')).toEqual({ first: 4, end: 4 });
      expect((await from.readLog('share', 's', 0, 99)).map(({ first }) => first)).toEqual([12, 15]);
      expect((await from.readLogSince('share', 0)).map(({ first }) => first)).toEqual([12, 15]);
      expect((await from.list('job')).map(({ id }) => id)).toEqual(['4', '5']);
    };
    await check(ledger);
    expect(await codeOfRejection(ledger.append([log(0, 1)]))).toBe('ledger_conflict');
    await ledger.append([log(18, 1), log(4, 1, 'held')]);
    expect(await verifyPostgresLedger(options)).toMatchObject({ ok: true, letGoRows: expect.any(Number) });
    await ledger.close();
    const again = await open(options, clock);
    expect(await again.logRange('share', 's')).toEqual({ first: 12, end: 19 });
    await again.append([log(19, 1), log(5, 1, 'held')]);
    expect(await verifyPostgresLedger(options)).toMatchObject({ ok: true });
    await again.close();
  });

  it('that somebody reads are let go of all the same, and deleted with the next', async () => {
    const clock = oldClock();
    const ledger = await open(stand.options(), clock);
    const before = (await partitions()).length;
    await fill(ledger, clock, 4);
    const reading = new Client({
      host: '127.0.0.1',
      port: stand.primary.port,
      user: OWNER,
      database: DATABASE,
    });
    await reading.connect();
    await reading.query('BEGIN; SELECT count(*) FROM sharestream.batch');
    const sealing = sealingOf(ledger, clock);
    await sealing.run();
    expect(await ledger.logRange('share', 's')).toEqual({ first: 3, end: 12 });
    // Four, and that of today, where documents of use were written again.
    expect(await partitions()).toHaveLength(before + 5);
    await reading.end();
    await sealing.run();
    expect(await partitions()).toHaveLength(before + 3);
    expect(sealing.stats.failures).toBe(0);
    await ledger.close();
  });

  it('that another chain still has, or a contract that is not settled, stay', async () => {
    const clock = oldClock();
    const [mine, others] = [await open(stand.options(), clock), await open(stand.options(), clock)];
    await others.append([log(0, 1)]);
    await fill(mine, clock, 4);
    const held = sealingOf(mine, clock, ['held']);
    await held.run();
    expect(await mine.logRange('share', 's')).toEqual({ first: 0, end: 12 });
    const sealing = sealingOf(mine, clock);
    for (let round = 0; round < 4; round += 1) await sealing.run();
    expect(await mine.logRange('share', 's')).toMatchObject({ end: 12, first: 6 });
    // The first day of the other one is still there, and can be read.
    expect(await others.readLog('share', 's', 0, 9)).toHaveLength(1);
    await others.append([log(1, 1)]);
    await sealingOf(others, clock).run();
    expect(await others.readLog('share', 's', 0, 9)).toHaveLength(1);
    await Promise.all([mine.close(), others.close()]);
  });
});
