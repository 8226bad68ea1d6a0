import { describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { ChainHeader, ChainSource } from '../../src/chain/source.ts';
import { TipTracker } from '../../src/chain/tip-tracker.ts';
import { CreditedHashes } from '../../src/maker/credited-hashes.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { checkJob, checkShare, shareRulesOf } from '../../src/settlement/share-rules.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { makeTerms } from '../channel/fixtures.ts';
import { casesOf, judgedNow, type ShareCase } from './share-cases.ts';

const scriptHex = `0014${'ab'.repeat(20)}`;
const terms = makeTerms({
  binding: { type: 'coinbase', scriptHex },
  maxTargetHex: targetToHex(targetOfDifficulty(16)),
});

function jobOf(changes: Partial<JobRecord> = {}, outputs = [{ scriptHex, valueSat: 1n }]): JobRecord {
  const { coinb1, coinb2 } = buildCoinbase({
    height: 900_000,
    extranonceSize: 8,
    tag: new Uint8Array(4),
    outputs: outputs.map(({ scriptHex: hex, valueSat }) => ({ script: fromHex(hex), valueSat })),
  });
  return {
    id: 1,
    wireId: '1',
    stream: 's',
    version: 0x20000000,
    versionMask: 0x1fffe000,
    prevHash: new Uint8Array(32).fill(1),
    coinb1,
    coinb2,
    branches: [],
    bits: 0x1d00ffff,
    time: 1000,
    extranonceSize: 8,
    upstreamDifficulty: 1,
    ...changes,
  };
}

const share = {
  jobId: 1,
  difficulty: 16,
  extranonce1: new Uint8Array(4),
  extranonce2: new Uint8Array(4),
  ntime: 1000,
  nonce: 0,
  version: 0x20000000,
};

describe('a job', () => {
  it('is good when its coinbase pays the bound script, wherever', () => {
    expect(checkJob(terms, jobOf())).toBeUndefined();
    const others = { scriptHex: '51', valueSat: 312_500_000n };
    expect(checkJob(terms, jobOf({}, [others, { scriptHex, valueSat: 1n }]))).toBeUndefined();
  });

  it('is unbound when it pays nothing, or something else', () => {
    expect(checkJob(terms, jobOf({}, [{ scriptHex, valueSat: 0n }]))).toBe('share_unbound');
    expect(checkJob(terms, jobOf({}, [{ scriptHex: '51', valueSat: 9n }]))).toBe('share_unbound');
    const unbound = makeTerms({ binding: { type: 'none' } });
    expect(checkJob(unbound, jobOf({}, [{ scriptHex: '51', valueSat: 9n }]))).toBeUndefined();
  });

  it('is bad when the extranonce may change anything but the script of the input', () => {
    const job = jobOf();
    const all = new Uint8Array([...job.coinb1, ...new Uint8Array(8), ...job.coinb2]);
    for (let at = 0; at + 8 <= all.length; at += 1) {
      const cut = { ...job, coinb1: all.slice(0, at), coinb2: all.slice(at + 8) };
      const scriptSize = job.coinb1[41]!;
      const isInside = at >= 42 && at + 8 <= 42 + scriptSize;
      // With the bytes of the extranonce taken as zeros the coinbase may still parse; only the place decides.
      if (!isInside) expect(checkJob(terms, cut)).toBe('share_bad');
    }
  });

  it('is bad when it is no coinbase or lets more version bits roll than anyone may', () => {
    expect(checkJob(terms, jobOf({ coinb2: new Uint8Array(3) }))).toBe('share_bad');
    expect(checkJob(terms, jobOf({ coinb1: new Uint8Array(0), coinb2: new Uint8Array(0) }))).toBe(
      'share_bad',
    );
    expect(checkJob(terms, jobOf({ versionMask: 0xffffffff }))).toBe('share_bad');
  });
});

describe('a share', () => {
  const rules = shareRulesOf(terms, false);
  const check = (changes: Partial<typeof share>, target = rules.maxTarget, nowMs = 1_000_000): unknown =>
    checkShare(rules, jobOf(), ShareRows.of([{ ...share, ...changes }]), 0, target, nowMs);

  it('passes at both ends of every window', () => {
    expect(check({})).toBeUndefined();
    expect(check({ ntime: 8200 })).toBeUndefined();
    expect(check({ version: 0x20000000 | 0x1fffe000 })).toBeUndefined();
    expect(check({}, rules.maxTarget - 1n)).toBeUndefined();
  });

  it('is refused one beyond them', () => {
    expect(check({ ntime: 999 })).toBe('bad_ntime');
    expect(check({ ntime: 8201 })).toBe('bad_ntime');
    expect(check({ version: 0x20001000 })).toBe('share_bad');
    expect(check({}, rules.maxTarget + 1n)).toBe('share_low');
    expect(check({ extranonce2: new Uint8Array(3) })).toBe('share_bad');
    const fixed = shareRulesOf(terms, true);
    const rows = ShareRows.of([share]);
    expect(checkShare(fixed, jobOf(), rows, 0, rules.maxTarget, 1_000_000)).toBeUndefined();
    expect(checkShare(fixed, jobOf(), rows, 0, rules.maxTarget - 1n, 1_000_000)).toBe('share_low');
  });

  it('is known again until it is forgotten', () => {
    const easy = {
      difficulty: 1,
      target: 1n << 255n,
      words: new Uint32Array(8).fill(0xffffffff),
      workHashes: 2n,
    };
    const verifier = new ShareVerifier({ kernel: createPortableKernel(4) });
    const cases = [1, 2, 1].map((nonce) => ({
      share: { ...share, nonce },
      job: jobOf(),
      code: undefined,
      target: easy,
      hash: undefined,
    }));
    judgedNow(cases, (each) => verifier.hashAll('a', each));
    expect(cases.map(({ code }) => code)).toEqual([undefined, undefined, 'share_duplicate']);
    // Whoever sells it.
    const twin = cases.slice(0, 1).map((each) => ({ ...each, code: undefined }));
    judgedNow(twin, (each) => verifier.hashAll('b', each));
    expect(twin[0]!.code).toBe('share_duplicate');
    judgedNow(cases, (each) => verifier.forget('a', each));
    expect(verifier.credited.size).toBe(0);
    const again = cases.slice(0, 1).map((each) => ({ ...each, code: undefined }));
    judgedNow(again, (each) => verifier.hashAll('b', each));
    expect(again[0]!.code).toBeUndefined();
  });
});

describe('the shares of a batch', () => {
  const verifier = (limit?: number): ShareVerifier =>
    new ShareVerifier({
      kernel: createPortableKernel(64),
      ...(limit === undefined ? {} : { credited: new CreditedHashes(limit) }),
    });
  /** Every hash meets it, and none the other. */
  const EASY = {
    ...{ difficulty: 1, target: 1n << 255n, workHashes: 2n },
    words: new Uint32Array(8).fill(0xffffffff),
  };
  const HARD = shareTargetOf(2 ** 40);
  const caseOf = (nonce: number, changes: Partial<ShareCase> = {}): ShareCase => ({
    ...{ share: { ...share, nonce }, job: jobOf(), code: undefined, target: EASY, hash: undefined },
    ...changes,
  });

  it('are hashed but for those that are refused already, and each is judged by its own target', () => {
    const subject = verifier();
    const other = jobOf({ prevHash: new Uint8Array(32).fill(2) });
    const cases = [
      caseOf(1),
      caseOf(2, { code: 'bad_ntime' }),
      caseOf(3, { target: HARD }),
      caseOf(4, { job: other }),
      caseOf(4),
      caseOf(1),
    ];
    judgedNow(cases, (each) => subject.hashAll('a', each));
    expect(cases.map(({ code }) => code)).toEqual([
      ...[undefined, 'bad_ntime', 'share_low', undefined, undefined, 'share_duplicate'],
    ]);
    expect(cases.map((each: ShareCase) => each.isNew)).toEqual([
      ...[true, false, false, true, true, false],
    ]);
    expect(cases[1]!.hash).toBe(undefined);
    // Each has the hash that it has alone.
    for (const [index, each] of cases.entries()) {
      if (index === 1) continue;
      const { extranonce1, extranonce2, ntime, nonce, version } = each.share;
      const input = { job: 0, extranonce: concat(extranonce1, extranonce2), ntime, nonce, version };
      expect(each.hash).toEqual(verifyShares(createPortableKernel(4), [each.job!], [input]));
    }
    // What is too low is not remembered, and neither is what was refused before.
    expect(subject.credited.size).toBe(3);
    expect(subject.credited.generations).toHaveLength(2);
  });

  it('have room made for them before any is remembered, or none is', () => {
    const subject = verifier(2);
    judgedNow([caseOf(1), caseOf(2)], (each) => subject.hashAll('a', each));
    const more = [caseOf(3), caseOf(4, { code: 'share_bad' })];
    expect(() => judgedNow(more, (each) => subject.hashAll('a', each))).toThrow('overload');
    expect([subject.credited.size, more[0]!.hash]).toEqual([2, undefined]);
    // Those that are refused already need none.
    judgedNow([caseOf(5, { code: 'share_bad' })], (each) => subject.hashAll('a', each));
    const roomy = verifier(3);
    judgedNow([caseOf(1), caseOf(2)], (each) => roomy.hashAll('a', each));
    judgedNow([caseOf(3), caseOf(4, { code: 'share_bad' })], (each) => roomy.hashAll('a', each));
    expect(roomy.credited.size).toBe(3);
  });

  it('are forgotten where they were new, and no other', () => {
    const subject = verifier();
    const first = [caseOf(1), caseOf(2)];
    judgedNow(first, (each) => subject.hashAll('a', each));
    const second = [caseOf(2), caseOf(3), caseOf(4, { code: 'share_bad' }), caseOf(5, { target: HARD })];
    judgedNow(second, (each) => subject.hashAll('a', each));
    // Refused for another reason after it was hashed: judged anew when it comes again.
    second[1]!.code = 'over_budget';
    judgedNow(second, (each) => subject.forget('a', each));
    expect(subject.credited.size).toBe(2);
    const again = [caseOf(1), caseOf(2), caseOf(3)];
    judgedNow(again, (each) => subject.hashAll('a', each));
    expect(again.map(({ code }) => code)).toEqual(['share_duplicate', 'share_duplicate', undefined]);
  });

  it('of one difficulty have one target, whatever else was asked for meanwhile', () => {
    const subject = verifier();
    const known = subject.targetOf(16);
    expect(known).toEqual(shareTargetOf(16));
    expect(subject.targetOf(16)).toBe(known);
    for (let difficulty = 100; difficulty < 3_000; difficulty += 1)
      expect(subject.targetOf(difficulty).difficulty).toBe(difficulty);
    expect(subject.targetOf(16)).toEqual(known);
  });

  it('are told of by how many were hashed, and how long that took, to who watches', () => {
    const told: (readonly [number, number])[] = [];
    const observeBatch = (...of: [number, number]): void => void told.push(of);
    const kernel = createPortableKernel(64);
    let nowMs = 500;
    const monotonicMs = (): number => {
      nowMs += 250;
      return nowMs;
    };
    const cases = [caseOf(1), { ...caseOf(2), code: 'share_bad' as const }, caseOf(3)];
    new ShareVerifier({ kernel, observeBatch, clock: { monotonicMs } }).hashAll('a', casesOf(cases));
    expect(told).toEqual([[2, 0.25]]);
    new ShareVerifier({ kernel, observeBatch }).hashAll('a', casesOf([caseOf(4)]));
    expect(told.at(-1)).toEqual([1, 0]);
  });
});

describe('the block view', () => {
  const header = (hash: string, changes: Partial<ChainHeader>): ChainHeader => ({
    height: 10,
    hash,
    previousHash: 'p',
    timeSeconds: 100,
    bits: 1,
    confirmations: 2,
    ...changes,
  });

  function viewOf(headers: readonly ChainHeader[]): { view: TipTracker; clock: ManualClock } {
    const clock = new ManualClock(1_000_000);
    const known = new Map(headers.map((each) => [each.hash, each]));
    const chain = { header: async (hash: string) => known.get(hash) } as unknown as ChainSource;
    return { view: new TipTracker({ chain, clock }), clock };
  }

  it('says since when a block it saw as tip is superseded', async () => {
    const { view, clock } = viewOf([header('a', { nextHash: 'b' }), header('b', { confirmations: 1 })]);
    const startMs = clock.monotonicMs();
    view.onTip({ height: 10, hash: 'a', timeSeconds: 0 });
    expect(await view.standing('a')).toMatchObject({ status: 'current' });
    clock.advance(500);
    view.onTip({ height: 11, hash: 'b', timeSeconds: 0 });
    expect(await view.standing('a')).toEqual({
      status: 'superseded',
      height: 10,
      bits: 1,
      sinceMonotonicMs: startMs + 500,
    });
    expect(await view.standing('b')).toMatchObject({ status: 'current' });
    expect(await view.standing('c')).toEqual({ status: 'unknown' });
  });

  it('does not know a block of which the node has no more than the header', async () => {
    const { view } = viewOf([
      header('a', { nextHash: 'b' }),
      header('next', { height: 11, confirmations: -1 }),
    ]);
    view.onTip({ height: 10, hash: 'a', timeSeconds: 0 });
    expect(await view.standing('next')).toEqual({ status: 'unknown' });
  });

  it('takes a rival of the tip for one until a higher block came, which replaced it', async () => {
    const { view, clock } = viewOf([
      header('rival', { confirmations: -1 }),
      header('a', { nextHash: 'b' }),
      header('b', { height: 11, confirmations: 1 }),
    ]);
    view.onTip({ height: 10, hash: 'a', timeSeconds: 0 });
    expect(await view.standing('rival')).toMatchObject({ status: 'superseded', isRival: true });
    clock.advance(700);
    const sinceMonotonicMs = clock.monotonicMs();
    view.onTip({ height: 11, hash: 'b', timeSeconds: 0 });
    clock.advance(100);
    expect(await view.standing('rival')).toEqual({
      status: 'superseded',
      height: 10,
      bits: 1,
      sinceMonotonicMs,
    });
  });

  it('takes the time of the next header, and some minutes more, for blocks before its time', async () => {
    const { view, clock } = viewOf([
      header('a', { nextHash: 'b' }),
      header('b', { nextHash: 'c', timeSeconds: 400 }),
      header('c', { confirmations: 1, timeSeconds: 5000 }),
      header('orphan', { confirmations: -1 }),
    ]);
    const startMs = clock.monotonicMs();
    view.onTip({ height: 12, hash: 'c', timeSeconds: 0 });
    clock.advance(50_000);
    clock.setWall(86_400_000);
    const since = (hash: string) => view.standing(hash);
    // Its finder's clock, the own one and the age of its template: a minute each.
    expect(await since('a')).toMatchObject({ sinceMonotonicMs: startMs - 600_000 + 180_000 });
    expect(await since('b')).toMatchObject({ sinceMonotonicMs: startMs });
    expect(await since('orphan')).toMatchObject({ sinceMonotonicMs: Number.NEGATIVE_INFINITY });
  });
});
