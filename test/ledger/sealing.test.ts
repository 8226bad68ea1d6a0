import * as fs from 'node:fs';
import * as path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { backupLedger } from '../../src/ledger/backup.ts';
import { exportedRows, segmentsOf as listedSegments } from '../../src/ledger/export.ts';
import { appendFrameSize, FrameWriter } from '../../src/ledger/frame.ts';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import { MIGRATIONS, migrate, NO_SEGMENTS } from '../../src/ledger/schema.ts';
import { Sealing, type SealingDeps, type SealingOptions } from '../../src/ledger/sealing.ts';
import { decodeBlock, encodeBlock } from '../../src/ledger/segment-block.ts';
import { segmentFolder } from '../../src/ledger/segment-file.ts';
import { openSqliteFile, openSqliteFileForReading } from '../../src/ledger/sqlite-file.ts';
import { SqliteJournal } from '../../src/ledger/sqlite-journal.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { writeSegment } from '../../src/ledger/write-segment.ts';
import type { MaintainedLedger } from '../../src/ledger/writer-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from './memory-ledger.ts';
import { codeOfRejection, insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const temporary = temporaryDirectory();
const HOUR_MS = 3_600_000;
let files = 0;
const newPath = (): string => {
  files += 1;
  return temporary.file(`sealed-${files}.db`);
};

type Open = { readonly ledger: MaintainedLedger; readonly path: string; readonly clock: ManualClock };

async function open(path = newPath(), clock = new ManualClock()): Promise<Open> {
  const ledger = await openSqliteLedger({ path, groupCommitMs: 0 }, { log: silentLogger, clock });
  return { ledger, path, clock };
}

/** Seals all that is older than an hour, in segments of a few rows; nothing is let go of for a day. */
function sealingOf(
  { ledger, path, clock }: Open,
  options: Partial<SealingOptions> = {},
  deps: Partial<SealingDeps> = {},
): Sealing {
  const small = { afterMs: HOUR_MS, keptRows: 2, fromRows: 1, segmentBytes: 200 };
  return new Sealing(
    { path, keptMs: 24 * HOUR_MS, evidenceKinds: ['job'], ...small, ...options },
    {
      ...{ ledger, clock, timers: systemTimers, log: silentLogger, heldStreams: async () => [] },
      write: async (task) => writeSegment(task),
      ...deps,
    },
  );
}

/** Jobs, shares of two streams, and their totals, a minute apart. */
async function fill({ ledger, clock }: Open, from: number, to: number): Promise<void> {
  for (let item = from; item < to; item += 1) {
    clock.advance(60_000);
    await ledger.append([
      insert(String(item).padStart(6, '0'), `job ${item}`),
      log(item * 3, 3),
      log(item, 1, 'other'),
      put('s', String(item)),
    ]);
  }
}

/** All that a reader can learn of it. */
async function contentOf(ledger: Ledger, shares: number): Promise<unknown> {
  const range = await ledger.logRange('share', 's');
  const from = Math.floor(shares / 2);
  return {
    range,
    jobs: await ledger.list('job'),
    totals: await ledger.list('stream'),
    all: await ledger.readLog('share', 's', 0, 10_000),
    some: await ledger.readLog('share', 's', from, 7),
    other: await ledger.readLog('share', 'other', 3, 10_000),
    one: await ledger.get('job', '000003'),
  };
}

function segmentsOf(path: string): string[] {
  return fs.existsSync(segmentFolder(path)) ? fs.readdirSync(segmentFolder(path)).toSorted() : [];
}

function rowsInJournal(path: string): number {
  const file = openSqliteFileForReading(path);
  const rows = Number(file.db.prepare('SELECT count(*) AS n FROM journal').get()?.['n']);
  file.close();
  return rows;
}

const row = fc.record({
  atMs: fc.nat(),
  op: fc.constantFrom(1, 2, 3),
  kind: fc.constantFrom('share', 'job'),
  key: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  first: fc.nat(),
  count: fc.integer({ min: 1, max: 5 }),
  body: fc.uint8Array({ maxLength: 60 }),
});

describe('a block', () => {
  it('gives back the rows it was made of', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 40 }), (rows) => {
        const decoded = decodeBlock(encodeBlock(rows));
        expect(decoded.map((each) => ({ ...each, body: Uint8Array.from(each.body) }))).toEqual(rows);
      }),
    );
  });

  it('that is cut or lengthened is refused', () => {
    const block = encodeBlock([
      { atMs: 1, op: 1, kind: 'share', key: 's', first: 0, count: 2, body: new Uint8Array(8) },
    ]);
    for (const bad of [
      block.subarray(0, -1),
      Buffer.concat([block, Buffer.alloc(1)]),
      block.subarray(0, 2),
    ])
      expect(() => decodeBlock(bad)).toThrow(CodedError);
  });
});

describe('a sealed ledger', () => {
  it('reads as before, takes more, and verifies as a whole', async () => {
    const opened = await open();
    const { ledger, path } = opened;
    const memory = { ledger: new MemoryLedger(), clock: new ManualClock() };
    await fill(opened, 0, 100);
    await fill(memory as unknown as Open, 0, 100);
    const before = await contentOf(ledger, 300);
    const { headHash } = await verifyLedger(path);
    const sealing = sealingOf(opened);
    await sealing.run();
    expect(sealing.stats).toMatchObject({ failures: 0 });
    expect(segmentsOf(path).length).toBe(sealing.stats.segments);
    expect(sealing.stats.segments).toBeGreaterThan(2);
    // The newest hour, and the total that is of use.
    expect(rowsInJournal(path)).toBe(400 - sealing.stats.rows);
    expect(await contentOf(ledger, 300)).toEqual(before);
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 400, headHash });
    await fill(opened, 100, 180);
    await fill(memory as unknown as Open, 100, 180);
    await sealing.run();
    await ledger.close();
    const again = await open(path);
    const strip = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (key, item: unknown) => (key === 'atMs' ? undefined : item)));
    expect(strip(await contentOf(again.ledger, 500))).toEqual(strip(await contentOf(memory.ledger, 500)));
    expect(await codeOfRejection(again.ledger.append([log(3, 1)]))).toBe('ledger_conflict');
    expect(await codeOfRejection(again.ledger.append([insert('000003', 'other')]))).toBe('ledger_conflict');
    await again.ledger.append([log(540, 1), insert('000003', 'job 3')]);
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 721 });
    await again.ledger.close();
  });

  it('knows where a stream ended that has rows in segments alone', async () => {
    const opened = await open();
    await opened.ledger.append([log(0, 5, 'idle')]);
    await fill(opened, 0, 100);
    await sealingOf(opened).run();
    await opened.ledger.close();
    const { ledger, path } = await open(opened.path);
    expect(await ledger.logRange('share', 'idle')).toEqual({ first: 0, end: 5 });
    expect(await codeOfRejection(ledger.append([log(0, 1, 'idle')]))).toBe('ledger_conflict');
    await ledger.append([log(5, 1, 'idle')]);
    expect(await ledger.readLog('share', 'idle', 4, 9)).toMatchObject([{ first: 0 }, { first: 5 }]);
    expect((await verifyLedger(path)).ok).toBe(true);
    await ledger.close();
  });

  it('seals in a thread of its own, and waits until there is enough', async () => {
    const opened = await open();
    await fill(opened, 0, 100);
    const sealing = new Sealing(
      { path: opened.path, keptMs: 99 * HOUR_MS, evidenceKinds: ['job'], keptRows: 2, fromRows: 100 },
      {
        ...{ ledger: opened.ledger, clock: opened.clock, timers: systemTimers, log: silentLogger },
        heldStreams: async () => [],
      },
    );
    await sealing.run();
    expect(sealing.stats).toEqual({ segments: 1, rows: 156, letGo: 0, failures: 0 });
    await sealing.run();
    expect(sealing.stats.segments).toBe(1);
    // A quiet ledger is sealed too, a day later.
    opened.clock.advance(26 * HOUR_MS);
    await fill(opened, 100, 101);
    await sealing.run();
    expect(sealing.stats.segments).toBe(2);
    expect(await verifyLedger(opened.path)).toMatchObject({ ok: true, segments: 2, rows: 404 });
    await opened.ledger.close();
  });

  it('is backed up with its segments', async () => {
    const opened = await open();
    await fill(opened, 0, 100);
    await sealingOf(opened).run();
    const out = newPath();
    const { headHash } = await verifyLedger(opened.path);
    expect(await backupLedger(opened.path, out)).toMatchObject({ rows: 400, headHash });
    expect(segmentsOf(out)).toEqual(segmentsOf(opened.path));
    const before = await contentOf(opened.ledger, 300);
    await opened.ledger.close();
    const copy = await open(out);
    expect(await contentOf(copy.ledger, 300)).toEqual(before);
    await copy.ledger.close();
  });
});

describe('a ledger with segments, exported', () => {
  it('is every row in order with its hash, and its segments are listed', async () => {
    const opened = await open();
    await fill(opened, 0, 50);
    const before = [...exportedRows(opened.path)];
    const { headHash } = await verifyLedger(opened.path);
    const sealing = sealingOf(opened, { afterMs: 10 * 60_000 });
    await sealing.run();
    await opened.ledger.close();
    expect([...exportedRows(opened.path)]).toEqual(before);
    expect(before.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(before.at(-1)).toMatchObject({
      op: 'put',
      kind: 'stream',
      key: 's',
      body: '49',
      hash: headHash,
    });
    expect(before[1]).toMatchObject({ op: 'log', key: 's', first: 0, count: 3, body: 'AAEC' });
    const listed = listedSegments(opened.path);
    expect(listed.map(({ file }) => path.basename(file!))).toEqual(segmentsOf(opened.path));
    expect(listed[0]).toMatchObject({ first: 1, end_hash: before[listed[0]!.last - 1]!.hash });
    expect(listed[0]!.bytes).toBeGreaterThan(200);
  });
});

describe('a crash', () => {
  const moments: Readonly<Record<string, (opened: Open, sealing: Sealing) => Promise<void>>> = {
    'before a segment is whole': async ({ path }) => {
      fs.mkdirSync(segmentFolder(path));
      fs.writeFileSync(path_(path, 'next.tmp'), 'half');
    },
    'before the ledger knows of a segment': async ({ path, ledger }) => {
      const policy = { afterMs: HOUR_MS, keptRows: 2, fromRows: 1, waitMs: 0 };
      const lastSeq = (await ledger.maintain<number>({ type: 'sealable', policy })) - 9;
      writeSegment({ path, lastSeq, segmentBytes: 1e6, evidenceKinds: ['job'] });
    },
    'before rows are deleted': async ({ path, ledger }) => {
      const segment = writeSegment({ path, lastSeq: 200, segmentBytes: 1e6, evidenceKinds: ['job'] });
      await ledger.maintain({ type: 'seal', segment });
    },
  };

  function path_(ledgerPath: string, name: string): string {
    return path.join(segmentFolder(ledgerPath), name);
  }

  it.each(Object.keys(moments))('%s loses nothing, and the next run goes on', async (name) => {
    const opened = await open();
    await fill(opened, 0, 100);
    const before = await contentOf(opened.ledger, 300);
    const { headHash } = await verifyLedger(opened.path);
    await moments[name]!(opened, sealingOf(opened));
    await opened.ledger.close();
    const again = await open(opened.path, opened.clock);
    expect(await verifyLedger(opened.path)).toMatchObject({ ok: true, rows: 400, headHash });
    expect(await contentOf(again.ledger, 300)).toEqual(before);
    const sealing = sealingOf(again);
    await sealing.run();
    expect(sealing.stats.failures).toBe(0);
    expect(rowsInJournal(opened.path)).toBeLessThan(260);
    const { segments } = await verifyLedger(opened.path);
    expect(segmentsOf(opened.path).length).toBe(segments);
    expect(await contentOf(again.ledger, 300)).toEqual(before);
    await again.ledger.close();
  });

  it('between two steps of deleting loses nothing either', async () => {
    const opened = await open();
    const { path: file, clock } = opened;
    const entries = Array.from({ length: 5000 }, (_, item) => [log(item, 1), put('s', String(item))]);
    await opened.ledger.append(entries.flat());
    const { headHash } = await verifyLedger(file);
    const segment = writeSegment({ path: file, lastSeq: 9001, segmentBytes: 1e8, evidenceKinds: [] });
    await opened.ledger.maintain({ type: 'seal', segment });
    let { ledger } = opened;
    for (const steps of [1, 2, 4]) {
      const done: boolean[] = [];
      for (let step = 0; step < steps; step += 1)
        done.push(await ledger.maintain({ type: 'prune', evidenceKinds: [] }));
      expect(done.at(-1)).toBe(steps === 4);
      await ledger.close();
      expect(await verifyLedger(file)).toMatchObject({ ok: true, rows: 10_000, headHash });
      ({ ledger } = await open(file, clock));
      const rows = await ledger.readLog('share', 's', 0, 10_000);
      expect(rows.map(({ first }) => first)).toEqual(entries.map((_, item) => item));
    }
    await ledger.close();
    expect(rowsInJournal(file)).toBe(999);
  });
});

describe('letting go', () => {
  it('keeps what is held, what is live, and a chain that verifies', async () => {
    const opened = await open();
    const { ledger, path, clock } = opened;
    await ledger.append([put('contract', 'terms', 'contract'), insert('x', 'forever', 'state')]);
    await fill(opened, 0, 100);
    const { headHash } = await verifyLedger(path);
    await sealingOf(opened).run();
    clock.advance(25 * HOUR_MS);
    const held = sealingOf(opened, {}, { heldStreams: async () => ['other'] });
    await held.run();
    expect(held.stats.letGo).toBe(0);
    const sealing = sealingOf(opened);
    const sealed = segmentsOf(path).length;
    await sealing.run();
    expect(sealing.stats).toMatchObject({ letGo: sealed, failures: 0 });
    expect(segmentsOf(path)).toEqual([]);
    const range = await ledger.logRange('share', 's');
    expect(range).toEqual({ first: expect.any(Number) as number, end: 300 });
    expect(range.first).toBeGreaterThan(50);
    expect((await ledger.readLog('share', 's', 0, 1))[0]).toMatchObject({ first: range.first });
    expect(await ledger.get('contract', 'contract')).toBe('terms');
    expect(await ledger.get('state', 'x')).toBe('forever');
    expect(await ledger.get('stream', 's')).toBe('99');
    expect(await ledger.get('job', '000003')).toBeUndefined();
    expect(await codeOfRejection(ledger.append([insert('x', 'other', 'state')]))).toBe('ledger_conflict');
    await fill(opened, 100, 110);
    const verified = await verifyLedger(path);
    expect(verified).toMatchObject({ ok: true });
    expect(verified.letGoRows).toBeGreaterThan(100);
    expect(verified.headHash).not.toBe(headHash);
    await ledger.close();
    const again = await open(path, clock);
    await fill(again, 110, 300);
    clock.advance(25 * HOUR_MS);
    await fill(again, 300, 301);
    await sealingOf(again).run();
    clock.advance(25 * HOUR_MS);
    await sealingOf(again).run();
    expect(await again.ledger.get('state', 'x')).toBe('forever');
    expect((await verifyLedger(path)).ok).toBe(true);
    await again.ledger.close();
    // A mark that was moved is seen: the chain says where it begins.
    const file = openSqliteFile({ path, nowMs: 0 });
    file.db.exec('UPDATE segment SET end_hash = zeroblob(32) WHERE state = 3');
    file.close();
    expect(await verifyLedger(path)).toMatchObject({ ok: false });
  });
});

describe('a damaged segment', () => {
  it('is found and named, whatever is changed in it', async () => {
    const opened = await open();
    await fill(opened, 0, 100);
    await sealingOf(opened).run();
    await opened.ledger.close();
    const { path: ledgerPath } = opened;
    const name = segmentsOf(ledgerPath)[2]!;
    const file = path.join(segmentFolder(ledgerPath), name);
    const good = fs.readFileSync(file);
    const flips = fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 7 }));
    const expectFound = async (): Promise<void> => {
      const { ok, problem, firstBadSeq } = await verifyLedger(ledgerPath);
      expect({ ok, problem }).toEqual({
        ok: false,
        problem: expect.stringContaining(`segment ${name}`) as string,
      });
      expect(firstBadSeq).toBe(Number(name.slice(0, 16)));
    };
    await fc.assert(
      fc.asyncProperty(flips, async ([at, bit]) => {
        const bytes = Buffer.from(good);
        bytes[at]! ^= 1 << bit;
        fs.writeFileSync(file, bytes);
        await expectFound();
      }),
      { numRuns: 60 },
    );
    for (const size of [0, 7, 40, good.length - 1]) {
      fs.writeFileSync(file, good.subarray(0, size));
      await expectFound();
    }
    fs.writeFileSync(
      file,
      fs.readFileSync(path.join(segmentFolder(ledgerPath), segmentsOf(ledgerPath)[1]!)),
    );
    await expectFound();
    fs.rmSync(file);
    await expectFound();
    // The daemon starts and takes shares all the same; only what was in it cannot be read.
    const { ledger } = await open(ledgerPath);
    await ledger.append([log(300, 1)]);
    expect(await codeOfRejection(ledger.readLog('share', 's', 0, 10_000))).toBe('ledger_corrupt');
    await ledger.close();
    fs.writeFileSync(file, good);
    expect(await verifyLedger(ledgerPath)).toMatchObject({ ok: true, rows: 401 });
  });

  it('is not made of a journal that is damaged: the journal stays as it is', async () => {
    const opened = await open();
    await fill(opened, 0, 100);
    await opened.ledger.close();
    const file = openSqliteFile({ path: opened.path, nowMs: 0 });
    file.db.exec("DROP TRIGGER journal_is_never_updated; UPDATE journal SET body = x'00' WHERE seq = 21");
    file.close();
    const again = await open(opened.path, opened.clock);
    const sealing = sealingOf(again);
    await sealing.run();
    expect(sealing.stats).toMatchObject({ failures: 1 });
    expect(rowsInJournal(opened.path)).toBeGreaterThan(380);
    expect(await verifyLedger(opened.path)).toMatchObject({ ok: false, firstBadSeq: 21 });
    await again.ledger.close();
  });
});

describe('a ledger of a version that did not seal', () => {
  /** As the first version wrote it. */
  function oldLedger(path: string, entries: readonly LedgerEntry[]): void {
    const db = new DatabaseSync(path);
    migrate(db, { nowMs: 0, migrations: MIGRATIONS.slice(0, 1) });
    db.exec(NO_SEGMENTS);
    const frame = new FrameWriter();
    frame.push(entries, appendFrameSize(entries));
    const { buffer, size } = frame.finish();
    const journal = new SqliteJournal({ db, path, instance: '', engine: '', close: () => {} });
    expect(journal.begin()).toBe(true);
    journal.commit([new Uint8Array(buffer, 0, size)], 5);
    db.close();
  }

  it('verifies as it is, opens, seals and goes on', async () => {
    const path = newPath();
    oldLedger(path, [insert('000003', 'job 3'), log(0, 9, 'old'), put('s', '0')]);
    const before = fs.readFileSync(path);
    const { headHash } = await verifyLedger(path);
    expect(fs.readFileSync(path).equals(before)).toBe(true);
    const opened = await open(path);
    expect(await verifyLedger(path)).toEqual({ ok: true, rows: 3, headHash });
    await fill(opened, 10, 10);
    opened.clock.advance(HOUR_MS);
    await opened.ledger.append([put('s', '1'), put('s', '2'), put('s', '3')]);
    opened.clock.advance(2 * HOUR_MS);
    await opened.ledger.append([put('s', '4')]);
    await sealingOf(opened).run();
    expect(await opened.ledger.readLog('share', 'old', 0, 9)).toMatchObject([{ first: 0, count: 9 }]);
    expect(await opened.ledger.get('job', '000003')).toBe('job 3');
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 7 });
    await opened.ledger.close();
  });
});
