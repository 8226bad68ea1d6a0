import { describe, expect, it } from 'vitest';
import { targetToLe, workOfTarget } from '../../src/bitcoin/target.ts';
import { WorkerLuck } from '../../src/mining/worker-luck.ts';
import { type AcceptedShare, type Submission, shareTargetOf } from '../../src/shares/share.ts';
import { sampleJob } from '../work/samples.ts';

type Named = AcceptedShare<Submission & { readonly workerName: string }>;

const ASSIGNED = shareTargetOf(1);
const UPSTREAM = shareTargetOf(100).target;
const BLOCK = shareTargetOf(10_000).target;
const JOB = sampleJob(1, 'own:pool', { upstreamTarget: UPSTREAM, networkTarget: BLOCK });

function sharesOf(workerName: string, hashes: readonly bigint[], job = JOB): Named[] {
  return hashes.map((hash) => {
    const submission = {
      ...{ job, assigned: ASSIGNED, workerName, extranonce: new Uint8Array(8) },
      ...{ ntime: 0, nonce: 0, version: 0 },
    };
    return { submission, hash: targetToLe(hash) };
  });
}

const easy = (count: number): bigint[] => Array.from({ length: count }, () => ASSIGNED.target);

describe('the luck of workers', () => {
  it('counts blocks and what the upstream asks for, of each worker by name', () => {
    const luck = new WorkerLuck();
    luck.add(sharesOf('a', [UPSTREAM, UPSTREAM + 1n, BLOCK, BLOCK + 1n]));
    luck.add(sharesOf('b', easy(3)));
    const part = (target: bigint): number => Number(ASSIGNED.workHashes) / Number(workOfTarget(target));
    expect(luck.of('a')).toEqual({
      block: { solutions: 1, expected: 4 * part(BLOCK) },
      upstream: { solutions: 3, expected: 4 * part(UPSTREAM) },
    });
    expect(luck.of('b')!.upstream.solutions).toBe(0);
    expect(luck.of('c')).toBeUndefined();
    expect(luck.size).toBe(2);
  });

  it('expects one solution at most of a share', () => {
    const luck = new WorkerLuck();
    const easier = sampleJob(2, 'own:pool', { upstreamTarget: ASSIGNED.target * 8n });
    luck.add(sharesOf('a', easy(2), easier));
    expect(luck.of('a')!.upstream).toEqual({ solutions: 2, expected: 2 });
  });

  it('names who sends easy shares only, and takes the number of workers into account', () => {
    const luck = new WorkerLuck();
    luck.add(sharesOf('thief', easy(920)));
    luck.add(sharesOf('honest', [...easy(910), ...Array.from({ length: 9 }, () => UPSTREAM)]));
    // exp(-9.2) is 1.01e-4: of two workers twice that, which is no alarm yet.
    expect(luck.odds('upstream')).toBeCloseTo(2 * Math.exp(-9.2), 6);
    expect(luck.unlikely()).toEqual([]);
    luck.add(sharesOf('thief', easy(200)));
    expect(luck.odds('upstream')).toBeLessThan(1e-4);
    const [first, ...rest] = luck.unlikely();
    expect(rest).toEqual([]);
    expect(first).toMatchObject({ worker: 'thief', solution: 'upstream', solutions: 0 });
    expect(first!.least).toBeGreaterThan(0);
    expect(luck.odds('block')).toBe(1);
  });

  it('remembers so many workers and no more, those seen last', () => {
    const luck = new WorkerLuck({ maxWorkers: 3 });
    for (const name of ['a', 'b', 'c', 'a', 'd']) luck.add(sharesOf(name, easy(1)));
    expect(luck.size).toBe(3);
    expect(luck.of('b')).toBeUndefined();
    expect(luck.of('a')!.upstream.expected).toBeGreaterThan(luck.of('d')!.upstream.expected);
  });
});
