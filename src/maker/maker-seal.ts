import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ChannelParams } from '../channel/params.ts';
import {
  type SealClaim,
  type SignedSealClaim,
  verifyNextSealClaim,
  verifySealClaim,
} from '../channel/seal.ts';
import { ShareTree } from '../channel/share-tree.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, decimal, integer, nullable, object } from '../peer/codec.ts';
import type { Params } from '../peer/messages.ts';
import {
  addToRanges,
  type ClaimPoint,
  claimCodec,
  copyTree,
  rangesCodec,
  treeCodec,
} from '../peer/seal-codecs.ts';
import { bodyOf, parseBody, SEAL_KIND } from '../settlement/records.ts';

const sequence = integer(0, Number.MAX_SAFE_INTEGER);

/** The next claim, as it was asked for: it never changes, so that the miner never sees two of a number. */
const askedCodec = object({
  n: ['n', sequence],
  workHashes: ['work', decimal],
  nextSeq: ['next_seq', sequence],
  refused: ['refused', rangesCodec],
  tree: ['tree', treeCodec],
});

const sealCodec = object({
  version: ['version', integer(1, 1)],
  /** The newest claim, which the maker can broadcast. */
  claim: ['claim', claimCodec],
  /** Every credited share. */
  tree: ['tree', treeCodec],
  /** Shares that were not, since the last claim or the one that is asked for. */
  refused: ['refused', rangesCodec],
  asked: ['asked', nullable(askedCodec)],
});
export type MakerSeal = CodecValue<typeof sealCodec>;

export function sealEntry(contractId: string, seal: MakerSeal): LedgerEntry {
  return { type: 'put', kind: SEAL_KIND, id: contractId, body: bodyOf(sealCodec, seal) };
}

/** Throws `ledger_corrupt`. */
export async function loadSeal(ledger: Ledger, contractId: string): Promise<MakerSeal | undefined> {
  const body = await ledger.get(SEAL_KIND, contractId);
  return body === undefined ? undefined : parseBody(SEAL_KIND, sealCodec, body);
}

/** From claim 0. Throws `bad_amount` for another, and as `verifySealClaim`. */
export function openSeal(params: ChannelParams, claim: SignedSealClaim): MakerSeal {
  const tree = new ShareTree();
  if (claim.n !== 0 || !equal(claim.shareRoot, tree.root()))
    throw new CodedError('bad_amount', 'claim 0 is of no share');
  verifySealClaim(params, claim);
  return { version: 1, claim, tree, refused: [], asked: undefined };
}

/** After a batch. Throws `overload` where too many were refused since the last claim. */
export function withShares(
  seal: MakerSeal,
  hashes: readonly Uint8Array[],
  refusedSeqs: readonly number[],
): MakerSeal {
  const tree = copyTree(seal.tree);
  for (const hash of hashes) tree.append(hash);
  return { ...seal, tree, refused: addToRanges(seal.refused, refusedSeqs) };
}

/** Fixes what claim n is to say; what was asked before stays. */
export function withAsked(seal: MakerSeal, n: number, workHashes: bigint, nextSeq: number): MakerSeal {
  if (seal.asked?.n === n) return seal;
  const asked = { n, workHashes, nextSeq, refused: seal.refused, tree: copyTree(seal.tree) };
  return { ...seal, refused: [], asked };
}

/** The message that asks for it. */
export function claimRequest(contractId: string, seal: MakerSeal): Params<'seal.claim'> | undefined {
  if (seal.asked === undefined) return undefined;
  const { n, workHashes, nextSeq, refused, tree } = seal.asked;
  return { contractId, n, workHashes, nextSeq, refused, shareRoot: tree.root() };
}

/** The claim that was asked for, given. Throws `bad_amount` for another, and as `verifyNextSealClaim`. */
export function withClaim(params: ChannelParams, seal: MakerSeal, claim: SignedSealClaim): MakerSeal {
  const { asked } = seal;
  if (asked === undefined || !isClaimOf(claim, { ...asked, shareRoot: asked.tree.root() })) {
    throw new CodedError('bad_amount', `claim ${claim.n} is not the one that was asked for`);
  }
  verifyNextSealClaim(params, seal.claim, claim);
  return { ...seal, claim, asked: undefined };
}

function isClaimOf(claim: SignedSealClaim, wanted: SealClaim): boolean {
  return (
    claim.n === wanted.n &&
    claim.workHashes === wanted.workHashes &&
    equal(claim.shareRoot, wanted.shareRoot)
  );
}

/**
 * After a restore: the newest claim as the miner shows it, up to the state that is held. Undefined where the
 * own is as new. Throws `bad_signature`, `bad_amount` for a tree of another root, `equivocation`.
 */
export function restoredSeal(
  params: ChannelParams,
  seal: MakerSeal | undefined,
  shown: ClaimPoint,
  now: { readonly lastN: number; readonly nextSeq: number },
): MakerSeal | undefined {
  const { claim, tree } = shown;
  if (seal !== undefined && claim.n < seal.claim.n) return undefined;
  verifySealClaim(params, claim);
  if (!equal(tree.root(), claim.shareRoot))
    throw new CodedError('bad_amount', `the shares of claim ${claim.n} have another root`);
  if (seal !== undefined && claim.n === seal.claim.n) {
    if (isClaimOf(claim, seal.claim)) return undefined;
    throw new CodedError('equivocation', `two contents for claim ${claim.n}`);
  }
  if (seal?.asked?.n === claim.n) return withClaim(params, seal, claim);
  if (claim.n > now.lastN) return undefined;
  const missing = now.nextSeq - shown.nextSeq;
  return {
    version: 1,
    claim,
    tree: copyTree(tree),
    refused: missing > 0 ? [{ first: shown.nextSeq, count: missing }] : [],
    asked: undefined,
  };
}
