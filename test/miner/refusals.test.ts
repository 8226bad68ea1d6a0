import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { TipTracker } from '../../src/chain/tip-tracker.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { EVERY_BLOCK, type TermPeriod } from '../../src/contract/term-clock.ts';
import { Refusals, type SentShares, unexplainedWork } from '../../src/miner/refusals.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { JOB_KIND, type JobRecord, jobDocument, jobDocumentId } from '../../src/work/evidence.ts';
import { type ShareRecord, ShareRows } from '../../src/work/share-rows.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { EH, makeTerms } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const scriptHex = `0014${'ab'.repeat(20)}`;
const HOUR_MS = 3_600_000;
const WORK = shareTargetOf(16).workHashes;
const terms = makeTerms({ binding: { type: 'coinbase', scriptHex }, staleGraceSeconds: 30 });
const { workTotalHashes } = terms;

function jobOf(id: number, payee: string): JobRecord {
  const output = { script: fromHex(payee), valueSat: 1n };
  const { coinb1, coinb2 } = buildCoinbase({
    ...{ height: 900_000, extranonceSize: 8, tag: new Uint8Array(4), outputs: [output] },
  });
  return {
    ...{ id, wireId: `${id}`, stream: 's', version: 0x20000000, versionMask: 0x1fffe000, coinb1, coinb2 },
    ...{ prevHash: new Uint8Array(32).fill(1), branches: [], bits: 0x1d00ffff, time: 1_700_000_000 },
    ...{ extranonceSize: 8, upstreamDifficulty: 1 },
  };
}

/** A node that knows a block, does not, or left it; and shares of two jobs, one of which pays the maker. */
async function stage(
  node: 'knows' | 'knows_not' | 'left' = 'knows',
  height = 10,
  blocks: TermPeriod | undefined = EVERY_BLOCK,
  isLate?: () => boolean,
) {
  const clock = new ManualClock();
  const ledger = new MemoryLedger();
  for (const job of [jobOf(1, scriptHex), jobOf(2, '51')]) {
    const body = jobDocument(job);
    await ledger.append([{ type: 'insert', kind: JOB_KIND, id: jobDocumentId(job.id), body }]);
  }
  const hash = displayHash(new Uint8Array(32).fill(1));
  const block = { height, hash, previousHash: 'p', timeSeconds: 1_700_000_000, bits: 1 };
  const chain = {
    header: async (wanted: string) => {
      if (node === 'knows_not' || wanted !== hash) return undefined;
      return { ...block, confirmations: view.tip?.hash === hash ? 1 : 2 };
    },
  } as unknown as ChainSource;
  const view: TipTracker = new TipTracker({ chain, clock });
  view.onTip({ height: 10, hash: node === 'left' ? 'a' : hash, timeSeconds: 0 });
  const refusals = new Refusals(terms, DEFAULT_CLOSE_MARGINS, {
    ...{ ledger, clock, view, period: () => blocks, ...(isLate === undefined ? {} : { isLate }) },
    creditLimit: (at) => (at === 10 ? 500n : undefined),
    isUnpriced: (at) => at === 10,
  });
  const found = (jobId = 1): Found => ({
    ...{ jobId, difficulty: 16, extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
    ...{ ntime: 1_700_000_000, nonce: 0, version: 0x20000000, hash: new Uint8Array(32) },
    atMs: clock.nowMs(),
  });
  const replace = (): void => view.onTip({ height: 11, hash: 'b', timeSeconds: 0 });
  const judge = (share: Found, code: string, verified = 0n) =>
    refusals.judge(7, sentOf([share]), [{ seq: 7, code }], verified);
  return { clock, found, replace, judge, refusals };
}

/** A share of the own log. */
type Found = ShareRecord & { readonly atMs: number };

function sentOf(shares: readonly Found[]): SentShares {
  return { rows: ShareRows.of(shares), atMs: (index) => shares[index]!.atMs };
}

const CONFIRMED = { confirmedHashes: WORK, racedHashes: 0n };
const RACED = { confirmedHashes: 0n, racedHashes: WORK };
const NONE = { confirmedHashes: 0n, racedHashes: 0n };

describe('a refusal', () => {
  it('is confirmed only where the own rules say the same', async () => {
    const { found, judge } = await stage();
    expect(await judge({ ...found(), ntime: 1_700_010_000 }, 'bad_ntime')).toEqual(CONFIRMED);
    expect(await judge({ ...found(), version: 1 }, 'share_bad')).toEqual(CONFIRMED);
    for (const code of ['bad_ntime', 'share_bad', 'share_low', 'share_duplicate', 'maker_restored', 'x'])
      expect(await judge(found(), code)).toEqual(NONE);
  });

  it('of a job is no reason, whatever the job: who serves jobs would have all work for nothing', async () => {
    const { found, judge } = await stage();
    expect(await judge(found(2), 'share_unbound')).toEqual(NONE);
    expect(await judge(found(1), 'share_unbound')).toEqual(NONE);
  });

  it('of a share whose job is not known any more has no reason but the end of the contract', async () => {
    const { found, judge } = await stage('knows', 2_000_000);
    for (const code of ['share_stale', 'stale_race', 'expiry_near', 'share_bad'])
      expect(await judge(found(3), code)).toEqual(NONE);
    expect(await judge(found(3), 'over_budget', workTotalHashes)).toEqual(CONFIRMED);
  });

  it('for the end of the contract needs all of its work to be credited', async () => {
    const { found, judge } = await stage();
    expect(await judge(found(), 'over_budget', workTotalHashes - 1n)).toEqual(NONE);
    expect(await judge(found(), 'over_budget', workTotalHashes)).toEqual(CONFIRMED);
  });

  it('for more than the rate needs as much to be credited as may be on its block, by the own node', async () => {
    const { found, judge } = await stage();
    expect(await judge(found(), 'over_rate', 499n)).toEqual(NONE);
    expect(await judge(found(), 'over_rate', 500n)).toEqual(CONFIRMED);
    expect(await judge(found(3), 'over_rate', 500n)).toEqual(NONE);
    const elsewhere = await stage('knows', 11);
    expect(await elsewhere.judge(elsewhere.found(), 'over_rate', 500n)).toEqual(NONE);
    const unknown = await stage('knows_not');
    expect(await unknown.judge(unknown.found(), 'over_rate', 500n)).toEqual(NONE);
  });

  it('for want of a price is confirmed where there is none on its block, by the own node', async () => {
    const { found, judge } = await stage();
    expect(await judge(found(), 'no_price')).toEqual(CONFIRMED);
    expect(await judge(found(3), 'no_price')).toEqual(NONE);
    const elsewhere = await stage('knows', 11);
    expect(await elsewhere.judge(elsewhere.found(), 'no_price')).toEqual(NONE);
  });

  it('for solutions that come late is confirmed while they do, by the own count', async () => {
    let isLate = true;
    const { found, judge } = await stage('knows', 10, EVERY_BLOCK, () => isLate);
    expect(await judge(found(3), 'late_solutions')).toEqual(CONFIRMED);
    isLate = false;
    expect(await judge(found(3), 'late_solutions')).toEqual(NONE);
    const without = await stage();
    expect(await without.judge(without.found(), 'late_solutions')).toEqual(NONE);
  });

  it('is one of a share, and of a share that was sent', async () => {
    const { found, refusals } = await stage();
    const bad = { ...found(), version: 1 };
    const refused = [6, 7, 7, 8, 9].map((seq) => ({ seq, code: 'share_bad' }));
    expect(await refusals.judge(7, sentOf([bad, bad]), refused, 0n)).toEqual({
      ...{ confirmedHashes: 2n * WORK, racedHashes: 0n },
    });
    // What is said last of a share counts.
    const twice = [...refused, { seq: 8, code: 'x' }];
    expect(await refusals.judge(7, sentOf([bad, bad]), twice, 0n)).toEqual(CONFIRMED);
  });

  it.each(['share_stale', 'stale_race'])(
    'as %s is a race unless the share was found too late',
    async (code) => {
      const { clock, found, replace, judge } = await stage();
      expect(await judge(found(), code)).toEqual(RACED);
      replace();
      clock.advance(30_000);
      const atTheEdge = found();
      clock.advance(1);
      const late = found();
      // A maker that is not to be reached, however long, makes no honest share stale.
      for (const hours of [1, 6, 24]) {
        clock.advance(hours * HOUR_MS);
        expect(await judge(atTheEdge, code)).toEqual(RACED);
        expect(await judge(late, code)).toEqual(CONFIRMED);
      }
    },
  );

  it.each([7, -7])('is no more confirmed where the wall clock was set by %i hours', async (hours) => {
    const { clock, found, replace, judge } = await stage();
    const before = found();
    clock.setWall(hours * HOUR_MS);
    const after = found();
    replace();
    clock.advance(60_000);
    expect(await judge(before, 'share_stale')).toEqual(RACED);
    expect(await judge(after, 'share_stale')).toEqual(RACED);
  });

  it('of work on a block that the own node never had for its tip is a race', async () => {
    const unknown = await stage('knows_not');
    expect(await unknown.judge(unknown.found(), 'stale_race')).toEqual(RACED);
    const left = await stage('left');
    left.clock.advance(HOUR_MS);
    expect(await left.judge(left.found(), 'share_stale')).toEqual(RACED);
  });

  it('for its block is confirmed where that is outside of the contract, on that side', async () => {
    const judged = async (code: string, height: number, from: number, end: number) => {
      const { judge, found } = await stage('knows', height, { from, end });
      return judge(found(), code);
    };
    expect(await judged('not_begun', 9, 10, 20)).toEqual(CONFIRMED);
    expect(await judged('not_begun', 10, 10, 20)).toEqual(NONE);
    expect(await judged('not_begun', 20, 10, 20)).toEqual(NONE);
    expect(await judged('duration_over', 20, 10, 20)).toEqual(CONFIRMED);
    expect(await judged('duration_over', 19, 10, 20)).toEqual(NONE);
    expect(await judged('duration_over', 9, 10, 20)).toEqual(NONE);
    const unknown = await stage('knows_not', 10, { from: 11, end: 20 });
    expect(await unknown.judge(unknown.found(), 'not_begun')).toEqual(NONE);
  });

  it('near the expiry is confirmed from the height on at which nothing begins', async () => {
    const { expiryHeight } = terms;
    const beginBlocks = beginBlocksOf(DEFAULT_CLOSE_MARGINS);
    const early = await stage('knows', expiryHeight - beginBlocks - 1);
    expect(await early.judge(early.found(), 'expiry_near')).toEqual(NONE);
    const late = await stage('knows', expiryHeight - beginBlocks);
    expect(await late.judge(late.found(), 'expiry_near')).toEqual(CONFIRMED);
  });

  it('counts once, and for shares of its batch', async () => {
    const { found, refusals } = await stage();
    const twice = [8, 8, 6, 9].map((seq) => ({ seq, code: 'share_bad' }));
    const shares = [found(), { ...found(), version: 1 }];
    expect(await refusals.judge(7, sentOf(shares), twice, 0n)).toEqual(CONFIRMED);
  });
});

describe('what counts as unpaid of refused work', () => {
  const counted = (refused: bigint, confirmedHashes = 0n, racedHashes = 0n): bigint =>
    unexplainedWork(terms, 100_000n * EH, refused, { confirmedHashes, racedHashes });

  it('is what is beyond the parts that are allowed, to the hash', () => {
    expect(counted(10n * EH)).toBe(0n);
    expect(counted(10n * EH + 1n)).toBe(1n);
    expect(counted(110n * EH, 0n, 100n * EH)).toBe(0n);
    expect(counted(110n * EH + 2n, 0n, 100n * EH + 1n)).toBe(2n);
    expect(counted(50n * EH, 40n * EH)).toBe(0n);
    expect(counted(50n * EH, 39n * EH)).toBe(EH);
  });

  it('is never less than nothing, and reasons excuse no more than was refused', () => {
    expect(counted(5n * EH, 9n * EH, 9n * EH)).toBe(0n);
    expect(counted(200n * EH, 50n * EH, 900n * EH)).toBe(50n * EH);
  });
});
