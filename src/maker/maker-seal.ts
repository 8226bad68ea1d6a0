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

/**
 * The next claim as it was asked for. It never changes, so that the miner never sees two contents of one
 * number.
 */
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
  /** Tree over every credited share. */
  tree: ['tree', treeCodec],
  /** Refused shares since the newest claim or the one asked for. */
  refused: ['refused', rangesCodec],
  asked: ['asked', nullable(askedCodec)],
});
/** The maker's record of a seal. */
export type MakerSeal = CodecValue<typeof sealCodec>;

/** The ledger entry of a seal's record. */
export function sealEntry(contractId: string, seal: MakerSeal): LedgerEntry {
  return { type: 'put', kind: SEAL_KIND, id: contractId, body: bodyOf(sealCodec, seal) };
}

/** Loads the record of a seal. Throws `ledger_corrupt`. */
export async function loadSeal(ledger: Ledger, contractId: string): Promise<MakerSeal | undefined> {
  const body = await ledger.get(SEAL_KIND, contractId);
  return body === undefined ? undefined : parseBody(SEAL_KIND, sealCodec, body);
}

/** The record of a seal from claim 0. Throws `bad_amount` for another claim, and as `verifySealClaim`. */
export function openSeal(params: ChannelParams, claim: SignedSealClaim): MakerSeal {
  const tree = new ShareTree();
  if (claim.n !== 0 || !equal(claim.shareRoot, tree.root()))
    throw new CodedError('bad_amount', 'claim 0 is of no share');
  verifySealClaim(params, claim);
  return { version: 1, claim, tree, refused: [], asked: undefined };
}

/**
 * The record after a batch. Throws `overload` where too many shares were refused since the newest claim.
 */
export function withShares(
  seal: MakerSeal,
  hashes: readonly Uint8Array[],
  refusedSeqs: readonly number[],
): MakerSeal {
  const tree = copyTree(seal.tree);
  for (const hash of hashes) tree.append(hash);
  return { ...seal, tree, refused: addToRanges(seal.refused, refusedSeqs) };
}

/** The record with the content of claim n fixed; a claim already asked for stays. */
export function withAsked(seal: MakerSeal, n: number, workHashes: bigint, nextSeq: number): MakerSeal {
  if (seal.asked?.n === n) return seal;
  const asked = { n, workHashes, nextSeq, refused: seal.refused, tree: copyTree(seal.tree) };
  return { ...seal, refused: [], asked };
}

/** The request for the claim that is to be asked for, if any. */
export function claimRequest(contractId: string, seal: MakerSeal): Params<'seal.claim'> | undefined {
  if (seal.asked === undefined) return undefined;
  const { n, workHashes, nextSeq, refused, tree } = seal.asked;
  return { contractId, n, workHashes, nextSeq, refused, shareRoot: tree.root() };
}

/**
 * The record with the claim that was asked for. Throws `bad_amount` for another one, and as
 * `verifyNextSealClaim`.
 */
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
 * The record restored from the newest claim as the miner shows it, up to the newest state held here.
 * Undefined where the own claim is as new. Throws `bad_signature`, `bad_amount` for a tree of another root,
 * `equivocation`.
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
