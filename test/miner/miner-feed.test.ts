import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { MinerFeed } from '../../src/miner/miner-feed.ts';
import { codecsOf, type Params, type Result } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { NOTHING_DELIVERED } from '../../src/settlement/records.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { Meters } from '../../src/work/meters.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { sampleJob, sampleShare } from '../work/samples.ts';

const CONTRACT = 'ab'.repeat(32);
const EASY = shareTargetOf(1024);
const HARD = shareTargetOf(4096);

type Batch = Params<'work.batch'>;
type Options = { readonly batchWindow?: number; readonly batchIntervalMs?: number };

/** A feed over a stream of so many shares, every third of a harder target, and the maker's end of it. */
class Scene {
  readonly time = new VirtualTime();
  readonly ledger = new MemoryLedger({}, { clock: this.time.clock, timers: this.time.timers });
  readonly batches: Batch[] = [];
  readonly announced: number[] = [];
  readonly judged: (readonly [nextSeq: number, ownWorkHashes: bigint])[] = [];
  closedWith: string | undefined;
  readonly sources: (number | undefined)[] = [];
  durable = 0;
  /** The answer to a batch; undefined to keep it waiting. */
  answer: (batch: Batch) => Result<'work.batch'> | undefined = honest;
  onAnnounce: (() => void) | undefined;
  readonly feed: MinerFeed;
  readonly #waiting: (() => void)[] = [];

  constructor({ batchWindow = 4, batchIntervalMs = 0 }: Options = {}) {
    const peer = {
      features: new Set(),
      request: async (method: 'job.announce' | 'work.batch', wire: unknown) => {
        if (method === 'job.announce') {
          this.onAnnounce?.();
          const { job, source } = codecsOf(method).params.parse(wire);
          this.announced.push(job.id);
          this.sources.push(source);
          return {};
        }
        const batch = codecsOf(method).params.parse(wire);
        for (const { jobId } of batch.shares.shares()) expect(this.announced).toContain(jobId);
        this.batches.push(batch);
        let result = this.answer(batch);
        while (result === undefined) {
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
          result = this.answer(batch);
        }
        return codecsOf(method).result.print(result);
      },
      close: (error: CodedError) => {
        this.closedWith = error.code;
      },
    } as unknown as RpcPeer;
    this.feed = new MinerFeed(
      peer,
      { contractId: CONTRACT, batchWindow, batchIntervalMs },
      {
        ledger: this.ledger,
        clock: this.time.clock,
        timers: this.time.timers,
        durableSeq: () => this.durable,
        onJudged: ({ firstSeq, shares, ownWorkHashes }) =>
          this.judged.push([firstSeq + shares.rows.length, ownWorkHashes]),
      },
    );
  }

  /** Makes shares durable, in appends of these sizes, each on a job of its own. */
  async find(...sizes: readonly number[]): Promise<void> {
    const meters = await Meters.load(this.ledger);
    for (const size of sizes) {
      const seq = meters.total(CONTRACT).seq;
      const own = sampleJob(seq + 1, CONTRACT);
      const bought = { jobId: 100 + seq, difficulty: 1 };
      const job = seq % 2 === 0 ? own : { ...own, upstream: { ...own.upstream, bought } };
      const shares = Array.from({ length: size }, (_, index) =>
        sampleShare(job, (seq + index) % 3 === 2 ? HARD : EASY, seq + index),
      );
      const written = meters.commit(this.ledger, shares);
      await this.time.settle();
      await written;
    }
    this.durable = meters.total(CONTRACT).seq;
    this.feed.wake();
    await this.time.settle();
  }

  /** Starts at what the maker says it has. */
  async start(nextSeq = 0, from = NOTHING_DELIVERED): Promise<bigint> {
    const workHashes = await this.feed.seek(nextSeq, from);
    void this.feed.run();
    await this.time.settle();
    return workHashes;
  }

  release(): Promise<void> {
    for (const resolve of this.#waiting.splice(0)) resolve();
    return this.time.settle();
  }

  get sent(): number[] {
    return this.batches.flatMap(({ firstSeq, shares }) =>
      shares.shares().map((_, index) => firstSeq + index),
    );
  }
}

function honest({ firstSeq, shares }: Batch): Result<'work.batch'> {
  return { nextSeq: firstSeq + shares.length, verifiedWork: 0n, refused: [] };
}

/** Work of the first shares of a stream. */
function workOf(count: number): bigint {
  const hard = BigInt(Math.floor(count / 3));
  return hard * HARD.workHashes + (BigInt(count) - hard) * EASY.workHashes;
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, at) => from + at);

describe('the feed of a miner', () => {
  it('sends every share once and in order, from where the maker is, with the work so far', async () => {
    const size = fc.integer({ min: 1, max: 7 });
    const lives = fc.record({
      before: fc.array(size, { minLength: 1, maxLength: 6 }),
      after: fc.array(size, { maxLength: 4 }),
      part: fc.integer({ min: 0, max: 100 }),
      known: fc.integer({ min: 0, max: 100 }),
      batchWindow: fc.integer({ min: 1, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(lives, async ({ before, after, part, known, batchWindow }) => {
        const scene = new Scene({ batchWindow });
        await scene.find(...before);
        const nextSeq = Math.round((part * scene.durable) / 100);
        const knownSeq = Math.round((known * scene.durable) / 100);
        const from = { ...NOTHING_DELIVERED, nextSeq: knownSeq, ownWorkHashes: workOf(knownSeq) };
        expect(await scene.start(nextSeq, from)).toBe(workOf(nextSeq));
        for (const each of after) await scene.find(each);
        expect(scene.sent).toEqual(range(nextSeq, scene.durable));
        for (const { firstSeq, shares, workTotal } of scene.batches)
          expect(workTotal).toBe(workOf(firstSeq + shares.length));
        expect(scene.announced).toEqual([...new Set(scene.announced)]);
        if (scene.sent.length > 0)
          expect(scene.judged.at(-1)).toEqual([scene.durable, workOf(scene.durable)]);
        expect(scene.feed.drained).toBe(true);
        expect(scene.closedWith).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  it('says of which job of the maker each was made, also after a restart', async () => {
    const scene = new Scene();
    await scene.find(1, 2, 3);
    await scene.start();
    expect(scene.announced).toEqual([1, 2, 4]);
    expect(scene.sources).toEqual([undefined, 101, 103]);
  });

  it('that is held sends nothing, and afterwards all, once and in order', async () => {
    const scene = new Scene();
    await scene.start();
    await scene.find(2);
    scene.feed.hold();
    await scene.find(3);
    expect(scene.sent).toEqual(range(0, 2));
    expect(scene.feed.drained).toBe(false);
    scene.feed.release();
    await scene.time.settle();
    expect(scene.sent).toEqual(range(0, 5));
    // Held when a batch is nearly out: its job is with the maker already.
    scene.onAnnounce = () => scene.feed.hold();
    await scene.find(2, 2);
    expect(scene.announced.slice(-2)).toEqual([6, 8]);
    expect(scene.sent).toEqual(range(0, 5));
    scene.onAnnounce = undefined;
    scene.feed.release();
    await scene.time.settle();
    expect(scene.sent).toEqual(range(0, 9));
    expect(scene.batches.at(-1)!.workTotal).toBe(workOf(9));
  });

  it('refuses a maker that says it has more than there is', async () => {
    const scene = new Scene();
    await scene.find(3);
    await expect(scene.feed.seek(4, NOTHING_DELIVERED)).rejects.toMatchObject({ code: 'bad_sequence' });
    expect(await scene.start(3)).toBe(workOf(3));
    expect(scene.batches).toEqual([]);
    expect(scene.feed.drained).toBe(true);
  });

  it.each([-1, 1, 2])('leaves a maker that answers a batch with another number: %i', async (by) => {
    const scene = new Scene();
    scene.answer = (batch) => ({ ...honest(batch), nextSeq: honest(batch).nextSeq + by });
    await scene.find(3);
    await scene.start();
    expect(scene).toMatchObject({ closedWith: 'protocol', judged: [] });
    expect(scene.feed.drained).toBe(false);
    await scene.find(3);
    expect(scene.sent).toEqual([0, 1, 2]);
  });

  it('has so many batches in flight and no more, and goes on with each answer', async () => {
    const scene = new Scene({ batchWindow: 2 });
    scene.answer = () => undefined;
    await scene.start();
    for (const seen of [1, 2, 2, 2]) {
      await scene.find(2);
      expect(scene.batches).toHaveLength(seen);
    }
    expect(scene.judged).toEqual([]);
    scene.answer = honest;
    await scene.release();
    expect(scene.sent).toEqual(range(0, 8));
    expect(scene.judged.at(-1)).toEqual([8, workOf(8)]);
  });

  it('waits its interval between batches, to the ms, unless one is full', async () => {
    const scene = new Scene({ batchIntervalMs: 1000, batchWindow: 8 });
    await scene.start();
    await scene.find(1);
    expect(scene.sent).toEqual([0]);
    const sentAtMs = scene.time.clock.monotonicMs();
    await scene.find(1, 1);
    await scene.time.advance(sentAtMs + 999 - scene.time.clock.monotonicMs());
    expect(scene.sent).toEqual([0]);
    await scene.time.advance(1);
    expect(scene.batches.map(({ shares }) => shares.length)).toEqual([1, 2]);
    await scene.find(LIMITS.peerBatchShares - 1);
    expect(scene.batches).toHaveLength(2);
    await scene.find(1);
    expect(scene.batches.map(({ shares }) => shares.length)).toEqual([1, 2, LIMITS.peerBatchShares]);
  });

  it('sends nothing that was not acknowledged as durable, though the log has it', async () => {
    const scene = new Scene();
    await scene.find(5);
    scene.durable = 2;
    await scene.start();
    expect(scene.sent).toEqual([0, 1]);
    scene.durable = 3;
    scene.feed.wake();
    await scene.time.settle();
    expect(scene.sent).toEqual([0, 1, 2]);
    scene.durable = 5;
    scene.feed.wake();
    await scene.time.settle();
    expect(scene.sent).toEqual([0, 1, 2, 3, 4]);
  });

  it.each<[string, (scene: Scene) => void]>([
    ['a job that is missing', ({ ledger }) => Object.assign(ledger, { get: async () => undefined })],
    ['a row that begins late', (scene) => change(scene, (row) => ({ ...row, first: row.first + 1 }))],
    ['a row cut short', (scene) => change(scene, (row) => ({ ...row, body: row.body.subarray(80) }))],
    ['no rows', ({ ledger }) => Object.assign(ledger, { readLog: async () => [] })],
  ])('sends nothing of a ledger with %s', async (_what, spoil) => {
    const scene = new Scene();
    await scene.find(3);
    spoil(scene);
    await scene.feed.seek(0, NOTHING_DELIVERED);
    await expect(scene.feed.run()).rejects.toMatchObject({ code: 'ledger_corrupt' });
    expect(scene.batches).toEqual([]);
  });

  type Row = Awaited<ReturnType<MemoryLedger['readLog']>>[number];
  function change({ ledger }: Scene, how: (row: Row) => Row): void {
    const read = ledger.readLog.bind(ledger);
    const readLog: typeof read = async (...args) => (await read(...args)).map(how);
    Object.assign(ledger, { readLog });
  }

  it('tells nothing of a batch that is judged after it was stopped', async () => {
    const scene = new Scene();
    scene.answer = () => undefined;
    await scene.start();
    await scene.find(2);
    scene.feed.stop();
    scene.answer = honest;
    await scene.release();
    expect(scene).toMatchObject({ judged: [], closedWith: undefined });
  });

  it('ends by a code where the ledger has a gap, and at once when it is stopped', async () => {
    const scene = new Scene();
    await scene.find(2);
    scene.durable = 3;
    await scene.feed.seek(0, NOTHING_DELIVERED);
    const ran = scene.feed.run();
    await expect(ran).rejects.toMatchObject({ code: 'ledger_corrupt' });

    const other = new Scene({ batchIntervalMs: 1000 });
    await other.find(1);
    await other.feed.seek(0, NOTHING_DELIVERED);
    const running = other.feed.run();
    await other.time.settle();
    expect(other.feed.isRunning).toBe(true);
    other.feed.stop();
    await running;
    await other.find(3);
    expect(other.sent).toEqual([0]);
  });
});
