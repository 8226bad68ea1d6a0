import { describe, expect, it } from 'vitest';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { GRACE_MS, ManualPeer, poolJob, WorkStand, workTerms } from './work-stand.ts';

const BACKLOG_MS = 3_600_000;
const WINDOW_MS = 600_000;
/** Shares of a whole backlog: two steps of two shares. */
const BACKLOG = 4;

const isSolution = false;

/** Work that was missed, under a contract whose backlog is four shares. */
class MissedWork extends WorkStand {
  #block = 1;

  static async begin(): Promise<MissedWork> {
    const stand = new MissedWork({ terms: workTerms({ stepHashes: 128n, maxUnpaidSteps: 1 }) });
    await stand.binding.load();
    await stand.subscribe();
    return stand;
  }

  next(): Promise<WorkJob> {
    this.#block += 1;
    return this.given(poolJob(this.#block, this.#block));
  }

  async nextMade(): Promise<JobRecord> {
    return this.announce(await this.next());
  }

  async drop(): Promise<void> {
    this.peer.drop();
    await this.time.settle();
  }

  async again({ isHeld = false } = {}): Promise<void> {
    this.peer = Object.assign(new ManualPeer(), { isHeld });
    await this.subscribe();
  }

  /** How many of so many shares of a job are credited. */
  async sell(job: JobRecord, count = 12): Promise<number> {
    const verdicts = (await this.take(this.mine(job, count, { isSolution }))).split(' ');
    expect(verdicts.every((each) => each === 'ok' || each === 'share_stale')).toBe(true);
    return verdicts.filter((each) => each === 'ok').length;
  }
}

describe('work on jobs that ended while the miner was away', () => {
  it('is credited up to one backlog, though the link drops after each block', async () => {
    const stand = await MissedWork.begin();
    let old = await stand.nextMade();
    let sold = 0;
    for (let block = 0; block < 5; block += 1) {
      const next = await stand.nextMade();
      await stand.drop();
      await stand.again();
      await stand.time.advance(GRACE_MS + 1);
      sold += await stand.sell(old);
      old = next;
    }
    // The time that this took gives back less than one share.
    expect(sold).toBe(BACKLOG);
    expect(await stand.sell(old)).toBe(12);
  });

  it('is bounded where the miner refuses each job that would end another', async () => {
    const stand = await MissedWork.begin();
    const old = await stand.nextMade();
    stand.peer.refuses = true;
    await stand.next();
    await stand.time.advance(GRACE_MS + 1);
    expect(await stand.sell(old)).toBe(BACKLOG);
  });

  it('is bounded where the miner is not subscribed while its block is replaced', async () => {
    const stand = await MissedWork.begin();
    const old = await stand.nextMade();
    await stand.drop();
    expect(await stand.sell(old)).toBe(12);
    stand.pool.gives(poolJob(9, 9));
    await stand.time.settle();
    expect(await stand.sell(old)).toBe(BACKLOG);
  });

  it('is bounded where the miner acks no end', async () => {
    const stand = await MissedWork.begin();
    const old = await stand.nextMade();
    stand.peer.isHeld = true;
    stand.pool.gives(poolJob(9, 9));
    await stand.time.settle();
    let sold = 0;
    for (let time = 0; time < 5; time += 1) {
      await stand.drop();
      await stand.again({ isHeld: true });
      sold += await stand.sell(old);
    }
    expect(sold).toBe(BACKLOG);
  });

  it('is credited in full after a real disconnection, and again when as long has passed', async () => {
    const stand = await MissedWork.begin();
    for (let time = 0; time < 3; time += 1) {
      const old = await stand.nextMade();
      await stand.drop();
      await stand.time.advance(90_000);
      await stand.again();
      await stand.next();
      await stand.time.advance(WINDOW_MS - 1_000);
      expect(await stand.sell(old, BACKLOG)).toBe(BACKLOG);
      await stand.time.advance(BACKLOG_MS);
    }
  });

  it('uses none of the backlog within the grace after the ack, or where the job is in force again', async () => {
    const stand = await MissedWork.begin();
    const old = await stand.nextMade();
    const live = await stand.nextMade();
    await stand.drop();
    await stand.again();
    expect(await stand.sell(old)).toBe(12);
    expect(await stand.sell(live)).toBe(12);
    await stand.time.advance(GRACE_MS + 1);
    expect(await stand.sell(old)).toBe(BACKLOG);
  });
});
