import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { compareHashes } from '../../src/bitcoin/header.ts';
import { targetOfCompact, targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import {
  type Bead,
  beadFault,
  beadHash,
  beadHeader,
  buildBead,
  compactAtLeast,
  encodeCommitted,
  genesisBead,
  parseBead,
} from '../../src/devnet/braidpool/bead.ts';
import { Braid } from '../../src/devnet/braidpool/braid.ts';
import { parseJson, printJson } from '../../src/devnet/net/json-text.ts';

const EASY = 0x207fffff;
const genesis = genesisBead(EASY, '0f'.repeat(32));
const genesisHash = beadHash(genesis);

/** A bead on parents; `salt` makes its hash its own. No work is looked for. */
function beadOn(parents: readonly string[], salt: number, over: { readonly bits?: number } = {}): Bead {
  return buildBead({
    header: { ...beadHeader(genesis), time: 1_700_000_001, nonce: salt, bits: over.bits ?? EASY },
    transactionIds: ['ab'.repeat(32)],
    parents: [...parents].sort(compareHashes).map((hash) => ({ hash, startTimestamp: 1_700_000_000 })),
    payoutAddress: `miner${salt}`,
    startTimestamp: 1_700_000_002,
    broadcastTimestamp: 1_700_000_003,
    minTarget: EASY,
    weakTarget: EASY,
    minerIp: '127.0.0.1:1',
    extranonce1: 2n ** 64n - 1n,
    extranonce2: BigInt(salt),
  });
}

type Plan = readonly (readonly number[])[];

/** Builds a braid by a plan: each bead's parents as positions of earlier beads, 0 the genesis bead. */
function build(plan: Plan): { braid: Braid; hashes: string[] } {
  const braid = new Braid();
  braid.add(genesis);
  const hashes = [genesisHash];
  for (const [index, parents] of plan.entries()) {
    const bead = beadOn(
      parents.map((parent) => hashes[parent]!),
      index,
    );
    expect(braid.add(bead)).toBe('BeadAdded');
    hashes.push(beadHash(bead));
  }
  return { braid, hashes };
}

/** Cohorts by their definition, over all beads: no thought for speed. */
function cohortsOf(plan: Plan): number[][] {
  const ancestors: Set<number>[] = [new Set()];
  for (const parents of plan) {
    ancestors.push(new Set(parents.flatMap((parent) => [parent, ...ancestors[parent]!])));
  }
  const all = ancestors.map((_, index) => index);
  const isCut = (at: number): boolean =>
    all.slice(at).every((later) => all.slice(0, at).every((early) => ancestors[later]!.has(early)));
  const cohorts: number[][] = [];
  for (const index of all) {
    if (isCut(index)) cohorts.push([]);
    cohorts[cohorts.length - 1]!.push(index);
  }
  return cohorts;
}

/** Parents among the last few beads, so that the braid closes now and then. */
const plans: fc.Arbitrary<Plan> = fc
  .array(fc.uniqueArray(fc.nat({ max: 3 }), { minLength: 1, maxLength: 3 }), { maxLength: 30 })
  .map((list) => list.map((backs, index) => [...new Set(backs.map((back) => Math.max(0, index - back)))]));

describe('a braid', () => {
  it('has the cohorts of its definition, whatever the order beads came in', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { braid, hashes } = build(plan);
        const wanted = cohortsOf(plan).map((cohort) => cohort.map((index) => hashes[index]!).sort());
        const found = Array.from({ length: braid.cohortCount }, (_, id) => braid.cohort(id)!.sort());
        expect(found).toEqual(wanted);
        expect(braid.cohort(braid.cohortCount)).toBeUndefined();
      }),
    );
  });

  it('has as tips what is nobody’s parent, ascending in internal byte order', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { braid, hashes } = build(plan);
        const parents = new Set(plan.flat());
        const tips = hashes.filter((_, index) => !parents.has(index));
        const internal = (hash: string): string => Buffer.from(hash, 'hex').reverse().toString('hex');
        const sorted = tips.map(internal).sort().map(internal);
        expect(braid.tips()).toEqual(sorted);
        for (const [index, hash] of hashes.entries()) {
          const children = hashes.filter((_, child) => child > 0 && plan[child - 1]!.includes(index));
          expect(braid.children(hash)).toEqual(children);
        }
      }),
    );
  });

  it('goes along the most work: after a bead first, then before it, then the older', () => {
    const { braid, hashes } = build([[0], [0], [1], [2], [2], [3, 4, 5], [6], [6]]);
    const path = braid.highestWorkPath().map((hash) => hashes.indexOf(hash));
    expect(path).toEqual([0, 2, 4, 6, 7]);
  });

  it('keeps orphans until their parents came, in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5, maxLength: 5 }), (order) => {
        const chain: Bead[] = [];
        for (let index = 0; index < 5; index += 1) {
          chain.push(beadOn([index === 0 ? genesisHash : beadHash(chain[index - 1]!)], index));
        }
        const braid = new Braid();
        braid.add(genesis);
        for (const index of order) braid.add(chain[index]!);
        expect(braid.size).toBe(6);
        expect(braid.orphanCount).toBe(0);
        expect(braid.tips()).toEqual([beadHash(chain[4]!)]);
      }),
    );
  });

  it('says what became of a bead in the node’s own words', () => {
    const braid = new Braid();
    const first = beadOn([], 1);
    expect(braid.add(first)).toBe('BeadAdded');
    expect(braid.add(beadOn([], 2))).toBe('InvalidBead');
    const second = beadOn([beadHash(first)], 3);
    expect(braid.add(second)).toBe('BeadAdded');
    expect(braid.add(second)).toBe('DagAlreadyContainsBead');
    expect(braid.add(beadOn(['77'.repeat(32)], 4))).toBe('ParentsNotYetReceived');
    expect([braid.size, braid.orphanCount]).toEqual([2, 1]);
  });

  it('counts work in expected hashes: of nBits as the node does, or of the weak target', () => {
    const bead = beadOn([genesisHash], 1, { bits: 0x1d00ffff });
    const works = (['network', 'weak'] as const).map((work) => {
      const braid = new Braid({ work });
      braid.add(genesis);
      braid.add(bead);
      return braid.totalWork - workOfTarget(targetOfCompact(EASY));
    });
    expect(works).toEqual([4_295_032_833n, 2n]);
  });
});

describe('a bead', () => {
  it('is refused for its work, and for parents out of order, twice, or without a time', () => {
    let salt = 0;
    const two = [genesisHash, '11'.repeat(32)].sort(compareHashes);
    const mined = (parents: readonly string[], bits = EASY): Bead => {
      for (; ; salt += 1) {
        const bead = beadOn(parents, salt, { bits });
        if (beadFault(bead, 'weak') === undefined) return bead;
      }
    };
    const good = mined(two);
    const withCommitted = (change: Partial<Bead['committed_metadata']>): Bead => ({
      ...good,
      committed_metadata: { ...good.committed_metadata, ...change },
    });
    expect(beadFault(good, 'network')).toBeUndefined();
    expect(beadFault(mined(two, 0x1d00ffff), 'network')).toBe('InsufficientProofOfWork');
    expect(beadFault(withCommitted({ parents: [two[1]!, two[0]!] }), 'weak')).toBe('ParentsNotSorted');
    expect(beadFault(withCommitted({ parents: [two[0]!, two[0]!] }), 'weak')).toBe('DuplicateParents');
    const short = withCommitted({ parent_bead_timestamps: [1_700_000_000] });
    expect(beadFault(short, 'weak')).toBe('ParentTimestampCountMismatch');
  });

  it('survives JSON with its 64-bit numbers, which are bare integers there', () => {
    const bead = beadOn([genesisHash], 7);
    const text = printJson(bead);
    expect(text).toContain('"extra_nonce_1":18446744073709551615,"extra_nonce_2":7,');
    expect(parseBead(parseJson(text))).toEqual(bead);
    const broken = text.replace('"nonce":7', '"nonce":-7');
    expect(parseBead(parseJson(broken))).toBe('invalid or missing field `nonce`');
    expect(typeof parseBead([])).toBe('string');
  });

  it('is encoded with lengths of eight bytes for times and txids, CompactSize for the rest', () => {
    const committed = toHex(encodeCommitted(beadOn([genesisHash], 7).committed_metadata));
    const parent = Buffer.from(genesisHash, 'hex').reverse().toString('hex');
    const expected = [
      `0100000000000000${'ab'.repeat(32)}`,
      `01${parent}`,
      '010000000000000000f15365',
      `06${toHex(Buffer.from('miner7'))}`,
      '02f15365',
      `21${'02'.repeat(33)}`,
      'ffff7f20',
      'ffff7f20',
      `0b${toHex(Buffer.from('127.0.0.1:1'))}`,
    ];
    expect(committed).toBe(expected.join(''));
  });

  it('names a weak target in nBits that no share below it misses', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), (difficulty) => {
        const target = targetOfDifficulty(difficulty);
        const rounded = targetOfCompact(compactAtLeast(target));
        expect(rounded >= target).toBe(true);
        expect(rounded - target <= target >> 14n).toBe(true);
      }),
    );
  });
});
