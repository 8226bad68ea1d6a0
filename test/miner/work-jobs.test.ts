import { describe, expect, it } from 'vitest';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import { BLOCK_A, BLOCK_B, makeJob, WorkStand } from './work-stand.ts';

const BAD = makeJob(99, { extranonce2Size: 4 });
const BLOCK_C = 'cc'.repeat(32);
const onB = { prevHash: parseDisplayHash(BLOCK_B) };
const onC = { prevHash: parseDisplayHash(BLOCK_C) };

async function stood(...jobs: WorkJob[]): Promise<WorkStand> {
  const stand = new WorkStand();
  stand.connect();
  await stand.give(...jobs);
  return stand;
}

const giving = (stand: WorkStand, job: WorkJob): unknown =>
  stand.refusal(() => stand.destination.give({ job }));

describe('jobs that are given again', () => {
  it('go on after the link was lost twice before they came', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    stand.destination.disconnected();
    stand.connect();
    stand.destination.disconnected();
    stand.connect();
    await stand.give(makeJob(1), makeJob(2));
    expect(stand.destination.status).toMatchObject({ up: true, refused_jobs: {}, jobs: { live: 2 } });
  });

  it('go on waiting for their block, as long as they would have', async () => {
    const stand = await stood(makeJob(1), makeJob(2, onB));
    await stand.time.advance(40_000);
    stand.destination.disconnected();
    stand.connect();
    await stand.give(makeJob(2, onB));
    expect(stand.destination.status).toMatchObject({ refused_jobs: {}, jobs: { live: 0, waiting: 1 } });
    await stand.time.advance(19_999);
    expect(stand.destination.status.jobs.waiting).toBe(1);
    await stand.time.advance(2_000);
    expect(stand.destination.status).toMatchObject({ refused_jobs: { unknown_block: 1 } });
  });

  it('were withdrawn meanwhile: they are void for good', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    stand.destination.disconnected();
    stand.connect();
    stand.destination.withdraw({ ids: [1] });
    expect(giving(stand, makeJob(1))).toBe('id');
    expect(giving(stand, makeJob(2))).toBe(undefined);
    stand.destination.disconnected();
    stand.connect();
    stand.destination.withdraw({ ids: [], all: true });
    expect(giving(stand, makeJob(2))).toBe('id');
  });

  it('come once: by then their ids are used', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.disconnected();
    stand.connect();
    await stand.give(makeJob(1));
    stand.destination.withdraw({ ids: [1] });
    expect(giving(stand, makeJob(1))).toBe('id');
    stand.destination.disconnected();
    stand.connect();
    expect(giving(stand, makeJob(1))).toBe('id');
  });

  it('may not come twice over one link', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.disconnected();
    stand.connect();
    await stand.give(makeJob(1));
    expect(giving(stand, makeJob(1))).toBe('id');
  });

  it('are the newest of those that were: no more are remembered than may live', async () => {
    const stand = new WorkStand({ foreignChain: true });
    for (const from of [0, 300]) {
      stand.connect();
      for (let id = from; id < from + 300; id += 1) stand.destination.give({ job: makeJob(id) });
      stand.destination.disconnected();
    }
    stand.connect();
    expect(giving(stand, makeJob(600 - 512 - 1))).toBe('id');
    expect(giving(stand, makeJob(600 - 512))).toBe(undefined);
  });

  const changed: readonly (readonly [string, Partial<WorkJob>])[] = [
    ['version', { version: 0x20000001 }],
    ['bits', { bits: 0x1c00ffff }],
    ['time', { time: 1_800_000_001 }],
    ['extranonce2', { extranonce2Size: 9, coinb1: makeJob(1).coinb1.slice(0, -1) }],
    ['version mask', { versionMask: 0x00ffe000 }],
    ['share target', { shareTarget: targetOfDifficulty(32) }],
    ['block', onB],
    ['coinbase', { coinb2: makeJob(2).coinb2.slice().fill(1, -4) }],
    ['branches', { branches: [new Uint8Array(32)] }],
  ];
  it.each(changed)('with another %s are other jobs, which their id forbids', async (_name, change) => {
    const stand = await stood(makeJob(1));
    stand.destination.disconnected();
    stand.connect();
    expect(giving(stand, makeJob(1, change))).toBe('id');
    expect(giving(stand, makeJob(1))).toBe(undefined);
  });
});

describe('work that is given again under another id', () => {
  const again = (id: number, change: Partial<WorkJob> = {}): WorkJob => ({ ...makeJob(1), ...change, id });
  const { time: T } = makeJob(1);
  const timeOf = (stand: WorkStand): number => stand.jobs.at(-1)!.time;

  it.each<[string, (stand: WorkStand) => void]>([
    ['was withdrawn', ({ destination }) => destination.withdraw({ ids: [1] })],
    ['was withdrawn with all', ({ destination }) => destination.withdraw({ ids: [], all: true })],
    ['ended with the link', ({ destination }) => destination.disconnected()],
  ])('goes on with a later time, so that no header is mined twice: it %s', async (_, end) => {
    const stand = await stood(makeJob(1));
    await stand.time.advance(7_500);
    end(stand);
    await stand.time.advance(1_000);
    stand.connect();
    await stand.give(again(2));
    expect([stand.destination.status.refused_jobs, timeOf(stand)]).toEqual([{}, T + 9]);
    stand.destination.withdraw({ ids: [2] });
    await stand.time.advance(10_000);
    await stand.give(again(3));
    expect(timeOf(stand)).toBe(T + 19);
  });

  it('goes on by the later of the times that its jobs had', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.withdraw({ ids: [1] });
    await stand.time.advance(5_000);
    await stand.give(again(2, { time: T + 30 }));
    expect(timeOf(stand)).toBe(T + 30);
    stand.destination.withdraw({ ids: [2] });
    await stand.time.advance(5_000);
    await stand.give(again(3, { time: T + 20 }));
    expect(timeOf(stand)).toBe(T + 35);
    stand.destination.withdraw({ ids: [3] });
    await stand.give(again(4, { time: T + 60 }));
    expect(timeOf(stand)).toBe(T + 60);
  });

  it('goes on where its block came back', async () => {
    const stand = await stood(makeJob(1));
    stand.tip(BLOCK_B);
    await stand.give(makeJob(2, { ...onB, clean: true }));
    await stand.time.advance(5_000);
    stand.tip(BLOCK_A);
    await stand.give(again(3, { clean: true }));
    expect(timeOf(stand)).toBe(T + 5);
  });

  it('is no other work, which begins at its own time', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.withdraw({ ids: [1] });
    await stand.time.advance(5_000);
    await stand.give(makeJob(2));
    expect(timeOf(stand)).toBe(T);
  });
});

describe('a block that was replaced', () => {
  it('ends its jobs when half of the grace is over, whatever blocks came since', async () => {
    const stand = await stood(makeJob(1));
    stand.tip(BLOCK_B);
    await stand.time.advance(10_000);
    stand.tip(BLOCK_C);
    await stand.time.advance(4_999);
    expect(stand.told).toEqual(['job 1']);
    await stand.time.advance(1);
    expect(stand.told).toEqual(['job 1', 'gone 1', 'maker_work_down']);
    expect(stand.destination.status.refused_jobs).toEqual({ stale: 1 });
  });

  it('ends nothing where its maker gave jobs on the new one in time', async () => {
    const stand = await stood(makeJob(1));
    stand.tip(BLOCK_B);
    await stand.give(makeJob(2, onB));
    await stand.time.advance(60_000);
    expect(stand.told).toEqual(['job 1', 'job 2']);
    expect(stand.destination.status).toMatchObject({ up: true, refused_jobs: {} });
  });

  it('ends nothing after the end of the contract', async () => {
    const stand = await stood(makeJob(1), makeJob(2, onC));
    stand.tip(BLOCK_B);
    stand.destination.stop();
    expect(stand.destination.status.jobs).toMatchObject({ live: 0, waiting: 0 });
    stand.blocks.set(BLOCK_C, { status: 'current', height: 11, bits: 0x1d00ffff });
    await stand.time.advance(60_000);
    expect(stand.told).toEqual(['job 1']);
    expect(stand.destination.lastJob).toBe(undefined);
  });

  it('is of no matter where another chain is agreed', async () => {
    const stand = new WorkStand({ foreignChain: true });
    stand.connect();
    await stand.give(makeJob(1));
    stand.tip(BLOCK_B);
    await stand.time.advance(60_000);
    expect(stand.told).toEqual(['job 1']);
  });
});

describe('jobs that break the terms', () => {
  it('are counted each time, and said once in ten seconds for each way in which they do', async () => {
    const stand = await stood(makeJob(1));
    const words = (): number =>
      stand.warnings.filter((line) => line.includes('it breaks the terms')).length;
    for (let at = 0; at < 5; at += 1) giving(stand, BAD);
    expect(words()).toBe(1);
    giving(stand, makeJob(2, { clean: true }));
    expect(words()).toBe(2);
    await stand.time.advance(9_999);
    giving(stand, BAD);
    expect(words()).toBe(2);
    await stand.time.advance(1);
    giving(stand, BAD);
    expect(words()).toBe(3);
    const { status } = stand.destination;
    expect(status).toMatchObject({ refused_jobs: { extranonce: 7, clean: 1 } });
    expect(status.last_refused_job).toBe('it leaves 4 bytes, 8 are agreed');
  });

  it('leave the one that is mined as it is, with its age', async () => {
    const stand = await stood(makeJob(1));
    await stand.time.advance(2_000);
    giving(stand, BAD);
    giving(stand, makeJob(1));
    expect(stand.destination.health).toMatchObject({ isUp: true, jobAgeMs: 2_000 });
    expect(stand.told).toEqual(['job 1']);
  });

  it('by an id of thousands of jobs ago do not break them', async () => {
    const stand = new WorkStand({ foreignChain: true });
    stand.connect();
    const base = makeJob(0);
    const give = (id: number, fill = id): unknown => {
      const coinb2 = base.coinb2.slice();
      new DataView(coinb2.buffer).setUint32(coinb2.length - 4, fill);
      return giving(stand, { ...base, id, coinb2 });
    };
    for (let id = 0; id < 8192; id += 1) {
      if (id % 1024 === 0) await stand.time.advance(16_000);
      if (id % 32 === 0) stand.destination.withdraw({ ids: [], all: true });
      give(id);
    }
    await stand.time.advance(16_000);
    expect(give(0, 9000)).toBe('id');
    expect(give(8192)).toBe(undefined);
    expect(give(0, 9001)).toBe(undefined);
    expect(give(2, 9002)).toBe('id');
  });

  it('are no more than may live, of which the newest are kept', async () => {
    const stand = new WorkStand({ foreignChain: true });
    stand.connect();
    await stand.give(...Array.from({ length: 514 }, (_, id) => makeJob(id)));
    expect(stand.destination.status.jobs).toEqual({ taken: 514, live: 512, waiting: 0 });
    stand.destination.withdraw({ ids: [1] });
    expect(stand.told.at(-1)).toBe('job 201');
    stand.destination.withdraw({ ids: [2] });
    expect(stand.told.at(-1)).toBe('gone 2');
  });
});

describe('withdrawals', () => {
  it('count on the newest block alone, and only of jobs that are there', async () => {
    const stand = await stood(makeJob(1), makeJob(2), makeJob(3), makeJob(4));
    const gone = (...ids: number[]): unknown => stand.refusal(() => stand.destination.withdraw({ ids }));
    // Those of the block that is left, while the first on the next waits for the own node.
    await stand.give(makeJob(5, onB));
    expect(gone(1, 2, 3, 4)).toBe(undefined);
    expect(stand.told.slice(-2)).toEqual(['gone 1,2,3,4', 'maker_work_down']);
    stand.tip(BLOCK_B);
    await stand.time.settle();
    await stand.give(makeJob(6, onB), makeJob(7, onB), makeJob(8, onB), makeJob(9, onB));
    expect(gone(77, 78, 79, 80, 5)).toBe(undefined);
    expect(gone(6, 7)).toBe(undefined);
    expect(gone(8)).toBe('too_many');
    expect(stand.destination.status.last_refused_job).toBe('more than 3 jobs of one block withdrawn');
    expect(stand.destination.status.jobs.live).toBe(2);
  });

  it('of those that wait count like those that are mined', async () => {
    const stand = await stood(makeJob(1), ...[2, 3, 4, 5, 6].map((id) => makeJob(id, onB)));
    const gone = (...ids: number[]): unknown => stand.refusal(() => stand.destination.withdraw({ ids }));
    expect(gone(2, 3, 4)).toBe(undefined);
    expect(gone(5)).toBe('too_many');
    expect(stand.destination.status.jobs).toEqual({ taken: 1, live: 1, waiting: 2 });
    stand.tip(BLOCK_B);
    await stand.time.settle();
    expect(stand.told).toEqual(['job 1', 'gone 2,3,4', 'job 5', 'job 6']);
  });

  it('of all that are there are free, those that wait among them, and of all but one are not', async () => {
    // What waits is on the same block, which the own node does not know just now.
    const stand = await stood(...[1, 2, 3, 4, 5, 6].map((id) => makeJob(id)));
    stand.blocks.delete(BLOCK_A);
    await stand.give(makeJob(7));
    const gone = (...ids: number[]): unknown => stand.refusal(() => stand.destination.withdraw({ ids }));
    expect(stand.destination.status.jobs).toMatchObject({ live: 6, waiting: 1 });
    for (const most of [6, 5, 4])
      expect(gone(...[1, 2, 3, 4, 5, 6].slice(0, most)), `${most}`).toBe('too_many');
    expect(gone(1, 2, 3, 4, 5, 6, 7)).toBe(undefined);
    expect(stand.destination.status.jobs).toMatchObject({ live: 0, waiting: 0 });
  });

  it('of none, or of what is not there, tell nothing', async () => {
    const stand = await stood(makeJob(1));
    stand.destination.withdraw({ ids: [] });
    stand.destination.withdraw({ ids: [5] });
    expect(stand.told).toEqual(['job 1']);
    expect(stand.destination.lastJob?.upstreamJobId).toBe('1');
  });
});

describe('a look at the own node', () => {
  /** Answers are held back until the test gives them. */
  function slowly(stand: WorkStand): (() => void)[] {
    const waiting: (() => void)[] = [];
    stand.beforeStanding = () => new Promise((resolve) => void waiting.push(resolve));
    return waiting;
  }

  it('that a tip interrupts is done again at once', async () => {
    const stand = await stood();
    const waiting = slowly(stand);
    await stand.give(makeJob(1, onB));
    expect(waiting).toHaveLength(1);
    stand.tip(BLOCK_B);
    stand.destination.onTip();
    await stand.time.settle();
    // One at a time.
    expect(waiting).toHaveLength(1);
    stand.blocks.delete(BLOCK_B);
    waiting[0]!();
    await stand.time.settle();
    expect(waiting).toHaveLength(2);
    stand.blocks.set(BLOCK_B, { status: 'current', height: 10, bits: 0x1d00ffff });
    waiting[1]!();
    await stand.time.settle();
    expect(stand.told).toEqual(['job 1']);
    expect(waiting).toHaveLength(2);
  });

  it('begins no job that was withdrawn while it lasted', async () => {
    const stand = await stood();
    const waiting = slowly(stand);
    await stand.give(makeJob(1));
    stand.destination.withdraw({ ids: [1] });
    waiting[0]!();
    await stand.time.settle();
    expect(stand.told).toEqual(['gone 1']);
    expect(stand.destination.status.jobs).toEqual({ taken: 0, live: 0, waiting: 0 });
  });

  it('ends no job that was withdrawn while it lasted, and those that are left all the same', async () => {
    const stand = await stood(makeJob(1), makeJob(2));
    const waiting = slowly(stand);
    stand.tip(BLOCK_B);
    await stand.time.advance(15_000);
    stand.destination.withdraw({ ids: [1] });
    waiting.shift()!();
    await stand.time.settle();
    waiting.shift()!();
    await stand.time.settle();
    expect(stand.told).toEqual(['job 1', 'job 2', 'gone 1', 'gone 2', 'maker_work_down']);
    expect(stand.destination.status.refused_jobs).toEqual({ stale: 1 });
  });

  it('that fails is said, and done again a second later; nothing is mined meanwhile', async () => {
    const stand = await stood();
    stand.isNodeAway = true;
    await stand.give(makeJob(1));
    await stand.time.advance(999);
    stand.isNodeAway = false;
    expect(stand.destination.status.jobs.waiting).toBe(1);
    await stand.time.advance(1);
    expect(stand.told).toEqual(['job 1']);
    expect(stand.warnings).toEqual(['the block of a job could not be looked up: it waits']);
  });

  it('that fails when jobs should end ends none, and says so', async () => {
    const stand = await stood(makeJob(1));
    stand.tip(BLOCK_B);
    stand.isNodeAway = true;
    await stand.time.advance(15_000);
    expect(stand.told).toEqual(['job 1']);
    expect(stand.warnings).toEqual(['the blocks of jobs could not be looked up']);
  });

  it('asks no more for a job that is mined', async () => {
    const stand = await stood(makeJob(1, onB));
    stand.tip(BLOCK_B);
    await stand.time.settle();
    let asked = 0;
    stand.beforeStanding = async () => {
      asked += 1;
    };
    await stand.time.advance(10_000);
    expect(asked).toBe(0);
  });
});

describe('jobs on a block that the own node does not know', () => {
  it('end those before at half of the grace, to the second', async () => {
    const stand = await stood(makeJob(1), makeJob(2), makeJob(3, onB));
    await stand.time.advance(14_000);
    expect(stand.told).toEqual(['job 1', 'job 2']);
    await stand.time.advance(1_000);
    expect(stand.told).toEqual(['job 1', 'job 2', 'gone 1,2', 'maker_work_down']);
  });

  it('end none on the same block, which the own node knew before', async () => {
    const stand = await stood(makeJob(1));
    stand.blocks.delete(BLOCK_A);
    await stand.give(makeJob(2));
    await stand.time.advance(20_000);
    expect(stand.told).toEqual(['job 1']);
    stand.blocks.set(BLOCK_A, { status: 'current', height: 9, bits: 0x1d00ffff });
    await stand.time.advance(1_000);
    expect(stand.told).toEqual(['job 1', 'job 2']);
  });

  it('are void when the own node knows another that their maker gave after them', async () => {
    const stand = await stood();
    await stand.give(makeJob(1, onB), makeJob(2, onC), makeJob(3, onB));
    expect(stand.destination.status.jobs.waiting).toBe(3);
    stand.blocks.set(BLOCK_C, { status: 'current', height: 10, bits: 0x1d00ffff });
    stand.destination.onTip();
    await stand.time.settle();
    // The third came after it.
    expect(stand.told).toEqual(['job 2']);
    expect(stand.destination.status.jobs).toEqual({ taken: 1, live: 1, waiting: 1 });
  });

  it('are tried for a minute to the second', async () => {
    const stand = await stood(makeJob(1, onB));
    await stand.time.advance(59_000);
    expect(stand.destination.status.jobs.waiting).toBe(1);
    await stand.time.advance(1_000);
    expect(stand.destination.status.jobs.waiting).toBe(0);
    expect(stand.destination.status.last_refused_job).toBe(`the own node does not know block ${BLOCK_B}`);
  });

  it('are no more than may live', async () => {
    const stand = await stood();
    await stand.give(...Array.from({ length: 513 }, (_, id) => makeJob(id, onB)));
    expect(stand.destination.status.jobs.waiting).toBe(512);
    stand.tip(BLOCK_B);
    await stand.time.settle();
    expect(stand.told[0]).toBe('job 1');
    expect(stand.told.at(-1)).toBe('job 200');
  });
});

describe('what was known of a block', () => {
  it('says which jobs are the work of another', async () => {
    const stand = await stood(makeJob(1, onB));
    const same = { ...makeJob(1, onB), id: 2, time: 1_800_000_005 };
    expect(giving(stand, same)).toBe('repeated');
    expect(stand.destination.status.last_refused_job).toBe('it is the work of job 1');
    expect(giving(stand, makeJob(3, { prevHash: parseDisplayHash(BLOCK_A), clean: true }))).toBe(undefined);
    expect(giving(stand, makeJob(4, { ...onB, clean: true }))).toBe('clean');
  });
});
