import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { parseSignedSealClaim, type SignedSealClaim, signedSealClaimToJson } from '../channel/seal.ts';
import { ShareTree } from '../channel/share-tree.ts';
import { type Codec, type CodecValue, decimal, integer, listOf, object } from './codec.ts';

const sequence = integer(0, Number.MAX_SAFE_INTEGER);

/** Codec of a claim with the miner's signature. */
export const claimCodec: Codec<SignedSealClaim> = {
  parse: parseSignedSealClaim,
  print: signedSealClaimToJson,
};

/** Codec of a share tree. */
export const treeCodec: Codec<ShareTree> = {
  parse: (value) => {
    try {
      return ShareTree.parse(value);
    } catch (error) {
      if (codeOf(error) !== 'malformed') throw error;
      throw new CodedError('protocol', (error as Error).message);
    }
  },
  print: (tree) => tree.toJson(),
};

/** A range of consecutive shares of a stream, by seq. */
const rangeCodec = object({
  first: ['first', sequence],
  count: ['count', integer(1, Number.MAX_SAFE_INTEGER)],
});
/** A range of seqs of a stream. */
export type SeqRange = CodecValue<typeof rangeCodec>;

/** Ranges of seqs, ascending and disjoint. */
export const rangesCodec: Codec<readonly SeqRange[]> = listOf(rangeCodec, LIMITS.refusedRanges);

/**
 * A claim and the evidence that the next one builds on; the miner stores it, and shows it when it connects.
 */
export const claimPointCodec = object({
  claim: ['claim', claimCodec],
  /** Seq of the miner's stream: every share before it was judged, and is in the tree if it was credited. */
  nextSeq: ['next_seq', sequence],
  /** Work of the shares in the tree, hashes; the claim's is at most the contract's total. */
  workHashes: ['work', decimal],
  tree: ['tree', treeCodec],
});
/** A claim as the miner stores it. */
export type ClaimPoint = CodecValue<typeof claimPointCodec>;

/** Adds ascending seqs to ranges. Throws `overload` for more ranges than a message holds. */
export function addToRanges(ranges: readonly SeqRange[], seqs: readonly number[]): readonly SeqRange[] {
  const out = [...ranges];
  for (const seq of seqs) {
    const last = out.at(-1);
    if (last !== undefined && last.first + last.count === seq) {
      out[out.length - 1] = { first: last.first, count: last.count + 1 };
    } else out.push({ first: seq, count: 1 });
  }
  if (out.length > LIMITS.refusedRanges) {
    throw new CodedError('overload', 'too many shares were refused since the last claim', {
      limit: 'refusedRanges',
    });
  }
  return out;
}

/** A copy of a tree, for appending to. */
export function copyTree(tree: ShareTree): ShareTree {
  return ShareTree.parse(tree.toJson());
}
