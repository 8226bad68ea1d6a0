import { ShareCases } from '../../src/maker/share-cases.ts';
import type { ShareCode } from '../../src/settlement/share-rules.ts';
import type { ShareTarget } from '../../src/shares/share.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { ShareRows, type WireShare } from '../../src/work/share-rows.ts';

/** A share of a batch by itself: what a test says of it, and what was found out. */
export type ShareCase = {
  readonly share: WireShare;
  readonly job: JobRecord | undefined;
  code: ShareCode | undefined;
  readonly target: ShareTarget | undefined;
  hash: Uint8Array | undefined;
  isNew?: boolean;
};

const NO_SHARE: WireShare = {
  ...{ jobId: 1, difficulty: 1, extranonce1: new Uint8Array(0), extranonce2: new Uint8Array(0) },
  ...{ ntime: 0, nonce: 0, version: 0 },
};

/** The columns of a batch of such shares. */
export function casesOf(list: readonly ShareCase[]): ShareCases {
  const cases = new ShareCases(ShareRows.of(list.map(({ share }) => ({ ...NO_SHARE, ...share }))));
  list.forEach(({ job, code, target, hash, isNew }, index) => {
    cases.jobs.push(job);
    cases.codes.push(code);
    cases.targets.push(target as ShareTarget);
    cases.lateCodes.push(undefined);
    cases.limitHashes.push(undefined);
    if (hash !== undefined) cases.setHash(index, hash, 0);
    if (isNew === true) cases.setNew(index);
  });
  return cases;
}

/** Gives a batch of such shares to what judges it, and writes into them what it found out. */
export async function judgedBy(
  list: readonly ShareCase[],
  judge: (cases: ShareCases) => Promise<void> | void,
): Promise<void> {
  const cases = casesOf(list);
  try {
    await judge(cases);
  } finally {
    told(list, cases);
  }
}

/** The same at once. */
export function judgedNow(list: readonly ShareCase[], judge: (cases: ShareCases) => void): void {
  const cases = casesOf(list);
  judge(cases);
  told(list, cases);
}

function told(list: readonly ShareCase[], cases: ShareCases): void {
  list.forEach((each, index) => {
    each.code = cases.codes[index];
    if (cases.isHashed(index)) each.hash = cases.rows.hash(index).slice();
    each.isNew = cases.isNew(index);
  });
}
