import { expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { MakerCommitments, type RefusedShare } from '../../src/maker/maker-commitments.ts';
import { REFUSALS_KIND } from '../../src/settlement/records.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const CONTRACT = 'ab'.repeat(32);

const refusedAt = (seq: number, code = 'share_bad'): RefusedShare => ({
  ...{ seq, code, job: undefined, workHashes: 16n },
  share: {
    ...{ jobId: 1, difficulty: 16, extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
    ...{ ntime: 1, nonce: 1, version: 1 },
  } as RefusedShare['share'],
});

/** Commitments over a ledger with such a document of refused shares. */
async function loaded(document?: object): Promise<MakerCommitments> {
  const ledger = new MemoryLedger();
  const body = JSON.stringify(document);
  if (document !== undefined)
    await ledger.append([{ type: 'put', kind: REFUSALS_KIND, id: CONTRACT, body }]);
  return MakerCommitments.load(ledger, CONTRACT, 0);
}

/** Refuses shares, and the document that is to be written; undefined for none. */
function refuse(commitments: MakerCommitments, shares: readonly RefusedShare[]) {
  const { entries, done } = commitments.withRefused(CONTRACT, shares);
  done();
  const [entry] = entries;
  if (entry === undefined) return undefined;
  expect(entry).toMatchObject({ type: 'put', kind: REFUSALS_KIND, id: CONTRACT });
  const document = JSON.parse(entry.body as string) as { version: number; faults?: unknown[] | null };
  return (document.faults ?? null) as { code: string; first: number; count: number }[] | null;
}

const said = (faults: ReturnType<typeof refuse>): unknown =>
  faults?.map(({ code, first, count }) => [code, first, count]);

it('are kept in runs of one reason, and nothing is written where none was refused', async () => {
  const commitments = await loaded();
  expect(refuse(commitments, [])).toBe(undefined);
  expect(said(refuse(commitments, [refusedAt(3), refusedAt(4)]))).toEqual([['share_bad', 3, 2]]);
  expect(said(refuse(commitments, [refusedAt(5, 'share_low'), refusedAt(7, 'share_low')]))).toEqual([
    ['share_bad', 3, 2],
    ['share_low', 5, 1],
    ['share_low', 7, 1],
  ]);
});

it('of a ledger before reasons were kept have none', async () => {
  const commitments = await loaded({ version: 1, ranges: [{ first: 3, count: 2 }] });
  expect(said(refuse(commitments, [refusedAt(5)]))).toEqual([
    ['unlogged', 3, 2],
    ['share_bad', 5, 1],
  ]);
});

it.each([
  ['too many then', { version: 1, ranges: null }],
  ['too many now', { version: 2, faults: null }],
  [
    'more than can be kept',
    {
      version: 1,
      ranges: Array.from({ length: LIMITS.faultRanges + 1 }, (_, at) => ({ first: 2 * at, count: 1 })),
    },
  ],
])('that were %s are kept no more', async (_, document) => {
  expect(refuse(await loaded(document), [refusedAt(9_000_001)])).toBe(undefined);
});

it('are kept up to so many runs, and none from one more on', async () => {
  const ranges = Array.from({ length: LIMITS.faultRanges - 1 }, (_, at) => ({ first: 2 * at, count: 1 }));
  const commitments = await loaded({ version: 1, ranges });
  expect(refuse(commitments, [refusedAt(100_000)])).toHaveLength(LIMITS.faultRanges);
  expect(refuse(commitments, [refusedAt(100_002)])).toBe(null);
  expect(refuse(commitments, [refusedAt(100_004)])).toBe(undefined);
});
