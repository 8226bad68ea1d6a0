import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { BlockStatus, TipTracker } from '../../src/chain/tip-tracker.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { BatchVerifier, DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { coinbaseBinding } from '../../src/maker/job-binding.ts';
import type { WireShare } from '../../src/peer/messages.ts';
import { type JobRecord, jobRecordOf, unpackShares } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import {
  CURRENT,
  GRACE_MS,
  mine,
  Stand,
  type StandOptions,
  stand,
  W,
  WHOLE,
  world,
} from './batch-stand.ts';
import { SHARE, World } from './world.ts';

describe('a batch whose write is refused', () => {
  it('is as if it had not come: nothing is credited, and all of it when it comes again', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ size: fc.integer({ min: 1, max: 3 }), refusals: fc.integer({ min: 0, max: 2 }) }),
          {
            minLength: 1,
            maxLength: 5,
          },
        ),
        async (batches) => {
          const { batches: verifier, ledger, store, ...rest } = await standOf();
          let credited = 0;
          for (const { size, refusals } of batches) {
            const shares = mine(rest.job, size);
            const before = { ...store.delivery, ...store.evidence };
            for (let refusal = 0; refusal < refusals; refusal += 1) {
              ledger.failNext(new CodedError('overload'));
              expect(await rest.take(shares)).toBe('overload');
              expect({ ...store.delivery, ...store.evidence }).toEqual(before);
              expect(verifier.stats).toEqual({ sharesCredited: credited, refused: {} });
              expect(rest.verifier.credited.size).toBe(credited);
            }
            expect(await rest.take(shares)).toBe(shares.map(() => 'ok').join(' '));
            credited += size;
            expect(store.delivery).toMatchObject({
              nextSeq: credited,
              verifiedWorkHashes: BigInt(credited) * W,
            });
          }
          const rows = await ledger.readLog('share', world.contractId, 0, 1000);
          expect(rows.flatMap(({ body }) => unpackShares(body))).toHaveLength(credited);
          expect(await ledger.list('job')).toHaveLength(1);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is judged again as it was, also what is refused for another reason than its hash', async () => {
    const made = new Stand({ terms: { workTotalHashes: 2n * SHARE.workHashes } });
    await made.announce();
    const shares = mine(made.job, 3);
    const [first] = shares;
    const judged = 'ok ok over_budget share_duplicate';
    for (let time = 0; time < 3; time += 1) {
      made.ledger.failNext(new CodedError('overload'));
      expect(await made.take([...shares, first!])).toBe('overload');
      expect(made.verifier.credited.size).toBe(0);
    }
    expect(await made.take([...shares, first!])).toBe(judged);
    expect(made.batches.stats).toEqual({
      sharesCredited: 2,
      refused: { over_budget: 1, share_duplicate: 1 },
    });
  });

  it('keeps what was credited before it, and refuses a share of that again', async () => {
    const { ledger, job, ...rest } = await standOf();
    const [first, second] = mine(job, 2);
    expect(await rest.take([first!])).toBe('ok');
    ledger.failNext(new CodedError('overload'));
    expect(await rest.take([first!, second!])).toBe('overload');
    expect(await rest.take([first!, second!, second!])).toBe('share_duplicate ok share_duplicate');
  });

  it('fails with a failed ledger, and so does each after it', async () => {
    const made = await stand();
    const shares = mine(made.job, 2);
    made.ledger.failNext(new CodedError('ledger_io'));
    expect([await made.take(shares), await made.take(shares)]).toEqual([
      'channel_frozen',
      'channel_frozen',
    ]);
    expect(made.store.delivery).toMatchObject({ nextSeq: 0, verifiedWorkHashes: 0n });
    expect(made.batches.stats).toEqual({ sharesCredited: 0, refused: {} });
  });

  async function standOf() {
    const made = await stand();
    const { batches, ledger, store, job, verifier } = made;
    return {
      batches,
      ledger,
      store,
      job,
      verifier,
      take: (shares: readonly WireShare[]) => made.take(shares),
    };
  }
});

describe('a batch', () => {
  it('has the number that is next: one that lies changes nothing', async () => {
    const made = await stand({ delivery: { nextSeq: 7 } });
    const shares = mine(made.job, 2);
    for (const seq of [0, 6, 8, 9, Number.MAX_SAFE_INTEGER - 2]) {
      expect(await made.take(shares, seq)).toBe('bad_sequence');
    }
    expect(made.verifier.credited.size).toBe(0);
    expect(await made.take(shares, 7)).toBe('ok ok');
    expect(await made.take(shares, 7)).toBe('bad_sequence');
    expect(made.store.delivery).toMatchObject({ nextSeq: 9, verifiedWorkHashes: 2n * W });
  });

  it.each([
    ['one hash below', 3n * W - 1n, 3],
    ['equal', 3n * W, 3],
    ['one hash above', 3n * W + 1n, 4],
  ])(
    'is credited up to the total, and the share that reaches it is the last: %s',
    async (_how, total, count) => {
      const codes = Array.from({ length: 6 }, (_, index) => (index < count ? 'ok' : 'over_budget'));
      for (const sizes of [[6], [1, 5], [count, 6 - count], [1, 1, 1, 1, 1, 1]]) {
        const made = await stand({ terms: { workTotalHashes: total } });
        const said: string[] = [];
        for (const size of sizes) said.push(await made.take(mine(made.job, size)));
        expect(said.join(' ')).toBe(codes.join(' '));
        expect(made.store.delivery.verifiedWorkHashes).toBe(BigInt(count) * W);
      }
    },
  );

  it('of another contract is refused where its shares were paid: one memory for all', async () => {
    const one = await stand();
    const other = new Stand({ verifier: one.verifier, time: one.time });
    await other.announce(one.job);
    const shares = mine(one.job, 2);
    expect(await one.take(shares)).toBe('ok ok');
    expect(await other.take(shares)).toBe('share_duplicate share_duplicate');
  });

  it('has shares of the last second, of the bits of its job, and of the target, and none beyond', async () => {
    const made = await stand({ options: { fixedTarget: true } });
    const { job } = made;
    const ahead = job.time + 7200;
    expect(
      await made.take([...mine(job, 1, { ntime: ahead }), ...mine(job, 1, { ntime: ahead + 1 })]),
    ).toBe('ok bad_ntime');
    expect(await made.take(mine(job, 1, { ntime: job.time - 1 }))).toBe('bad_ntime');
    expect(await made.take(mine(job, 1, { version: job.version ^ 0x1fffe000 }))).toBe('ok');
    // Bits that some session may roll, and this job does not allow.
    const narrow = { ...world.job(), versionMask: 0x00002000 };
    await made.announce(narrow);
    expect(await made.take(mine(narrow, 1, { version: narrow.version ^ 0x00002000 }))).toBe('ok');
    for (const bit of [0x00001000, 0x00004000, 0x10000000, 0x20000000]) {
      expect(await made.take(mine(narrow, 1, { version: (narrow.version ^ bit) >>> 0 }))).toBe('share_bad');
    }
    const [share] = mine(job, 1);
    expect(await made.take([{ ...share!, difficulty: SHARE.difficulty * 2 }])).toBe('share_low');
    expect(await made.take([{ ...share!, difficulty: SHARE.difficulty / 2 }])).toBe('share_low');
    expect(await made.take([{ ...share!, extranonce2: new Uint8Array(5) }])).toBe('share_bad');
    expect(await made.take([share!])).toBe('ok');
  });

  it('of junk costs its allowance, which comes back with time', async () => {
    const made = await stand();
    const junk = mine(made.job, 1).map((share) => ({ ...share, jobId: 999 }));
    const flood = Array.from({ length: LIMITS.peerJunkShares }, () => junk[0]!);
    expect(await made.take(flood)).toMatch(/^share_bad( share_bad)*$/);
    expect(await made.one()).toBe('ok');
    expect(await made.take(junk)).toBe('share_bad');
    expect(await made.one()).toBe('too_often');
    await made.time.advance(15);
    expect(await made.one()).toBe('too_often');
    await made.time.advance(1);
    expect(await made.one()).toBe('ok');
    await made.time.advance(63_999);
    expect(await made.take([...flood.slice(1), junk[0]!])).toMatch(/^share_bad/);
    expect(made.batches.stats.refused).toEqual({ share_bad: 2 * LIMITS.peerJunkShares + 1 });
  });

  it('that is late, or beyond the total, costs none', async () => {
    const made = await stand({ terms: { workTotalHashes: W } });
    expect(await made.one()).toBe('ok');
    const late = Array.from({ length: LIMITS.peerJunkShares + 1 }, () => ({ ntime: 0 }));
    const [share] = mine(made.job, 1);
    expect(await made.take(late.map((each) => ({ ...share!, ...each })))).toMatch(/^bad_ntime/);
    expect(await made.one()).toBe('over_budget');
  });

  it('names so many blocks, and asks once about each', async () => {
    const made = await stand();
    const jobs = Array.from({ length: LIMITS.peerBatchBlocks + 2 }, (_, index) => ({
      ...world.job(),
      prevHash: new Uint8Array(32).fill(index + 1),
    }));
    for (const job of jobs) await made.announce(job);
    const shares = jobs.flatMap((job) => mine(job, 2));
    const said = (await made.take(shares)).split(' ');
    expect(said.slice(0, 2 * LIMITS.peerBatchBlocks).every((code) => code === 'ok')).toBe(true);
    expect(said.slice(2 * LIMITS.peerBatchBlocks)).toEqual(Array<string>(4).fill('stale_race'));
    expect(made.asked).toBe(LIMITS.peerBatchBlocks);
    expect(made.hits).toEqual({ peerBatchBlocks: 2 });
  });
});

describe('a share on a block', () => {
  const superseded = (sinceMonotonicMs: number, height = 10): BlockStatus => ({
    ...{ status: 'superseded', height, bits: 1, sinceMonotonicMs },
  });

  it('that was replaced is taken to the last ms of the grace', async () => {
    const made = await stand();
    for (const [ago, code] of [
      [GRACE_MS, 'ok'],
      [GRACE_MS + 1, 'stale_race'],
      [2 * GRACE_MS, 'stale_race'],
      [2 * GRACE_MS + 1, 'share_stale'],
      [0, 'ok'],
      [Number.POSITIVE_INFINITY, 'share_stale'],
    ] as const) {
      made.block = superseded(made.now - ago);
      expect(await made.one()).toBe(code);
    }
  });

  it('of before a loss of the ledger is never taken, current or not', async () => {
    const made = await stand({ delivery: { restoredHeight: 10 } });
    for (const [height, code] of [
      [9, 'maker_restored'],
      [10, 'maker_restored'],
      [11, 'ok'],
    ] as const) {
      made.block = { ...CURRENT, height };
      expect(await made.one()).toBe(code);
      made.block = superseded(made.now, height);
      expect(await made.one()).toBe(code);
    }
  });

  it('that the own node lacks is waited for, once for a batch, and taken when it comes in time', async () => {
    for (const [comesAtMs, code] of [
      [4900, 'ok ok'],
      [5000, 'ok ok'],
      [5001, 'stale_race stale_race'],
    ] as const) {
      const made = await stand({ options: { unknownBlockWaitMs: 5000 } });
      made.block = { status: 'unknown' };
      const took = made.take(mine(made.job, 2));
      await made.time.settle();
      made.time.timers.after(comesAtMs, () => {
        made.block = CURRENT;
      });
      for (let passedMs = 0; passedMs < 6000; passedMs += 100) await made.time.advance(100);
      expect(await took).toBe(code);
    }
  });

  /** A miner that was away for a time, and is back. `seen` is a share on a block replaced at that time. */
  async function backlogOf(
    awayMs: number,
    options: StandOptions = {},
  ): Promise<{
    made: Stand;
    backAtMs: number;
    seen: (sinceMs: number, afterMs?: number) => Promise<string>;
  }> {
    const made = await stand(options);
    await made.time.advance(awayMs);
    made.batches.openBacklog();
    const backAtMs = made.now;
    const seen = async (sinceMs: number, afterMs = GRACE_MS * 4): Promise<string> => {
      if (backAtMs + afterMs > made.now) await made.time.advance(backAtMs + afterMs - made.now);
      made.block = superseded(sinceMs);
      return made.one();
    };
    return { made, backAtMs, seen };
  }

  it('replaced while the miner was away is taken, from its last contact less the grace on', async () => {
    const { backAtMs, seen } = await backlogOf(3_600_000, { terms: { maxUnpaidSteps: 10 } });
    const fromMs = backAtMs - 3_600_000 - GRACE_MS;
    expect(await seen(fromMs)).toBe('ok');
    // Its last shares may have been found before it saw that block.
    expect(await seen(fromMs - 1)).toBe('stale_race');
    expect(await seen(fromMs - 30_000)).toBe('stale_race');
    expect(await seen(fromMs - 30_001)).toBe('share_stale');
    expect(await seen(backAtMs)).toBe('ok');
    expect(await seen(backAtMs + 1)).toBe('share_stale');
    expect(await seen(backAtMs, 600_000)).toBe('ok');
    expect(await seen(backAtMs, 600_001)).toBe('share_stale');
  });

  it('is taken no older than the terms say, and six hours where they do not', async () => {
    const { proposed } = new World({ isVersion3: true });
    const saying = (backlogMinutes: number): StandOptions => ({
      proposed: { ...proposed, backlogMinutes } as ContractTerms,
    });
    for (const [minutes, options] of [
      [360, {}],
      [5, saying(5)],
      [0, saying(0)],
      [1440, saying(1440)],
    ] as const) {
      const { backAtMs, seen } = await backlogOf(minutes * 60_000 + 1, options);
      const oldestMs = backAtMs - minutes * 60_000 - GRACE_MS;
      expect(await seen(oldestMs), `${minutes} minutes`).toBe('ok');
      expect(await seen(oldestMs - 1), `${minutes} minutes`).toBe('stale_race');
      expect(await seen(oldestMs - 30_001), `${minutes} minutes`).toBe('share_stale');
    }
  });

  it('is taken for one step more than may be unpaid, to the hash; the grace costs none of it', async () => {
    const { made, backAtMs, seen } = await backlogOf(3_600_000, {
      terms: { maxUnpaidSteps: 1, stepHashes: 2n * W },
    });
    made.block = superseded(made.now);
    expect(await made.take(mine(made.job, 5))).toBe('ok ok ok ok ok');
    await seen(backAtMs);
    expect(await made.take(mine(made.job, 4))).toBe('ok ok ok stale_race');
    // Nor by another reconnect: the maker has heard of the miner since.
    made.batches.contactAtMonotonicMs = made.now;
    made.batches.openBacklog();
    expect(await made.one()).toBe('stale_race');
  });

  it('is taken for one backlog, though the miner drops its link after each block', async () => {
    const { made } = await backlogOf(3_600_000, { terms: { maxUnpaidSteps: 1, stepHashes: 2n * W } });
    let sold = 0;
    for (let block = 0; block < 5; block += 1) {
      made.batches.contactAtMonotonicMs = made.now;
      made.block = superseded(made.now);
      await made.time.advance(GRACE_MS * 4);
      made.batches.openBacklog();
      sold += (await made.take(mine(made.job, 6))).split(' ').filter((each) => each === 'ok').length;
    }
    expect(sold).toBe(4);
    // Six hours bring it back.
    await made.time.advance(6 * 3_600_000);
    made.batches.contactAtMonotonicMs = made.now;
    made.block = superseded(made.now);
    await made.time.advance(GRACE_MS * 4);
    made.batches.openBacklog();
    expect(await made.take(mine(made.job, 5))).toBe('ok ok ok ok stale_race');
  });

  it('is taken though the link broke again before any of it was shown', async () => {
    const made = await stand();
    made.block = superseded(made.now);
    await made.time.advance(GRACE_MS * 3);
    made.batches.openBacklog();
    await made.time.advance(GRACE_MS * 3);
    made.batches.openBacklog();
    expect(await made.one()).toBe('ok');
    await made.time.advance(600_001);
    made.batches.openBacklog();
    expect(await made.one()).toBe('share_stale');
  });

  it('costs nothing of it where its batch is not written, or it is none', async () => {
    const { made, backAtMs, seen } = await backlogOf(3_600_000, {
      terms: { maxUnpaidSteps: 1, stepHashes: 2n * W },
    });
    await seen(backAtMs);
    const shares = mine(made.job, 3);
    made.ledger.failNext(new CodedError('overload'));
    expect(await made.take(shares)).toBe('overload');
    const same = 'share_duplicate share_duplicate share_duplicate';
    expect(await made.take([...shares, ...shares, ...mine(made.job, 1)])).toBe(
      `ok ok ok ${same} stale_race`,
    );
  });

  it('is late without a backlog, and after a contact there is none of before', async () => {
    const made = await stand();
    made.block = superseded(made.now);
    await made.time.advance(GRACE_MS + 1);
    expect(await made.one()).toBe('stale_race');
    made.batches.openBacklog();
    expect(await made.one()).toBe('ok');
  });

  it('while the program was not running counts as time away, whatever the wall clock says', async () => {
    const time = new VirtualTime();
    const since = async (contactAtMs: (nowMs: number) => number): Promise<number> => {
      const probe = new Stand({ time });
      const made = new Stand({ time, delivery: { contactAtMs: contactAtMs(probe.time.clock.nowMs()) } });
      return made.now - made.batches.contactAtMonotonicMs;
    };
    expect(await since(() => 0)).toBe(0);
    // The clock may have been set by two minutes meanwhile.
    expect(await since((nowMs) => nowMs - 90_000)).toBe(210_000);
    expect(await since((nowMs) => nowMs + 90_000)).toBe(120_000);
    expect(await since(() => 1)).toBe(6 * 3_600_000);
  });
});

describe('a job', () => {
  it('is one thing: another of its id is refused, also when only the ledger knows the first', async () => {
    const made = await stand();
    const other = { ...made.job, time: made.job.time + 1 };
    await expect(made.announce(other)).rejects.toMatchObject({ code: 'equivocation' });
    await expect(made.announce()).resolves.toBeUndefined();
    expect(await made.one()).toBe('ok');
    const again = new BatchVerifier(made.store, DEFAULT_BATCH_VERIFIER_OPTIONS, {
      view: { standing: async () => CURRENT } as unknown as TipTracker,
      ...{ verifier: made.verifier, restored: WHOLE, clock: made.time.clock, timers: made.time.timers },
      binding: coinbaseBinding(made.store.terms),
    });
    await expect(again.announce(jobRecordOf(other))).rejects.toMatchObject({ code: 'equivocation' });
    const batch = {
      contractId: world.contractId,
      firstSeq: 1,
      shares: ShareRows.of(mine(made.job, 1)),
      workTotal: 0n,
    };
    expect(await again.take(batch)).toMatchObject({ nextSeq: 2, refused: [] });
  });

  it('that was never credited is forgotten with the process, and its shares are bad', async () => {
    const made = new Stand();
    expect(await made.one()).toBe('share_bad');
    await made.announce();
    expect(await made.one()).toBe('ok');
  });

  it('as large as may be with each share lets others have their turn in between', async () => {
    const made = new Stand();
    const large = (): JobRecord => ({ ...jobRecordOf(world.job()), coinb2: new Uint8Array(256 * 1024) });
    const perTurn = LIMITS.peerHashBytesPerTurn / (256 * 1024);
    let turns = 0;
    const { afterTurn } = made.time.timers;
    Object.assign(made.time.timers, {
      afterTurn: (task: () => void) => {
        turns += 1;
        return afterTurn.call(made.time.timers, task);
      },
    });
    for (let count = 0; count < 4 * perTurn; count += 1) {
      const announced = made.batches.announce(large());
      await made.time.settle();
      await announced;
    }
    expect(turns).toBeGreaterThanOrEqual(4);
    expect(made.hits['peerHashBytesPerTurn']).toBe(turns);
  });

  it('in a full memory makes room by those that are on disk first', async () => {
    const made = await stand();
    expect(await made.one()).toBe('ok');
    for (let index = 0; index < LIMITS.peerJobs; index += 1) await made.announce(world.job());
    expect(made.hits).toEqual({ peerJobs: 1 });
    // Read again from the ledger.
    expect(await made.one()).toBe('ok');
  });

  it('in a full memory makes room by the oldest where none is on disk: its shares are bad', async () => {
    const made = await stand();
    const [oldest, second] = [made.job, world.job()];
    await made.announce(second);
    for (let index = 2; index < LIMITS.peerJobs; index += 1) await made.announce(world.job());
    expect(made.hits).toEqual({});
    await made.announce(world.job());
    expect(made.hits).toEqual({ peerJobs: 1 });
    expect([await made.take(mine(second, 1)), await made.take(mine(oldest, 1))]).toEqual([
      ...['ok', 'share_bad'],
    ]);
  });

  it('takes so many bytes of that memory, of what is put by the jobs that left too', async () => {
    const made = new Stand();
    const coinb2 = new Uint8Array(1024 * 1024);
    const small = jobRecordOf(world.job());
    const bytes = small.coinb1.length + coinb2.length + small.extranonceSize + 32 * small.branches.length;
    const most = Math.floor(LIMITS.peerJobBytes / bytes);
    const announce = async (count: number): Promise<number> => {
      for (let index = 0; index < count; index += 1) {
        const announced = made.batches.announce({ ...jobRecordOf(world.job()), coinb2 });
        await made.time.settle();
        await announced;
      }
      return made.hits['peerJobBytes'] ?? 0;
    };
    expect(await announce(most)).toBe(0);
    expect(await announce(1)).toBe(1);
    expect(await announce(3)).toBe(4);
  });
});
