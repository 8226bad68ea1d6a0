import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { generationOf } from '../../src/shares/duplicates.ts';
import { type AcceptedShare, shareTargetOf } from '../../src/shares/share.ts';
import type { JobId } from '../../src/stratum/job-id.ts';
import { jobDocumentId, unpackShares } from '../../src/work/evidence.ts';
import { evidenceLines, readShares } from '../../src/work/evidence-lines.ts';
import { Meters, type StreamTotal, workOfShares } from '../../src/work/meters.ts';
import { type RememberOptions, rememberShares } from '../../src/work/recent-shares.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { overload, sampleJob, sampleShare } from './samples.ts';

const STREAMS = ['own:pool', 'aa', 'bb'] as const;
const TARGETS = [1, 0.001, 512, 65536.75].map(shareTargetOf);
const JOBS = STREAMS.flatMap((stream, index) => [1, 2, 3].map((id) => sampleJob(index * 10 + id, stream)));

/**
 * Distinct shares over several streams, jobs and targets; also equal targets that are not the same
 * object.
 */
const shares: fc.Arbitrary<AcceptedShare[]> = fc
  .array(fc.tuple(fc.nat(JOBS.length - 1), fc.nat(TARGETS.length - 1), fc.boolean()), { maxLength: 60 })
  .map((picks) =>
    picks.map(([job, target, fresh], number) => {
      const assigned = TARGETS[target]!;
      return sampleShare(JOBS[job]!, fresh ? shareTargetOf(assigned.difficulty) : assigned, number);
    }),
  );
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 });

function split(all: readonly AcceptedShare[], batchSizes: readonly number[]): AcceptedShare[][] {
  const out: AcceptedShare[][] = [];
  for (let at = 0, turn = 0; at < all.length; turn += 1) {
    const size = batchSizes[turn % batchSizes.length]!;
    out.push(all.slice(at, at + size));
    at += size;
  }
  return out;
}

const oneByOne = (all: readonly AcceptedShare[], stream: string): bigint =>
  all
    .filter((share) => share.submission.job.stream === stream)
    .reduce(
      (sum, share) => sum + workOfTarget(targetOfDifficulty(share.submission.assigned.difficulty)),
      0n,
    );

const totalsOf = (meters: Meters): StreamTotal[] => STREAMS.map((stream) => meters.total(stream));

/** Streams and hashes of what a restart remembers, in order. */
async function remembered(
  ledger: MemoryLedger,
  options: Omit<RememberOptions, 'jobKey'>,
): Promise<string[]> {
  const found: string[] = [];
  const jobKey = (_stream: string, jobId: JobId): string => jobDocumentId(jobId);
  const { shares } = await rememberShares(ledger, { ...options, jobKey }, (generation, bytes, at, stream) =>
    found.push(`${stream} ${generation} ${toHex(bytes.slice(at, at + 32))}`),
  );
  expect(shares).toBe(found.length);
  return found;
}

function namesOf(shares: readonly AcceptedShare[]): string[] {
  return shares.map(({ submission: { job }, hash }) => `${job.stream} ${generationOf(job)} ${toHex(hash)}`);
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of source) out.push(item);
  return out;
}

describe('credited work', () => {
  it('is the sum over the shares, whatever the batches and their order (I5, I8)', async () => {
    await fc.assert(
      fc.asyncProperty(shares, sizes, sizes, fc.nat(), async (all, one, two, rotate) => {
        const cut = all.length === 0 ? 0 : rotate % all.length;
        const turned = [...all.slice(cut), ...all.slice(0, cut)];
        const results: StreamTotal[][] = [];
        for (const batches of [split(all, one), split(turned, two), [all]]) {
          const ledger = new MemoryLedger();
          const meters = new Meters();
          await Promise.all(batches.map((batch) => meters.commit(ledger, batch)));
          results.push(totalsOf(meters));
          expect(totalsOf(await Meters.load(ledger))).toEqual(totalsOf(meters));
          expect(meters.pendingShares()).toBe(0);
        }
        const expected = STREAMS.map((stream) => ({
          seq: all.filter((share) => share.submission.job.stream === stream).length,
          workHashes: oneByOne(all, stream),
        }));
        expect(results).toEqual([expected, expected, expected]);
      }),
      { numRuns: 60 },
    );
  });

  it('is recomputed from the log, share by share', async () => {
    await fc.assert(
      fc.asyncProperty(shares, sizes, async (all, batchSizes) => {
        const ledger = new MemoryLedger();
        const meters = new Meters();
        for (const batch of split(all, batchSizes)) await meters.commit(ledger, batch);
        for (const stream of STREAMS) {
          const logged = await collect(readShares(ledger, stream));
          const work = logged.reduce(
            (sum, { share }) => sum + workOfTarget(targetOfDifficulty(share.difficulty)),
            0n,
          );
          expect({ seq: logged.length, workHashes: work }).toEqual(meters.total(stream));
          const mine = all.filter((share) => share.submission.job.stream === stream);
          expect(logged.map(({ share }) => share.hash)).toEqual(mine.map((share) => share.hash));
          await collect(evidenceLines(ledger, stream));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('counts shares of one target, and adds up many', () => {
    expect(workOfShares([])).toBe(0n);
    const job = JOBS[0]!;
    const mixed = Array.from({ length: 50 }, (_, n) =>
      sampleShare(job, TARGETS[(n * n) % TARGETS.length]!, n),
    );
    expect(workOfShares(mixed)).toBe(oneByOne(mixed, job.stream));
  });
});

describe('a batch', () => {
  it('has one log row a stream, the job before it the first time, and the total behind it', () => {
    const meters = new Meters();
    const [a, b, other] = [sampleJob(1), sampleJob(2), sampleJob(3, 'aa')];
    const target = TARGETS[0]!;
    const first = meters.credit([a, other, b, a].map((job, n) => sampleShare(job, target, n)));
    expect(
      first.entries.map((entry) => [
        entry.type,
        entry.kind,
        entry.type === 'log' ? entry.stream : entry.id,
      ]),
    ).toEqual([
      ['insert', 'job', '0000000000000001'],
      ['insert', 'job', '0000000000000002'],
      ['log', 'share', 'own:pool'],
      ['put', 'stream', 'own:pool'],
      ['insert', 'job', '0000000000000003'],
      ['log', 'share', 'aa'],
      ['put', 'stream', 'aa'],
    ]);
    expect(first.parts.map((part) => part.newJobs)).toEqual([[a, b], [other]]);
    const second = meters.credit([sampleShare(b, target, 9)]);
    expect(second.entries).toEqual([
      { type: 'log', kind: 'share', stream: 'own:pool', first: 3, count: 1, body: second.parts[0]!.body },
      { type: 'put', kind: 'stream', id: 'own:pool', body: `{"seq":4,"work":"${4n * target.workHashes}"}` },
    ]);
    expect(unpackShares(second.parts[0]!.body)[0]).toMatchObject({ jobId: 2, difficulty: 1 });
    expect(meters.credit([])).toEqual({ entries: [], parts: [] });
  });

  it('is credited only when it is durable', async () => {
    const ledger = new MemoryLedger();
    const meters = new Meters();
    ledger.hold();
    const done = meters.commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, 0)]);
    expect(meters.total('own:pool')).toEqual({ seq: 0, workHashes: 0n });
    expect(meters.pendingShares()).toBe(1);
    ledger.release();
    const credit = await done;
    expect(credit.parts[0]).toMatchObject({ stream: 'own:pool', first: 0, count: 1, status: 'durable' });
    expect(meters.total('own:pool')).toEqual({ seq: 1, workHashes: TARGETS[0]!.workHashes });
    expect(meters.stats).toEqual({ shares: 1, batches: 1, abandonedShares: 0 });
  });
});

describe('a batch that was not written', () => {
  it('gives back its place and takes down those behind it; log and totals stay one', async () => {
    await fc.assert(
      fc.asyncProperty(
        shares,
        sizes,
        fc.array(fc.boolean(), { maxLength: 12 }),
        async (all, batchSizes, fates) => {
          const ledger = new MemoryLedger();
          const meters = new Meters();
          const written: AcceptedShare[] = [];
          const seen: bigint[] = [];
          let open: Promise<unknown>[] = [];
          for (const [turn, batch] of split(all, batchSizes).entries()) {
            if (fates[turn] === true) ledger.failNext(overload());
            const commit = meters.commit(ledger, batch).then(
              () => {
                written.push(...batch);
                seen.push(STREAMS.reduce((sum, stream) => sum + meters.total(stream).workHashes, 0n));
              },
              (error: unknown) => expect(['overload', 'ledger_conflict']).toContain(codeOf(error)),
            );
            open.push(commit);
            if (turn % 3 === 2) {
              await Promise.all(open);
              open = [];
            }
          }
          await Promise.all(open);
          expect(meters.pendingShares()).toBe(0);
          for (const stream of STREAMS) {
            const logged = await collect(readShares(ledger, stream));
            expect(meters.total(stream)).toEqual({
              seq: logged.length,
              workHashes: oneByOne(written, stream),
            });
            await collect(evidenceLines(ledger, stream));
          }
          expect(seen).toEqual([...seen].sort((a, b) => (a < b ? -1 : 1)));
          expect(totalsOf(await Meters.load(ledger))).toEqual(totalsOf(meters));
          // After the storm the next batch goes through, on every stream.
          await meters.commit(
            ledger,
            JOBS.map((job, number) => sampleShare(job, TARGETS[0]!, 1000 + number)),
          );
        },
      ),
      { numRuns: 80 },
    );
  });

  it('leaves alone what is still being written before it', async () => {
    const ledger = new MemoryLedger();
    const meters = new Meters();
    const share = (number: number): AcceptedShare => sampleShare(JOBS[0]!, TARGETS[0]!, number);
    ledger.hold();
    const first = meters.commit(ledger, [share(0), share(1)]);
    meters.abandon(meters.credit([share(2)]));
    const third = meters.commit(ledger, [share(3)]);
    ledger.release();
    await Promise.all([first, third]);
    expect((await third).parts[0]).toMatchObject({ first: 2, workBefore: 2n * TARGETS[0]!.workHashes });
    expect(meters.total('own:pool')).toEqual({ seq: 3, workHashes: 3n * TARGETS[0]!.workHashes });
  });

  it('may be abandoned in any order', async () => {
    const ledger = new MemoryLedger();
    const meters = new Meters();
    const credits = [0, 1, 2].map((number) => meters.credit([sampleShare(JOBS[0]!, TARGETS[0]!, number)]));
    meters.abandon(credits[2]!);
    const late = meters.credit([sampleShare(JOBS[0]!, TARGETS[0]!, 3)]);
    meters.abandon(credits[1]!);
    meters.abandon(late);
    meters.abandon(credits[0]!);
    await meters.commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, 4)]);
    expect(meters.total('own:pool').seq).toBe(1);
    expect(meters.stats.abandonedShares).toBe(4);
    expect((await collect(evidenceLines(ledger, 'own:pool'))).length).toBe(2);
  });
});

describe('a restart', () => {
  it('goes on where the ledger ends', async () => {
    const ledger = new MemoryLedger();
    const before = new Meters();
    await before.commit(
      ledger,
      [0, 1, 2].map((number) => sampleShare(JOBS[0]!, TARGETS[2]!, number)),
    );
    const meters = await Meters.load(ledger);
    expect(meters.streams()).toEqual(['own:pool']);
    await meters.commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, 3)]);
    expect(meters.total('own:pool')).toEqual({
      seq: 4,
      workHashes: 3n * TARGETS[2]!.workHashes + TARGETS[0]!.workHashes,
    });
  });

  it.each([
    ['a total ahead of its log', 'own:pool', '{"seq":2,"work":"1"}'],
    ['a total behind its log', 'own:pool', '{"seq":0,"work":"0"}'],
    ['a total without a log', 'other', '{"seq":1,"work":"1"}'],
    ['a total that is no number', 'own:pool', '{"seq":1,"work":1}'],
    ['a total that is no JSON', 'own:pool', 'x'],
  ])('refuses %s', async (_name, id, body) => {
    const ledger = new MemoryLedger();
    await new Meters().commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, 0)]);
    await ledger.append([{ type: 'put', kind: 'stream', id, body }]);
    const error: unknown = await Meters.load(ledger).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CodedError);
    expect(codeOf(error)).toBe('ledger_corrupt');
  });

  it('finds the hashes of all shares up to an age, by the dates of the ledger alone', async () => {
    const clock = new ManualClock();
    const ledger = new MemoryLedger({}, { clock });
    const meters = new Meters();
    const all = Array.from({ length: 700 }, (_, n) => sampleShare(JOBS[n % JOBS.length]!, TARGETS[0]!, n));
    const times: number[] = [];
    for (const share of all) {
      clock.advance(10);
      times.push(clock.nowMs());
      await meters.commit(ledger, [share]);
    }
    for (const from of [0, 1, 400, 699]) {
      const found = await remembered(ledger, { memoryMs: times.at(-1)! - times[from]!, certainRows: 0 });
      expect(found).toEqual(namesOf(all.slice(from)));
    }
    expect(await remembered(new MemoryLedger(), { memoryMs: 1_000 })).toEqual([]);
    // Where there are too many, the newest count.
    const cut = await remembered(ledger, { memoryMs: 60_000, maxShares: 50 });
    expect(cut).toEqual(namesOf(all.slice(-50)));
  });

  it.each([0, 1, 299, 300, 10_000])('and the last %i rows, though the wall clock was set', async (rows) => {
    const clock = new ManualClock();
    const ledger = new MemoryLedger({}, { clock });
    const meters = new Meters();
    for (let n = 0; n < 300; n += 1) await meters.commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, n)]);
    const { seq } = (await ledger.readLogSince('share', 0)).at(-1)!;
    clock.setWall(25 * 3_600_000);
    await meters.commit(ledger, [sampleShare(JOBS[0]!, TARGETS[0]!, 300)]);
    const last = (await ledger.readLogSince('share', 0)).at(-1)!.seq;
    const found = await remembered(ledger, { memoryMs: 24 * 3_600_000, certainRows: rows });
    const certain = (await ledger.readLogSince('share', 0)).filter((row) => row.seq > last - rows);
    expect(seq).toBeLessThan(last);
    expect(found).toHaveLength(Math.max(1, certain.length));
  });
});
