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
import { BEAD_DOUBT } from '../../src/maker/bead-credit.ts';
import type { ShareCase } from '../../src/maker/verification.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { jobDocument, jobRecordOf, packRecords, type ShareRecord } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MAKER_SCRIPT_HEX, World } from './world.ts';

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
  readonly ledger = new MemoryLedger();
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
    const judged = this.binding.judgeShares(cases).then(() => {
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
        body: packRecords(records),
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
