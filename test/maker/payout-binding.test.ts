import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { CodedError, type ErrorCode } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import type { BlockFacts } from '../../src/chain/block-facts.ts';
import type { BlockMaking } from '../../src/chain/block-template.ts';
import type { TemplateWatch } from '../../src/chain/template-watch.ts';
import type { BlockStatus, TipTracker } from '../../src/chain/tip-tracker.ts';
import { PayoutBinding, type PayoutBindingDeps } from '../../src/maker/payout-binding.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { LOOKS_AT_ONCE } from '../../src/maker/sample-turns.ts';
import { contractTag } from '../../src/settlement/contract-tag.ts';
import { PAYOUT_FAULTS, type PayoutTerms } from '../../src/settlement/payout-rules.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { casesOf } from './share-cases.ts';

const CONTRACT = 'ab'.repeat(32);
const SCRIPT = `0014${'ab'.repeat(20)}`;
const HEIGHT = 918_000;
const PARENT = new Uint8Array(32).fill(3);
const CURRENT: BlockStatus = { status: 'current', height: HEIGHT - 1, bits: 0x1d00ffff };
const SUPERSEDED: BlockStatus = { ...CURRENT, status: 'superseded', sinceMonotonicMs: 0 };
const PAYOUT: PayoutTerms = {
  ...{ type: 'payout', outputs: [{ scriptHex: SCRIPT, ppm: 1_000_000 }], minFeesPpm: 900_000 },
  ...{ samplePpm: 250_000, sampleSeconds: 5 },
};

/** A binding whose chance, node and miner are the test's. */
class Stand {
  readonly time = new VirtualTime();
  readonly log = recorder();
  standing: BlockStatus = CURRENT;
  /** What chance says of the next job. */
  isDrawn = false;
  hasTemplate = true;
  /** What the own node knows of the block once it has a template of it. */
  facts: Partial<BlockFacts> = {};
  /** What it says was so at a time, where it is asked. */
  factsSince: ((sinceMs: number) => Partial<BlockFacts>) | undefined;
  /** Parents of which a template was looked for. */
  readonly seen: string[] = [];
  /** How the miner answers for the transactions of a job; undefined to keep it waiting. */
  answer: 'shows' | ErrorCode | undefined = 'shows';
  fault: string | undefined;
  asked = 0;
  readonly binding: PayoutBinding;
  #next = 0;

  constructor(binding: Partial<PayoutTerms> = {}, ledger = new MemoryLedger()) {
    const terms = { ...PAYOUT, ...binding };
    const blocks = { proposalFault: async () => this.fault, mempoolTxids: async () => [] };
    const { time } = this;
    const templates = {
      ...{ transactions: [], transactionsOf: () => [] },
      factsOf: (parent: string, _block: unknown, sinceMs?: number) => ({
        ...{ height: HEIGHT, ...(this.seen.includes(parent) && this.facts) },
        ...(sinceMs !== undefined && this.factsSince?.(sinceMs)),
      }),
      see: async (parent: string) => void this.seen.push(parent),
    };
    Object.defineProperty(templates, 'parentHash', {
      get: () => (this.hasTemplate ? displayHash(PARENT) : undefined),
    });
    const deps: PayoutBindingDeps = {
      view: { standing: async () => this.standing } as unknown as TipTracker,
      templates: templates as unknown as TemplateWatch,
      chain: { blocks: blocks as unknown as BlockMaking },
      ask: () => this.#ask() as never,
      ...{ clock: time.clock, timers: time.timers, log: this.log.log },
      ...{ kernel: createPortableKernel(64), book: new PoolBook([]), ledger },
      knows: () => false,
      random: { bytes: (size) => new Uint8Array(size).fill(this.isDrawn ? 0 : 0xff) },
    };
    this.binding = new PayoutBinding(
      CONTRACT,
      makeTermsV3({ network: 'regtest', binding: terms }),
      terms,
      deps,
    );
  }

  async #ask(): Promise<unknown> {
    this.asked += 1;
    if (this.answer === undefined) return new Promise(() => {});
    if (this.answer !== 'shows') throw new CodedError(this.answer);
    return { shortIds: [] };
  }

  job(): JobRecord {
    this.#next += 1;
    const { coinb1, coinb2 } = buildCoinbase({
      ...{ height: HEIGHT, extranonceSize: 8, tag: new Uint8Array(4) },
      outputs: [
        { script: fromHex(SCRIPT), valueSat: 5_000_000_000n },
        { script: contractTag(CONTRACT), valueSat: 0n },
      ],
    });
    return {
      ...{ id: this.#next, wireId: `${this.#next}`, stream: CONTRACT, version: 0x20000000, versionMask: 0 },
      ...{ coinb1, coinb2, prevHash: PARENT, branches: [], extranonceSize: 8, bits: 0x207fffff },
      ...{ time: 1_800_000_000, upstreamDifficulty: 1 },
    };
  }

  /** A new job, and what its shares are refused for. */
  async judged(isDrawn = false): Promise<{ readonly job: JobRecord; readonly code: string | undefined }> {
    this.isDrawn = isDrawn;
    const job = this.job();
    expect(this.binding.judgeJob(job, undefined)).toBe(undefined);
    await this.time.settle();
    return { job, code: await this.binding.judgeNow(job) };
  }

  async codes(count: number): Promise<(string | undefined)[]> {
    const codes: (string | undefined)[] = [];
    for (let at = 0; at < count; at += 1) codes.push((await this.judged()).code);
    return codes;
  }
}

describe('jobs under payout', () => {
  it('are drawn by chance, and only those are asked about', async () => {
    const stand = new Stand();
    expect(await stand.codes(5)).toEqual(Array(5).fill(undefined));
    expect(stand.asked).toBe(0);
    expect((await stand.judged(true)).code).toBe(undefined);
    expect(stand.asked).toBe(1);
    expect(stand.binding.stats).toEqual({ good: 1, bad: 0, unshown: 0, late: 0, inconclusive: 0 });
    expect(stand.binding.isStrict).toBe(false);
  });

  it('are never drawn where none are to be, and always where all are', async () => {
    const none = new Stand({ samplePpm: 0 });
    await none.judged(true);
    expect(none.asked).toBe(0);
    const all = new Stand({ samplePpm: 1_000_000 });
    await all.codes(3);
    expect(all.asked).toBe(3);
  });

  it('that were not judged before are bad, and those on an unknown block wait', async () => {
    const stand = new Stand();
    expect(await stand.binding.judgeNow(stand.job())).toBe('share_bad');
    const { job } = await stand.judged();
    stand.standing = { status: 'unknown' };
    expect(await stand.binding.judgeNow(job)).toBe('stale_race');
  });

  it('on a new block are judged by its template, which may come later than they do', async () => {
    const stand = new Stand();
    stand.facts = { feesSat: 0n, waitingFeesSat: 1_000_000n };
    // A job of the fixture claims 50 coins, where 3.125 are left.
    expect((await stand.judged()).code).toBe('share_unbound');
    expect(stand.seen).toEqual([displayHash(PARENT)]);
    stand.standing = SUPERSEDED;
    await stand.judged();
    expect(stand.seen).toHaveLength(1);
  });

  it('whose block would be refused are not paid, and from then on each is asked about first', async () => {
    const stand = new Stand();
    stand.fault = 'bad-txns';
    expect((await stand.judged(true)).code).toBe('share_unbound');
    expect(stand.binding).toMatchObject({ isStrict: true, stats: { bad: 1 } });
    stand.fault = undefined;
    for (let at = 0; at < 20; at += 1) expect((await stand.judged()).code).toBe(undefined);
    expect([stand.asked, stand.binding.isStrict]).toEqual([21, true]);
  });
});

describe('a job under payout', () => {
  /** A job whose coinbase pays so. */
  const paying = (stand: Stand, outputs: readonly CoinbaseOutput[], changes: Partial<JobRecord> = {}) => {
    const { coinb1, coinb2 } = buildCoinbase({
      ...{ height: HEIGHT, extranonceSize: 8, tag: new Uint8Array(4), outputs },
    });
    return { ...stand.job(), coinb1, coinb2, ...changes };
  };
  const tagged = { script: contractTag(CONTRACT), valueSat: 0n };
  const ours = { script: fromHex(SCRIPT), valueSat: 1_000n };
  const said = ({ log }: Stand): readonly unknown[] => log.lines.map(([, fields]) => fields['why']);

  it('that pays another is unbound, and told once with the reason; one that is none is bad', () => {
    const stand = new Stand();
    const job = paying(stand, [{ script: fromHex('51'), valueSat: 1_000n }, tagged]);
    expect(stand.binding.judgeJob(job, undefined)).toBe('share_unbound');
    expect(said(stand)).toEqual([PAYOUT_FAULTS.payees]);
    const cut = { ...stand.job(), coinb2: stand.job().coinb2.subarray(0, 3) };
    expect(stand.binding.judgeJob(cut, undefined)).toBe('share_bad');
    expect(said(stand)).toHaveLength(1);
    expect(stand.asked).toBe(0);
  });

  it('of another height than its block has is unbound, and told once for each reason', async () => {
    const stand = new Stand();
    stand.facts = { height: HEIGHT + 1 };
    const { job, code } = await stand.judged();
    expect(code).toBe('share_unbound');
    expect(await stand.binding.judgeNow(job)).toBe('share_unbound');
    expect(said(stand)).toEqual([PAYOUT_FAULTS.height]);
    stand.facts = { bits: 0x1d00fffe };
    expect(await stand.binding.judgeNow(job)).toBe('share_unbound');
    expect(said(stand)).toEqual([PAYOUT_FAULTS.height, PAYOUT_FAULTS.bits]);
  });

  it('that claims what was due while its miner was away is credited as a backlog', async () => {
    const stand = new Stand();
    const { job } = await stand.judged();
    expect(stand.binding.lateCode(job)).toBe(undefined);
    // The fees came meanwhile: before 500 ms there were none.
    stand.facts = { feesSat: 10_000_000_000n };
    stand.factsSince = (sinceMs) => (sinceMs < 500 ? { feesSat: 0n, waitingFeesSat: 10_000_000_000n } : {});
    const judge = async (awaySinceMs?: number) => [
      await stand.binding.judgeNow(job, awaySinceMs),
      stand.binding.lateCode(job),
    ];
    expect(await judge(499)).toEqual([undefined, 'share_unbound']);
    expect(await judge(500)).toEqual(['share_unbound', undefined]);
    expect(await judge()).toEqual(['share_unbound', undefined]);
    expect(said(stand)).toEqual([PAYOUT_FAULTS.too_little]);
    expect(stand.binding.lateCode(stand.job())).toBe(undefined);
    // What is wrong with it whenever it was found stays so.
    stand.facts = { height: HEIGHT + 1, feesSat: 10_000_000_000n };
    expect(await judge(499)).toEqual(['share_unbound', undefined]);
    stand.facts = { feesSat: 0n, waitingFeesSat: 10_000_000_000n };
    expect(await judge(499)).toEqual([undefined, undefined]);
  });

  it('whose block is shown is published, where it pays as agreed, on what the own node knows', async () => {
    const stand = new Stand();
    const extranonce = new Uint8Array(8);
    const show = (job: JobRecord): Promise<string> =>
      stand.binding
        .showBlock({ contractId: CONTRACT, job, extranonce, ntime: job.time, nonce: 1, version: 1 })
        .then(
          () => 'shown',
          (error: CodedError) => error.message,
        );
    const unpaid = paying(stand, [{ script: fromHex('51'), valueSat: 1n }, tagged]);
    expect(await show(unpaid)).toBe('share_unbound: its job does not pay as agreed');
    const cut = { ...stand.job(), coinb2: stand.job().coinb2.subarray(0, 3) };
    expect(await show(cut)).toBe('share_bad: its job does not pay as agreed');
    const early = paying(stand, [ours, tagged]);
    expect(await show(early)).toBe('share_bad: it does not fit its job');
    stand.facts = { height: HEIGHT + 1 };
    await stand.judged();
    expect(await show(early)).toBe(`share_unbound: ${PAYOUT_FAULTS.height}`);
    // One that claims less than is due is better than none.
    stand.facts = { feesSat: 10_000_000_000n };
    expect(await show(early)).toBe('share_bad: it does not fit its job');
    // Of a block that is not known here the rest is judged.
    stand.standing = { status: 'unknown' };
    expect(await show(early)).toBe('share_bad: it does not fit its job');
    expect(stand.binding.blocks).toMatchObject({ solutions: 0, lateSolutions: 0, isPaused: false });
  });
});

describe('what the samples came to', () => {
  it('is written with a batch where it has changed, and once', async () => {
    const stand = new Stand();
    await stand.binding.load();
    expect(stand.binding.counts()).toEqual([]);
    stand.answer = 'protocol';
    await stand.judged(true);
    expect(stand.binding.counts()).toHaveLength(1);
    // The write failed: it is written with the next one.
    expect(stand.binding.counts()).toHaveLength(1);
    stand.binding.judged(casesOf([]));
    expect(stand.binding.counts()).toEqual([]);
    stand.answer = 'shows';
    await stand.judged();
    expect(stand.binding.counts()).toHaveLength(1);
  });

  it('of jobs outlives a start: good ones are paid, the others are not, and what is owed is owed', async () => {
    const ledger = new MemoryLedger();
    const before = new Stand({}, ledger);
    before.answer = 'protocol';
    const { job: unshown } = await before.judged(true);
    before.answer = 'shows';
    const { job: good } = await before.judged();
    await ledger.append(before.binding.counts());
    const stand = new Stand({}, ledger);
    expect(stand.binding.isStrict).toBe(false);
    await stand.binding.load();
    expect(stand.binding.isStrict).toBe(true);
    for (const job of [unshown, good]) stand.binding.judgeJob(job, undefined, true);
    expect(await stand.binding.judgeNow(unshown)).toBe('share_unshown');
    expect(await stand.binding.judgeNow(good)).toBe(undefined);
    expect(stand.asked).toBe(0);
    // One of the four was good before.
    for (let at = 0; at < 3; at += 1) {
      expect(stand.binding.isStrict).toBe(true);
      const job = { ...stand.job(), id: 100 + at };
      stand.binding.judgeJob(job, undefined);
      expect(await stand.binding.judgeNow(job)).toBe(undefined);
    }
    expect([stand.binding.isStrict, stand.asked]).toEqual([false, 3]);
  });

  it('of a job that was credited before, and whose block was replaced since, is no miss', async () => {
    const ledger = new MemoryLedger();
    const before = new Stand({}, ledger);
    before.answer = undefined;
    const { job } = await before.judged(true);
    await ledger.append(before.binding.counts());
    const stand = new Stand({}, ledger);
    await stand.binding.load();
    stand.standing = SUPERSEDED;
    stand.binding.judgeJob(job, undefined, true);
    await stand.time.settle();
    expect([stand.asked, await stand.binding.judgeNow(job)]).toEqual([0, 'stale_race']);
    expect(stand.binding).toMatchObject({ isStrict: false, stats: { late: 0, unshown: 0 } });
  });

  it('of jobs that nobody could ask about counts for nothing while the miner is to blame for none', async () => {
    const stand = new Stand();
    stand.answer = 'peer_closed';
    const { job } = await stand.judged(true);
    // Twice in vain, and then it is there.
    await stand.time.settle();
    stand.answer = 'shows';
    expect(await stand.binding.judgeNow(job)).toBe(undefined);
    await stand.time.settle();
    expect(stand.binding).toMatchObject({ isStrict: false, stats: { good: 1, unshown: 0 } });
    expect(await stand.binding.judgeNow(job)).toBe(undefined);
    expect(stand.asked).toBe(3);
  });
});

describe('a sample that is not shown', () => {
  it('costs its job, and asks as many more as one is drawn of; twice as many the next time', async () => {
    const stand = new Stand();
    const owed: number[] = [];
    for (let time = 0; time < 3; time += 1) {
      stand.answer = 'protocol';
      const { job, code } = await stand.judged(true);
      expect(code).toBe('share_unshown');
      stand.answer = 'shows';
      expect(await stand.binding.judgeNow(job)).toBe('share_unshown');
      const before = stand.asked;
      while (stand.binding.isStrict) expect((await stand.judged()).code).toBe(undefined);
      owed.push(stand.asked - before);
    }
    expect(owed).toEqual([4, 8, 16]);
    expect(stand.binding.stats).toMatchObject({ unshown: 3, good: 28 });
    expect(stand.log.lines.filter(([level]) => level === 'warn').length).toBeGreaterThan(0);
  });

  it('in its time is as good as refused, after the agreed seconds', async () => {
    const stand = new Stand();
    stand.answer = undefined;
    const { job, code } = await stand.judged(true);
    expect(code).toBe(undefined);
    await stand.time.advance(4_999);
    expect(await stand.binding.judgeNow(job)).toBe(undefined);
    await stand.time.advance(1);
    expect(await stand.binding.judgeNow(job)).toBe('share_unshown');
  });

  it.each(['peer_closed', 'chain_unreachable', 'chain_rpc', 'chain_syncing'] as const)(
    'because of %s is asked for again, twice',
    async (code) => {
      const stand = new Stand();
      stand.answer = code;
      const { job, code: first } = await stand.judged(true);
      expect(first).toBe(undefined);
      for (let at = 0; at < 4; at += 1) {
        await stand.time.settle();
        await stand.binding.judgeNow(job);
      }
      await stand.time.settle();
      expect(stand.asked).toBe(3);
      expect(await stand.binding.judgeNow(job)).toBe('share_unshown');
    },
  );

  it('is waited for where none is paid before it', async () => {
    const stand = new Stand();
    stand.fault = 'bad-txns';
    await stand.judged(true);
    stand.fault = undefined;
    stand.answer = undefined;
    const job = stand.job();
    stand.binding.judgeJob(job, undefined);
    let code: string | undefined = 'none yet';
    const judging = stand.binding.judgeNow(job).then((judged) => {
      code = judged;
    });
    await stand.time.settle();
    await stand.time.advance(4_999);
    expect(code).toBe('none yet');
    await stand.time.advance(1);
    await judging;
    expect(code).toBe('share_unshown');
    expect(await stand.binding.judgeNow(job)).toBe('share_unshown');
  });
});

describe('a sample that was asked for when the maker ended', () => {
  it('is asked for again of a job that was credited, and of no other', async () => {
    const ledger = new MemoryLedger();
    const before = new Stand({}, ledger);
    before.answer = undefined;
    const { job } = await before.judged(true);
    const { job: other } = await before.judged();
    await ledger.append(before.binding.counts());
    const stand = new Stand({}, ledger);
    await stand.binding.load();
    stand.answer = 'protocol';
    expect(stand.binding.judgeJob(other, undefined, true)).toBe(undefined);
    await stand.time.settle();
    expect([stand.asked, await stand.binding.judgeNow(other)]).toEqual([0, undefined]);
    expect(stand.binding.judgeJob(job, undefined, true)).toBe(undefined);
    await stand.time.settle();
    expect([stand.asked, await stand.binding.judgeNow(job)]).toEqual([1, 'share_unshown']);
  });

  it('is of no job that was announced again, whose sample came to something, whatever chance says', async () => {
    for (const [answer, code] of [
      ['shows', undefined],
      ['protocol', 'share_unshown'],
    ] as const) {
      const ledger = new MemoryLedger();
      const before = new Stand({ samplePpm: 1_000_000 }, ledger);
      // What is good stands in the record where none is paid before its sample.
      before.answer = 'protocol';
      await before.judged(true);
      before.answer = answer;
      const { job } = await before.judged(true);
      expect(await before.binding.judgeNow(job)).toBe(code);
      const [entry] = before.binding.counts().filter(({ kind }) => kind !== 'solution_count');
      expect(JSON.parse((entry as { readonly body: string }).body)).toMatchObject({ drawn: [] });
      await ledger.append(before.binding.counts());
      const stand = new Stand({ samplePpm: 1_000_000 }, ledger);
      await stand.binding.load();
      stand.isDrawn = true;
      expect(stand.binding.judgeJob(job, undefined)).toBe(undefined);
      await stand.time.settle();
      expect([stand.asked, await stand.binding.judgeNow(job)]).toEqual([0, code]);
    }
  });

  it('that waits for its turn longer than an answer may take holds its job up where each is owed', async () => {
    const stand = new Stand();
    stand.fault = 'bad-txns-in-belowout';
    await stand.judged(true);
    expect(stand.binding.isStrict).toBe(true);
    stand.answer = undefined;
    const jobs = Array.from({ length: 2 * LOOKS_AT_ONCE }, () => stand.job());
    for (const job of jobs) expect(stand.binding.judgeJob(job, undefined)).toBe(undefined);
    const codes = Promise.all(jobs.map((job) => stand.binding.judgeNow(job)));
    await stand.time.settle();
    await stand.time.advance(5_000);
    await stand.time.settle();
    expect(await codes).toEqual([
      ...Array<string>(LOOKS_AT_ONCE).fill('share_unshown'),
      ...Array<string>(LOOKS_AT_ONCE).fill('stale_race'),
    ]);
    await stand.time.advance(5_000);
    await stand.time.settle();
    expect(await stand.binding.judgeNow(jobs.at(-1)!)).toBe('share_unshown');
  });

  it('of a job that came to something leaves those of others drawn', async () => {
    const stand = new Stand();
    stand.answer = undefined;
    const { job: waits } = await stand.judged(true);
    stand.answer = 'shows';
    await stand.judged(true);
    expect(stand.binding.stats.good).toBe(1);
    const [entry] = stand.binding.counts();
    expect(JSON.parse((entry as { readonly body: string }).body)).toMatchObject({ drawn: [waits.id] });
  });

  it('that cannot even wait for its turn is not asked for, and its job not credited before there is room', async () => {
    const stand = new Stand();
    stand.answer = undefined;
    const most = LOOKS_AT_ONCE + LIMITS.payoutSamples;
    for (let count = 0; count < most; count += 1) expect((await stand.judged(true)).code).toBe(undefined);
    const { job, code } = await stand.judged(true);
    expect([stand.binding.isStrict, code]).toEqual([false, 'stale_race']);
    // What chance left out is credited as ever.
    expect((await stand.judged()).code).toBe(undefined);
    // Those that are asked for end, and the others have their turns.
    await stand.time.advance(4_999);
    expect(await stand.binding.judgeNow(job)).toBe('stale_race');
    expect(stand.asked).toBe(LOOKS_AT_ONCE);
  });

  it('is owed by jobs too that were announced before, undrawn, and are judged since', async () => {
    const stand = new Stand();
    const { job: older } = await stand.judged();
    expect([stand.asked, await stand.binding.judgeNow(older)]).toEqual([0, undefined]);
    stand.fault = 'bad-txns-in-belowout';
    await stand.judged(true);
    expect(stand.binding.isStrict).toBe(true);
    stand.fault = undefined;
    const { asked } = stand;
    expect(await stand.binding.judgeNow(older)).toBe(undefined);
    expect(stand.asked - asked).toBeGreaterThan(0);
    // One that is not shown is not paid.
    const late = new Stand();
    const { job } = await late.judged();
    late.fault = 'bad-txns-in-belowout';
    await late.judged(true);
    late.answer = 'protocol';
    expect(await late.binding.judgeNow(job)).toBe('share_unshown');
  });

  it('is not asked for again once it came to something', async () => {
    const ledger = new MemoryLedger();
    const before = new Stand({}, ledger);
    const { job } = await before.judged(true);
    await ledger.append(before.binding.counts());
    const stand = new Stand({}, ledger);
    await stand.binding.load();
    expect(stand.binding.judgeJob(job, undefined, true)).toBe(undefined);
    await stand.time.settle();
    expect([stand.asked, await stand.binding.judgeNow(job)]).toEqual([0, undefined]);
  });
});

describe('a sample that cannot be judged', () => {
  it('since its block is unknown yet is taken later; since it was replaced, never, and its job not paid', async () => {
    const stand = new Stand();
    stand.isDrawn = true;
    stand.standing = { status: 'unknown' };
    const waits = stand.job();
    stand.binding.judgeJob(waits, undefined);
    await stand.time.settle();
    expect(stand.asked).toBe(0);
    stand.standing = CURRENT;
    await stand.binding.judgeNow(waits);
    await stand.time.settle();
    expect([stand.asked, stand.binding.stats.good]).toEqual([1, 1]);

    stand.standing = SUPERSEDED;
    const late = stand.job();
    stand.binding.judgeJob(late, undefined);
    await stand.time.settle();
    expect(await stand.binding.judgeNow(late)).toBe('stale_race');
    expect(stand.binding).toMatchObject({ isStrict: true, stats: { late: 1 } });
  });

  it('by the own node is no fault of the miner', async () => {
    const stand = new Stand();
    stand.hasTemplate = false;
    expect((await stand.judged(true)).code).toBe(undefined);
    stand.hasTemplate = true;
    stand.fault = 'inconclusive-not-best-prevblk';
    expect((await stand.judged(true)).code).toBe(undefined);
    expect(stand.binding).toMatchObject({ isStrict: false, stats: { inconclusive: 2, good: 0 } });
  });

  it('since its block was replaced meanwhile is not drawn, and the next is in its place', async () => {
    const stand = new Stand();
    stand.fault = 'inconclusive-not-best-prevblk';
    expect((await stand.judged(true)).code).toBe(undefined);
    stand.fault = undefined;
    expect(await stand.codes(3)).toEqual([undefined, undefined, undefined]);
    expect([stand.asked, stand.binding.isStrict]).toEqual([2, false]);
    expect(stand.binding.stats).toEqual({ good: 1, bad: 0, unshown: 0, late: 0, inconclusive: 1 });
  });

  it.each(['inconclusive-not-best-prevblk', 'inconclusive'])(
    'since its block was replaced meanwhile (%s) is not paid where none is before it, and is no miss',
    async (fault) => {
      const stand = new Stand();
      stand.answer = 'protocol';
      await stand.judged(true);
      stand.answer = 'shows';
      stand.fault = fault;
      for (let at = 0; at < 5; at += 1) {
        stand.standing = CURRENT;
        const job = stand.job();
        stand.binding.judgeJob(job, undefined);
        // It was the best when it was asked about.
        const judging = stand.binding.judgeNow(job);
        if (fault === 'inconclusive') stand.standing = SUPERSEDED;
        expect(await judging).toBe('stale_race');
        expect(await stand.binding.judgeNow(job)).toBe('stale_race');
      }
      stand.standing = CURRENT;
      stand.fault = undefined;
      expect(stand.binding).toMatchObject({
        isStrict: true,
        stats: { unshown: 1, late: 5, inconclusive: 0 },
      });
      // As many as after the one miss, and no more.
      expect(await stand.codes(4)).toEqual(Array(4).fill(undefined));
      expect(stand.binding.isStrict).toBe(false);
    },
  );

  it('by the own node is no fault of the miner where none is paid before its sample', async () => {
    const stand = new Stand();
    stand.answer = 'protocol';
    await stand.judged(true);
    stand.answer = 'shows';
    stand.hasTemplate = false;
    expect((await stand.judged()).code).toBe(undefined);
    stand.hasTemplate = true;
    stand.fault = 'inconclusive';
    expect((await stand.judged()).code).toBe(undefined);
    expect(stand.binding).toMatchObject({ isStrict: true, stats: { inconclusive: 2, late: 0 } });
  });

  it('is not begun after the end', async () => {
    const stand = new Stand();
    stand.binding.stop();
    expect((await stand.judged(true)).code).toBe(undefined);
    expect(stand.asked).toBe(0);
  });
});
