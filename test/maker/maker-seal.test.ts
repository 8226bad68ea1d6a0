import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type SealClaim, type SignedSealClaim, signSealClaim } from '../../src/channel/seal.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import {
  claimRequest,
  loadSeal,
  type MakerSeal,
  openSeal,
  restoredSeal,
  sealEntry,
  withAsked,
  withClaim,
  withShares,
} from '../../src/maker/maker-seal.ts';
import { makeParams, makeTerms, minerSigner, SEAL, seedOf } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const params = makeParams({}, makeTerms({ seal: SEAL }));

function treeOf(count: number, name = 'share'): ShareTree {
  const tree = new ShareTree();
  for (let at = 0; at < count; at += 1) tree.append(seedOf(`${name} ${at}`));
  return tree;
}

/** A claim that the miner signed, of so many shares of ten hashes each. */
function claimOf(n: number, count: number, changes: Partial<SealClaim> = {}): SignedSealClaim {
  const claim = { n, workHashes: 10n * BigInt(count), shareRoot: treeOf(count).root(), ...changes };
  return signSealClaim(params, claim, minerSigner);
}

const code = (task: () => unknown): unknown => {
  try {
    return task() === undefined ? 'nothing' : 'taken';
  } catch (error) {
    return codeOf(error);
  }
};

const hashes = (from: number, to: number): Uint8Array[] =>
  Array.from({ length: to - from }, (_, at) => seedOf(`share ${from + at}`));

const opened = (): MakerSeal => openSeal(params, claimOf(0, 0));
/** With three shares, of which a claim is asked for, and one more. */
const asking = (): MakerSeal =>
  withShares(withAsked(withShares(opened(), hashes(0, 3), [3]), 1, 30n, 4), hashes(3, 4), [5]);

describe('the record of a seal', () => {
  it('begins with claim 0, which is of no share, and signed', () => {
    expect(opened()).toMatchObject({ version: 1, claim: { n: 0 }, refused: [], asked: undefined });
    expect(opened().tree.count).toBe(0);
    expect(code(() => openSeal(params, claimOf(1, 0)))).toBe('bad_amount');
    expect(code(() => openSeal(params, claimOf(0, 1)))).toBe('bad_amount');
    const forged = { ...claimOf(0, 0), signature: claimOf(1, 1).signature };
    expect(code(() => openSeal(params, forged))).toBe('bad_signature');
  });

  it('is after a start what it was', async () => {
    const ledger = new MemoryLedger();
    expect(await loadSeal(ledger, 'c')).toBe(undefined);
    for (const seal of [opened(), asking()]) {
      await ledger.append([sealEntry('c', seal), sealEntry('other', opened())]);
      const back = (await loadSeal(ledger, 'c'))!;
      expect(back.tree.root()).toEqual(seal.tree.root());
      expect(JSON.stringify(sealEntry('c', back))).toBe(JSON.stringify(sealEntry('c', seal)));
    }
  });

  it('takes on the shares of each batch: credited ones in their order, refused ones by their place', () => {
    const one = withShares(opened(), hashes(0, 2), [2, 3, 7]);
    expect(one.tree.root()).toEqual(treeOf(2).root());
    expect(one.refused).toEqual([
      { first: 2, count: 2 },
      { first: 7, count: 1 },
    ]);
    const two = withShares(one, hashes(2, 3), [8]);
    expect([two.tree.root(), two.refused.at(-1)]).toEqual([treeOf(3).root(), { first: 7, count: 2 }]);
    // What failed to be written is as if it had not been.
    expect([one.tree.count, one.refused.at(-1)]).toEqual([2, { first: 7, count: 1 }]);
    const many = Array.from({ length: LIMITS.refusedRanges }, (_, at) => 10 + 2 * at);
    const full = withShares(opened(), [], many);
    expect(full.refused).toHaveLength(LIMITS.refusedRanges);
    expect(code(() => withShares(full, [], [5]))).toBe('overload');
  });
});

describe('the next claim', () => {
  it('is asked for once: what comes meanwhile is of the one after it', () => {
    const seal = asking();
    expect(claimRequest('c', opened())).toBe(undefined);
    const request = claimRequest('c', seal);
    expect(request).toEqual({
      ...{ contractId: 'c', n: 1, workHashes: 30n, nextSeq: 4, refused: [{ first: 3, count: 1 }] },
      shareRoot: treeOf(3).root(),
    });
    expect(seal.refused).toEqual([{ first: 5, count: 1 }]);
    // Asked for again, with more work by now: the same.
    expect(withAsked(seal, 1, 40n, 6)).toBe(seal);
    expect(claimRequest('c', withAsked(seal, 2, 40n, 6))).toMatchObject({ n: 2, workHashes: 40n });
  });

  it('is taken where it is the one that was asked for, to the last word, and signed', () => {
    const seal = asking();
    const claim = claimOf(1, 3);
    const taken = withClaim(params, seal, claim);
    expect([taken.claim, taken.asked]).toEqual([claim, undefined]);
    expect([taken.tree.count, taken.refused]).toEqual([4, seal.refused]);
    for (const other of [
      claimOf(2, 3),
      claimOf(1, 3, { workHashes: 31n }),
      claimOf(1, 3, { shareRoot: treeOf(4).root() }),
    ])
      expect(code(() => withClaim(params, seal, other))).toBe('bad_amount');
    const forged = { ...claim, signature: claimOf(1, 4).signature };
    expect(code(() => withClaim(params, seal, forged))).toBe('bad_signature');
    expect(code(() => withClaim(params, opened(), claim))).toBe('bad_amount');
    expect(code(() => withClaim(params, taken, claim))).toBe('bad_amount');
  });
});

describe('a claim that the miner shows after a loss', () => {
  const point = (claim: SignedSealClaim, count: number, nextSeq = count) => ({
    ...{ claim, tree: treeOf(count), nextSeq, workHashes: claim.workHashes },
  });
  const now = { lastN: 2, nextSeq: 9 };

  it('is taken over where it is newer and of a state that is here, and what came after it is lost', () => {
    const shown = point(claimOf(2, 5), 5, 6);
    for (const seal of [undefined, opened(), asking()]) {
      const back = restoredSeal(params, seal, shown, now)!;
      expect(back).toMatchObject({ version: 1, claim: shown.claim, asked: undefined });
      expect(back.tree.root()).toEqual(treeOf(5).root());
      expect(back.tree).not.toBe(shown.tree);
      expect(back.refused).toEqual([{ first: 6, count: 3 }]);
    }
    for (const nextSeq of [6, 5])
      expect(restoredSeal(params, undefined, shown, { ...now, nextSeq })!.refused).toEqual([]);
    expect(restoredSeal(params, undefined, point(claimOf(3, 5), 5), now)).toBe(undefined);
  });

  it('is the answer to what was asked for, where it is that', () => {
    const seal = asking();
    const back = restoredSeal(params, seal, point(claimOf(1, 3), 3), { lastN: 0, nextSeq: 9 })!;
    expect(back).toEqual(withClaim(params, seal, claimOf(1, 3)));
    const other = point(claimOf(1, 4), 4);
    expect(code(() => restoredSeal(params, seal, other, now))).toBe('bad_amount');
  });

  it('is nothing where it is older or the same, and a proof where it is another of one number', () => {
    const seal = withClaim(params, asking(), claimOf(1, 3));
    expect(restoredSeal(params, seal, point(claimOf(0, 0), 0), now)).toBe(undefined);
    expect(restoredSeal(params, seal, point(claimOf(1, 3), 3), now)).toBe(undefined);
    expect(code(() => restoredSeal(params, seal, point(claimOf(1, 4), 4), now))).toBe('equivocation');
  });

  it('has a signature, and the tree that it is of', () => {
    const forged = { ...claimOf(2, 5), signature: claimOf(2, 4).signature };
    expect(code(() => restoredSeal(params, undefined, point(forged, 5), now))).toBe('bad_signature');
    expect(code(() => restoredSeal(params, undefined, point(claimOf(2, 5), 4), now))).toBe('bad_amount');
  });
});
