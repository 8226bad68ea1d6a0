import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import type { WorkFaultReason } from '../../src/miner/work-rules.ts';
import type { Result } from '../../src/peer/messages.ts';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import { isUsable } from '../../src/upstream/failover.ts';
import { BLOCK_A, BLOCK_B, makeJob, WorkStand } from './work-stand.ts';

async function stood(...jobs: WorkJob[]): Promise<WorkStand> {
  const stand = new WorkStand();
  stand.connect();
  await stand.give(...jobs);
  return stand;
}

const onB = { prevHash: parseDisplayHash(BLOCK_B) };

describe('jobs of a maker', () => {
  it('are mined at the share target that each names, and are known by its id', async () => {
    const harder = makeJob(0x1f, { shareTarget: targetOfDifficulty(32), versionMask: 0x00ffe000 });
    const stand = await stood(makeJob(1), harder);
    expect(stand.told).toEqual(['job 1', 'job 1f']);
    expect(stand.jobs.map(({ bought }) => bought)).toEqual([
      { jobId: 1, difficulty: 16 },
      { jobId: 0x1f, difficulty: 32 },
    ]);
    const { lastJob, health } = stand.destination;
    expect(lastJob).toMatchObject({ versionMask: 0x00ffe000, target: harder.upstreamTarget });
    expect(isUsable(health)).toBe(true);
    expect(stand.destination.status).toMatchObject({ up: true, jobs: { taken: 2, live: 2, waiting: 0 } });
  });

  const bad: readonly (readonly [WorkFaultReason, Partial<WorkJob>])[] = [
    ['target', { shareTarget: targetOfDifficulty(3.9999) }],
    ['target', { shareTarget: targetOfDifficulty(1024.25) }],
    ['target', { shareTarget: targetOfDifficulty(16) + 1n }],
    ['extranonce', { extranonce2Size: 7 }],
    ['coinbase', { coinb1: new Uint8Array(8) }],
    ['coinbase', { extranonce1: new Uint8Array(4), coinb1: makeJob(9).coinb1.slice(0, 41) }],
    ['coinbase', { versionMask: 0x20000000 }],
    ['time', { time: 1_800_000_000 + 7081 }],
    ['id', { id: 1, coinb2: makeJob(77).coinb2.slice().fill(1, -4) }],
    ['repeated', { id: 2, time: 1_800_000_001, coinb1: makeJob(1).coinb1 }],
    ['clean', { clean: true }],
  ];
  it.each(bad)('that break the terms by their %s are not mined', async (reason, change) => {
    const stand = await stood(makeJob(1));
    const job = makeJob(2, change);
    expect(stand.refusal(() => stand.destination.give({ job }))).toBe(reason);
    await stand.time.settle();
    expect(stand.told).toEqual(['job 1']);
    expect(stand.destination.status).toMatchObject({ up: true, refused_jobs: { [reason]: 1 } });
    expect(stand.destination.status.last_refused_job).not.toBe(null);
  });

  it('at the very ends of the range are mined', async () => {
    const ends = [4, 1024].map((difficulty) => targetOfDifficulty(difficulty));
    const jobs = ends.map((shareTarget, at) => makeJob(at, { shareTarget, time: 1_800_000_000 + 7080 }));
    const stand = await stood(...jobs);
    expect(stand.jobs.map(({ bought }) => bought!.difficulty)).toEqual([4, 1024]);
  });

  it('come no faster than is agreed', async () => {
    const stand = await stood();
    const give = (id: number) => stand.refusal(() => stand.destination.give({ job: makeJob(id) }));
    for (let id = 0; id < 1024; id += 1) expect(give(id)).toBe(undefined);
    expect(give(1024)).toBe('too_many');
    await stand.time.advance(1_000);
    expect(give(1025)).toBe(undefined);
  });

  it('say why there are none, in words', async () => {
    const stand = new WorkStand();
    expect(stand.destination.status.down_reason).toBe('the market maker is not connected');
    stand.connect();
    expect(stand.destination.status.down_reason).toBe('the market maker gives no job that can be mined');
    const job = makeJob(1, { extranonce2Size: 4 });
    expect(stand.refusal(() => stand.destination.give({ job }))).toBe('extranonce');
    expect(stand.destination.status.down_reason).toMatch(/it leaves 4 bytes, 8 are agreed/);
    await stand.give(makeJob(2));
    stand.destination.withdraw({ ids: [], all: true, code: 'upstream_timeout' });
    expect(stand.destination.status.down_reason).toBe('the market maker has no work: upstream_timeout');
    expect(stand.told).toEqual(['job 2', 'gone 2', 'maker_work_down']);
  });
});

describe('the block before a job', () => {
  it('is waited for until the own node knows it, and the jobs before are mined on', async () => {
    const stand = await stood(makeJob(1), makeJob(2, onB));
    expect(stand.told).toEqual(['job 1']);
    expect(stand.destination.status.jobs).toEqual({ taken: 1, live: 1, waiting: 1 });
    stand.tip(BLOCK_B);
    await stand.time.settle();
    expect(stand.told).toEqual(['job 1', 'job 2']);
  });

  it('that is unknown for half of the grace ends the jobs before, which are credited no longer', async () => {
    const stand = await stood(makeJob(1));
    await stand.give(makeJob(2, onB));
    await stand.time.advance(14_000);
    expect(stand.told).toEqual(['job 1']);
    await stand.time.advance(2_000);
    expect(stand.told).toEqual(['job 1', 'gone 1', 'maker_work_down']);
    expect(stand.destination.status.down_reason).toMatch(/does not know the block/);
    stand.tip(BLOCK_B);
    await stand.time.settle();
    expect(stand.told.at(-1)).toBe('job 2');
  });

  it('that stays unknown ends no job that came after, on a block that the own node knows', async () => {
    const stand = await stood(makeJob(1));
    await stand.give(makeJob(2, { prevHash: new Uint8Array(32).fill(7) }));
    await stand.time.advance(5_000);
    stand.tip(BLOCK_B);
    await stand.give(makeJob(3, { ...onB, clean: true }));
    expect(stand.told).toEqual(['job 1', 'job 3']);
    // Its maker voided the one that waits.
    expect(stand.destination.status.jobs).toEqual({ taken: 2, live: 1, waiting: 0 });
    await stand.time.advance(70_000);
    expect(stand.told).toEqual(['job 1', 'job 3']);
    expect(stand.destination.status).toMatchObject({ up: true, refused_jobs: {} });
  });

  it('that stays unknown ends the wait of the job after a minute', async () => {
    const stand = await stood(makeJob(2, onB));
    expect(stand.destination.status.down_reason).toMatch(/does not know the block/);
    await stand.time.advance(58_000);
    expect(stand.destination.status.jobs.waiting).toBe(1);
    await stand.time.advance(4_000);
    expect(stand.destination.status).toMatchObject({
      ...{ up: false, refused_jobs: { unknown_block: 1 } },
      jobs: { waiting: 0 },
    });
    expect(stand.told).toEqual([]);
  });

  it('is of no matter where another chain is agreed', async () => {
    const stand = new WorkStand({ foreignChain: true });
    stand.connect();
    await stand.give(makeJob(2, onB));
    expect(stand.told).toEqual(['job 2']);
  });

  it('is asked for again after the own node was away', async () => {
    const stand = new WorkStand();
    stand.connect();
    stand.isNodeAway = true;
    await stand.give(makeJob(1));
    expect(stand.told).toEqual([]);
    stand.isNodeAway = false;
    await stand.time.advance(1_000);
    expect(stand.told).toEqual(['job 1']);
  });

  it('was replaced long ago: the job is not mined', async () => {
    const stand = await stood();
    stand.tip(BLOCK_B);
    await stand.time.advance(14_999);
    await stand.give(makeJob(1));
    await stand.time.advance(1);
    await stand.give(makeJob(2));
    expect(stand.destination.status).toMatchObject({ refused_jobs: { stale: 2 }, up: false });
    expect(stand.told).toEqual(['job 1', 'gone 1', 'maker_work_down']);
  });

  it('is left where the maker gives none on the new one, before its shares are stale', async () => {
    const stand = await stood(makeJob(1));
    stand.tip(BLOCK_B);
    await stand.time.advance(14_999);
    expect(stand.told).toEqual(['job 1']);
    await stand.time.advance(1);
    expect(stand.told).toEqual(['job 1', 'gone 1', 'maker_work_down']);
    await stand.give(makeJob(2, { ...onB, clean: true }));
    expect(stand.told.at(-1)).toBe('job 2');
  });
});

describe('withdrawn jobs', () => {
  it('end, and the newest of the others is mined again with a later time', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    await stand.time.advance(3_000);
    stand.destination.withdraw({ ids: [2] });
    expect(stand.told).toEqual(['job 1', 'job 2', 'gone 2', 'job 1']);
    expect(stand.jobs.map(({ time }) => time - 1_800_000_000)).toEqual([0, 0, 3]);
    stand.destination.withdraw({ ids: [1, 2] });
    expect(stand.told.slice(4)).toEqual(['gone 1', 'maker_work_down']);
    expect(isUsable(stand.destination.health)).toBe(false);
  });

  it('that are not the newest change nothing of what is mined', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    stand.destination.withdraw({ ids: [1] });
    expect(stand.told).toEqual(['job 1', 'job 2', 'gone 1']);
    expect(stand.destination.lastJob?.upstreamJobId).toBe('2');
  });

  it('are no more between two blocks than is agreed: the rest is mined on', async () => {
    const stand = await stood(makeJob(1), makeJob(2), makeJob(3), makeJob(4), makeJob(5));
    stand.destination.withdraw({ ids: [1, 2, 3] });
    expect(stand.refusal(() => stand.destination.withdraw({ ids: [5] }))).toBe('too_many');
    expect(stand.destination.lastJob?.upstreamJobId).toBe('5');
    // All of them may go at any time.
    expect(stand.refusal(() => stand.destination.withdraw({ ids: [4, 5] }))).toBe(undefined);
    expect(stand.told.at(-1)).toBe('maker_work_down');
    stand.tip(BLOCK_B);
    await stand.give(makeJob(6, onB), makeJob(7, onB));
    stand.destination.withdraw({ ids: [6] });
    expect(stand.destination.status.refused_jobs).toEqual({ too_many: 1 });
  });
});

describe('a maker that is away', () => {
  it('has no jobs, and those it gives again unchanged go on with a later time', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.disconnected();
    expect(stand.told).toEqual(['job 1', 'gone 1', 'maker_work_down']);
    expect(stand.destination.health).toMatchObject({ isUp: false, jobAgeMs: undefined });
    await stand.time.advance(2_500);
    stand.connect();
    await stand.give(makeJob(1));
    expect(stand.told.slice(3)).toEqual(['job 1']);
    expect(stand.jobs.map(({ time }) => time - 1_800_000_000)).toEqual([0, 3]);
    expect(stand.destination.status).toMatchObject({ up: true, refused_jobs: {} });
  });

  it('may not give another job by an id of before, nor one it withdrew', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    stand.destination.withdraw({ ids: [2] });
    stand.destination.disconnected();
    stand.connect();
    const other = makeJob(1, { bits: 0x1c00ffff });
    expect(stand.refusal(() => stand.destination.give({ job: other }))).toBe('id');
    expect(stand.refusal(() => stand.destination.give({ job: makeJob(2) }))).toBe('id');
  });

  it('is asked again where it refused to give jobs', async () => {
    const stand = new WorkStand();
    stand.subscribe = async () => {
      throw new CodedError('unknown_channel');
    };
    stand.connect();
    await stand.time.settle();
    expect(stand.destination.health.isUp).toBe(false);
    expect(stand.destination.status.down_reason).toBe(
      'the market maker refuses to give jobs: unknown_channel',
    );
    stand.subscribe = async () => {};
    await stand.time.advance(5_000);
    expect(stand.subscribed).toBe(2);
    expect(stand.destination.health.isUp).toBe(true);
  });

  it('whose newest job is too old is not mined for', async () => {
    const stand = await stood(makeJob(1));
    await stand.time.advance(15 * 60_000);
    expect(isUsable(stand.destination.health)).toBe(true);
    await stand.time.advance(1);
    expect(isUsable(stand.destination.health)).toBe(false);
    expect(stand.destination.status.up).toBe(false);
  });
});

describe('a solution', () => {
  it('is sent at once, as hashed, and its verdict is told once', async () => {
    const stand = await stood(makeJob(1));
    const token = {};
    stand.submit({ nonce: 7, versionBits: 0x00402000 }, token);
    expect(stand.solutions).toEqual([
      { id: 1, extranonce2: new Uint8Array(8), ntime: 1_800_000_000, nonce: 7, version: 0x20402000 },
    ]);
    await stand.time.settle();
    stand.destination.judged(token, true);
    expect(stand.verdicts).toEqual([
      { outcome: 'accepted', code: undefined, reason: '', rttMs: undefined },
    ]);
    expect(stand.destination.figures).toMatchObject({
      ...{ shares: { accepted: 1 }, sharesInFlight: 0 },
      verdicts: { weAcceptedTheyAccepted: 1 },
    });
  });

  it('that the pool of the maker refuses is shown with its words', async () => {
    const stand = await stood(makeJob(1));
    stand.answer = async () => ({ outcome: 'refused', code: 23, reason: 'above target' });
    stand.submit();
    await stand.time.settle();
    expect(stand.destination.status).toMatchObject({
      ...{ solutions: { refused: 1 }, last_refused_solution: 'above target' },
    });
    expect(stand.destination.health.rejectRatio).toBe(1);
    expect(stand.destination.isLate).toBe(false);
  });

  it('that is refused is said once in ten seconds, and counted each time', async () => {
    const stand = await stood(makeJob(1));
    stand.answer = async () => ({ outcome: 'refused', code: 23, reason: 'above target' });
    const refused = async (afterMs: number): Promise<number> => {
      await stand.time.advance(afterMs);
      stand.submit();
      await stand.time.settle();
      return stand.warnings.length;
    };
    expect([await refused(0), await refused(0), await refused(9_999), await refused(1)]).toEqual([
      1, 1, 1, 2,
    ]);
    expect(stand.destination.figures.shares.refused).toBe(4);
  });

  it('is measured from the submit to the verdict', async () => {
    const stand = await stood(makeJob(1));
    for (const ms of [10, 20, 30, 400]) {
      const { promise, resolve } = Promise.withResolvers<Result<'work.solution'>>();
      stand.answer = () => promise;
      stand.submit();
      await stand.time.advance(ms);
      resolve({ outcome: 'accepted', rttMs: 5 });
      await stand.time.settle();
    }
    expect(stand.observed).toEqual([0.01, 0.02, 0.03, 0.4]);
    expect(stand.destination.status.solution_ms).toEqual({ p50: 30, p99: 400 });
    expect(stand.verdicts.map(({ rttMs }) => rttMs)).toEqual([10, 20, 30, 400]);
  });

  it('is sent again over the next link, for a minute', async () => {
    const stand = await stood(makeJob(1));
    const link = Promise.withResolvers<Result<'work.solution'>>();
    stand.answer = () => link.promise;
    stand.submit({ nonce: 1 });
    stand.destination.disconnected();
    link.reject(new CodedError('peer_closed'));
    await stand.time.settle();
    stand.submit({ nonce: 2 });
    await stand.time.advance(50_000);
    expect(stand.verdicts).toEqual([]);
    stand.answer = async () => ({ outcome: 'accepted' });
    stand.connect();
    await stand.time.settle();
    expect(stand.solutions.map(({ nonce }) => nonce)).toEqual([1, 1, 2]);
    expect(stand.verdicts.map(({ outcome }) => outcome)).toEqual(['accepted', 'accepted']);
    stand.destination.disconnected();
    stand.submit({ nonce: 3 });
    await stand.time.advance(60_000);
    expect(stand.verdicts.at(-1)).toMatchObject({ outcome: 'lost', reason: 'peer_closed' });
    expect(stand.destination.isLate).toBe(false);
    for (let nonce = 4; nonce < 6; nonce += 1) stand.submit({ nonce });
    await stand.time.advance(60_000);
    expect(stand.destination.isLate).toBe(true);
    await stand.time.advance(120_000);
    expect(stand.destination.isLate).toBe(false);
  });

  it('beyond what is agreed a minute is not passed on, unless it is a block', async () => {
    const stand = await stood(makeJob(1));
    for (let nonce = 0; nonce < 61; nonce += 1) stand.submit({ nonce });
    expect(stand.verdicts).toEqual([]);
    await stand.time.settle();
    expect(stand.solutions).toHaveLength(60);
    expect(stand.destination.figures.shares).toMatchObject({ accepted: 60, lost: 1 });
    expect(stand.destination.isLate).toBe(false);
    stand.submit({ nonce: 62, isBlock: true });
    expect(stand.solutions).toHaveLength(61);
  });

  it('keeps room for blocks among those that are unanswered', async () => {
    const stand = new WorkStand({ solutionsPerMinute: 1000 });
    stand.connect();
    await stand.give(makeJob(1));
    stand.answer = () => new Promise(() => {});
    for (let nonce = 0; nonce < 129; nonce += 1) stand.submit({ nonce });
    stand.submit({ nonce: 130, isBlock: true });
    await stand.time.settle();
    expect(stand.solutions.map(({ nonce }) => nonce).slice(-2)).toEqual([127, 130]);
    stand.destination.stop();
    expect(stand.verdicts).toHaveLength(130);
    expect(stand.verdicts.every(({ outcome }) => outcome === 'lost')).toBe(true);
  });
});

describe('whatever a maker does', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('give'), id: fc.nat(12), block: fc.nat(2), clean: fc.boolean() }),
    fc.record({ type: fc.constant('gone'), ids: fc.array(fc.nat(12), { maxLength: 4 }) }),
    fc.record({ type: fc.constant('all') }),
    fc.record({ type: fc.constant('away') }),
    fc.record({ type: fc.constant('tip'), block: fc.nat(1) }),
    fc.record({ type: fc.constant('solve') }),
    fc.record({ type: fc.constant('wait'), ms: fc.nat(40_000) }),
  );

  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

  it('a job is mined only on a known block, ends once for all, and each solution has one verdict', async () => {
    const blocks = [BLOCK_A, BLOCK_B, 'cc'.repeat(32)];
    const run = async (steps: readonly Step[]): Promise<void> => {
      const stand = await stood();
      let submitted = 0;
      for (const act of steps) {
        if ('clean' in act) {
          const prevHash = parseDisplayHash(blocks[act.block]!);
          const job = makeJob(act.id, { prevHash, clean: act.clean });
          stand.refusal(() => stand.destination.give({ job }));
        } else if ('ids' in act) stand.refusal(() => stand.destination.withdraw({ ids: act.ids }));
        else if ('ms' in act) await stand.time.advance(act.ms);
        else if ('block' in act) stand.tip(blocks[act.block]!);
        else if (act.type === 'all') stand.destination.withdraw({ ids: [], all: true });
        else if (act.type === 'away') {
          stand.destination.disconnected();
          stand.connect();
        } else if (stand.destination.lastJob !== undefined) {
          submitted += 1;
          stand.submit({ job: stand.destination.lastJob });
        }
        await stand.time.settle();
        checkTold(stand);
      }
      stand.destination.stop();
      expect(stand.verdicts).toHaveLength(submitted);
      const { accepted, refused, timeout, lost } = stand.destination.figures.shares;
      expect(accepted + refused + timeout + lost).toBe(submitted);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), run), { numRuns: 300 });
  });
});

/** What was told, applied in order, is what the destination says it has; times never go back. */
function checkTold(stand: WorkStand): void {
  const { destination, told, jobs, blocks } = stand;
  let mined: string | undefined;
  for (const line of told) {
    if (line.startsWith('job ')) mined = line.slice(4);
    else if (line === 'maker_work_down') mined = undefined;
    else if (mined !== undefined && line.slice(5).split(',').includes(mined)) mined = 'none yet';
  }
  expect(destination.lastJob?.upstreamJobId).toBe(mined);
  for (const [index, job] of jobs.entries()) {
    const before = jobs.slice(0, index).filter(({ bought }) => bought!.jobId === job.bought!.jobId);
    for (const earlier of before) expect(job.time).toBeGreaterThanOrEqual(earlier.time);
  }
  const last = destination.lastJob;
  if (last !== undefined)
    expect([...blocks.keys()]).toContain(Buffer.from(last.prevHash).reverse().toString('hex'));
}
