import { expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import type { OwnWork } from '../../src/maker/work-binding.ts';
import { workFilesInMemory } from '../../src/maker/work-files.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { upstreamExtranonce2 } from '../../src/stratum/extranonce.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import { ManualPool } from './work-stand.ts';
import { SHARE, until, World } from './world.ts';

const W = SHARE.workHashes;

/** A maker with one pool, and a miner that mines what it gives. */
class WorkWorld extends World {
  readonly pools: ManualPool[] = [];
  readonly ownWork: OwnWork = {
    ...{ failover: FAILOVER_OPTIONS, book: new PoolBook(['p']), files: workFilesInMemory() },
    pools: [
      (listener) => {
        const pool = new ManualPool('p', listener);
        this.pools.push(pool);
        return pool;
      },
    ],
  };

  constructor() {
    super({
      work: {
        ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 5, solutionsPerMinute: 600 },
        foreignChain: false,
      },
      policy: { bindings: ['work'] },
    });
  }

  override startMaker(...[changes, deps]: Parameters<World['startMaker']>): Promise<void> {
    return super.startMaker(changes, { ownWork: this.ownWork, ...deps });
  }

  /** The pool gives work on the tip under an extranonce1; the job that the proxy makes of it. */
  async given(extranonce1: string): Promise<Job> {
    const { upstream } = this.job();
    const bytes = Uint8Array.from(Buffer.from(extranonce1, 'hex'));
    this.pools.at(-1)!.gives({ ...upstream, extranonce1: bytes, target: SHARE.target });
    const isIts = (job: UpstreamJob | undefined): boolean =>
      job !== undefined && toHex(job.extranonce1) === extranonce1;
    await until('given', () => isIts(this.miner.work?.lastJob));
    const job = this.miner.work!.lastJob!;
    return this.table.add('maker', this.contractId, job, systemClock.monotonicMs());
  }

  /** Shows shares to the maker, as the proxy does with what its upstream wants. */
  async show(shares: readonly AcceptedShare[]): Promise<string[]> {
    const asked = shares.map(({ submission: { job, extranonce, ntime, nonce, version } }) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const extranonce2 = upstreamExtranonce2(extranonce, job.upstream.extranonce2Size);
      const versionBits = (version & job.upstream.versionMask) >>> 0;
      const share = { job: job.upstream, extranonce2, ntime, nonce, versionBits };
      this.miner.work!.submit(share, ({ outcome }) => resolve(outcome));
      return promise;
    });
    return Promise.all(asked);
  }
}

it('a contract on jobs of the maker is delivered and paid, over a restart of the maker', async () => {
  const world = new WorkWorld();
  await world.open();
  await until('subscribed', () => world.pools.length === 1);
  const job = await world.given('0a0b0c0d');
  const shares = world.find(job, 8);
  expect(await world.show(shares)).toEqual(shares.map(() => 'accepted'));
  await world.deliver(shares);
  await until('credited', () => world.maker.status[0]!.verifiedWorkHashes === 8n * W);
  await until('paid', () => world.miner.status.signed?.workHashes === 8n * W);
  expect(world.ownWork.book.figures[0]).toMatchObject({
    ...{ lateSolutions: 0, acceptedWorkHashes: 8n * W, creditedWorkHashes: 8n * W },
    verdicts: { weAcceptedTheyAccepted: 8 },
  });

  const found = world.find(job, 2);
  await world.restartMaker();
  await until('subscribed again', () => world.pools.length === 2);
  await world.deliver(found);
  await until('credited after the restart', () => world.maker.status[0]!.verifiedWorkHashes === 10n * W);

  const next = await world.given('0a0b0c0e');
  const more = world.find(next, 2);
  expect(await world.show(more)).toEqual(['accepted', 'accepted']);
  await world.deliver(more);
  await until('credited again', () => world.maker.status[0]!.verifiedWorkHashes === 12n * W);
  const work = { jobsLive: 1, isDown: false, solutions: 10, lateSolutions: 0, isPaused: false };
  expect(world.maker.status[0]!).toMatchObject({ refused: {}, work });

  // Of four more that are not shown the third is one too many.
  await world.deliver(world.find(next, 4));
  await until('refused', () => world.maker.status[0]!.refused['late_solutions'] === 2);
  await until('sent', () => world.pools[1]!.submitted.length === 6);
  await world.stop();
});
