import { DatabaseSync } from 'node:sqlite';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Timer } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { appendFrameSize } from '../../src/ledger/frame.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { openSqliteFile } from '../../src/ledger/sqlite-file.ts';
import { openSqliteLedger, type SqliteLedgerOptions } from '../../src/ledger/sqlite-ledger.ts';
import type { MaintainedLedger, WriterLedgerDeps } from '../../src/ledger/writer-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { codeOfRejection, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
const ONE = [put('a', '1')];

let ledger: MaintainedLedger | undefined;
const workers: Worker[] = [];
const onWorker = (worker: Worker): void => void workers.push(worker);
beforeEach(() => void process.on('worker', onWorker));
afterEach(async () => {
  process.off('worker', onWorker);
  await ledger?.close();
  ledger = undefined;
  workers.length = 0;
});

/** A ledger whose timers run when the test says so, and all that it tells. */
async function open(options: Partial<SqliteLedgerOptions> = {}, deps: Partial<WriterLedgerDeps> = {}) {
  const clock = new ManualClock();
  const timers: { ms: number; run: () => void; isCancelled: boolean }[] = [];
  const calls: (() => void)[] = [];
  const commits: number[] = [];
  const told: unknown[] = [];
  const after = (ms: number, run: () => void): Timer => {
    const timer = { ms, run, isCancelled: false };
    timers.push(timer);
    return { cancel: () => void Object.assign(timer, { isCancelled: true }) };
  };
  ledger = await openSqliteLedger(
    { path: file('writer.db'), ...options },
    {
      clock,
      timers: {
        after,
        every: after,
        afterTurn: (run) => void calls.push(run),
        afterCall: (run) => void calls.push(run),
      },
      log: {
        ...silentLogger,
        info: (fields, text) => void told.push([text, fields]),
        error: (fields, text) => void told.push([text, fields]),
      },
      onFailure: (error) => void told.push(error),
      observeCommit: (_, rows) => void commits.push(rows),
      ...deps,
    },
  );
  const runCalls = (): number => calls.splice(0).map((run) => run()).length;
  return { ledger, clock, timers, runCalls, commits, told, worker: workers.at(-1)! };
}

describe('a commit', () => {
  it('begins at once after a quiet time, behind what runs now, and takes all of it', async () => {
    const opened = await open();
    const written = [opened.ledger.append(ONE), opened.ledger.append([put('b', '1'), put('c', '1')])];
    expect(opened.timers).toEqual([]);
    expect(opened.runCalls()).toBe(1);
    await Promise.all(written);
    expect(opened.commits).toEqual([3]);
    expect(opened.ledger.stats).toMatchObject({ commits: 1, rows: 3, queuedWrites: 0 });
  });

  it('waits for company until so long after the begin of the last one', async () => {
    const opened = await open({ groupCommitMs: 10 });
    const first = opened.ledger.append(ONE);
    opened.runCalls();
    await first;
    opened.clock.advance(4);
    const written = [opened.ledger.append(ONE), opened.ledger.append(ONE)];
    expect(opened.timers.map(({ ms }) => ms)).toEqual([6]);
    expect(opened.runCalls()).toBe(0);
    opened.clock.advance(6);
    opened.timers[0]!.run();
    await Promise.all(written);
    opened.clock.advance(9);
    const waits = opened.ledger.append(ONE);
    expect(opened.timers.map(({ ms }) => ms)).toEqual([6, 1]);
    opened.timers[1]!.run();
    await waits;
    opened.clock.advance(10);
    const now = opened.ledger.append(ONE);
    expect([opened.timers.length, opened.runCalls()]).toEqual([2, 1]);
    await now;
    expect(opened.commits).toEqual([1, 2, 1, 1]);
  });

  it('waits no longer than that, whatever the clock says, and five milliseconds where nothing is said', async () => {
    const opened = await open();
    const first = opened.ledger.append(ONE);
    opened.runCalls();
    await first;
    opened.clock.advance(-1000);
    const waits = opened.ledger.append(ONE);
    expect(opened.timers.map(({ ms }) => ms)).toEqual([5]);
    await opened.ledger.appendNow(ONE);
    await waits;
    expect([opened.timers[0]!.isCancelled, opened.commits]).toEqual([true, [1, 2]]);
  });

  it.each<[string, Partial<SqliteLedgerOptions>]>([
    ['writes', { maxRowsPerCommit: 3 }],
    ['bytes', { maxBytesPerCommit: 3 * appendFrameSize(ONE) }],
  ])('waits no more once there are enough %s', async (_, options) => {
    const opened = await open({ groupCommitMs: 60_000, ...options });
    const first = opened.ledger.append(ONE);
    opened.runCalls();
    await first;
    const written = [opened.ledger.append(ONE), opened.ledger.append(ONE)];
    expect([opened.timers.length, opened.runCalls()]).toEqual([1, 0]);
    written.push(opened.ledger.append(ONE));
    expect([opened.timers.length, opened.runCalls()]).toEqual([1, 1]);
    await Promise.all(written);
    expect([opened.timers[0]!.isCancelled, opened.commits]).toEqual([true, [1, 3]]);
  });

  it('writes one row and one total of all batches that it takes', async () => {
    const opened = await open();
    const total = (seq: number): LedgerEntry => put('s', `{"seq":${seq}}`);
    const batches = Array.from({ length: 16 }, (_, index) => [log(2 * index, 2), total(2 * index + 2)]);
    const written = Promise.all(batches.map((entries) => opened.ledger.append(entries)));
    opened.runCalls();
    await written;
    expect(opened.commits).toEqual([2]);
    const rows = await opened.ledger.readLog('share', 's', 0, 100);
    expect(rows.map(({ first, count, body }) => [first, count, [...body]])).toEqual([
      [0, 32, Array.from({ length: 32 }, (_, item) => item)],
    ]);
    expect(await opened.ledger.get('stream', 's')).toBe('{"seq":32}');
  });

  it('has default bounds of 4096 writes and 16 KiB', async () => {
    const opened = await open({ groupCommitMs: 60_000 });
    const first = opened.ledger.append(ONE);
    opened.runCalls();
    await first;
    const size = 16 * 1024 - appendFrameSize([log(0, 0)]);
    const item = (first: number, bytes: number): LedgerEntry => ({
      ...{ type: 'log', kind: 'share', stream: 's', first, count: 1, body: new Uint8Array(bytes) },
    });
    const written = [opened.ledger.append(Array.from({ length: 4095 }, () => put('a', '')))];
    expect(opened.runCalls()).toBe(1);
    await Promise.all(written);
    const full = opened.ledger.append([item(0, size)]);
    expect(opened.runCalls()).toBe(1);
    await full;
    const less = opened.ledger.append([item(1, size - 1)]);
    expect(opened.runCalls()).toBe(0);
    await opened.ledger.appendNow([]);
    await less;
  });

  it('is not begun twice by what was appended before and is urgent now', async () => {
    const opened = await open({ groupCommitMs: 0 });
    const soon = opened.ledger.append(ONE);
    await opened.ledger.appendNow(ONE);
    expect(opened.runCalls()).toBe(1);
    await soon;
    expect([opened.commits, opened.ledger.stats.commits]).toEqual([[2], 1]);
  });

  it('under way lets the next one wait, which begins when it has ended', async () => {
    const opened = await open({ groupCommitMs: 0 });
    const first = opened.ledger.appendNow(ONE);
    const second = opened.ledger.append(ONE);
    expect([opened.timers.length, opened.runCalls()]).toEqual([0, 0]);
    await first;
    expect(opened.runCalls()).toBe(1);
    await second;
    expect(opened.commits).toEqual([1, 1]);
  });

  it('is measured in seconds', async () => {
    const measured: number[] = [];
    const opened = await open({}, { observeCommit: (seconds) => void measured.push(seconds) });
    const startMs = performance.now();
    await opened.ledger.appendNow(ONE);
    expect(measured).toHaveLength(1);
    expect(measured[0]).toBeGreaterThan(0);
    expect(measured[0]).toBeLessThanOrEqual((performance.now() - startMs) / 1000);
  });

  it('is dated by the clocks', async () => {
    const opened = await open();
    const { clock } = opened;
    expect(opened.ledger.stats).toMatchObject({
      lastCommitAtMs: 0,
      lastCommitAtMonotonicMs: clock.monotonicMs(),
    });
    clock.advance(50);
    await opened.ledger.appendNow(ONE);
    clock.setWall(-20);
    await opened.ledger.appendNow(ONE);
    const { stats } = opened.ledger;
    expect([stats.lastCommitAtMs, stats.lastCommitAtMonotonicMs]).toEqual([
      clock.nowMs() + 20,
      clock.monotonicMs(),
    ]);
  });
});

describe('what a ledger says', () => {
  it('is that it was opened and that it was closed, which it is once', async () => {
    const opened = await open();
    const [first, second] = [opened.ledger.close(), opened.ledger.close()];
    expect(first).toBe(second);
    await first;
    expect(opened.told).toEqual([
      ['ledger opened', { path: file('writer.db'), engine: opened.ledger.engine }],
      ['ledger closed', {}],
    ]);
    expect(opened.ledger.stats.failed).toBe(false);
  });

  it.each<[string, (path: string) => void, string]>([
    ['locked', (path) => void held.push(openSqliteFile({ path, nowMs: 0 })), 'ledger_locked: '],
    [
      'of another program',
      (path) => new DatabaseSync(path).exec('CREATE TABLE t (x)'),
      'ledger_schema: the file is',
    ],
    [
      'of another instance',
      (path) => openSqliteFile({ path, nowMs: 0, instance: 'other' }).close(),
      'ledger_schema: the ledger belongs to instance "other"',
    ],
  ])('is its code once where it is %s', async (_, prepare, start) => {
    prepare(file('writer.db'));
    const message = await open({ instance: 'site' }).then(
      () => 'opened',
      (error: Error) => error.message,
    );
    expect(message.startsWith(start)).toBe(true);
    expect(message.slice(start.length)).not.toContain('ledger_');
    for (const each of held.splice(0)) each.close();
  });
  const held: { close(): void }[] = [];

  it('of an append that it cannot take is why', async () => {
    const opened = await open({ maxRecordBytes: 3, maxQueuedWrites: 2, maxQueuedBytes: 500 });
    const limitOf = (entries: readonly ReturnType<typeof put>[]): Promise<unknown> =>
      opened.ledger.append(entries).then(
        () => 'taken',
        (error: unknown) => (error as CodedError).meta['limit'],
      );
    expect(await limitOf([put('a', '1234')])).toBe('ledgerRecordBytes');
    const waiting = opened.ledger.append([put('a'.repeat(900), '1')]);
    expect(await limitOf([put('a', '1'), put('b', '1')])).toBe('ledgerQueuedWrites');
    expect(await limitOf(ONE)).toBe('ledgerQueuedBytes');
    opened.runCalls();
    await waiting;
  });

  it('of bounds that are not given are those of the limits', async () => {
    const opened = await open();
    const body = 'x'.repeat(LIMITS.ledgerRecordBytes);
    const taken = opened.ledger.append([put('a', body)]);
    expect(await codeOfRejection(opened.ledger.append([put('a', `${body}x`)]))).toBe('overload');
    opened.runCalls();
    await taken;
  });

  it('to whoever reads only is that nothing can be appended', async () => {
    await (await open()).ledger.close();
    const { ledger: reader } = await open({ readOnly: true });
    await expect(reader.append(ONE)).rejects.toThrow('open for reading only');
    await expect(reader.maintain({ type: 'prune', evidenceKinds: [] })).resolves.toBe(true);
  });
});

describe('a writer thread', () => {
  it('that ends takes everything that waits with it, and says so once', async () => {
    const opened = await open({ groupCommitMs: 0 });
    await opened.ledger.appendNow(ONE);
    const waits = codeOfRejection(opened.ledger.append(ONE));
    const asked = codeOfRejection(opened.ledger.get('stream', 'a'));
    opened.worker.emit('exit', 1);
    expect([await waits, await asked]).toEqual(['ledger_io', 'ledger_io']);
    expect(opened.ledger.stats).toMatchObject({ failed: true, queuedWrites: 0, commits: 1 });
    await expect(opened.ledger.append(ONE)).rejects.toThrow('the writer thread ended');
    await expect(opened.ledger.get('stream', 'a')).rejects.toThrow('the writer thread ended');
    opened.worker.emit('exit', 1);
    const detail = 'ledger_io: the writer thread ended';
    expect(opened.told.slice(1)).toEqual([
      ['the ledger failed', { code: 'ledger_io', detail }],
      expect.objectContaining({ code: 'ledger_io', message: detail }) as unknown,
    ]);
    // What was due is not begun.
    expect(opened.runCalls()).toBe(1);
    await opened.ledger.close();
    await opened.worker.terminate();
    expect(opened.told.at(-1)).toEqual(['ledger closed', {}]);
  });

  it('that is broken has failed the ledger, and no commit is begun by a timer', async () => {
    const opened = await open({ groupCommitMs: 10 });
    await opened.ledger.appendNow(ONE);
    const waits = opened.ledger.append(ONE);
    opened.worker.emit('error', new Error('of the test'));
    await expect(waits).rejects.toThrow('writer thread: Error: of the test');
    expect(opened.timers.map(({ isCancelled }) => isCancelled)).toEqual([true]);
    expect(await codeOfRejection(opened.ledger.append([]))).toBe('ledger_io');
    opened.worker.emit('error', new Error('again'));
    expect(opened.told.filter((each) => each instanceof CodedError)).toHaveLength(1);
  });

  it('that fails a commit tells of none that was under way behind it', async () => {
    const opened = await open({ groupCommitMs: 0 });
    await opened.ledger.appendNow(ONE);
    const intruder = new DatabaseSync(file('writer.db'));
    intruder.exec(
      "CREATE TRIGGER no BEFORE INSERT ON document WHEN NEW.id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    intruder.close();
    const codes = [[put('bad', '1')], ONE, ONE].map((entries) =>
      codeOfRejection(opened.ledger.appendNow(entries)),
    );
    expect(await Promise.all(codes)).toEqual(['ledger_io', 'ledger_io', 'ledger_io']);
    expect(opened.ledger.stats).toMatchObject({ commits: 1, rows: 1, failed: true });
    expect(opened.told.at(-1)).toMatchObject({ code: 'ledger_io', message: 'ledger_io: no' });
    await expect(opened.ledger.maintain({ type: 'prune', evidenceKinds: [] })).rejects.toThrow(
      'the ledger failed',
    );
  });

  it.each([
    ['error', 'writer thread: Error: at the start'],
    ['exit', 'writer thread: ended at start'],
  ])('that has an %s at the start opens no ledger', async (event, why) => {
    process.once('worker', (worker: Worker) => void worker.emit(event, new Error('at the start')));
    await expect(open()).rejects.toThrow(why);
    await workers.at(-1)!.terminate();
  });

  it('that listens for nothing more once it has begun', async () => {
    const { worker } = await open();
    expect(['message', 'error', 'exit'].map((event) => worker.listenerCount(event))).toEqual([1, 1, 1]);
  });

  it('that is asked after it was closed is not asked', async () => {
    const opened = await open();
    await opened.ledger.close();
    expect(await codeOfRejection(opened.ledger.list('stream'))).toBe('ledger_closed');
    expect(await codeOfRejection(opened.ledger.maintain({ type: 'prune', evidenceKinds: [] }))).toBe(
      'ledger_closed',
    );
  });
});
