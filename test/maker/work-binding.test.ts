import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { PoolAccounts } from '../../src/maker/pool-accounts.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { shareTargetFor } from '../../src/maker/work-binding.ts';
import { workFilesInMemory } from '../../src/maker/work-files.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { recorder } from '../chain/log-recorder.ts';
import { casesOf } from './share-cases.ts';
import { marked, offer } from './work-fixtures.ts';
import {
  GRACE_MS,
  INSTANCE,
  ManualPeer,
  poolJob,
  SHARE,
  SOLUTION,
  WorkStand,
  type WorkStandOptions,
  workTerms,
} from './work-stand.ts';

const OTHER = 'bb'.repeat(16);

async function subscribed(options: WorkStandOptions = {}): Promise<WorkStand> {
  const stand = new WorkStand(options);
  await stand.binding.load();
  await stand.subscribe();
  return stand;
}

/** With one job, which the miner made one of its own of. */
async function working(options: WorkStandOptions = {}) {
  const stand = await subscribed(options);
  const own = await stand.given(poolJob(1, 1));
  const job = await stand.announce(own);
  return { stand, own, job };
}

describe('a job of the maker’s pool', () => {
  it('is relayed as it is, under an id and a share target of the maker', async () => {
    const { stand, own } = await working();
    const { upstreamJobId: _id, target, ...job } = poolJob(1, 1);
    expect(own).toEqual({
      ...{ ...job, id: own.id, clean: true, upstreamTarget: target },
      shareTarget: targetOfDifficulty(SHARE),
    });
    expect(own.id).toBeGreaterThan(1024 * 1_800_000_000_000 - 1);
    expect(stand.peer.sent).toMatchObject([{ params: { instance: INSTANCE } }]);
  });

  it('is on disk before it leaves, and does not leave where the disk refuses it', async () => {
    const files = workFilesInMemory();
    const { promise, resolve } = Promise.withResolvers<void>();
    let isFull = false;
    const { append } = files;
    const slow = {
      ...files,
      append: async (...words: Parameters<typeof append>): Promise<void> => {
        await promise;
        if (isFull) throw new Error('ENOSPC');
        await append(...words);
      },
    };
    const stand = await subscribed({ files: slow });
    stand.pool.gives(poolJob(1, 1));
    await stand.time.settle();
    expect(stand.peer.jobs).toEqual([]);
    resolve();
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(1);
    isFull = true;
    stand.pool.gives(poolJob(1, 2));
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(1);
    expect(stand.binding.work.jobsKept).toBe(1);
    // What half a line may stand in is written anew.
    isFull = false;
    stand.pool.gives(poolJob(1, 3));
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(2);
    expect(await files.read(stand.contractId)).toHaveLength(2);
  });

  it('is credited at its share target and no other', async () => {
    const { stand, job } = await working();
    expect(await stand.take(stand.mine(job, 2, { isSolution: false }))).toBe('ok ok');
    expect(await stand.take(stand.mine(job, 1, { difficulty: SHARE / 2 }))).toBe('share_low');
    expect(await stand.take(stand.mine(job, 1, { difficulty: SHARE * 1.5 }))).toBe('share_low');
    expect(stand.store.delivery.verifiedWorkHashes).toBe(2n * shareTargetOf(SHARE).workHashes);
    expect(stand.book.figures[0]!.creditedWorkHashes).toBe(2n * shareTargetOf(SHARE).workHashes);
  });

  it('is not credited for anything that was changed', async () => {
    const { stand, own } = await working();
    const changes: Partial<JobRecord>[] = [
      { coinb2: concat(own.coinb2, Uint8Array.of(0)) },
      { coinb1: concat(own.coinb1, own.extranonce1, Uint8Array.of(1, 0)) },
      { branches: [] },
      { prevHash: marked(32, 2) },
      { version: 0x1000_0000 },
      { versionMask: 0x1fff_ffff },
      { time: own.time - 1 },
      { bits: 0x1d00_fffe },
    ];
    for (const change of changes) {
      const job = await stand.announce(own, change);
      expect(await stand.take(stand.mine(job, 1))).toBe('share_unbound');
    }
    const later = await stand.announce(own, { time: own.time + 30 });
    expect(await stand.take(stand.mine(later, 1, { isSolution: false }))).toBe('ok');
  });

  it('is not one of another contract, and none that was never given', async () => {
    const book = new PoolBook(['p']);
    const one = await working({ book });
    const two = await subscribed({ book, contractId: 'c1'.repeat(32), time: one.stand.time });
    const own = await two.given(poolJob(1, 1, { extranonce1: marked(4, 0xe2) }));
    const foreign = await two.announce(one.own, {}, own.id);
    expect(await two.take(two.mine(foreign, 1))).toBe('share_unbound');
    const never = await one.stand.announce(one.own, {}, one.own.id + 1000);
    expect(await one.stand.take(one.stand.mine(never, 1))).toBe('share_unbound');
    const dropped = await one.stand.announce(one.own, {}, 1);
    expect(await one.stand.take(one.stand.mine(dropped, 1))).toBe('share_stale');
  });

  it('is of the contract, whichever process of the miner it was given to', async () => {
    const { stand, job } = await working();
    stand.peer = new ManualPeer();
    await stand.subscribe(OTHER);
    expect(stand.peer.jobs).toEqual([]);
    const [, , mine] = stand.pools;
    const own = await stand.given(poolJob(1, 1, { extranonce1: marked(4, 5) }), mine);
    const made = await stand.announce(own);
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    expect(await stand.take(stand.mine(made, 1, { isSolution: false }))).toBe('ok');
  });

  it('is credited whatever the own node says of its block, until it is withdrawn', async () => {
    const { stand, own, job } = await working();
    stand.block = { status: 'superseded', height: 10, bits: 1, sinceMonotonicMs: -1e9 };
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    stand.block = { status: 'unknown' };
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    await stand.given(poolJob(2, 2));
    await stand.time.advance(GRACE_MS);
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    await stand.time.advance(1);
    expect(await stand.take(stand.mine(job, 1))).toBe('share_stale');
    const late = await stand.announce(own, { time: own.time + 1 });
    expect(await stand.take(stand.mine(late, 1))).toBe('share_stale');
  });

  it('is credited from the ack of its withdrawal on, not from its sending', async () => {
    const { stand, own, job } = await working();
    stand.peer.isHeld = true;
    stand.pool.gives(poolJob(1, 2, { clean: true }));
    await stand.time.settle();
    expect(stand.peer.gone).toMatchObject([{ ids: [own.id], instance: INSTANCE }]);
    await stand.time.advance(3 * GRACE_MS);
    stand.peer.ack();
    await stand.time.settle();
    await stand.time.advance(GRACE_MS);
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    await stand.time.advance(1);
    expect(await stand.take(stand.mine(job, 1))).toBe('share_stale');
  });

  it('that was changed is told of with what is another, and one that was never given as that', async () => {
    const { log, lines } = recorder();
    const { stand, own } = await working({ log });
    await stand.announce(own, { bits: own.bits - 1 });
    expect(JSON.stringify(lines)).toContain('it is not made of the job that it names');
    const before = lines.length;
    await stand.announce(own, {}, own.id + 1_000_000);
    expect(JSON.stringify(lines.slice(before))).toContain('it names a job that was never given');
  });

  it('that is none of ours has no target, no pool and no credit', async () => {
    const { stand, job } = await working();
    const other = { ...job, id: 999 };
    const { binding } = stand;
    expect([binding.shareTarget(other), binding.upstreamTarget(other), binding.lateCode(other)]).toEqual([
      ...[undefined, undefined, 'share_stale'],
    ]);
    expect([binding.shareTarget(job), binding.lateCode(job)]).toEqual([
      ...[shareTargetOf(SHARE).target, undefined],
    ]);
    expect(await binding.judgeNow(other)).toBe('share_stale');
    const target = shareTargetOf(SHARE);
    const each = { share: undefined as never, code: undefined, target, hash: undefined };
    expect(binding.counts(casesOf([{ ...each, job: other }]))).toEqual([]);
    const { figures } = stand.book;
    binding.judged(casesOf([{ ...each, job: other }]));
    expect(stand.book.figures).toEqual(figures);
  });

  it('of the ledger that nothing is known of any more is too old', async () => {
    const { stand, job } = await working();
    const other = { ...job, id: 999, coinb2: Uint8Array.of(...job.coinb2.subarray(0, -1), 1) };
    expect(stand.binding.judgeJob(job, undefined)).toBe(undefined);
    expect(stand.binding.judgeJob(other, undefined)).toBe('share_stale');
  });

  it('is known after a restart, with no word of the miner about what it was made of', async () => {
    const { stand, own } = await working();
    stand.binding.stop();
    const { files, time } = stand;
    const again = await subscribed({ files, time });
    expect(again.peer.gone).toMatchObject([{ ids: [own.id], instance: INSTANCE }]);
    const job = { ...(await stand.announce(own, { time: own.time + 5 })) };
    await again.batches.announce(job, undefined);
    expect(await again.take(again.mine(job, 1, { isSolution: false }))).toBe('ok');
    expect(await again.take(again.mine(job, 1, { difficulty: SHARE * 2 }))).toBe('share_low');
    const next = await again.given(poolJob(1, 2));
    expect(next.id).toBeGreaterThan(own.id);
  });

  it('that is over is over after a restart too', async () => {
    const { stand, own } = await working();
    const next = await stand.given(poolJob(2, 2));
    await stand.time.advance(GRACE_MS + 10_000);
    expect(stand.binding.work.jobsKept).toBe(1);
    stand.binding.stop();
    for (let run = 0; run < 2; run += 1) {
      const again = await subscribed({ files: stand.files, time: stand.time });
      expect(again.binding.work.jobsKept).toBe(1);
      expect(again.peer.gone).toMatchObject([{ ids: [next.id] }]);
      const job = await again.announce(own);
      expect(await again.take(again.mine(job, 1, { isSolution: false }))).toBe('share_stale');
      again.binding.stop();
    }
  });

  it('of a new contract, which has nothing to read, ends as any', async () => {
    const stand = new WorkStand();
    await stand.subscribe();
    await stand.given(poolJob(1, 1));
    await stand.given(poolJob(2, 2));
    await stand.time.advance(GRACE_MS + 10_000);
    expect(stand.binding.work.jobsKept).toBe(1);
  });

  it('is dropped from the disk when no share of it can be credited', async () => {
    const stand = await subscribed();
    for (let block = 1; block <= 200; block += 1) {
      await stand.given(poolJob(block, block));
      await stand.time.advance(GRACE_MS);
    }
    expect(stand.binding.work.jobsKept).toBeLessThanOrEqual(4);
    expect((await stand.files.read(stand.contractId)).length).toBeLessThan(80);
  });
});

describe('a pool of the maker', () => {
  const gone = (stand: WorkStand) =>
    stand.peer.gone.map(({ all, code, ids }) => (all === true ? code : ids));

  it('that is lost ends its jobs, and the next gives its own; without a next the miner is told why', async () => {
    const { stand, own } = await working();
    const [p, q] = stand.pools;
    const other = poolJob(1, 2);
    q!.gives(other);
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(1);
    p!.fails();
    await stand.time.settle();
    expect(stand.peer.jobs.at(-1)).toMatchObject({ coinb2: other.coinb2, clean: false });
    expect(gone(stand)).toEqual([[own.id]]);
    q!.fails();
    await stand.time.settle();
    expect(gone(stand).at(-1)).toBe('maker_work_down');
    expect(stand.binding.work).toMatchObject({ isDown: true, jobsLive: 0 });
    const again = await stand.given(poolJob(1, 3));
    expect(again.clean).toBe(false);
    expect(stand.binding.work.isDown).toBe(false);
  });

  it('that leaves too little extranonce2 gives no work', async () => {
    const stand = await subscribed({ pools: ['p'] });
    stand.pool.gives(poolJob(1, 1, { extranonce2Size: 7 }));
    await stand.time.settle();
    expect(stand.peer.jobs).toEqual([]);
    expect(gone(stand)).toEqual(['extranonce_too_small']);
    await stand.given(poolJob(1, 1, { extranonce2Size: 8 }));
  });

  it('whose shares are easier than the contract’s gives no work, and with harder ones it does', async () => {
    const stand = await subscribed({ pools: ['p'] });
    const at = (difficulty: number) => ({ target: targetOfDifficulty(difficulty) });
    stand.pool.gives(poolJob(1, 1, at(2 ** -29 * 0.999)));
    await stand.time.settle();
    expect(gone(stand)).toEqual(['pool_target']);
    const easiest = await stand.given(poolJob(1, 2, at(2 ** -29)));
    expect(easiest.shareTarget).toBe(targetOfDifficulty(2 ** -29));
    const hardest = await stand.given(poolJob(1, 3, at(2 ** 10)));
    expect(hardest.shareTarget).toBe(targetOfDifficulty(SHARE));
    stand.pool.gives(poolJob(1, 4, at(2 ** -40)));
    await stand.time.settle();
    expect(stand.peer.gone.at(-1)).toMatchObject({
      ...{ all: true, code: 'maker_work_down', ids: [easiest.id, hardest.id] },
    });
  });

  it('that gives more jobs than a miner takes has the newest relayed as soon as it may be', async () => {
    const stand = await subscribed({ pools: ['p'] });
    const most = LIMITS.peerWorkJobs / 2;
    for (let mark = 0; mark < most + 3; mark += 1) stand.pool.gives(poolJob(1, mark));
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(most);
    await stand.time.advance(249);
    expect(stand.peer.jobs).toHaveLength(most);
    await stand.time.advance(10_000);
    expect(stand.peer.jobs).toHaveLength(most + 1);
    expect(stand.peer.jobs.at(-1)).toMatchObject({ coinb2: offer(1, most + 2).coinb2 });
    // Another block waits for nothing, and what waited on the one before is not given any more.
    for (let mark = 0; mark < most + 3; mark += 1) stand.pool.gives(poolJob(1, 10_000 + mark));
    const before = stand.peer.jobs.length;
    stand.pool.gives(poolJob(2, 1));
    await stand.time.advance(10_000);
    const { jobs } = stand.peer;
    expect(jobs.at(-1)).toMatchObject({ prevHash: offer(2, 1).prevHash, clean: true });
    expect(jobs.length).toBeGreaterThan(before);
    expect(jobs.findIndex(({ clean }, at) => at > 0 && clean)).toBe(jobs.length - 1);
  });

  it('that gives the same job again gives no other, which is counted', async () => {
    const stand = await subscribed({ pools: ['p'] });
    await stand.given(poolJob(1, 1));
    for (let again = 0; again < 2; again += 1) stand.pool.gives(poolJob(1, 1));
    await stand.time.settle();
    expect(stand.peer.jobs).toHaveLength(1);
    expect(stand.binding.work).toMatchObject({ jobsGiven: 1, notGiven: { equal: 2 } });
  });

  it('that gave one extranonce1 to two contracts gives work to the first alone', async () => {
    const book = new PoolBook(['p']);
    const one = await working({ book, pools: ['p'] });
    const two = await subscribed({ book, pools: ['p'], contractId: 'c1'.repeat(32), time: one.stand.time });
    two.pool.gives(poolJob(1, 2));
    await two.time.settle();
    expect(two.peer.jobs).toEqual([]);
    expect(gone(two)).toEqual(['extranonce_shared']);
    one.stand.pool.fails();
    await two.given(poolJob(1, 3));
  });

  it('has its account: what it accepted by its own difficulty, what was credited, and both verdicts', async () => {
    const { stand, own, job } = await working();
    const [share] = stand.mine(job, 1, { isSolution: true });
    expect(await stand.show(own, share!)).toBe('accepted');
    stand.pool.verdict = { outcome: 'refused', code: 21, reason: 'stale', rttMs: 1 };
    const [second] = stand.mine(job, 1, { isSolution: true });
    expect(await stand.show(own, second!)).toBe('refused stale');
    expect(await stand.take([share!, second!, ...stand.mine(job, 1, { isSolution: false })])).toBe(
      'ok ok ok',
    );
    expect(stand.book.figures[0]).toMatchObject({
      ...{ name: 'p', connections: 1, lateSolutions: 0, lastRefusal: 'stale' },
      solutions: { accepted: 1, refused: 1, timeout: 0, lost: 0 },
      acceptedWorkHashes: shareTargetOf(SOLUTION).workHashes,
      creditedWorkHashes: 3n * shareTargetOf(SHARE).workHashes,
      verdicts: { weAcceptedTheyAccepted: 1, weAcceptedTheyRejected: 1 },
    });
  });

  it('owes for what was credited and came to the disk, and for nothing else', async () => {
    const { stand, job } = await working();
    const share = shareTargetOf(SHARE).workHashes;
    await stand.take(stand.mine(job, 1, { isSolution: false }));
    expect(stand.accounts.accountOf('p').unpaidHashes).toBe(share);
    stand.ledger.failNext(new CodedError('ledger_io'));
    await stand.take(stand.mine(job, 1, { isSolution: false })).catch(() => {});
    const again = new PoolAccounts(['p'], stand.ledger);
    await again.load();
    expect(again.accountOf('p').creditedHashes).toBe(share);
  });

  it('is left a while after the miner, and with the contract', async () => {
    const { stand } = await working();
    stand.peer.drop();
    await stand.time.settle();
    await stand.time.advance(59_000);
    expect(stand.pool.isStopped).toBe(false);
    expect(stand.book.figures.map(({ connections }) => connections)).toEqual([1, 0]);
    await stand.time.advance(1_000);
    expect(stand.pools.map(({ isStopped }) => isStopped)).toEqual([true, true]);
    expect(stand.book.figures.map(({ connections }) => connections)).toEqual([0, 0]);
    stand.peer = new ManualPeer();
    await stand.subscribe();
    expect(stand.pools).toHaveLength(4);
    await stand.given(poolJob(1, 7), stand.pools[2]);
  });

  it('is left when the channel closes, and what is on disk goes when it is closed', async () => {
    const { stand } = await working();
    const onDisk = async (): Promise<number> => (await stand.files.read(stand.contractId)).length;
    await stand.time.advance(10_000);
    expect([stand.pool.isStopped, await onDisk()]).toEqual([false, 1]);
    stand.channelStatus = 'closing';
    await stand.time.advance(10_000);
    expect([stand.pool.isStopped, await onDisk()]).toEqual([true, 1]);
    stand.channelStatus = 'closed';
    Object.defineProperty(stand.store, 'isClosed', { value: true });
    await stand.time.advance(10_000);
    expect(await onDisk()).toBe(0);
  });

  it('is held for a few processes of a miner, and not for each that it makes up', async () => {
    const { stand } = await working();
    const others = LIMITS.peerWorkInstances - 1;
    const instances = Array.from({ length: others + 5 }, (_, index) =>
      `${index % 10}${index > 9 ? 1 : 0}`.repeat(16),
    );
    for (const instance of instances.slice(0, others)) await stand.subscribe(instance);
    await expect(stand.subscribe(instances[others])).rejects.toMatchObject({ code: 'too_often' });
    // The one that is known is no new one.
    await stand.subscribe();
    const held = () => stand.pools.filter(({ isStopped }) => !isStopped).length / 2;
    expect(held()).toBe(LIMITS.peerWorkInstances);
    for (const instance of instances.slice(others)) {
      await stand.time.advance(15_000);
      await stand.subscribe(instance);
      expect(held()).toBeLessThanOrEqual(LIMITS.peerWorkInstances);
    }
    expect(stand.pools).toHaveLength(2 * (instances.length + 1));
  });

  it('is opened for nobody who is gone before its turn', async () => {
    const stand = new WorkStand();
    await stand.binding.load();
    stand.binding.subscribe(stand.peer.rpc, { contractId: stand.contractId, instance: INSTANCE });
    stand.peer.drop();
    await stand.time.settle();
    expect(stand.pools).toEqual([]);
  });

  it('gives a miner that comes back its newest job', async () => {
    const { stand } = await working();
    stand.peer.drop();
    await stand.time.settle();
    stand.pool.gives(poolJob(1, 2));
    await stand.time.settle();
    stand.peer = new ManualPeer();
    await stand.subscribe();
    await stand.time.settle();
    expect(stand.peer.jobs.map(({ coinb1 }) => coinb1)).toContainEqual(poolJob(1, 2).coinb1);
  });

  it('goes on for a miner that comes back', async () => {
    const { stand, own } = await working();
    stand.peer.drop();
    await stand.time.settle();
    await stand.time.advance(30_000);
    stand.peer = new ManualPeer();
    await stand.subscribe();
    await stand.time.advance(60_000);
    expect(stand.pool.isStopped).toBe(false);
    expect(stand.peer.jobs.map(({ id }) => id)).toEqual([own.id]);
  });
});

describe('a solution', () => {
  it('is sent to the pool at once, in its own words, and once', async () => {
    const { stand, own, job } = await working();
    const [share] = stand.mine(job, 1, { isSolution: true });
    expect(await stand.show(own, share!)).toBe('accepted');
    expect(await stand.show(own, share!)).toBe('accepted');
    expect(stand.pool.submitted).toEqual([
      {
        job: poolJob(1, 1),
        extranonce2: concat(new Uint8Array(2), share!.extranonce1, share!.extranonce2),
        ...{ ntime: share!.ntime, nonce: share!.nonce, versionBits: share!.version & 0x1fff_e000 },
      },
    ]);
    expect(await stand.take([share!])).toBe('ok');
    expect(stand.pool.submitted).toHaveLength(1);
    expect(stand.binding.work).toMatchObject({ solutions: 1, lateSolutions: 0 });
  });

  it('credits nothing by itself', async () => {
    const { stand, own, job } = await working();
    await stand.show(own, stand.mine(job, 1, { isSolution: true })[0]!);
    expect(stand.store.delivery.verifiedWorkHashes).toBe(0n);
  });

  it('that is none is refused', async () => {
    const { stand, own, job } = await working();
    const [plain] = stand.mine(job, 1, { isSolution: false });
    const [good] = stand.mine(job, 1, { isSolution: true });
    expect(await stand.show(own, plain!)).toBe('share_low');
    expect(await stand.show(own, good!, { extranonce2: new Uint8Array(9) })).toBe('share_bad');
    expect(await stand.show(own, good!, { version: 0x6000_0000 })).toBe('share_bad');
    expect(await stand.show(own, good!, { id: own.id + 1000 })).toBe('share_unbound');
    expect(await stand.show(own, good!, { id: 1 })).toBe('share_stale');
    expect(stand.pool.submitted).toEqual([]);
  });

  it('of a job that went with its pool is lost, and said to be', async () => {
    const { stand, own, job } = await working();
    const [share] = stand.mine(job, 1, { isSolution: true });
    stand.binding.stop();
    const again = await subscribed({ files: stand.files, time: stand.time });
    expect(await again.show(own, share!)).toBe('lost maker_work_down');
  });

  it('of a job of an earlier run is not late, and one of a new job is', async () => {
    const { stand, own, job } = await working();
    const shares = stand.mine(job, 5, { isSolution: true });
    for (const share of shares) await stand.show(own, share);
    stand.binding.stop();
    const again = await subscribed({ files: stand.files, time: stand.time });
    await again.batches.announce(job, own.id);
    expect(await again.take(shares)).toBe('ok ok ok ok ok');
    expect(again.book.figures[0]).toMatchObject({ lateSolutions: 0, solutions: { lost: 0 } });
    const next = await again.given(poolJob(1, 2));
    const made = await again.announce(next, { id: 2 });
    expect(await again.take(again.mine(made, 3, { isSolution: true }))).toBe('ok ok late_solutions');
    expect(again.binding.work).toMatchObject({ solutions: 3, lateSolutions: 3 });
  });

  it('is not taken more often than twice what was agreed', async () => {
    const terms = workTerms();
    const binding = { ...terms.binding, solutionsPerMinute: 8 } as typeof terms.binding;
    const { stand, own, job } = await working({ terms: workTerms({ binding }) });
    const shares = stand.mine(job, 17, { isSolution: true });
    const said: string[] = [];
    for (const share of shares) said.push(await stand.show(own, share));
    expect(said.filter((word) => word === 'accepted')).toHaveLength(16);
    expect(said.at(-1)).toBe('too_often');
    // Beyond the rate nothing need be shown.
    expect(await stand.take(shares)).toBe(shares.map(() => 'ok').join(' '));
    expect(stand.binding.work).toMatchObject({ solutions: 17, lateSolutions: 0 });
  });

  it('that first comes in a batch is sent then, and counted; too many pause the credit for a minute', async () => {
    const { stand, job } = await working();
    const late = (): Promise<string> => stand.take(stand.mine(job, 1, { isSolution: true }));
    const plain = (): Promise<string> => stand.take(stand.mine(job, 1, { isSolution: false }));
    expect([await late(), await late(), await plain()]).toEqual(['ok', 'ok', 'ok']);
    expect(stand.pool.submitted).toHaveLength(2);
    expect(stand.book.figures[0]!.lateSolutions).toBe(2);
    expect([await late(), await plain()]).toEqual(['late_solutions', 'late_solutions']);
    expect(stand.pool.submitted).toHaveLength(3);
    await stand.time.advance(59_999);
    expect(await plain()).toBe('late_solutions');
    await stand.time.advance(1);
    expect(await plain()).toBe('ok');
    expect(await late()).toBe('late_solutions');
  });

  it('is counted over a restart, where its batch came to the disk', async () => {
    const { stand, own, job } = await working();
    const [shown, ...late] = stand.mine(job, 3, { isSolution: true });
    await stand.show(own, shown!);
    expect(await stand.take([shown!, ...late])).toBe('ok ok ok');
    expect(await stand.take(stand.mine(job, 1, { isSolution: false }))).toBe('ok');
    stand.binding.stop();
    const { files, time, ledger } = stand;
    const again = await subscribed({ files, time, ledger });
    expect(again.binding.work).toMatchObject({ solutions: 3, lateSolutions: 2, isPaused: false });
    const next = await again.announce(await again.given(poolJob(2, 2)), { id: 2 });
    expect(await again.take(again.mine(next, 1, { isSolution: true }))).toBe('late_solutions');
    again.binding.stop();
    const last = await subscribed({ files, time, ledger });
    expect(last.binding.work).toMatchObject({ solutions: 4, lateSolutions: 3 });
  });

  it('is late beyond the part that the terms allow, and not up to it', async () => {
    const { stand, own, job } = await working({ terms: workTerms({ latePpm: 300_000 }) });
    const shares = stand.mine(job, 7, { isSolution: true });
    for (const share of shares) await stand.show(own, share);
    await stand.take(shares);
    const late = (): Promise<string> => stand.take(stand.mine(job, 1, { isSolution: true }));
    // 3 of 10 are allowed, 4 of 11 are not.
    expect([await late(), await late(), await late(), await late()]).toEqual([
      ...['ok', 'ok', 'ok', 'late_solutions'],
    ]);
  });

  it('is sent in a pause too', async () => {
    const { stand, job } = await working();
    await stand.take(stand.mine(job, 5, { isSolution: true }));
    expect(stand.pool.submitted).toHaveLength(5);
    expect(stand.binding.work).toMatchObject({ solutions: 5, lateSolutions: 5, isPaused: true });
  });
});

describe('the share target of a job', () => {
  it('is never harder than the pool’s, is within the terms, and some difficulty has it', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 2 ** -31, max: 2 ** 40, noNaN: true }),
        fc.double({ min: 2 ** -30, max: 2 ** 20, noNaN: true }),
        fc.double({ min: 1, max: 1e6, noNaN: true }),
        (poolDifficulty, easiest, range) => {
          const hex = (difficulty: number): string =>
            targetOfDifficulty(difficulty).toString(16).padStart(64, '0');
          const terms = workTerms({
            target: { easiestHex: hex(easiest), hardestHex: hex(easiest * range) },
          });
          const poolTarget = targetOfDifficulty(poolDifficulty);
          const target = shareTargetFor(terms, poolTarget);
          if (poolTarget > targetOfDifficulty(easiest)) {
            expect(target).toBeUndefined();
            return;
          }
          if (target === undefined) throw new Error('no target for a pool in the range');
          expect(target).toBeGreaterThanOrEqual(poolTarget);
          expect(target).toBeLessThanOrEqual(targetOfDifficulty(easiest));
          expect(target).toBeGreaterThanOrEqual(targetOfDifficulty(easiest * range));
        },
      ),
    );
  });

  it('that no difficulty has, as of nBits, is the next a little easier', () => {
    const odd = 2n ** 230n + 12_345_678_901_234_567_890_123_456_789n;
    const target = shareTargetFor(
      workTerms({ target: { easiestHex: '7f'.repeat(32), hardestHex: '01'.padStart(64, '0') } }),
      odd,
    )!;
    expect(target).toBeGreaterThan(odd);
    expect(target - odd).toBeLessThan(odd / 1_000_000n);
  });
});
