import { createServer, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { UpstreamClient } from '../../src/upstream/client.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { plainPool, until } from './fake-pool.ts';
import { notify } from './work.ts';

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** At which of our requests it stops making sense; after all four it is a good pool. */
type Attack = { readonly at: number; readonly bytes: readonly Uint8Array[] };
const GOOD: Attack = { at: 4, bytes: [] };

/** A pool that says what it is told to in place of an answer. */
async function startPool() {
  const pool = { port: 0, attack: GOOD, connections: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const { attack } = pool;
    pool.connections += 1;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    let rest = '';
    let asked = 0;
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        asked += 1;
        if (asked > attack.at) for (const bytes of attack.bytes) socket.write(bytes);
        const answer = plainPool(JSON.parse(line), undefined as never);
        if (answer !== undefined && asked <= attack.at) socket.write(`${answer}\n`);
        if (asked === 3) socket.write(`${notify({ jobId: `j${pool.connections}` })}\n`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  pool.port = (server.address() as { port: number }).port;
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { pool, drop: () => sockets.forEach((socket) => void socket.destroy()) };
}

function startClient(port: number) {
  const clock = new ManualClock();
  const told = { jobs: 0, downs: [] as string[] };
  const client = new UpstreamClient(
    {
      ...{ name: 'test', host: '127.0.0.1', port, worker: 'me.1', password: 'x' },
      ...{ userAgent: 'test/1', profile: 'generic' as const },
      timeouts: { tickMs: 1 },
      backoff: { baseMs: 1, maxMs: 2 },
    },
    {
      timers: systemTimers,
      ...{ clock, log: silentLogger, random: { bytes: (size: number) => new Uint8Array(size) } },
      listener: {
        onJob: (job: UpstreamJob) => {
          told.jobs += 1;
          expect(job.extranonce1.length + job.extranonce2Size).toBeLessThanOrEqual(64);
        },
        onDown: (code) => told.downs.push(code),
      },
    },
  );
  client.start();
  closers.push(() => client.stop());
  return { client, clock, told };
}

const METHODS = [
  'mining.notify',
  'mining.set_difficulty',
  'mining.set_extranonce',
  'mining.set_version_mask',
  'client.show_message',
  'client.get_version',
  'mining.ping',
];
const line = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`);
const piece = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({ id: fc.jsonValue(), method: fc.constantFrom(...METHODS), params: fc.jsonValue() })
      .map(line),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ id: fc.nat({ max: 6 }), result: fc.jsonValue(), error: fc.jsonValue() })
      .map(line),
  },
  { weight: 1, arbitrary: fc.jsonValue().map(line) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.nat({ max: 5000 }).map((size) => Buffer.alloc(size, '[')) },
);
const attacks = fc.record({
  at: fc.nat({ max: 3 }),
  bytes: fc.array(piece, { minLength: 1, maxLength: 12 }),
});

function memory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('whatever bytes an upstream sends', () => {
  it('at any step, the client is well, works for the next connection, and does not grow', async () => {
    const { pool, drop } = await startPool();
    const { client, clock, told } = startClient(pool.port);
    const visit = async (attack: Attack): Promise<void> => {
      pool.attack = attack;
      const { connections } = pool;
      drop();
      await until(() => {
        clock.advance(50);
        return pool.connections > connections;
      });
    };
    const attackAll = (numRuns: number): Promise<void> =>
      fc.assert(
        fc.asyncProperty(attacks, async (attack) => {
          await visit(attack);
          await new Promise((resolve) => setTimeout(resolve, 5));
          const { jobs } = told;
          await visit(GOOD);
          await until(() => client.up && told.jobs > jobs, 'work of a good pool');
        }),
        { numRuns },
      );
    await attackAll(40);
    const before = memory();
    await attackAll(120);
    expect(memory() - before).toBeLessThan(8 * 1024 * 1024);
    expect(client.stats.garbageLines).toBeGreaterThan(0);
  });

  it('nonsense without end is left with a code', async () => {
    const { pool, drop } = await startPool();
    const { client, clock } = startClient(pool.port);
    const nonsense = fc.oneof(
      fc
        .string({ minLength: 1, maxLength: 40 })
        .map((text) => Buffer.from(`!${text.replaceAll('\n', '')}\n`)),
      fc.constant(line(['mining.notify'])),
      fc.constant(line({ id: 1, method: 'mining.notify', params: [] })),
    );
    const lines = { minLength: LIMITS.upstreamGarbageLines, maxLength: 40, size: 'max' } as const;
    await fc.assert(
      fc.asyncProperty(fc.array(nonsense, lines), async (bytes) => {
        const left = (): number => client.stats.disconnects.upstream_protocol ?? 0;
        const before = left();
        pool.attack = { at: 2, bytes };
        drop();
        await until(() => {
          clock.advance(50);
          return left() > before;
        }, 'the client to leave');
      }),
      { numRuns: 30 },
    );
    expect(client.stats.disconnects.upstream_protocol).toBeGreaterThanOrEqual(30);
  });
});
