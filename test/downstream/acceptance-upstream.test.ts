import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPool, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import type { SessionSubmission } from '../../src/downstream/session/session.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { upstreamExtranonce2 } from '../../src/upstream/destination.ts';
import { PoolDestination } from '../../src/upstream/pool-destination.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { paramsOf, type TestMiner, until } from './harness.ts';
import { codesOf, everyShare, SHARE_DIFFICULTY, Stand, stopStands } from './stand.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await stopStands();
  for (const close of closers.splice(0)) await close();
});

const TARGET = targetOfDifficulty(SHARE_DIFFICULTY);
const MINERS = 4;
const SHARES = 5;

type Rig = {
  readonly miner: TestMiner;
  readonly extranonce1: string;
  notify: { readonly [key: string]: unknown };
};

/** Miners at work for a real pool, every share of which the pool wants too. */
async function mining() {
  const chain = new DevnetChain({ bits: 0x1d00ffff }, { clock: systemClock });
  const pool = await startDevnetPool(
    { difficulty: SHARE_DIFFICULTY, trackAccepted: true },
    { chain, log: silentLogger, clock: systemClock },
  );
  let destination: PoolDestination | undefined;
  const clock = new ManualClock(Date.now());
  const stand = await Stand.start({
    clock,
    forward: (submission) => destination?.submit(upstreamShare(submission)),
  });
  destination = new PoolDestination(
    {
      ...{ name: 'pool', host: '127.0.0.1', port: pool.port, worker: 'us.1', password: 'x' },
      ...{ userAgent: 'test/1', profile: 'generic' },
      timeouts: { submitMs: 300, tickMs: 20 },
      backoff: { baseMs: 20, maxMs: 50 },
    },
    {
      timers: systemTimers,
      ...{ clock: systemClock, log: silentLogger },
      random: systemRandom,
      listener: {
        onJob: (_destination, job) => void stand.give(job),
        onDown: () => stand.jobs.endDestination('pool', clock.monotonicMs()),
      },
    },
  );
  const upstream = destination;
  upstream.start();
  closers.push(
    () => upstream.stop(),
    () => pool.close(),
  );
  await until(() => stand.jobs.current('pool') !== undefined);
  const rigs: Rig[] = [];
  for (let index = 0; index < MINERS; index += 1) {
    const miner = stand.miner();
    const { lines, extranonce1 } = await miner.start();
    rigs.push({ miner, extranonce1, notify: lines.at(-1)! });
  }
  return { pool, stand, upstream, rigs };
}

function upstreamShare({ job, extranonce, ntime, nonce, version }: SessionSubmission) {
  const extranonce2 = upstreamExtranonce2(job.upstream, extranonce);
  return { job: job.upstream, extranonce2, ntime, nonce, versionBits: version & job.upstream.versionMask };
}

/** Each rig sends shares it had not sent. Their error numbers. */
async function work(rigs: readonly Rig[], round: number): Promise<number[]> {
  const codes = rigs.map(({ miner, notify, extranonce1 }) => {
    const extranonce2 = round.toString(16).padStart(8, '0');
    const shares = everyShare(notify, extranonce1, { target: TARGET, extranonce2 }, 2 ** 16).slice(
      0,
      SHARES,
    );
    return codesOf(miner, shares);
  });
  return (await Promise.all(codes)).flat();
}

const all = (code: number): number[] => new Array<number>(MINERS * SHARES).fill(code);

/** Takes the next job, and says whether it lets go of what was before. */
async function nextJob(rig: Rig): Promise<void> {
  const lines = await rig.miner.until('method', 'mining.notify');
  rig.notify = lines.at(-1)!;
}

/** Whatever became of a share upstream, it is counted there once. */
function expectAllCounted(stand: Stand, upstream: PoolDestination, pool: DevnetPool): void {
  const { accepted, refused, timeout, lost } = upstream.client.stats;
  expect(accepted + refused + timeout + lost).toBe(stand.forwarded.length);
  const hashes = pool.acceptedShares().map(({ hash }) => hash);
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(new Set(stand.forwarded.map(({ hash }) => hash)).size).toBe(stand.forwarded.length);
}

describe('acceptance case 7: the loss of an upstream', () => {
  it('costs no miner its connection, and no share is accepted that nobody wants', async () => {
    const { pool, stand, upstream, rigs } = await mining();
    expect(await work(rigs, 1)).toEqual(all(0));
    await until(() => upstream.client.stats.accepted === MINERS * SHARES);

    pool.faults.silent = true;
    expect(await work(rigs, 2)).toEqual(all(0));
    const back = pool.restart(200);
    await until(() => !upstream.client.up);
    stand.clock.advance(1);
    expect(await work(rigs, 3)).toEqual(all(21));
    pool.faults.silent = false;
    await back;

    await until(() => upstream.client.up);
    const before = rigs.map(({ notify }) => paramsOf(notify));
    for (const rig of rigs) await nextJob(rig);
    for (const [index, { notify }] of rigs.entries()) {
      const [id, , coinb1, , , , , , clean] = paramsOf(notify);
      expect([id === before[index]![0], coinb1 === before[index]![2], clean]).toEqual([false, false, true]);
    }
    expect(await work(rigs, 4)).toEqual(all(0));
    await until(() => upstream.client.stats.accepted === 2 * MINERS * SHARES);
    await until(() => resolvedOf(upstream) === stand.forwarded.length);
    expectAllCounted(stand, upstream, pool);
    expect(stand.server.sessionCount).toBe(MINERS);
    expect(stand.server.stats.closed).toEqual({});
    expect(stand.total().seq).toBe(3 * MINERS * SHARES);
  });

  it('that never answers is a verdict after a time', async () => {
    const { pool, stand, upstream, rigs } = await mining();
    pool.faults.silent = true;
    expect(await work(rigs, 1)).toEqual(all(0));
    await until(() => upstream.client.stats.timeout === MINERS * SHARES);
    pool.faults.silent = false;
    expect(await work(rigs, 2)).toEqual(all(0));
    await until(() => upstream.client.stats.accepted === MINERS * SHARES);
    expectAllCounted(stand, upstream, pool);
  });

  it('whose session is resumed gets again what it had not answered', async () => {
    const { pool, stand, upstream, rigs } = await mining();
    pool.faults.silent = true;
    expect(await work(rigs, 1)).toEqual(all(0));
    pool.disconnectAll();
    pool.faults.silent = false;
    await until(() => upstream.client.up && resolvedOf(upstream) === stand.forwarded.length);
    expectAllCounted(stand, upstream, pool);
    for (const rig of rigs) await nextJob(rig);
    expect(await work(rigs, 2)).toEqual(all(0));
    await until(() => resolvedOf(upstream) === stand.forwarded.length);
    expectAllCounted(stand, upstream, pool);
    expect(pool.acceptedShares().length).toBe(upstream.client.stats.accepted);
    expect(stand.server.sessionCount).toBe(MINERS);
  });
});

function resolvedOf(upstream: PoolDestination): number {
  const { accepted, refused, timeout, lost } = upstream.client.stats;
  return accepted + refused + timeout + lost;
}
