import { concat } from '../base/bytes.ts';
import { sha256d } from '../base/hash.ts';

/** The merkle root from the coinbase txid and the branches of `mining.notify`, all in internal byte order. */
export function merkleRootFromBranches(
  coinbaseTxid: Uint8Array,
  branches: readonly Uint8Array[],
): Uint8Array {
  let root = coinbaseTxid;
  for (const branch of branches) root = sha256d(concat(root, branch));
  return root;
}

/**
 * The path of the first leaf, from the txids of all other transactions (internal order): what a pool sends
 * so that the miner can vary the coinbase.
 */
export function branchesForCoinbase(otherTxids: readonly Uint8Array[]): Uint8Array[] {
  const branches: Uint8Array[] = [];
  let level: (Uint8Array | undefined)[] = [undefined, ...otherTxids];
  while (level.length > 1) {
    if (level.length % 2 === 1) level.push(level[level.length - 1]);
    branches.push(level[1]!);
    const next: (Uint8Array | undefined)[] = [undefined];
    for (let at = 2; at < level.length; at += 2) next.push(sha256d(concat(level[at]!, level[at + 1]!)));
    level = next;
  }
  return branches;
}

/** The merkle root of a whole block's txids (internal order, coinbase first). */
export function merkleRoot(txids: readonly Uint8Array[]): Uint8Array {
  return merkleRootFromBranches(txids[0]!, branchesForCoinbase(txids.slice(1)));
}
