import { connect, type Socket } from 'node:net';
import { systemTimers } from '../../src/base/system-timers.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import type { DownstreamDeps, DownstreamOptions } from '../../src/downstream/server/options.ts';
import { DownstreamServer } from '../../src/downstream/server/server.ts';
import type { SessionSubmission } from '../../src/downstream/session/session.ts';
import { JobTable, type JobTableOptions } from '../../src/jobs/job-table.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';

export type Line = { readonly [key: string]: unknown };

/** A miner on a real socket, line by line. */
export class TestMiner {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #rest = '';
  #wake: (() => void) | undefined;
  isClosed = false;
  readonly closed: Promise<void>;

  constructor(to: number | Socket) {
    this.#socket = typeof to === 'number' ? connect({ host: '127.0.0.1', port: to }) : to;
    this.#socket.on('data', (chunk: Buffer) => {
      const parts = (this.#rest + chunk.toString('latin1')).split('\n');
      this.#rest = parts.pop()!;
      this.#lines.push(...parts);
      this.#wake?.();
    });
    this.#socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.#socket.on('close', () => {
        this.isClosed = true;
        this.#wake?.();
        resolve();
      });
    });
  }

  /** Objects as JSON; texts as they are, with a newline. */
  send(...messages: readonly (string | object)[]): void {
    const lines = messages.map((message) =>
      typeof message === 'string' ? message : JSON.stringify(message),
    );
    this.#socket.write(lines.map((line) => `${line}\n`).join(''));
  }

  raw(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next line as it came; throws when the connection ended first. */
  async nextText(): Promise<string> {
    while (this.#lines.length === 0) {
      if (this.isClosed) throw new Error('the server closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines.shift()!;
  }

  async next(): Promise<Line> {
    return JSON.parse(await this.nextText()) as Line;
  }

  /** Everything up to and including the first line of this method or with this id. */
  async until(key: 'method' | 'id', value: unknown): Promise<Line[]> {
    const lines: Line[] = [];
    do lines.push(await this.next());
    while (lines.at(-1)![key] !== value);
    return lines;
  }

  /** What came unasked before the answer to a ping. */
  async settled(): Promise<Line[]> {
    this.send({ id: 'settled', method: 'mining.ping', params: [] });
    return (await this.until('id', 'settled')).slice(0, -1);
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /**
   * Subscribes, by the id of an earlier session if there is one, and authorises; returns what it got up to
   * the first notify.
   */
  async start(
    worker = 'rig.1',
    password = 'x',
    session?: string,
  ): Promise<{ extranonce1: string; session: string; lines: Line[] }> {
    this.send(
      {
        id: 1,
        method: 'mining.subscribe',
        params: session === undefined ? ['test/1'] : ['test/1', session],
      },
      { id: 2, method: 'mining.authorize', params: [worker, password] },
    );
    const lines = await this.until('method', 'mining.notify');
    const subscribed = lines.find((line) => line['id'] === 1)!;
    const [subscriptions, extranonce1] = subscribed['result'] as [string[][], string];
    return { extranonce1, session: subscriptions[0]![1]!, lines };
  }
}

export type TestServer = {
  readonly server: DownstreamServer;
  readonly jobs: JobTable;
  readonly clock: ManualClock;
  /** What the engine got, in order. */
  readonly submissions: SessionSubmission[];
  readonly miner: (listener?: number | Socket) => TestMiner;
  /** Waits until the engine has this many submissions. */
  readonly submitted: (count: number) => Promise<void>;
};

const running: { server: DownstreamServer; miners: TestMiner[] }[] = [];

/** For `afterEach`. */
export async function stopServers(): Promise<void> {
  for (const { server, miners } of running.splice(0)) {
    for (const miner of miners) miner.destroy();
    await server.close();
  }
}

export const DIFFICULTY = { sharesPerMinute: 12, start: 1024, floor: 1 / 1024, ceiling: 2 ** 40 };

export async function startServer(
  changes: {
    readonly options?: Partial<DownstreamOptions>;
    readonly deps?: Partial<DownstreamDeps>;
    readonly table?: Partial<JobTableOptions>;
    /** Judges each submission at once; without it submissions wait for the test to settle them. */
    readonly verdict?: (submission: SessionSubmission) => Parameters<DownstreamServer['settle']>[1];
  } = {},
): Promise<TestServer> {
  const clock = new ManualClock();
  const jobs = new JobTable({
    ...{ run: 1, sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: 0x1fffe000, staleGraceMs: 0 },
    ...changes.table,
  });
  const submissions: SessionSubmission[] = [];
  let wake: (() => void) | undefined;
  const server = new DownstreamServer(
    {
      listeners: [{ host: '127.0.0.1', port: 0, difficulty: DIFFICULTY }],
      extranonce2Size: 4,
      versionMask: 0x1fffe000,
      drainMs: 200,
      ...changes.options,
    },
    {
      timers: systemTimers,
      jobs,
      clock,
      log: silentLogger,
      random: { bytes: (size) => Uint8Array.from({ length: size }, (_, index) => 0x10 + index) },
      route: () => 'pool',
      engine: {
        submit: (submission) => {
          submissions.push(submission);
          if (changes.verdict !== undefined) server.settle(submission, changes.verdict(submission));
          wake?.();
        },
      },
      ...changes.deps,
    },
  );
  await server.listen();
  const miners: TestMiner[] = [];
  running.push({ server, miners });
  return {
    ...{ server, jobs, clock, submissions },
    miner: (listener = 0) => {
      const to = typeof listener === 'number' ? server.addresses()[listener]!.port : listener;
      const miner = new TestMiner(to);
      miners.push(miner);
      return miner;
    },
    submitted: async (count) => {
      while (submissions.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

export function submitOf(
  id: unknown,
  jobId: string,
  changes: { worker?: string; extranonce2?: string; ntime?: string; nonce?: string; bits?: string } = {},
): Line {
  const { worker = 'rig.1', extranonce2 = '00000000', ntime = '6553f100', nonce = '00000001' } = changes;
  const params = [worker, jobId, extranonce2, ntime, nonce];
  return {
    id,
    method: 'mining.submit',
    params: changes.bits === undefined ? params : [...params, changes.bits],
  };
}

/** Work harder than any session's difficulty, so that the difficulty is the session's own. */
export const HARD = { target: targetOfDifficulty(2 ** 40), bits: 0x17034219 };

/** A server whose pool already has work. */
export async function withWork(changes: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const test = await startServer(changes);
  test.jobs.add('pool', 'own:pool', plainWork(1, HARD), test.clock.monotonicMs());
  return test;
}

/** Adds a job to the pool and sends it; returns its id. */
export function broadcast(
  test: TestServer,
  seed: number,
  changes: Parameters<typeof plainWork>[1] = {},
): string {
  const job = test.jobs.add(
    'pool',
    'own:pool',
    plainWork(seed, { ...HARD, ...changes }),
    test.clock.monotonicMs(),
  );
  test.server.broadcast(job);
  return job.wireId;
}

export function paramsOf(line: Line | undefined): unknown[] {
  return line?.['params'] as unknown[];
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
