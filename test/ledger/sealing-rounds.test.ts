import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { Sealing, type SealingDeps, type SealingOptions } from '../../src/ledger/sealing.ts';
import type { SealingTask } from '../../src/ledger/write-segment.ts';
import type { MaintenanceRequest, SealedSegment } from '../../src/ledger/writer-messages.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
const HOUR_MS = 3_600_000;

const segmentOf = (firstSeq: number, lastSeq: number): SealedSegment => ({
  ...{ firstSeq, lastSeq, lastAtMs: 0, endHash: new Uint8Array(32), digest: new Uint8Array(32), logs: [] },
});

type Answers = Partial<Record<MaintenanceRequest['type'], (request: MaintenanceRequest) => unknown>>;

/** A sealing over a ledger that answers as told: by default there is nothing to do. */
function sealing(
  answers: Answers = {},
  options: Partial<SealingOptions> = {},
  deps: Partial<SealingDeps> = {},
) {
  const time = new VirtualTime();
  const asked: MaintenanceRequest[] = [];
  const tasks: SealingTask[] = [];
  const lines: unknown[] = [];
  const idle: Answers = { prune: () => true, is_old: () => false, let_go: () => [] };
  const maintain = async <T>(request: MaintenanceRequest): Promise<T> => {
    asked.push(request);
    return (answers[request.type] ?? idle[request.type])?.(request) as T;
  };
  const made = new Sealing(
    { path: 'a.db', keptMs: 24 * HOUR_MS, evidenceKinds: ['job'], ...options },
    {
      ...{
        ledger: { maintain },
        heldStreams: async () => ['held'],
        clock: time.clock,
        timers: time.timers,
      },
      log: {
        ...silentLogger,
        warn: (fields: unknown, text: unknown) => lines.push([fields, text]),
      } as never,
      write: async (task) => {
        tasks.push(task);
        return segmentOf(3 * tasks.length - 2, 3 * tasks.length);
      },
      ...deps,
    },
  );
  const types = (): string[] => asked.map(({ type }) => type);
  return { made, time, asked, tasks, lines, types };
}

/** `sealable` answers with a row so many times. */
const sealableTimes = (times: number): (() => unknown) => {
  let left = times;
  return () => {
    left -= 1;
    return left < 0 ? undefined : 77;
  };
};

describe('a round of sealing', () => {
  it('deletes what was sealed before, then seals segment by segment, then lets go', async () => {
    const { made, types, tasks, asked } = sealing({ sealable: sealableTimes(2), is_old: () => true });
    await made.run();
    expect(types()).toEqual([
      ...['prune', 'sealable', 'seal', 'prune', 'sealable', 'seal', 'prune', 'sealable'],
      ...['is_old', 'let_go'],
    ]);
    const task = { path: 'a.db', lastSeq: 77, segmentBytes: 64 * 1024 * 1024, evidenceKinds: ['job'] };
    expect(tasks).toEqual([task, task]);
    expect(asked[2]).toEqual({ type: 'seal', segment: segmentOf(1, 3) });
    expect(asked[0]).toEqual({ type: 'prune', evidenceKinds: ['job'] });
    expect(made.stats).toEqual({ segments: 2, rows: 6, letGo: 0, failures: 0 });
  });

  it('asks by its policy, by default an hour, 32,768 rows, from 65,536 on or a day', async () => {
    const policyOf = async (options: Partial<SealingOptions>): Promise<unknown> => {
      const { made, asked } = sealing({}, options);
      await made.run();
      return (asked.find(({ type }) => type === 'sealable') as { policy: unknown }).policy;
    };
    const policy = { afterMs: HOUR_MS, keptRows: 32_768, fromRows: 65_536, waitMs: 24 * HOUR_MS };
    expect(await policyOf({})).toEqual(policy);
    expect(await policyOf({ keptRows: 5, waitMs: 6, segmentBytes: 7 })).toEqual({
      ...policy,
      keptRows: 5,
      waitMs: 6,
    });
  });

  it('deletes in steps, with a turn of the event loop between', async () => {
    let steps = 0;
    const prune = (): boolean => {
      steps += 1;
      return steps > 3;
    };
    const turns: (() => void)[] = [];
    const timers = { ...new VirtualTime().timers, afterTurn: (run: () => void) => void turns.push(run) };
    const { made } = sealing({ prune }, {}, { timers });
    const running = made.run();
    for (let step = 1; step <= 3; step += 1) {
      await new Promise(setImmediate);
      expect([steps, turns.length]).toEqual([step, 1]);
      turns.pop()!();
    }
    await running;
    expect(steps).toBe(4);
  });

  it('seals 64 segments at most', async () => {
    const { made } = sealing({ sealable: () => 77 });
    await made.run();
    expect(made.stats).toMatchObject({ segments: 64, rows: 192 });
    await made.run();
    expect(made.stats.segments).toBe(128);
  });

  it('lets go of what is older than it is kept, and removes the files', async () => {
    const files = ['one', 'two', 'gone'].map(file);
    for (const name of files.slice(0, 2)) fs.writeFileSync(name, 'x');
    const { made, time, asked } = sealing({ is_old: () => true, let_go: () => files });
    await made.run();
    const beforeMs = time.clock.nowMs() - 24 * HOUR_MS;
    expect(asked.slice(-2)).toEqual([
      { type: 'is_old', beforeMs },
      { type: 'let_go', beforeMs, held: ['held'], evidenceKinds: ['job'], nowMs: time.clock.nowMs() },
    ]);
    expect(files.map((name) => fs.existsSync(name))).toEqual([false, false, false]);
    expect(made.stats).toEqual({ segments: 0, rows: 0, letGo: 3, failures: 0 });
  });

  it('does not ask who holds what while nothing is old', async () => {
    let isAsked = false;
    const heldStreams = async (): Promise<string[]> => {
      isAsked = true;
      return [];
    };
    const { made, types } = sealing({}, {}, { heldStreams });
    await made.run();
    expect([isAsked, types().at(-1)]).toEqual([false, 'is_old']);
  });

  it.each<[string, Answers, Partial<SealingDeps>]>([
    ['the ledger', { seal: () => fail() }, {}],
    ['the segment', {}, { write: async () => fail() }],
    ['what is deleted', { prune: () => fail() }, {}],
    ['who holds what', { is_old: () => true }, { heldStreams: async () => fail() }],
  ])('is tried again a minute later where %s fails', async (_, answers, deps) => {
    const { made, lines, types } = sealing({ sealable: sealableTimes(1), ...answers }, {}, deps);
    await made.run();
    expect(made.stats).toMatchObject({ failures: 1, letGo: 0 });
    expect(lines).toEqual([
      [{ code: 'overload', detail: 'overload: of the test' }, expect.stringContaining('tried again')],
    ]);
    const before = types().length;
    await made.run();
    expect(types().length).toBeGreaterThan(before);
  });
});

describe('sealing', () => {
  it('runs every minute, one round at a time', async () => {
    const open: (() => void)[] = [];
    const { made, time } = sealing({
      prune: () => new Promise((resolve) => open.push(() => resolve(true))),
    });
    made.start();
    await time.advance(59_999);
    expect(open).toHaveLength(0);
    await time.advance(1);
    expect(open).toHaveLength(1);
    await time.advance(120_000);
    expect(open).toHaveLength(1);
    open[0]!();
    await time.settle();
    await time.advance(60_000);
    expect(open).toHaveLength(2);
    open[1]!();
    await made.stop();
    await time.advance(600_000);
    expect(open).toHaveLength(2);
  });

  it('stops behind the segment under way, and counts no failure of a ledger that is closed', async () => {
    let isWritten = (): void => {};
    const write = (): Promise<SealedSegment> =>
      new Promise((resolve) => {
        isWritten = () => resolve(segmentOf(1, 3));
      });
    const { made, time, types } = sealing({ sealable: () => 77 }, {}, { write });
    made.start();
    await time.advance(60_000);
    let isStopped = false;
    const stopping = made.stop().then(() => {
      isStopped = true;
    });
    await time.settle();
    expect(isStopped).toBe(false);
    isWritten();
    await stopping;
    expect(types()).toEqual(['prune', 'sealable', 'seal']);
    expect(made.stats).toMatchObject({ segments: 1, failures: 0 });
    await made.run();
    expect(types()).toHaveLength(3);

    const closed = sealing({ prune: () => fail() });
    const running = closed.made.run();
    await closed.made.stop();
    await running;
    expect([closed.made.stats.failures, closed.lines]).toEqual([0, []]);
  });
});

describe('the sealing thread', () => {
  const workers: string[] = [];
  const onWorker = (worker: { threadId: number; emit(name: string, what: unknown): boolean }): void => {
    workers.push(String(worker.threadId));
    if (broken) worker.emit('error', new Error('of the test'));
    if (ended) worker.emit('exit', 1);
  };
  let broken = false;
  let ended = false;
  afterEach(() => {
    process.off('worker', onWorker);
    broken = false;
    ended = false;
  });

  async function failureOf(): Promise<unknown> {
    process.on('worker', onWorker);
    const { lines, made } = sealing(
      { sealable: sealableTimes(1) },
      { path: file('none.db') },
      { write: undefined as never },
    );
    await made.run();
    return lines.map((line) => (line as [unknown])[0]);
  }

  it('says why it wrote nothing', async () => {
    const path = file('none.db');
    expect(await failureOf()).toEqual([{ code: 'ledger_io', detail: `ledger_io: ${path} does not exist` }]);
    expect(workers.length).toBeGreaterThan(0);
  });

  it('has failed where it is broken or ends', async () => {
    broken = true;
    expect(await failureOf()).toEqual([{ code: 'ledger_io', detail: 'ledger_io: Error: of the test' }]);
    [broken, ended] = [false, true];
    expect(await failureOf()).toEqual([
      { code: 'ledger_io', detail: 'ledger_io: the sealing thread ended' },
    ]);
  });
});

function fail(): never {
  throw new CodedError('overload', 'of the test');
}
