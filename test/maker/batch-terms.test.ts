import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { beginBlocksOf } from '../../src/chain/watcher.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { Credit } from '../../src/maker/credit-entries.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { CURRENT, GRACE_MS, mine, Stand, stand, W, world } from './batch-stand.ts';
import { MAKER_SCRIPT_HEX, SHARE } from './world.ts';

/** Puts something else in the place of what the store says. */
function says(made: Stand, what: 'period' | 'creditLimit' | 'credit', value: unknown): void {
  Object.defineProperty(made.store, what, { value, configurable: true });
}

describe('a share on a block', () => {
  it('is judged by what holds when its turn comes, whatever another of its job was told before a wait', async () => {
    const made = await stand({ options: { unknownBlockWaitMs: 5000 } });
    const other = { ...world.job(), id: 77, prevHash: new Uint8Array(32).fill(7) };
    await made.announce(other);
    says(made, 'creditLimit', () => 10n * W);
    await made.one();
    const [first, second, third] = mine(made.job, 3);
    const [unknown] = mine(other, 1);
    // The block of the other is not here yet; while it is waited for, the rate allows no more of the first.
    made.blockOf = (hash) => (hash === displayHash(other.prevHash) ? { status: 'unknown' } : CURRENT);
    const taken = made.take([first!, second!, unknown!, third!]);
    await made.time.settle();
    says(made, 'creditLimit', () => 1n);
    await made.time.advance(5000);
    expect(await taken).toBe('ok ok stale_race over_rate');
  });

  it('is of the contract from its first block on, and below its end', async () => {
    const made = await stand();
    says(made, 'period', { from: 8, end: 12 });
    const at = async (height: number): Promise<string> => {
      made.block = { ...CURRENT, height };
      return made.one();
    };
    expect([await at(7), await at(8), await at(11), await at(12)]).toEqual([
      ...['not_begun', 'ok', 'ok', 'duration_over'],
    ]);
    // Of what nobody here knows the height no more is said than that.
    made.block = { status: 'unknown' };
    expect(await made.one()).toBe('stale_race');
    says(made, 'period', undefined);
    made.block = CURRENT;
    expect(await made.one()).toBe('wrong_status');
  });

  it('is too near the expiry from the block on from which nothing begins any more', async () => {
    const made = await stand();
    const { terms, options } = made.store;
    const last = terms.expiryHeight - beginBlocksOf(options.margins) - 1;
    const at = async (height: number): Promise<string> => {
      made.block = { ...CURRENT, height };
      return made.one();
    };
    expect([await at(last), await at(last + 1), await at(terms.expiryHeight)]).toEqual([
      ...['ok', 'expiry_near', 'expiry_near'],
    ]);
    // However it stands with the period of the contract.
    says(made, 'period', { from: 0, end: last });
    expect([await at(last), await at(last + 1)]).toEqual(['duration_over', 'expiry_near']);
  });

  it('is of no price where none may be used for its block, and that is no junk', async () => {
    const made = await stand();
    made.store.isUnpriced = (height) => height >= 11;
    expect(await made.one()).toBe('ok');
    made.block = { ...CURRENT, height: 11 };
    expect(await made.one()).toBe('no_price');
    says(made, 'period', { from: 20, end: 30 });
    expect(await made.one()).toBe('not_begun');
    expect(made.batches.stats).toEqual({ sharesCredited: 1, refused: { no_price: 1, not_begun: 1 } });
  });

  it('is credited up to the limit of its block; the one that reaches it is the last', async () => {
    for (const [limit, codes] of [
      [2n * W, 'ok ok over_rate over_rate'],
      [2n * W + 1n, 'ok ok ok over_rate'],
      [2n * W - 1n, 'ok ok over_rate over_rate'],
      [0n, 'over_rate over_rate over_rate over_rate'],
    ] as const) {
      const made = await stand();
      says(made, 'creditLimit', () => limit);
      expect(await made.take(mine(made.job, 4))).toBe(codes);
    }
    // The end of the contract comes first; another block has another limit.
    const made = await stand({ terms: { workTotalHashes: 2n * W } });
    const asked: number[] = [];
    says(made, 'creditLimit', (height: number) => {
      asked.push(height);
      return height === CURRENT.height ? W : undefined;
    });
    expect(await made.take(mine(made.job, 2))).toBe('ok over_rate');
    made.block = { ...CURRENT, height: 11 };
    expect(await made.take(mine(made.job, 2))).toBe('ok over_budget');
    made.block = { status: 'unknown' };
    expect(await made.one()).toBe('stale_race');
    expect(new Set(asked)).toEqual(new Set([10, 11]));
  });
});

describe('the oldest block that work is credited on', () => {
  /** How long ago it may have been replaced, in ms. */
  const ago = (made: Stand): number => made.now - made.batches.oldestMs;

  it('was replaced a grace ago, or one before the last contact, and no longer than any backlog', async () => {
    const made = await stand();
    made.batches.contactAtMonotonicMs = made.now;
    expect(ago(made)).toBe(GRACE_MS);
    await made.time.advance(5_000);
    expect(ago(made)).toBe(GRACE_MS + 5_000);
    await made.time.advance(6 * 3_600_000);
    expect(ago(made)).toBe(GRACE_MS + 6 * 3_600_000);
  });

  it('is of the time that the miner was away while its backlog is taken', async () => {
    const made = await stand({ options: { backlogWindowMs: 60_000 } });
    made.batches.contactAtMonotonicMs = made.now;
    await made.time.advance(100_000);
    made.batches.openBacklog();
    expect(ago(made)).toBe(GRACE_MS + 100_000);
    await made.time.advance(60_000);
    expect(ago(made)).toBe(GRACE_MS + 160_000);
    await made.time.advance(1);
    // The window is over: what counts is the contact again.
    expect(ago(made)).toBe(GRACE_MS + 60_001);
  });
});

it.each([
  [10, 40_000],
  [30, 60_000],
  [60, 120_000],
])('work that is late by more than %d s is a race for as long again, or 30 s', async (grace, raceMs) => {
  const made = await stand({ terms: { staleGraceSeconds: grace } });
  made.batches.contactAtMonotonicMs = made.now;
  const lateBy = async (ms: number, isRival = false): Promise<string> => {
    const superseded = { ...CURRENT, status: 'superseded', sinceMonotonicMs: made.now - ms } as const;
    made.block = isRival ? { ...superseded, isRival } : superseded;
    return made.one();
  };
  const ms = grace * 1000;
  expect([await lateBy(ms), await lateBy(ms + 1)]).toEqual(['ok', 'stale_race']);
  expect([await lateBy(raceMs), await lateBy(raceMs + 1)]).toEqual(['stale_race', 'share_stale']);
  // Which of two rivals is the tip nobody can tell.
  expect(await lateBy(raceMs + 1, true)).toBe('stale_race');
});

it('a batch is told to the store whole: what is credited, and each refused share by its place', async () => {
  const made = await stand({ delivery: { nextSeq: 40, ownWorkHashes: 5n } });
  const told: Credit[] = [];
  says(made, 'credit', async (credit: Credit) => {
    told.push(credit);
    return 0;
  });
  const shares = mine(made.job, 4).map((share, at) =>
    at === 1 ? { ...share, jobId: 999 } : at === 3 ? { ...share, ntime: 0 } : share,
  );
  const batch = {
    contractId: world.contractId,
    firstSeq: 40,
    shares: ShareRows.of(shares),
    workTotal: 77n,
  };
  const answer = await made.batches.take(batch);
  expect(answer.refused).toEqual([
    { seq: 41, code: 'share_bad' },
    { seq: 43, code: 'bad_ntime' },
  ]);
  const [{ refused, shares: credited, ...rest }] = told as [Credit];
  expect(credited.shares().map(({ nonce }) => nonce)).toEqual([shares[0]!.nonce, shares[2]!.nonce]);
  expect(
    refused.map(({ share: _share, job, ...each }) => ({ ...each, isKnown: job !== undefined })),
  ).toEqual([
    { seq: 41, code: 'share_bad', workHashes: W, isKnown: false },
    { seq: 43, code: 'bad_ntime', workHashes: W, isKnown: true },
  ]);
  expect(rest).toMatchObject({ workHashes: 2n * W, nextSeq: 44, ownWorkHashes: 77n, counts: [] });
  expect(rest.jobs.map(({ id }) => id)).toEqual([made.job.id]);
  expect(rest.luck.block.expectedAtto).toBeGreaterThan(0n);
  expect(made.batches.stats).toEqual({ sharesCredited: 2, refused: { share_bad: 1, bad_ntime: 1 } });
});

it('a job is written with its first credited share, and no more', async () => {
  const made = await stand();
  const written: string[] = [];
  const append = made.ledger.append.bind(made.ledger);
  made.ledger.append = (entries) => {
    for (const { kind, id } of entries as readonly { kind: string; id?: string }[])
      if (kind === 'job') written.push(id!.slice(-2));
    return append(entries);
  };
  const other = { ...world.job(), id: made.job.id + 1 };
  await made.announce(other);
  // No hash of a share of the world is this good.
  const low = mine(made.job, 1).map((share) => ({ ...share, difficulty: SHARE.difficulty * 2 ** 40 }));
  expect(await made.take(low)).toBe('share_low');
  expect(written).toHaveLength(0);
  expect(await made.take([...mine(made.job, 2), ...mine(other, 1)])).toBe('ok ok ok');
  expect(written).toHaveLength(2);
  expect(await made.take([...mine(made.job, 1), ...mine(other, 1)])).toBe('ok ok');
  expect(written).toHaveLength(2);
});

it('a job that the ledger has is not written again after a start', async () => {
  const made = await stand();
  expect(await made.one()).toBe('ok');
  made.restart();
  const told: Credit[] = [];
  says(made, 'credit', async (credit: Credit) => {
    told.push(credit);
    return 0;
  });
  expect(await made.one()).toBe('ok');
  expect(told.map(({ jobs }) => jobs)).toEqual([[]]);
});

it('shares are hashed so many bytes in one turn of all, each one whole', async () => {
  const made = new Stand();
  const sized = (bytes: number): JobRecord => {
    const of = (script: Uint8Array): JobRecord => {
      const outputs = [
        { script: fromHex(MAKER_SCRIPT_HEX), valueSat: 1n },
        { script, valueSat: 0n },
      ];
      const job = jobRecordOf(world.job());
      const { extranonceSize } = job;
      const coinbase = buildCoinbase({ height: 10, extranonceSize, tag: new Uint8Array(4), outputs });
      return { ...job, ...coinbase, branches: [] };
    };
    const { coinb1, coinb2, extranonceSize } = of(new Uint8Array(10_000));
    return of(new Uint8Array(10_000 + bytes - coinb1.length - coinb2.length - extranonceSize));
  };
  const turnsOf = async (bytes: number, count: number): Promise<number> => {
    const job = sized(bytes);
    expect(job.coinb1.length + job.coinb2.length + job.extranonceSize).toBe(bytes);
    const announced = made.batches.announce(job);
    await made.time.settle();
    await announced;
    const before = made.hits['peerHashBytesPerTurn'] ?? 0;
    const share = {
      ...{ jobId: job.id, difficulty: SHARE.difficulty * 2 ** 40, ntime: job.time, version: job.version },
      ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(job.extranonceSize - 4) },
    };
    const taken = made.take(Array.from({ length: count }, (_, nonce) => ({ ...share, nonce })));
    await made.time.settle();
    expect(await taken).toBe(Array(count).fill('share_low').join(' '));
    return (made.hits['peerHashBytesPerTurn'] ?? 0) - before;
  };
  const part = 16_384;
  const most = LIMITS.peerHashBytesPerTurn / part;
  expect(await turnsOf(part, most)).toBe(0);
  expect(await turnsOf(part, most + 1)).toBe(1);
  expect(await turnsOf(part, 2 * most + 1)).toBe(2);
  expect(await turnsOf(part + 32, most)).toBe(1);
});

it('work credited is that of distinct hashes, in whatever batches they come again (I5)', async () => {
  const anyBatches = fc.array(fc.array(fc.nat({ max: 11 }), { minLength: 1, maxLength: 8 }), {
    minLength: 1,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(anyBatches, async (batches) => {
      const made = await stand({ delivery: { nextSeq: 1 } });
      const shares = mine(made.job, 12);
      for (const batch of batches) await made.take(batch.map((at) => shares[at]!));
      const distinct = new Set(batches.flat()).size;
      expect(made.store.delivery.verifiedWorkHashes).toBe(BigInt(distinct) * W);
      expect(made.batches.stats.sharesCredited).toBe(distinct);
    }),
    { numRuns: 40 },
  );
});

describe('what costs nobody but the maker', () => {
  it('bytes of refused shares have an allowance, which comes back with time', async () => {
    const made = await stand();
    const most = LIMITS.peerRefusedBytes;
    says(made, 'credit', async () => most);
    expect(await made.one()).toBe('ok');
    says(made, 'credit', async () => most / 64);
    expect(await made.take(mine(made.job, 1), 0)).toBe('ok');
    const again = (): Promise<string> => made.take(mine(made.job, 1), 0);
    expect(await again()).toBe('too_often');
    await made.time.advance(998);
    expect(await again()).toBe('too_often');
    await made.time.advance(4);
    expect(await again()).toBe('ok');
    expect(await again()).toBe('too_often');
  });

  it('metadata is taken for no job whose contract has no use for it', async () => {
    const made = await stand();
    const job = { ...jobRecordOf(world.job()), id: 77, metadata: new Uint8Array(10) };
    expect(await made.batches.announce(job).catch(codeOf)).toBe('protocol');
    const beads = {
      type: 'bead',
      scriptHex: MAKER_SCRIPT_HEX,
      profile: 'spec',
      stopPpb: 1,
      maxLossSat: 1n,
    } as const;
    const other = new Stand({ proposed: termsV3From(world.terms, 500, beads) });
    expect(await other.batches.announce(job)).toBe(undefined);
  });
});
