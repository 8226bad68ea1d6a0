import { afterEach, describe, expect, it } from 'vitest';
import { targetOfCompact, targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { paramsOf } from './harness.ts';
import { codesOf, SHARE_DIFFICULTY, Stand, solve, stopStands, submitLine } from './stand.ts';

afterEach(stopStands);

/** A block every thousands of hashes, as a network of its own has them. */
const BITS = 0x1f00ffff;
const BLOCK = targetOfCompact(BITS);
const WORK = plainWork(1, { bits: BITS, target: targetOfDifficulty(2 ** 40) });
/** So hard that no block of this network meets it. */
const SOLD_AT = 1;

async function mining(setup: Parameters<typeof Stand.start>[0] = {}, fixedDifficulty?: number) {
  const stand = await Stand.start(setup);
  stand.give(WORK, 'pool', fixedDifficulty);
  const miner = stand.miner();
  const { lines, extranonce1, session } = await miner.start();
  const solution = solve(lines.at(-1)!, extranonce1, { target: BLOCK });
  return { stand, miner, extranonce1, session, notify: lines.at(-1)!, solution };
}

describe('acceptance case 4: a share that solves a block is sent on, once', () => {
  it('when it is accepted', async () => {
    const { stand, miner, solution } = await mining();
    expect(await codesOf(miner, [solution, solution])).toEqual([0, 22]);
    expect(await codesOf(miner, [solution.with(4, solution[4]!.toUpperCase())])).toEqual([22]);
    expect(stand.forwarded).toHaveLength(1);
    expect(stand.submissions[0]!.assigned.target >= BLOCK).toBe(true);
  });

  it('when it is stale', async () => {
    const { stand, miner, solution } = await mining();
    stand.clock.advance(10);
    stand.give(plainWork(2, { bits: BITS }));
    stand.clock.advance(10);
    expect(await codesOf(miner, [solution, solution])).toEqual([21, 21]);
    expect(stand.forwarded).toHaveLength(1);
    expect(stand.total().seq).toBe(0);
  });

  it('when it is below the difficulty of the session', async () => {
    const { stand, miner, solution } = await mining({}, SOLD_AT);
    expect(stand.server.sessions()[0]!.difficulty).toBe(SOLD_AT);
    expect(await codesOf(miner, [solution, solution])).toEqual([23, 23]);
    expect(stand.forwarded).toHaveLength(1);
    expect(stand.total().seq).toBe(0);
  });

  it('when it is stale, below the difficulty, and from a miner that is banned for it', async () => {
    const sanctions = { resendAfter: 50, reconnectAfter: 50, banAfter: 50 };
    const { stand, miner, solution, extranonce1, notify } = await mining(
      { options: { sanctions } },
      SOLD_AT,
    );
    const worthless = Array.from({ length: 49 }, (_, index) =>
      solution.with(4, (0xff000000 + index).toString(16)),
    );
    const [next] = [solve(notify, extranonce1, { target: BLOCK, extranonce2: 'eeeeeeee' })];
    miner.send(...[...worthless, solution, next, solution].map((params, id) => submitLine(id, params)));
    await miner.closed;
    expect(stand.server.stats.closed.banned).toBe(1);
    const solving = stand.forwarded.filter(({ submission }) => submission.nonce < 0xff000000);
    expect(solving.map(({ submission }) => submission.nonce.toString(16).padStart(8, '0'))).toEqual([
      solution[4],
      next![4],
    ]);
    await stand.miner().closed;
  });

  it('when its miner hung up before the answer', async () => {
    const { stand, miner, solution } = await mining();
    miner.send(submitLine(1, solution));
    miner.destroy();
    while (stand.verdicts.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(stand.forwarded).toHaveLength(1);
    expect(stand.total().seq).toBe(1);
  });

  it('when it comes again by the connection that resumed its session', async () => {
    const { stand, miner, solution, session } = await mining({}, SOLD_AT);
    expect(await codesOf(miner, [solution])).toEqual([23]);
    miner.destroy();
    await miner.closed;
    const again = stand.miner();
    await again.start('rig.1', 'x', session);
    expect(await codesOf(again, [solution])).toEqual([23]);
    expect(stand.server.stats.resumed).toBe(1);
    expect(stand.forwarded).toHaveLength(1);
  });

  it('also while shares of the same block are only worth a share', async () => {
    const { stand, miner, notify, extranonce1, solution } = await mining({ difficulty: SHARE_DIFFICULTY });
    const target = targetOfDifficulty(SHARE_DIFFICULTY);
    const share = solve(notify, extranonce1, { target, above: BLOCK, extranonce2: '0000cdef' });
    expect(await codesOf(miner, [share, solution])).toEqual([0, 0]);
    expect(stand.forwarded.map(({ submission }) => submission.nonce)).toEqual([
      Number.parseInt(solution[4]!, 16),
    ]);
    expect(paramsOf(notify)[6]).toBe('1f00ffff');
  });
});
