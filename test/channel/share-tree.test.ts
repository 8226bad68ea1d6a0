import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, toHex } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/base/hash.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { code, seedOf } from './fixtures.ts';

/** RFC 6962 2.1, as it is written there. */
function treeHash(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array(0));
  if (leaves.length === 1) return sha256(concat(Uint8Array.of(0), leaves[0]!));
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(concat(Uint8Array.of(1), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split))));
}

const leaf = (index: number): Uint8Array => seedOf(`share ${index}`);

function treeOf(leaves: readonly Uint8Array[]): ShareTree {
  const tree = new ShareTree();
  for (const hash of leaves) tree.append(hash);
  return tree;
}

describe('ShareTree', () => {
  it('has after every share the root of RFC 6962 over all of them', () => {
    const tree = new ShareTree();
    const leaves: Uint8Array[] = [];
    for (let count = 0; count <= 70; count += 1) {
      expect(tree.count).toBe(count);
      expect(toHex(tree.root())).toBe(toHex(treeHash(leaves)));
      leaves.push(leaf(count));
      tree.append(leaf(count));
    }
  });

  it('has another root for any other list: other share, order, length', () => {
    const leaves = [1, 2, 3, 4, 5, 6, 7].map(leaf);
    const roots = [
      leaves,
      leaves.slice(1),
      leaves.slice(0, -1),
      leaves.toReversed(),
      leaves.with(3, leaf(9)),
      [...leaves, leaves[0]!],
      [treeHash(leaves.slice(0, 4)), treeHash(leaves.slice(4))],
      [],
    ].map((list) => toHex(treeOf(list).root()));
    expect(new Set(roots).size).toBe(roots.length);
  });

  it('is the same appended in parts by a kernel of any kind and capacity', () => {
    const kernels = [createPortableKernel(4), createKernel(4), createKernel(1024)];
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 150 }), { maxLength: 5 }), fc.nat({ max: 2 }), (parts, which) => {
        const total = parts.reduce((sum, part) => sum + part, 0);
        const all = Array.from({ length: total }, (_, index) => leaf(index));
        const tree = new ShareTree();
        let at = 0;
        for (const part of parts) {
          tree.appendAll(concat(...all.slice(at, at + part)), kernels[which]!);
          at += part;
        }
        expect(tree.toJson()).toEqual(treeOf(all).toJson());
      }),
    );
    expect(code(() => new ShareTree().appendAll(new Uint8Array(33), kernels[0]!))).toBe('malformed');
  });

  it('goes on from its JSON as if it had never stopped', () => {
    fc.assert(
      fc.property(fc.nat({ max: 40 }), fc.nat({ max: 40 }), (before, after) => {
        const all = Array.from({ length: before + after }, (_, index) => leaf(index));
        const stopped = treeOf(all.slice(0, before));
        const restored = ShareTree.parse(JSON.parse(JSON.stringify(stopped.toJson())));
        for (const hash of all.slice(before)) restored.append(hash);
        expect(restored.count).toBe(all.length);
        expect(toHex(restored.root())).toBe(toHex(treeOf(all).root()));
      }),
    );
  });

  it('is not parsed from anything else', () => {
    const good = treeOf([leaf(1), leaf(2), leaf(3)]).toJson();
    const peaks = good['peaks'] as string[];
    for (const value of [
      null,
      {},
      { ...good, count: -1 },
      { ...good, count: 1.5 },
      { ...good, count: 4 },
      { ...good, count: 2 ** 53 },
      { ...good, peaks: peaks.slice(1) },
      { ...good, peaks: [...peaks, peaks[0]] },
      { ...good, peaks: [peaks[0], 'zz'] },
      { ...good, peaks: [peaks[0], `${peaks[1]}00`] },
      { ...good, peaks: {} },
    ]) {
      expect(code(() => ShareTree.parse(value))).toBe('malformed');
    }
    expect(code(() => new ShareTree().append(new Uint8Array(31)))).toBe('malformed');
  });
});
