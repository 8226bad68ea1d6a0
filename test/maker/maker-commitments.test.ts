import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { signState } from '../../src/channel/states.ts';
import { MakerCommitments } from '../../src/maker/maker-commitments.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { SHARE_KIND } from '../../src/work/evidence.ts';
import { makerSigner, minerSigner, seedOf } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import {
  jobOf,
  NEWEST,
  Pair,
  refusal,
  SHARE_WORK,
  STREAM,
  shareOf,
} from '../settlement/commitment-pair.ts';
import '../seed.ts';
import { ShareRows } from '../../src/work/share-rows.ts';

describe('a commitment', () => {
  const CODES = ['share_low', 'stale_race'] as const;
  const judged = fc.array(fc.constantFrom('taken' as const, ...CODES), { minLength: 1, maxLength: 9 });
  /** Runs of the seqs that were refused before `end`, from `from` on; apart by code where that is told. */
  const runsOf = (all: readonly string[], from: number, end: number, isByCode: boolean): unknown[] => {
    const runs: [number, number, string?][] = [];
    for (const [seq, code] of all.entries()) {
      if (code === 'taken' || seq < from || seq >= end) continue;
      const last = runs.at(-1);
      const isNext = last !== undefined && last[0] + last[1] === seq && (!isByCode || last[2] === code);
      if (isNext) last[1] += 1;
      else runs.push(isByCode ? [seq, 1, code] : [seq, 1]);
    }
    return runs;
  };
  const placeOf = (all: readonly string[], credited: number): number => {
    let left = credited;
    return all.findIndex((code) => code === 'taken' && --left === 0) + 1;
  };

  it('ends with the last share that its state pays, with what was refused before it and no more', async () => {
    await fc.assert(
      fc.asyncProperty(judged, fc.nat(), fc.boolean(), async (some, part, hasFaultLog) => {
        const all = ['taken', ...some];
        const pair = new Pair();
        pair.hasFaultLog = hasFaultLog;
        for (const code of all) await pair.work(1, code === 'taken', code);
        const first = 1 + (part % pair.credited);
        let from = 0;
        let base = 0;
        for (const credited of first === pair.credited ? [first] : [first, pair.credited]) {
          const { state, offer } = await pair.sign(credited);
          const end = placeOf(all, credited);
          const told = hasFaultLog
            ? offer!.faults!.map(({ first: seq, count, code }) => [seq, count, code])
            : offer!.refused.map(({ first: seq, count }) => [seq, count]);
          expect([offer!.nextSeq, offer!.baseN, told]).toEqual([
            ...[end, base, runsOf(all, from, end, hasFaultLog)],
          ]);
          expect(pair.maker.pending).toMatchObject({
            ...{ logSeq: credited, creditedHashes: BigInt(credited) * SHARE_WORK },
          });
          await pair.acked(state.n, await pair.countersign(state, offer!));
          expect(pair.maker.base?.n).toBe(state.n);
          from = end;
          base = state.n;
          // What it needs of before is on disk.
          await pair.restart();
        }
      }),
      { numRuns: 25 },
    );
  });

  it('has of runs that are known by their places alone the part that is not committed to', async () => {
    const pair = new Pair();
    const { contractId } = pair.params;
    for (let share = 0; share < 3; share += 1) await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    const more = { seq: 7, code: 'share_low', share: shareOf(7, 1), job: jobOf(1), workHashes: SHARE_WORK };
    const kept = async (...ranges: readonly (readonly [number, number])[]): Promise<unknown> => {
      const body = JSON.stringify({
        version: 1,
        ranges: ranges.map(([first, count]) => ({ first, count })),
      });
      await pair.makerLedger.append([{ type: 'put', kind: 'refusals', id: contractId, body }]);
      await pair.restart();
      const [entry] = pair.maker.withRefused(contractId, [more]).entries;
      const { faults } = JSON.parse((entry as { readonly body: string }).body) as {
        readonly faults: readonly Record<string, unknown>[];
      };
      return faults.map(({ first, count }) => [first, count]);
    };
    expect(await kept([0, 2])).toEqual([[7, 1]]);
    expect(await kept([0, 3])).toEqual([[7, 1]]);
    expect(await kept([0, 4])).toEqual([
      [3, 1],
      [7, 1],
    ]);
    expect(await kept([1, 5])).toEqual([
      [3, 3],
      [7, 1],
    ]);
    expect(await kept([3, 1], [5, 2])).toEqual([
      [3, 1],
      [5, 2],
      [7, 1],
    ]);
  });

  it('never has a part of shares whose proof is kept as one', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1, false);
    await pair.work(1, false);
    const { state, offer } = await pair.sign();
    // As it never is: it ends amid what was refused.
    const { pending } = pair.maker;
    pair.maker.keep({ ...pending!, nextSeq: 2 });
    const record = pair.maker.pending!;
    const signature = signCommitment(pair.params, commitmentOf(record), minerSigner);
    expect([state.n, offer?.nextSeq]).toEqual([1, 1]);
    const { done } = pair.maker.withSignature(pair.params, 1, signature);
    expect(done).toThrow('fault_not_split');
  });
});

describe('the maker', () => {
  it('commits to nothing that its own log cannot show', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1);
    // More was judged than is credited or known to be refused.
    pair.sent += 1;
    expect((await pair.sign()).offer).toBeUndefined();
    pair.sent -= 1;
    expect((await pair.sign()).offer).toBeDefined();
    // A state of other work, as after a restore.
    const state = signState(pair.params, 3, SHARE_WORK + 1n, makerSigner);
    const basis = { ...pair.source('maker'), params: pair.params, evidenceSeq: 2, nextSeq: 2 };
    expect(await pair.maker.make(basis, state, NEWEST, makerSigner)).toBeUndefined();
  });

  it('reads its log only so far back for one that was never countersigned', async () => {
    const pair = new Pair();
    await pair.work(1);
    const state = signState(pair.params, 1, SHARE_WORK, makerSigner);
    const basis = { ...pair.source('maker'), params: pair.params, evidenceSeq: 262_145, nextSeq: 262_145 };
    const within = { ...basis, evidenceSeq: 262_144, nextSeq: 262_144 };
    expect(await pair.maker.make(basis, state, NEWEST, makerSigner)).toBeUndefined();
    // One less and it looks, and finds that they are not there.
    expect(await refusal(pair.maker.make(within, state, NEWEST, makerSigner))).toBe('ledger_corrupt');
  });

  it('goes on from the commitment of the miner after its own ledger was restored', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    // The ledger of the maker is an old one, without any of it.
    pair.maker = MakerCommitments.create();
    const shown = pair.miner.newest!;
    await pair.work(2);
    pair.credited = 0;
    const lost = { lastN: 1, nextSeq: 3, evidenceSeq: 0 };
    expect(pair.maker.restored(pair.params, shown, { ...lost, lastN: 2 }).entries).toEqual([]);
    const forged = { ...shown, minerSignature: shown.makerSignature };
    expect(await refusal((async () => pair.maker.restored(pair.params, forged, lost))())).toBe(
      'bad_signature',
    );
    const { entries, done } = pair.maker.restored(pair.params, shown, lost);
    expect(entries).toHaveLength(2);
    done();
    expect(pair.maker.restored(pair.params, shown, lost).entries).toEqual([]);
    // Share 2 was judged and is lost; the next is the first of the new log.
    const makerLog = new MemoryLedger();
    const share = shareOf(3, 2);
    await pair.minerLedger.append([
      {
        type: 'log',
        kind: SHARE_KIND,
        stream: STREAM,
        first: 3,
        count: 1,
        body: ShareRows.of([share]).body,
      },
    ]);
    await makerLog.append([
      {
        type: 'log',
        kind: SHARE_KIND,
        stream: STREAM,
        first: 0,
        count: 1,
        body: ShareRows.of([share]).body,
      },
    ]);
    const source = { ...pair.source('maker'), ledger: makerLog };
    const next = signState(pair.params, 2, 3n * SHARE_WORK, makerSigner);
    const basis = { ...source, params: pair.params, evidenceSeq: 1, nextSeq: 4 };
    const record = await pair.maker.make(basis, next, NEWEST, makerSigner);
    expect(record).toMatchObject({ baseN: 1, nextSeq: 4, logSeq: 1, faults: [{ first: 2, count: 1 }] });
    expect(record!.faults).toMatchObject([{ code: 'maker_restored', evidence: 'none' }]);
    pair.maker.keep(record);
    pair.sent = 4;
    expect(await pair.countersign(next, pair.maker.offerOf(2, NEWEST)!)).toBeDefined();
  });

  it('takes over a commitment that credits some of what an older copy of its ledger refused', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    await pair.countersign(state, offer!);
    const { contractId } = pair.params;
    pair.maker = MakerCommitments.create();
    const reasons = { code: 'maker_restored', job: jobOf(1), workHashes: SHARE_WORK };
    const refused = [0, 1, 2].map((seq) => ({ seq, share: shareOf(seq, 1), ...reasons }));
    pair.maker.withRefused(contractId, refused).done();
    const lost = { lastN: 1, nextSeq: 3, evidenceSeq: 0 };
    const { entries, done } = pair.maker.restored(pair.params, pair.miner.newest!, lost);
    expect(entries).toHaveLength(2);
    done();
    expect(pair.maker.base).toMatchObject({ n: 1, nextSeq: 2, logSeq: 0 });
  });

  it('takes over what the miner shows of the newest state alone, where it is newer and both signed it', async () => {
    const pair = new Pair();
    for (const job of [1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign();
    const { pending } = pair.maker;
    const signature = (await pair.countersign(state, offer!))!;
    const shown = pair.miner.newest!;
    const now = { lastN: 1, nextSeq: 2, evidenceSeq: 2 };
    const restored = (of: typeof shown, at = now) => pair.maker.restored(pair.params, of, at);
    // Its own offer waits: the signature is all that it lacked.
    const { minerSignature: _none, ...unsigned } = shown;
    expect(restored({ ...unsigned, minerSignature: undefined }).entries).toEqual([]);
    expect(restored(shown, { ...now, lastN: 2 }).entries).toEqual([]);
    expect(restored(shown, { ...now, nextSeq: 1 }).entries).toEqual([]);
    for (const forged of [{ makerSignature: signature }, { minerSignature: shown.makerSignature }])
      expect(await refusal((async () => restored({ ...shown, ...forged }))())).toBe('bad_signature');
    expect(pair.maker.base).toBe(undefined);
    const waited = restored(shown);
    expect(waited.entries.map(({ kind }) => kind)).toEqual(['commitment']);
    waited.done();
    expect([pair.maker.base, pair.maker.pending]).toEqual([
      { ...pending, minerSignature: signature },
      undefined,
    ]);
    // What is known already is nothing new, and nothing older is taken for it.
    expect(restored(shown).entries).toEqual([]);
    await pair.work(2);
    const next = await pair.sign();
    await pair.acked(2, await pair.countersign(next.state, next.offer!));
    expect(restored(shown, { lastN: 1, nextSeq: 3, evidenceSeq: 3 }).entries).toEqual([]);
  });

  it('with another content for a commitment that it has is a proof against both', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    const held = pair.miner.newest!;
    const twice = (changes: Partial<typeof held>): Promise<string> => {
      const other = { ...held, ...changes };
      const both = {
        ...other,
        makerSignature: signCommitment(pair.params, commitmentOf(other), makerSigner),
        minerSignature: signCommitment(pair.params, commitmentOf(other), minerSigner),
      };
      const now = { lastN: 1, nextSeq: 1, evidenceSeq: 1 };
      return refusal((async () => pair.maker.restored(pair.params, both, now))());
    };
    expect(await twice({})).toBe('taken');
    expect(await twice({ jobSetRoot: seedOf('x') })).toBe('equivocation');
    const tree = new ShareTree();
    tree.append(seedOf('another share'));
    expect(await twice({ tree })).toBe('equivocation');
  });

  it('that judged nothing since has nothing to count as lost', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.countersign(state, offer!);
    pair.maker = MakerCommitments.create();
    const now = { lastN: 1, nextSeq: 1, evidenceSeq: 0 };
    const { entries, done } = pair.maker.restored(pair.params, pair.miner.newest!, now);
    await pair.makerLedger.append(entries);
    expect(JSON.parse((entries[1] as { readonly body: string }).body)).toEqual({ version: 2, faults: [] });
    done();
    // All of it is on disk, and goes on from there after a start.
    await pair.restart();
    expect(pair.maker.base).toMatchObject({ n: 1, nextSeq: 1, logSeq: 0 });
    expect(pair.maker.withRefused(pair.params.contractId, [])).toMatchObject({ entries: [], bytes: 0 });
  });

  it('reads runs of refused shares of before reasons were kept, so many, and adds to them', async () => {
    const loaded = async (ranges: unknown): Promise<string | undefined> => {
      const pair = new Pair();
      const { contractId } = pair.params;
      const body = JSON.stringify({ version: 1, ranges });
      await pair.makerLedger.append([{ type: 'put', kind: 'refusals', id: contractId, body }]);
      await pair.restart();
      const share = { seq: 9_999, code: 'share_low', share: shareOf(9, 1), job: jobOf(1) };
      const more = pair.maker.withRefused(contractId, [{ ...share, workHashes: SHARE_WORK }]);
      return (more.entries[0] as { readonly body: string } | undefined)?.body;
    };
    const faults = JSON.parse((await loaded([{ first: 1, count: 2 }]))!) as {
      readonly faults: readonly unknown[];
    };
    expect(faults.faults).toHaveLength(2);
    expect(JSON.stringify(faults.faults[0])).toContain('unlogged');
    const runs = (count: number): unknown =>
      Array.from({ length: count }, (_, at) => ({ first: 2 * at, count: 1 }));
    expect(await loaded(runs(LIMITS.faultRanges - 1))).toContain('unlogged');
    expect(await loaded(runs(LIMITS.faultRanges))).toBe('{"version":2}');
    // Too many of them are none that could be told any more.
    expect(await loaded(runs(LIMITS.faultRanges + 1))).toBe(undefined);
    expect(await loaded(null)).toBe(undefined);
  });

  it('commits to nothing once it cannot tell any more what it refused', async () => {
    const pair = new Pair();
    const { contractId } = pair.params;
    const every2nd = Array.from({ length: 2049 }, (_, index) => {
      const share = shareOf(2 * index, 1);
      return { seq: 2 * index, code: 'share_low', share, job: jobOf(1), workHashes: SHARE_WORK };
    });
    const { entries, done } = pair.maker.withRefused(contractId, every2nd);
    await pair.makerLedger.append(entries);
    done();
    await pair.work(1);
    expect((await pair.sign()).offer).toBeUndefined();
    await pair.restart();
    expect((await pair.sign()).offer).toBeUndefined();
  });

  it('keeps a run of refused shares as one, of one reason and one kind of proof, so many of them', async () => {
    const pair = new Pair();
    const { contractId } = pair.params;
    const refusedOf = (seq: number, code = 'share_low', isKnown = true) => ({
      ...{ seq, code, share: shareOf(seq, 1), workHashes: SHARE_WORK },
      job: isKnown ? jobOf(1) : undefined,
    });
    const add = async (...refused: readonly ReturnType<typeof refusedOf>[]): Promise<string> => {
      const { entries, bytes, done } = pair.maker.withRefused(contractId, refused);
      const { body } = entries[0] as { readonly body: string };
      expect([entries.length, bytes]).toEqual([1, body.length]);
      await pair.makerLedger.append(entries);
      done();
      return body;
    };
    const runs = (body: string): unknown =>
      (JSON.parse(body) as { readonly faults: Record<string, unknown>[] | null }).faults?.map(
        ({ first, count, code }) => [first, count, code],
      );
    await add(refusedOf(0));
    const body = await add(
      ...[refusedOf(1), refusedOf(3), refusedOf(4, 'stale_race')],
      ...[refusedOf(5, 'stale_race', false), refusedOf(6, 'stale_race', false)],
    );
    expect(runs(body)).toEqual([
      [0, 2, 'share_low'],
      [3, 1, 'share_low'],
      [4, 1, 'stale_race'],
      [5, 2, 'stale_race'],
    ]);
    await pair.restart();
    const others = Array.from({ length: LIMITS.faultRanges - 4 }, (_, at) => refusedOf(10 + 2 * at));
    expect(runs(await add(...others))).toHaveLength(LIMITS.faultRanges);
    expect(runs(await add(refusedOf(10 + 2 * others.length)))).toBe(undefined);
    // From then on nothing more is kept of them.
    expect(pair.maker.withRefused(contractId, [refusedOf(99_999)])).toMatchObject({ entries: [] });
  });

  it('takes the signature of the miner for what it offered last alone, and not a wrong one', async () => {
    const pair = new Pair();
    await pair.work(1);
    const nothing = (n: number, signature: string | undefined): void =>
      expect(pair.maker.withSignature(pair.params, n, signature).entries).toEqual([]);
    nothing(1, '00'.repeat(64));
    const { state, offer } = await pair.sign();
    const signature = (await pair.countersign(state, offer!))!;
    nothing(2, signature);
    nothing(1, undefined);
    expect(await refusal((async () => pair.maker.withSignature(pair.params, 1, offer!.signature))())).toBe(
      'bad_signature',
    );
    expect([pair.maker.base, pair.maker.pending?.n]).toEqual([undefined, 1]);
    await pair.acked(1, signature);
    expect([pair.maker.base?.n, pair.maker.pending]).toEqual([1, undefined]);
    nothing(1, signature);
    // What is not offered any more has no commitment.
    pair.maker.keep(undefined);
    expect(pair.maker.offerOf(1, NEWEST)).toBe(undefined);
  });

  it('reads so far back from the last that both signed, and all where its work is bounded anyway', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    await pair.acked(1, await pair.countersign(state, offer!));
    const most = LIMITS.commitmentShares;
    const next = signState(pair.params, 2, 2n * SHARE_WORK, makerSigner);
    const made = (evidenceSeq: number, isSplit?: boolean): Promise<string> => {
      const source = { ...pair.source('maker'), params: pair.params };
      const basis = { ...source, evidenceSeq, nextSeq: evidenceSeq };
      const whole = isSplit === undefined ? basis : { ...basis, isSplit };
      return refusal(
        pair.maker.make(whole, next, NEWEST, makerSigner).then((record) => {
          if (record === undefined) throw new CodedError('wrong_status');
        }),
      );
    };
    expect(await made(most + 1)).toBe('ledger_corrupt');
    expect(await made(most + 2)).toBe('wrong_status');
    expect(await made(most + 2, false)).toBe('wrong_status');
    expect(await made(most + 2, true)).toBe('ledger_corrupt');
  });

  it('commits to nothing for a state that pays for no share more', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1);
    const { state, offer } = await pair.sign(1);
    await pair.acked(1, await pair.countersign(state, offer!));
    const basis = { ...pair.source('maker'), params: pair.params, evidenceSeq: 2, nextSeq: 2 };
    const made = (workHashes: bigint): Promise<unknown> =>
      pair.maker.make(basis, { n: 2, workHashes }, NEWEST, makerSigner);
    expect(await made(SHARE_WORK)).toBe(undefined);
    expect(await made(2n * SHARE_WORK)).toMatchObject({ baseN: 1, nextSeq: 2, logSeq: 2, refused: [] });
    expect(await made(3n * SHARE_WORK)).toBe(undefined);
  });
});
