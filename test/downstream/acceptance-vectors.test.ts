import { afterEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { workOfTarget } from '../../src/bitcoin/target.ts';
import { plainWork, upstreamJobOf } from '../jobs/upstream-jobs.ts';
import { type BlockVector, blockVectors, difficultyTargets } from '../vectors.ts';
import { HARD, paramsOf, submitOf } from './harness.ts';
import { codesOf, Stand, stopStands } from './stand.ts';

afterEach(stopStands);

/** The same coinbase, cut so that the session and the miner have four bytes each. */
function recut({ notify, submit }: BlockVector): {
  notify: unknown[];
  session: string;
  extranonce2: string;
} {
  const [, , own] = submit;
  const coinb2 = notify[3];
  const missing = 16 - own.length;
  const region = own! + coinb2.slice(0, missing);
  return {
    notify: notify.with(3, coinb2.slice(missing)),
    session: region.slice(0, 8),
    extranonce2: region.slice(8),
  };
}

describe('acceptance case 1: every vector gives its hash, difficulty and verdict', () => {
  it.each(blockVectors())('$name', async (vector) => {
    const { notify, session, extranonce2 } = recut(vector);
    const stand = await Stand.start({
      difficulty: 1,
      deps: { random: { bytes: () => fromHex(session) } },
    });
    stand.give(upstreamJobOf(notify, vector.extranonce1, 8));
    const miner = stand.miner();
    const { lines, extranonce1 } = await miner.start('rig.1');
    expect(extranonce1).toBe(session);
    expect(paramsOf(lines.at(-2))).toEqual([1]);
    const [job] = paramsOf(lines.at(-1));
    const [, , , ntime, nonce] = vector.submit;
    const share = ['rig.1', job, extranonce2, ntime, nonce];
    const next = (Number.parseInt(nonce, 16) + 1).toString(16);
    expect(await codesOf(miner, [share, share, share.with(4, next)])).toEqual([0, 22, 23]);
    const displayed = [...fromHex(stand.forwarded[0]!.hash)].reverse();
    expect(Buffer.from(displayed).toString('hex')).toBe(vector.hash);
    expect(stand.forwarded).toHaveLength(1);
    const { target } = stand.submissions[0]!.assigned;
    expect(stand.total()).toEqual({ seq: 1, workHashes: workOfTarget(target) });
    expect(target).toBe(0xffffn << 208n);
  });
});

describe('acceptance case 1: every difficulty of the vectors', () => {
  it('has its exact target, on the wire and in the verdict', async () => {
    const stand = await Stand.start();
    stand.give(plainWork(200, HARD));
    const miner = stand.miner();
    await miner.start();
    for (const [index, row] of difficultyTargets().entries()) {
      const job = stand.give(plainWork(1 + index, HARD), 'pool', Number(row.difficulty));
      const lines = await miner.until('method', 'mining.notify');
      expect(paramsOf(lines.at(-2))).toEqual([Number(row.difficulty)]);
      miner.send(submitOf(index, job.wireId));
      await miner.until('id', index);
      const { target } = stand.submissions.at(-1)!.assigned;
      expect(target.toString(16).padStart(64, '0')).toBe(row.target);
    }
  });
});
