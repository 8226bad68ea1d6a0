import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { parseSignedSealClaim, type SignedSealClaim, signedSealClaimToJson } from '../channel/seal.ts';
import { ShareTree } from '../channel/share-tree.ts';
import { type Codec, type CodecValue, decimal, integer, listOf, object } from './codec.ts';

const sequence = integer(0, Number.MAX_SAFE_INTEGER);

export const claimCodec: Codec<SignedSealClaim> = {
  parse: parseSignedSealClaim,
  print: signedSealClaimToJson,
};

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

/** Shares of a stream that follow each other, by seq. */
const rangeCodec = object({
  first: ['first', sequence],
  count: ['count', integer(1, Number.MAX_SAFE_INTEGER)],
});
export type SeqRange = CodecValue<typeof rangeCodec>;

/** In order, and apart. */
export const rangesCodec: Codec<readonly SeqRange[]> = listOf(rangeCodec, LIMITS.refusedRanges);

/** A claim, and what the next one builds on: what the miner keeps of it, and shows when it connects. */
export const claimPointCodec = object({
  claim: ['claim', claimCodec],
  /** Every share before this was judged, and is in the tree if it was credited. */
  nextSeq: ['next_seq', sequence],
  /** The work of the shares in the tree; the claim's is at most the contract's total. */
  workHashes: ['work', decimal],
  tree: ['tree', treeCodec],
});
export type ClaimPoint = CodecValue<typeof claimPointCodec>;

/** The ranges of these seqs, which rise. Throws `overload` for more than can be sent. */
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

/** A copy to append to. */
export function copyTree(tree: ShareTree): ShareTree {
  return ShareTree.parse(tree.toJson());
}
