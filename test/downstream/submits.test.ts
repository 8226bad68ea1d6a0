import { afterEach, describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { displayHash, serializeHeader } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { hashToNumber, targetOfDifficulty } from '../../src/bitcoin/target.ts';
import type { SessionSubmission } from '../../src/downstream/session/session.ts';
import { plainWork, upstreamJobOf } from '../jobs/upstream-jobs.ts';
import { blockVector } from '../vectors.ts';
import {
  broadcast,
  DIFFICULTY,
  HARD,
  paramsOf,
  startServer,
  stopServers,
  submitOf,
  withWork,
} from './harness.ts';

afterEach(stopServers);

describe('submits', () => {
  const refused: readonly [what: string, line: (job: string) => unknown, error: unknown[]][] = [
    [
      'a worker nobody authorised',
      (job) => submitOf(9, job, { worker: 'thief' }),
      [24, 'not authorized', null],
    ],
    ['a job id of no job', () => submitOf(9, 'ffff'), [21, 'unknown job', null]],
    ['a job id in upper case', () => submitOf(9, '1AB'), [21, 'unknown job', null]],
    [
      'extranonce2 too long',
      (job) => submitOf(9, job, { extranonce2: '0000000000' }),
      [20, 'bad extranonce2', null],
    ],
    [
      'extranonce2 too short',
      (job) => submitOf(9, job, { extranonce2: '00' }),
      [20, 'bad extranonce2', null],
    ],
    [
      'extranonce2 not hex',
      (job) => submitOf(9, job, { extranonce2: 'zzzzzzzz' }),
      [20, 'bad extranonce2', null],
    ],
    ['ntime before the job', (job) => submitOf(9, job, { ntime: '6553f0ff' }), [20, 'bad ntime', null]],
    ['ntime too late', (job) => submitOf(9, job, { ntime: '65540ca9' }), [20, 'bad ntime', null]],
    ['ntime not hex', (job) => submitOf(9, job, { ntime: 'x' }), [20, 'malformed', null]],
    ['nonce too long', (job) => submitOf(9, job, { nonce: '000000001' }), [20, 'malformed', null]],
    ['bits without configure', (job) => submitOf(9, job, { bits: '00002000' }), [20, 'bad version', null]],
    ['bits not hex', (job) => submitOf(9, job, { bits: 'x' }), [20, 'bad version', null]],
    [
      'four parameters',
      () => ({ id: 9, method: 'mining.submit', params: ['rig.1', '1', '2', '3'] }),
      [20, 'malformed', null],
    ],
  ];
  it('with version bits that nobody asked for are taken where the port says so', async () => {
    const port = { host: '127.0.0.1', port: 0, difficulty: DIFFICULTY };
    const test = await startServer({
      options: { listeners: [port, { ...port, takesUnaskedVersions: true }] },
      verdict: () => 'accepted',
    });
    const job = broadcast(test, 1);
    const outcomes: unknown[] = [];
    for (const listener of [0, 1]) {
      const miner = test.miner(listener);
      await miner.start();
      miner.send(submitOf(1, job, { bits: '00402000' }), submitOf(2, job, { bits: '40000000' }));
      outcomes.push(await miner.next(), await miner.next());
    }
    const bad = (id: number): object => ({ id, result: null, error: [20, 'bad version', null] });
    expect(outcomes).toEqual([bad(1), bad(2), { id: 1, result: true, error: null }, bad(2)]);
    expect(test.submissions.map(({ version }) => version)).toEqual([0x20402000]);
  });

  it.each([
    ['an engineer with joiners', '👩‍🏭.rig'],
    ['a flag made of tags', '🏴󠁧󠁢󠁳󠁣󠁴󠁿.1'],
    ['Persian, with a joiner that separates', 'مزرعه‌ها.۱'],
    ['Devanagari, with joiners', 'र्‍क.ferme'],
    ['Hangul and Cyrillic', '광산.ферма'],
    ['an emoji newer than this program', '\u{1faea}\u{1fadc}'],
  ])('under a name of any script are taken: %s', async (_what, worker) => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start(worker);
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string, { worker }));
    expect(await miner.next()).toMatchObject({ id: 1, result: true });
    expect(test.submissions.map(({ workerName }) => workerName)).toEqual([worker]);
    expect(test.server.sessions()[0]!.workers.map(({ name }) => name)).toEqual([worker]);
  });

  it.each(['line\nbreak', 'bell\u0007', 'turned\u202etxt', 'half\ud83d', 'para\u2029graph', '\ufeffmark'])(
    'need a name that harms no log: %j is refused',
    async (worker) => {
      const test = await withWork();
      const miner = test.miner();
      miner.send({ id: 7, method: 'mining.authorize', params: [worker, 'x'] });
      expect(await miner.next()).toMatchObject({ id: 7, error: [24, 'not authorized', null] });
    },
  );

  it.each(refused)('with %s are refused before they are hashed', async (_what, line, error) => {
    const test = await withWork();
    const miner = test.miner();
    const { lines } = await miner.start();
    miner.send(line(paramsOf(lines.at(-1))[0] as string) as object);
    expect(await miner.next()).toEqual({ id: 9, result: null, error });
    expect(test.submissions).toEqual([]);
    const { rejected } = test.server.stats;
    const counted = Object.values(rejected).reduce((sum, count) => sum + count, 0);
    expect(counted + (test.server.stats.refused.malformed ?? 0)).toBe(1);
  });

  it('before subscribe are refused', async () => {
    const test = await withWork();
    const miner = test.miner();
    miner.send(submitOf(1, '100000000'));
    expect(await miner.next()).toMatchObject({ error: [25, 'not subscribed', null] });
  });

  it('take ntime up to two hours less two minutes ahead of the clock', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start();
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string, { ntime: '65540ca8' }));
    expect(await miner.next()).toMatchObject({ result: true });
  });

  it('refuse version bits outside the agreed mask and take those inside', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    miner.send({
      id: 0,
      method: 'mining.configure',
      params: [['version-rolling'], { 'version-rolling.mask': '00ffe000' }],
    });
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    miner.send(
      submitOf(1, job, { bits: '01000000' }),
      submitOf(2, job, { bits: '00c02000' }),
      submitOf(3, job),
    );
    expect((await miner.until('id', 3)).map((line) => line['error'])).toEqual([
      [20, 'bad version', null],
      null,
      null,
    ]);
    expect(test.submissions.map((submission) => submission.version)).toEqual([0x20c02000, 0x20000000]);
  });

  it('are counted for the worker they name, in any letters, also when workers take turns', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const names = ['Schürfer.1', 'rig.é', 'rig.1'];
    const { lines } = await miner.start(names[0]);
    for (const name of names.slice(1))
      miner.send({ id: 3, method: 'mining.authorize', params: [name, 'x'] });
    const job = paramsOf(lines.at(-1))[0] as string;
    const turns = [0, 1, 1, 2, 0, 2, 2];
    miner.send(...turns.map((turn, id) => submitOf(10 + id, job, { worker: names[turn]! })));
    miner.send(submitOf(20, job, { worker: 'rig.e' }));
    await miner.until('id', 20);
    test.clock.advance(5000);
    test.server.tick();
    miner.send(submitOf(21, job, { worker: names[1]! }));
    await miner.until('id', 21);
    const [session] = test.server.sessions();
    const { difficulty } = session!;
    const nowMs = test.clock.nowMs();
    expect(
      session!.workers.map(({ name, accepted, acceptedDifficulty, lastShareAtMs }) => [
        name,
        accepted,
        acceptedDifficulty / difficulty,
        nowMs - lastShareAtMs,
      ]),
    ).toEqual([
      ['Schürfer.1', 2, 2, 5000],
      ['rig.é', 3, 3, 0],
      ['rig.1', 3, 3, 5000],
    ]);
    expect([session!.accepted, session!.rejected, session!.lastShareAtMs]).toEqual([8, 1, nowMs]);
  });

  it('may name only jobs the session was sent', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const other = test.jobs.add('elsewhere', 's', plainWork(5, HARD), test.clock.monotonicMs());
    const miner = test.miner();
    await miner.start();
    miner.send(submitOf(1, other.wireId));
    expect(await miner.next()).toMatchObject({ error: [21, 'unknown job', null] });
  });

  it('of a retired job are unknown', async () => {
    const test = await withWork({ table: { retainMs: 1000 }, verdict: () => 'stale' });
    const miner = test.miner();
    const { lines } = await miner.start();
    const old = paramsOf(lines.at(-1))[0] as string;
    broadcast(test, 2);
    await miner.until('method', 'mining.notify');
    miner.send(submitOf(1, old));
    expect(await miner.next()).toMatchObject({ error: [21, 'stale', null] });
    test.jobs.expire(test.clock.monotonicMs() + 1001);
    miner.send(submitOf(2, old));
    expect(await miner.next()).toMatchObject({ error: [21, 'unknown job', null] });
  });

  it('are judged by the target their job was sent with', async () => {
    const test = await withWork();
    const miner = test.miner();
    const { lines } = await miner.start();
    const first = paramsOf(lines.at(-1))[0] as string;
    miner.send({ id: 5, method: 'mining.suggest_difficulty', params: [8] });
    expect(await miner.settled()).toHaveLength(1);
    const second = broadcast(test, 1, { coinb2: Uint8Array.of(7) });
    const after = await miner.until('method', 'mining.notify');
    expect(after.map((line) => line['method'])).toEqual(['mining.set_difficulty', 'mining.notify']);
    miner.send(submitOf(1, first), submitOf(2, second));
    await test.submitted(2);
    expect(test.submissions.map((submission) => submission.assigned.difficulty)).toEqual([1024, 8]);
    expect(test.submissions[0]!.assigned.target).toBe(targetOfDifficulty(1024));
    for (const submission of test.submissions) test.server.settle(submission, 'accepted');
    expect(test.server.stats.acceptedDifficulty).toBe(1032);
  });

  it('are answered with their own ids, in any order, as the verdicts come', async () => {
    const test = await withWork();
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    miner.send(...[4, 'a', null, 4].map((id, nonce) => submitOf(id, job, { nonce: String(nonce) })));
    await test.submitted(4);
    const verdicts = ['accepted', 'duplicate', 'low_difficulty', 'overload'] as const;
    for (const index of [3, 1, 0, 2]) test.server.settle(test.submissions[index]!, verdicts[index]!);
    const answers = [await miner.next(), await miner.next(), await miner.next(), await miner.next()];
    expect(
      answers.map((line) => [line['id'], line['result'], (line['error'] as unknown[] | null)?.[0]]),
    ).toEqual([
      [4, null, 20],
      ['a', null, 22],
      [4, true, undefined],
      [null, null, 23],
    ]);
    expect(test.server.stats).toMatchObject({
      sharesSubmitted: 4,
      sharesAccepted: 1,
      acceptedDifficulty: 1024,
      rejected: { duplicate: 1, low_difficulty: 1, overload: 1 },
    });
  });

  it('beyond the limit in flight are refused', async () => {
    const test = await withWork({ options: { sharesInFlight: 2 } });
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    miner.send(submitOf(1, job), submitOf(2, job), submitOf(3, job));
    expect(await miner.next()).toMatchObject({ id: 3, error: [20, 'overload', null] });
    expect(test.server.stats.limitHits.sessionSharesInFlight).toBe(1);
  });

  it('of several workers are told apart', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start('rig.1');
    const job = paramsOf(lines.at(-1))[0] as string;
    miner.send({ id: 3, method: 'mining.authorize', params: ['rig.ü', 'x'] });
    await miner.until('id', 3);
    const bytesOfRig = Buffer.from('rig.ü').toString('latin1');
    for (const [id, worker] of ['rig.1', 'rig.ü', 'rig.ü', 'rig.2', bytesOfRig].entries()) {
      miner.send(submitOf(10 + id, job, { worker }));
    }
    await miner.until('id', 14);
    expect(test.submissions.map((submission) => submission.workerName)).toEqual([
      'rig.1',
      'rig.ü',
      'rig.ü',
    ]);
    const [session] = test.server.sessions();
    expect(session!.workers.map(({ name, accepted }) => [name, accepted])).toEqual([
      ['rig.1', 1],
      ['rig.ü', 2],
    ]);
    expect([session!.accepted, session!.rejected]).toEqual([3, 2]);
  });
});

describe('the genesis block', () => {
  const genesis = blockVector('genesis');
  const [worker, , chosen, ntime, nonce] = genesis.submit;
  /** Of what the upstream leaves, four bytes are the session's, and the rest the miner's. */
  const [session, extranonce2] = [chosen.slice(0, 8), chosen.slice(8)];

  it('is found by a miner that is sent it as a job', async () => {
    const hashes: Uint8Array[] = [];
    const random = { bytes: () => Uint8Array.from(Buffer.from(session, 'hex')) };
    const test = await startServer({
      deps: { random },
      verdict: (submission) => {
        const hash = hashOf(submission);
        hashes.push(hash);
        return hashToNumber(hash) <= submission.assigned.target ? 'accepted' : 'low_difficulty';
      },
    });
    const { extranonce1, extranonce2Size } = genesis;
    test.jobs.add('pool', 's', upstreamJobOf(genesis.notify, extranonce1, extranonce2Size), 0);
    const miner = test.miner();
    const started = await miner.start('satoshi');
    expect(started.extranonce1).toBe(session);
    expect(paramsOf(started.lines[2])).toEqual([1]);
    const notify = paramsOf(started.lines[3]);
    expect(notify[2]).toBe(`${genesis.notify[2]}${extranonce1}`);
    miner.send(
      submitOf(7, notify[0] as string, { worker, extranonce2, ntime, nonce }),
      submitOf(8, notify[0] as string, { worker, extranonce2, ntime, nonce: '7c2bac1e' }),
    );
    expect((await miner.until('id', 8)).map((line) => line['result'])).toEqual([true, null]);
    expect(displayHash(hashes[0]!)).toBe(genesis.hash);
  });
});

function hashOf(submission: SessionSubmission): Uint8Array {
  const { job, extranonce, version, ntime, nonce } = submission;
  const txid = sha256d(concat(job.coinb1, extranonce, job.coinb2));
  const merkleRoot = merkleRootFromBranches(txid, job.branches);
  return sha256d(
    serializeHeader({ version, prevHash: job.prevHash, merkleRoot, time: ntime, bits: job.bits, nonce }),
  );
}
