import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type SignedSealClaim, signSealClaim } from '../channel/seal.ts';
import { ShareTree } from '../channel/share-tree.ts';
import type { Signer } from '../channel/signer.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Params } from '../peer/messages.ts';
import { type ClaimPoint, copyTree, type SeqRange } from '../peer/seal-codecs.ts';
import type { AssembledChannel, SignerTree } from '../settlement/opening.ts';
import { shareTargetOf } from '../shares/share.ts';
import { SHARE_KIND, SHARE_RECORD_SIZE, unpackShares } from '../work/evidence.ts';
import type { MinerStore } from './miner-store.ts';

type Asked = Params<'seal.claim'>;

/** Log rows per read. */
const ROWS_PER_READ = 64;

/** Claim 0, of no work, which the maker holds before the funding is signed. */
export function firstClaim({ params }: AssembledChannel, signer: Signer): ClaimPoint {
  const tree = new ShareTree();
  const claim = signSealClaim(params, { n: 0, workHashes: 0n, shareRoot: tree.root() }, signer);
  return { claim, nextSeq: 0, workHashes: 0n, tree };
}

/** The records that a claim is checked against. */
export type ClaimBasis = {
  readonly assembled: AssembledChannel;
  readonly claimed: ClaimPoint;
  /** Number of the newest state. */
  readonly lastN: number;
  /** Seq after the last durable share. */
  readonly durableSeq: number;
  readonly ledger: Ledger;
};

/**
 * Signs the claim that the maker asks for, where the own log agrees: the shares before `nextSeq` except the
 * refused ones, in order, with their work and their root. Asked for the newest claim again, returns the
 * same. The caller stores the result before sending it. Throws `wrong_state_number`, `equivocation` for a
 * second content of one number, `bad_sequence` for shares the log does not have, `bad_amount`.
 */
export async function nextClaim(asked: Asked, basis: ClaimBasis, signer: Signer): Promise<ClaimPoint> {
  const { claimed, lastN, durableSeq } = basis;
  const { n, nextSeq } = asked;
  if (n === claimed.claim.n) {
    if (isSame(claimed.claim, asked)) return claimed;
    throw new CodedError('equivocation', `claim ${n} was given for other work`);
  }
  if (n !== lastN + 1 || n < claimed.claim.n) {
    throw new CodedError('wrong_state_number', `a claim for state ${n} after state ${lastN}`);
  }
  if (nextSeq < claimed.nextSeq || nextSeq > durableSeq) {
    throw new CodedError('bad_sequence', `no claim reaches from share ${claimed.nextSeq} to ${nextSeq}`);
  }
  const { tree, workHashes } = await credited(asked, basis);
  const { params } = basis.assembled;
  const { workTotalHashes } = params.terms;
  const capped = smaller(workHashes, workTotalHashes);
  const shareRoot = tree.root();
  if (capped !== asked.workHashes || !equal(shareRoot, asked.shareRoot)) {
    throw new CodedError('bad_amount', `the own log has another claim ${n}: ${capped} hashes`);
  }
  const claim = signSealClaim(params, { n, workHashes: capped, shareRoot }, signer);
  return { claim, nextSeq, workHashes, tree };
}

/**
 * Answers `seal.claim`: the claim is on disk when this resolves. Throws as `nextClaim`, `unknown_channel`
 * where there is no seal.
 */
export async function giveClaim(
  store: MinerStore,
  asked: Asked,
  deps: { readonly ledger: Ledger; readonly signer: SignerTree },
): Promise<SignedSealClaim> {
  const { assembled, claimed, last, contract } = store;
  if (!assembled || !claimed || !last || !contract) throw new CodedError('unknown_channel', 'no seal');
  const signer = deps.signer.forChannel(contract.channelIndex);
  const basis = { assembled, claimed, lastN: last.n, durableSeq: store.own.seq, ledger: deps.ledger };
  const point = await nextClaim(asked, basis, signer);
  await store.saveClaim(point);
  return point.claim;
}

function isSame(claim: SignedSealClaim, asked: Asked): boolean {
  return claim.workHashes === asked.workHashes && equal(claim.shareRoot, asked.shareRoot);
}

/** The tree and the work up to `nextSeq`, built from the newest claim on. */
async function credited(
  { contractId, nextSeq, refused }: Asked,
  { claimed, ledger }: ClaimBasis,
): Promise<{ readonly tree: ShareTree; readonly workHashes: bigint }> {
  const tree = copyTree(claimed.tree);
  let { workHashes } = claimed;
  let seq = claimed.nextSeq;
  const isRefused = refusals(refused);
  while (seq < nextSeq) {
    const rows = await ledger.readLog(SHARE_KIND, contractId, seq, ROWS_PER_READ);
    const before = seq;
    for (const { first, count, body } of rows) {
      if (first > seq || body.length !== count * SHARE_RECORD_SIZE) break;
      for (const share of unpackShares(body.subarray((seq - first) * SHARE_RECORD_SIZE))) {
        if (seq >= nextSeq) break;
        if (!isRefused(seq)) {
          tree.append(share.hash);
          workHashes += shareTargetOf(share.difficulty).workHashes;
        }
        seq += 1;
      }
    }
    if (seq === before) throw new CodedError('bad_sequence', `share ${seq} is not in the own log`);
  }
  return { tree, workHashes };
}

/** Makes a test whether a seq was refused, for ascending seqs. */
function refusals(ranges: readonly SeqRange[]): (seq: number) => boolean {
  let at = 0;
  return (seq) => {
    while (at < ranges.length && seq >= ranges[at]!.first + ranges[at]!.count) at += 1;
    const range = ranges[at];
    return range !== undefined && seq >= range.first;
  };
}
