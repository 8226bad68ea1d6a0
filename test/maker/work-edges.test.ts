import { describe, expect, it } from 'vitest';
import { CodedError, type ErrorCode } from '../../src/base/errors.ts';
import { type WorkFiles, workFilesInMemory } from '../../src/maker/work-files.ts';
import type { MethodName } from '../../src/peer/messages.ts';
import { GRACE_MS, poolJob, WorkStand } from './work-stand.ts';

/** With one job, which the miner made one of its own of. */
async function working(files?: WorkFiles) {
  const stand = new WorkStand(files === undefined ? {} : { files });
  await stand.binding.load();
  await stand.subscribe();
  const own = await stand.given(poolJob(1, 1));
  return { stand, own, job: await stand.announce(own) };
}

describe('a job that the miner names', () => {
  it('and that was never given is another’s; one that was, and is known no more, is stale', async () => {
    const { stand, own } = await working();
    const code = async (id: number): Promise<string> => {
      const job = await stand.announce(own, { time: own.time + 1 }, id);
      return stand.take(stand.mine(job, 1));
    };
    expect(await code(own.id)).toBe('ok');
    expect(await code(own.id + 1)).toBe('share_unbound');
    expect(await code(own.id - 1)).toBe('share_stale');
    expect(await code(own.id + 1_000)).toBe('share_unbound');
  });
});

describe('a withdrawal', () => {
  it.each<[ErrorCode, boolean]>([
    ['work_refused', true],
    ['protocol', false],
    ['peer_timeout', false],
  ])('that the miner answers with %s leaves the job in force: %s', async (code, isKept) => {
    const { stand, job } = await working();
    const { peer } = stand;
    const request = peer.request.bind(peer);
    peer.request = (method: MethodName, params) =>
      method === 'work.gone' ? Promise.reject(new CodedError(code)) : request(method, params);
    await stand.given(poolJob(1, 2, { clean: true }));
    await stand.time.settle();
    await stand.time.advance(GRACE_MS + 1_000);
    expect(await stand.take(stand.mine(job, 1))).toBe(isKept ? 'ok' : 'share_stale');
  });

  it('that is not answered since the link broke ends nothing: the miner may have missed it', async () => {
    const { stand, job } = await working();
    const { peer } = stand;
    const request = peer.request.bind(peer);
    peer.request = (method: MethodName, params) => {
      if (method !== 'work.gone') return request(method, params);
      peer.drop();
      return Promise.reject(new CodedError('peer_closed'));
    };
    await stand.given(poolJob(1, 2, { clean: true }));
    await stand.time.advance(GRACE_MS + 1_000);
    expect(await stand.take(stand.mine(job, 1))).toBe('ok');
  });
});

describe('the file of jobs', () => {
  /** A file that keeps half of a line where the disk is full. */
  function tearing() {
    const inMemory = workFilesInMemory();
    const state = { isFull: false, torn: 0, appended: 0, replaced: 0 };
    const files: WorkFiles = {
      ...inMemory,
      append: async (contractId, lines) => {
        if (state.isFull) {
          state.torn += 1;
          throw new Error('ENOSPC');
        }
        if (state.torn > 0) throw new Error('a line behind half a line');
        state.appended += 1;
        await inMemory.append(contractId, lines);
      },
      replace: async (contractId, lines) => {
        if (state.isFull) throw new Error('ENOSPC');
        state.torn = 0;
        state.replaced += 1;
        await inMemory.replace(contractId, lines);
      },
    };
    return { files, state };
  }

  it('that may end in half a line is written anew, as soon as the disk takes it', async () => {
    const { files, state } = tearing();
    const { stand } = await working(files);
    state.isFull = true;
    for (const mark of [2, 3]) stand.pool.gives(poolJob(1, mark));
    await stand.time.settle();
    expect([stand.peer.jobs.length, stand.binding.work.jobsKept]).toEqual([1, 1]);
    expect(state.torn).toBeGreaterThan(0);
    state.isFull = false;
    await stand.given(poolJob(1, 4));
    expect([state.torn, state.replaced]).toEqual([0, 1]);
    expect(await files.read(stand.contractId)).toHaveLength(2);
    // From then on lines are added again.
    const { appended } = state;
    await stand.given(poolJob(1, 5));
    expect([state.appended, state.replaced]).toEqual([appended + 1, 1]);
    expect(await files.read(stand.contractId)).toHaveLength(3);
  });

  it('of an earlier run is written anew with the first job of this one', async () => {
    const { files, state } = tearing();
    const { stand, own } = await working(files);
    await stand.time.settle();
    const next = new WorkStand({ files, time: stand.time });
    await next.binding.load();
    await next.subscribe();
    expect(next.binding.work).toMatchObject({ jobsKept: 1, jobsLive: 0 });
    const { appended } = state;
    const later = await next.given(poolJob(2, 9));
    expect(later.id).toBeGreaterThan(own.id);
    expect([state.appended, state.replaced]).toEqual([appended, 1]);
    expect(await files.read(next.contractId)).toHaveLength(2);
  });
});

describe('a contract that is over', () => {
  it('has no connection to any pool, and keeps no job', async () => {
    const { stand } = await working();
    stand.channelStatus = 'closing';
    await stand.time.advance(5_000);
    expect(stand.pools.map(({ isStopped }) => isStopped)).toEqual([true, true]);
    expect(await stand.files.read(stand.contractId)).not.toEqual([]);
    Object.defineProperty(stand.store, 'isClosed', { value: true });
    await stand.time.advance(5_000);
    await stand.time.settle();
    expect(await stand.files.read(stand.contractId)).toEqual([]);
  });
});
