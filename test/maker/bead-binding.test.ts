import { address as addresses } from 'bitcoinjs-lib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { compactOfTarget, targetOfCompact, workOfTarget } from '../../src/bitcoin/target.ts';
import type { BlockStatus } from '../../src/chain/tip-tracker.ts';
import { poissonTail } from '../../src/contract/bead-odds.ts';
import type { Logger } from '../../src/log/logger.ts';
import { BeadBinding, type BeadStore, type StatisticalBinding } from '../../src/maker/bead-binding.ts';
import { BEAD_DOUBT, NO_BEADS } from '../../src/maker/bead-credit.ts';
import { beadCountEntry, loadBeadCount } from '../../src/maker/bead-record.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { jobDocument, jobRecordOf, type ShareRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { casesOf, judgedBy, type ShareCase } from './share-cases.ts';
import { MAKER_SCRIPT_HEX, MortalLedger, World } from './world.ts';

const BITS = compactOfTarget((1n << 256n) / 1024n);
const BEAD_HASHES = workOfTarget(targetOfCompact(BITS));
const SHARE = shareTargetOf(2 ** -25);
/** Shares that are worth one bead. */
const RATIO = Number(BEAD_HASHES) / Number(SHARE.workHashes);
const PER_BEAD = Math.round(RATIO);
const BINDING: StatisticalBinding = {
  type: 'bead',
  scriptHex: MAKER_SCRIPT_HEX,
  profile: 'as_is',
  stopPpb: 1000,
  maxLossSat: 1000n,
};
const addressOf = (scriptHex: string): string =>
  addresses.fromOutputScript(fromHex(scriptHex), NETWORKS.regtest.params);
const MAKER = addressOf(MAKER_SCRIPT_HEX);
const THIEF = addressOf(`0014${'cd'.repeat(20)}`);

const world = new World();
const job = { ...jobRecordOf(world.job()), bits: BITS };

/** A Braidpool node that knows the beads it is given, or does not answer. */
class Node {
  readonly beads = new Map<string, Bead>();
  isAway = false;
  asked = 0;
  #tell: ((bead: Bead) => void) | undefined;

  async getBead(hash: string): Promise<Bead | undefined> {
    this.asked += 1;
    if (this.isAway) throw new CodedError('braidpool_unreachable');
    return this.beads.get(hash);
  }
  onBead(tell: (bead: Bead) => void): () => void {
    this.#tell = tell;
    return () => {
      this.#tell = undefined;
    };
  }
  add(hash: string, payoutAddress: string, isPushed = false): void {
    const bead = { hash, payoutAddress } as Bead;
    this.beads.set(hash, bead);
    if (isPushed) this.#tell?.(bead);
  }
}

class Stand {
  readonly time = new VirtualTime();
  readonly ledger = new MortalLedger(new MemoryLedger());
  /** How often the count was written. */
  saves = 0;
  /** The disk takes no count. */
  isFull = false;
  readonly node = new Node();
  readonly lines: string[] = [];
  readonly store: { -readonly [key in keyof BeadStore]: BeadStore[key] };
  readonly terms: Partial<StatisticalBinding>;
  block: BlockStatus = { status: 'current', height: 10, bits: BITS };
  binding!: BeadBinding;
  #count = 0;

  constructor(terms: Partial<StatisticalBinding> = {}) {
    this.terms = terms;
    this.store = {
      contractId: world.contractId,
      terms: world.terms,
      evidence: { seq: 0, workHashes: 0n },
      storedJob: async () => jobDocument(job),
    };
    this.ledger.deathAt = (entries) => {
      if (!entries.some(({ kind }) => kind === 'bead_count')) return undefined;
      if (!this.isFull) this.saves += 1;
      return this.isFull ? 'refused' : undefined;
    };
    this.restart();
  }

  restart(): void {
    this.binding?.stop();
    const say = (fields: object, message: string): void =>
      void this.lines.push(`${message} ${JSON.stringify(fields)}`);
    const log: Logger = { debug: () => {}, info: say, warn: say, error: say, child: () => log };
    const { clock, timers } = this.time;
    this.binding = new BeadBinding(
      this.store,
      { ...BINDING, ...this.terms },
      {
        ...{ node: this.node, ledger: this.ledger, clock, timers, log },
        view: { standing: async () => this.block },
      },
    );
  }

  /** A share whose hash is a bead's, or not. */
  share(isBead: boolean): ShareCase & { readonly beadHash: string } {
    this.#count += 1;
    const hash = new Uint8Array(32);
    new DataView(hash.buffer).setUint32(0, this.#count, true);
    if (!isBead) hash[31] = 0x10;
    const share = {
      ...{ jobId: job.id, difficulty: SHARE.difficulty, ntime: 0, nonce: 0, version: 0 },
      ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
    };
    return { share, job, code: undefined, target: SHARE, hash, beadHash: displayHash(hash) };
  }

  /** The codes of a batch, after it is on disk as a maker's store writes it. */
  async take(cases: readonly ShareCase[], isWritten = true): Promise<(string | undefined)[]> {
    let isJudged = false;
    const judged = judgedBy(cases, (each) => this.binding.judgeShares(each)).then(() => {
      isJudged = true;
    });
    for (let ms = 0; !isJudged && ms < 10_000; ms += 100) {
      await this.time.settle();
      if (!isJudged) await this.time.advance(100);
    }
    await judged;
    const good = cases.filter(({ code }) => code === undefined);
    if (!isWritten || good.length === 0) return cases.map(({ code }) => code);
    const records = good.map(({ share, hash }): ShareRecord => ({ ...share, hash: hash! }));
    const { seq, workHashes } = this.store.evidence;
    await this.ledger.append([
      {
        ...{ type: 'log', kind: 'share', stream: world.contractId, first: seq, count: good.length },
        body: ShareRows.of(records).body,
      },
    ]);
    this.store.evidence = {
      seq: seq + good.length,
      workHashes: workHashes + BigInt(good.length) * SHARE.workHashes,
    };
    this.binding.credited();
    await this.time.settle();
    return cases.map(({ code }) => code);
  }

  /** Shares one by one, some of them beads that pay this: how many are credited until one is refused. */
  async run(count: number, payee: string | undefined): Promise<number> {
    for (let index = 0; index < count; index += 1) {
      const isBead = payee !== undefined && index % PER_BEAD === 0;
      const share = this.share(isBead);
      if (isBead) this.node.add(share.beadHash, payee);
      const [code] = await this.take([share]);
      if (code !== undefined) return index;
      await this.time.advance(10);
    }
    return count;
  }
}

const MOST = Math.floor(-Math.log(1e-6) * RATIO) + 1;
let stand: Stand;
beforeEach(() => {
  stand = new Stand();
});
afterEach(() => stand.binding.stop());

describe('work bound by beads', () => {
  it('is credited as long as beads pay the maker, whatever worker stands behind its address', async () => {
    expect(await stand.run(60 * PER_BEAD, `${MAKER}.rig1`)).toBe(60 * PER_BEAD);
    expect(stand.lines).toEqual([]);
  });

  it('F5: is not credited any more after 14 beads where the worker name is the thief, unreported', async () => {
    expect(poissonTail(0, MOST / RATIO)).toBeLessThan(1e-6);
    expect(await stand.run(1000, undefined)).toBe(MOST);
    expect(stand.lines).toEqual([expect.stringContaining('too few beads pay us for the work')]);
  });

  it('F5: ends at the first reported share whose bead pays another', async () => {
    expect(await stand.run(1000, THIEF)).toBe(1);
    expect(stand.lines.join()).toContain(
      'a bead of a share that was sold pays another: no more is credited',
    );
    expect(stand.lines.join()).toContain(THIEF);
    const [code] = await stand.take([stand.share(false)]);
    expect(code).toBe('share_unbound');
  });

  it('takes a payout address that is none, or of another network, for another', async () => {
    expect(await stand.run(3, addresses.fromOutputScript(fromHex(MAKER_SCRIPT_HEX)))).toBe(1);
    const other = new Stand();
    expect(await other.run(3, MAKER_SCRIPT_HEX)).toBe(1);
    other.binding.stop();
  });

  it('hears of beads by the subscription without asking for each', async () => {
    stand.node.isAway = true;
    for (let bead = 0; bead < 50; bead += 1) {
      const share = stand.share(true);
      const rest = Array.from({ length: PER_BEAD - 1 }, () => stand.share(false));
      expect(await stand.take([share, ...rest])).toEqual(Array(PER_BEAD).fill(undefined));
      stand.node.add(share.beadHash, MAKER, true);
    }
  });

  it('waits for no answer but with credit: what is in doubt is bounded, and what was credited stays', async () => {
    stand.node.isAway = true;
    const credited = await stand.run(100 * PER_BEAD, MAKER);
    expect(credited).toBeGreaterThan(20 * PER_BEAD);
    expect(poissonTail(BEAD_DOUBT.doubtBeads, credited / PER_BEAD)).toBeLessThan(1e-6);
    expect(stand.store.evidence.seq).toBe(credited);
    // The node is back, and knows the beads: all goes on.
    stand.node.isAway = false;
    await stand.time.advance(70_000);
    expect(await stand.run(5 * PER_BEAD, MAKER)).toBe(5 * PER_BEAD);
    expect(stand.lines.join('\n')).toContain('enough beads pay us again');
  });

  it('judges a batch by the beads in it, so that a large one brings no more than a small one', async () => {
    const theft = Array.from({ length: 1000 }, () => stand.share(false));
    const codes = await stand.take(theft);
    expect(codes.filter((code) => code === undefined)).toHaveLength(MOST);
    const honest = new Stand();
    const work = Array.from({ length: 1000 }, (_, index) => honest.share(index % PER_BEAD === 0));
    for (const { beadHash } of work) honest.node.add(beadHash, MAKER);
    expect(new Set(await honest.take(work))).toEqual(new Set([undefined]));
    honest.binding.stop();
  });

  it('goes on counting after a restart, from what was written and from the shares', async () => {
    expect(await stand.run(40 * PER_BEAD, MAKER)).toBe(40 * PER_BEAD);
    stand.restart();
    const left = await stand.run(1000, undefined);
    expect(poissonTail(40, (40 * PER_BEAD + left) / RATIO)).toBeLessThan(1e-6);
    expect(poissonTail(40, (40 * PER_BEAD + left - 1) / RATIO)).toBeGreaterThan(1e-6);
    const whole = new Stand();
    await whole.run(40 * PER_BEAD, MAKER);
    const limit = await whole.run(1000, undefined);
    whole.binding.stop();
    const again = new Stand();
    await again.run(40 * PER_BEAD, MAKER);
    let credited = 0;
    for (; credited < 1000; credited += 1) {
      again.restart();
      if ((await again.run(1, undefined)) === 0) break;
    }
    again.binding.stop();
    expect(credited).toBe(limit);
  });

  it('knows a thief after a restart', async () => {
    await stand.run(10, THIEF);
    stand.restart();
    expect(await stand.take([stand.share(false)])).toEqual(['share_unbound']);
  });

  it('takes no job whose coinbase cannot be read: nobody could tell what its bead pays', () => {
    const { binding } = new Stand();
    expect(binding.judgeJob(job)).toBe(undefined);
    for (const bad of [{ coinb1: new Uint8Array(4) }, { coinb2: new Uint8Array(0) }, { extranonceSize: 0 }])
      expect(binding.judgeJob({ ...job, ...bad })).toBe('share_bad');
  });

  it('leaves what is refused as it is, and expects no bead for it', async () => {
    const [one, two] = [new Stand(), new Stand()];
    const refused = (changes: Partial<ShareCase>): ShareCase => ({ ...one.share(true), ...changes });
    const low = refused({ code: 'share_low' });
    const unhashed = refused({ code: 'share_bad', hash: undefined, target: undefined, job: undefined });
    const good = one.share(true);
    expect(await one.take([low, unhashed, good, refused({ code: 'share_duplicate' })])).toEqual([
      'share_low',
      'share_bad',
      undefined,
      'share_duplicate',
    ]);
    expect(await two.take([two.share(true)])).toEqual([undefined]);
    expect(one.binding.beads).toEqual(two.binding.beads);
    expect(one.binding.beads).toMatchObject({ open: 1 });
  });

  it('counts a batch once whose write was refused', async () => {
    const batch = Array.from({ length: 5 * PER_BEAD }, (_, index) => stand.share(index % PER_BEAD === 0));
    for (const { beadHash } of batch) stand.node.add(beadHash, MAKER);
    for (let attempt = 0; attempt < 10; attempt += 1) await stand.take(batch, false);
    await stand.take(batch);
    const limit = await stand.run(1000, undefined);
    const plain = new Stand();
    for (const { beadHash } of batch) plain.node.add(beadHash, MAKER);
    await plain.take(batch);
    expect(limit).toBe(await plain.run(1000, undefined));
    plain.binding.stop();
  });

  it('counts only jobs with the bits of the own chain: harder ones would make beads rare', async () => {
    expect(await stand.binding.judgeNow(job)).toBeUndefined();
    expect(await stand.binding.judgeNow({ ...job, bits: 0x1d00ffff })).toBe('share_bad');
    stand.block = { status: 'unknown' };
    expect(await stand.binding.judgeNow(job)).toBe('stale_race');
  });

  it('takes every share for a bead under profile weak', async () => {
    const weak = new Stand({ profile: 'weak' });
    const share = weak.share(false);
    weak.node.add(share.beadHash, MAKER);
    for (let index = 0; index < 30; index += 1) {
      const next = weak.share(false);
      weak.node.add(next.beadHash, MAKER);
      expect(await weak.take([next])).toEqual([undefined]);
    }
    expect(weak.node.asked).toBeGreaterThan(29);
    const stolen = weak.share(false);
    weak.node.add(stolen.beadHash, THIEF);
    await weak.take([stolen]);
    expect(await weak.take([weak.share(false)])).toEqual(['share_unbound']);
    weak.binding.stop();
  });
});

describe('the count of beads', () => {
  const plain = (count: number): ShareCase[] => Array.from({ length: count }, () => stand.share(false));
  /** What so many shares are worth in beads. */
  const worthOf = (count: number): number => Math.floor((1_000 * count) / RATIO) / 1_000;
  /** What the disk has of it. */
  const written = () => loadBeadCount(stand.ledger, world.contractId, 0);

  it('is told in beads, to a thousandth', async () => {
    expect(stand.binding.beads).toEqual({ worth: 0, paid: 0, missing: 0, open: 0, stolen: undefined });
    const [paid, open] = [stand.share(true), stand.share(true)];
    stand.node.add(paid.beadHash, MAKER);
    await stand.take([paid, open, ...plain(3)]);
    const worth = worthOf(5);
    expect(stand.binding.beads).toEqual({ worth, paid: 1, missing: 0, open: 1, stolen: undefined });
    // An hour later the node still has none of it.
    await stand.time.advance(3_600_000);
    expect(stand.binding.beads).toMatchObject({ worth, paid: 1, missing: 1, open: 0 });
  });

  it('is written when the outcome of a bead is known, at once where no batch is under way, and not else', async () => {
    await stand.take(plain(3));
    await stand.take(plain(3));
    expect(stand.saves).toBe(0);
    const late = stand.share(true);
    await stand.take([late]);
    expect(stand.saves).toBe(0);
    stand.node.add(late.beadHash, MAKER, true);
    expect(stand.saves).toBe(1);
    await stand.time.settle();
    expect(await written()).toMatchObject({ seq: 7, state: { paidBeads: 1, open: new Map() } });
    await stand.take(plain(3));
    expect(stand.saves).toBe(1);
    // While a batch is judged and not written its shares are no part of it: it is written with the batch.
    const inBatch = stand.share(true);
    await stand.take([inBatch, ...plain(2)], false);
    stand.node.add(inBatch.beadHash, MAKER, true);
    expect([stand.saves, stand.binding.beads.paid]).toEqual([1, 2]);
    await stand.take(plain(3));
    expect(stand.saves).toBe(2);
    await stand.take(plain(3));
    expect(stand.saves).toBe(2);
  });

  it('that the disk refuses is written with the next batch', async () => {
    const bead = stand.share(true);
    stand.node.add(bead.beadHash, MAKER);
    stand.isFull = true;
    await stand.take([bead]);
    await stand.take(plain(1));
    stand.isFull = false;
    expect((await written()).seq).toBe(0);
    await stand.take(plain(1));
    expect(await written()).toMatchObject({ seq: 3, state: { paidBeads: 1 } });
    expect(stand.saves).toBe(1);
  });

  it('is written after 4096 shares though no bead came', async () => {
    const easy = new Stand({ stopPpb: 1 });
    // Work of shares that are worth next to nothing in beads.
    const tiny = shareTargetOf(2 ** -31);
    const take = (count: number) =>
      easy.take(Array.from({ length: count }, () => ({ ...easy.share(false), target: tiny })));
    expect(new Set(await take(4_095))).toEqual(new Set([undefined]));
    expect(easy.saves).toBe(0);
    await take(1);
    expect(easy.saves).toBe(1);
    await take(4_095);
    expect(easy.saves).toBe(1);
    await take(1);
    expect(easy.saves).toBe(2);
    easy.binding.stop();
  });

  it('is read on from where it was written, in the middle of a row too', async () => {
    await stand.take(plain(5));
    await stand.take(plain(2));
    for (const seq of [undefined, 1, 3, 5, 6, 7]) {
      if (seq !== undefined)
        await stand.ledger.append([beadCountEntry(world.contractId, { seq, state: NO_BEADS })]);
      stand.restart();
      await stand.take([]);
      expect([seq, stand.binding.beads.worth]).toEqual([seq, worthOf(7 - (seq ?? 0))]);
    }
  });

  it('cannot be read without the jobs of its shares, and is once they are there', async () => {
    await stand.take(plain(2));
    const { storedJob } = stand.store;
    stand.store.storedJob = async () => undefined;
    stand.restart();
    const share = stand.share(false);
    await expect(stand.binding.judgeShares(casesOf([share]))).rejects.toMatchObject({
      code: 'ledger_corrupt',
      message: expect.stringContaining(`job ${job.id}`),
    });
    stand.store.storedJob = storedJob;
    expect(await stand.take([share])).toEqual([undefined]);
  });

  it('goes on asking for beads that were open before a restart', async () => {
    const bead = stand.share(true);
    await stand.take([bead]);
    stand.restart();
    await stand.take([]);
    expect(stand.binding.beads.open).toBe(1);
    stand.node.add(bead.beadHash, MAKER);
    await stand.time.advance(1_000);
    expect(stand.binding.beads).toMatchObject({ paid: 1, open: 0 });
  });
});

describe('a batch beyond what the beads are worth', () => {
  it('waits five seconds for beads that may come, and for nothing where none may', async () => {
    await stand.take(Array.from({ length: MOST }, () => stand.share(false)));
    const { clock } = stand.time;
    let atMs = clock.monotonicMs();
    expect(await stand.take([stand.share(false)])).toEqual(['share_beads']);
    expect(clock.monotonicMs()).toBe(atMs);
    // A bead in doubt is worth it for a minute.
    const late = new Stand();
    late.node.isAway = true;
    const bead = late.share(true);
    await late.take([bead, ...Array.from({ length: MOST }, () => late.share(false))]);
    await late.time.advance(60_000);
    atMs = late.time.clock.monotonicMs();
    expect(await late.take([late.share(false)])).toEqual(['share_beads']);
    expect(late.time.clock.monotonicMs() - atMs).toBe(5_000);
    // One that comes while it waits is enough at once.
    const share = late.share(false);
    const judged = judgedBy([share], (each) => late.binding.judgeShares(each));
    await late.time.advance(1_000);
    late.node.add(bead.beadHash, MAKER, true);
    await late.time.advance(100);
    await judged;
    expect(share.code).toBe(undefined);
    late.binding.stop();
  });

  it('is told of once, with the numbers', async () => {
    const told: [object, string][] = [];
    stand.lines.push = (line) => told.push([JSON.parse(line.slice(line.indexOf('{'))), line]);
    await stand.take(Array.from({ length: MOST + 5 }, () => stand.share(false)));
    await stand.take([stand.share(false)]);
    expect(told.map(([fields]) => fields)).toEqual([
      {
        ...{ code: 'share_beads', worth_beads: stand.binding.beads.worth, paid_beads: 0 },
        ...{ missing_beads: 0, open_beads: 0, stop_ppb: 1_000 },
      },
    ]);
  });
});

it('a binding that is stopped asks for nothing, and hears of no bead', async () => {
  const bead = stand.share(true);
  await stand.take([bead]);
  stand.binding.stop();
  const { asked } = stand.node;
  stand.node.add(bead.beadHash, MAKER, true);
  await stand.time.advance(60_000);
  expect([stand.node.asked - asked, stand.binding.beads.open]).toEqual([0, 1]);
});
