import { equal } from '../base/bytes.ts';
import type { StateCommitment } from '../channel/commitment.ts';
import { type EvidencePoint, noEvidence } from '../channel/evidence-point.ts';
import { weighedRoot } from '../channel/share-weights.ts';
import type { CodecValue } from '../peer/codec.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { disputedFrameCodec } from '../settlement/disputed-commitment.ts';
import type { Finding } from './finding.ts';

/** A commitment that the maker signed and the miner did not, since its own log contradicts it. */
export type DisputedFrame = CodecValue<typeof disputedFrameCodec>;

/** What the maker signed. */
export function disputedContent({ n, workHashes, offer }: DisputedFrame): StateCommitment {
  return { ...offer, n, workHashes };
}

/** The commitment as one to be recomputed; its tree and the digests of its faults are not known. */
export function disputedRecord({ n, workHashes, offer, logSeq }: DisputedFrame): CommitmentRecord {
  const { baseN, nextSeq, refused, jobSetRoot, faultLogHead, signature, faults, weightsHead, eventsHead } =
    offer;
  const { tree } = noEvidence();
  const unknown = { workHashes: 0n, digest: new Uint8Array(32) };
  return {
    ...{ version: 1, n, baseN, workHashes, creditedHashes: 0n, nextSeq, logSeq, refused, tree },
    ...{ jobSetRoot, faultLogHead, makerSignature: signature, minerSignature: undefined },
    ...(faults === undefined ? {} : { faults: faults.map((fault) => ({ ...fault, ...unknown })) }),
    ...(weightsHead === undefined ? {} : { weightsHead }),
    ...(eventsHead === undefined ? {} : { eventsHead }),
  };
}

/** True where a recomputed tree has the share root that the maker signed. */
export function hasShareRoot({ tree, weightsHead }: EvidencePoint, { offer }: DisputedFrame): boolean {
  const root = tree.root();
  return equal(offer.weightsHead === undefined ? root : weighedRoot(root, weightsHead), offer.shareRoot);
}

/** What an audit knows where a disputed commitment stands. */
export type DisputePlace = {
  /** The newest commitment of the file is of the same state, and of the same content. */
  readonly isAgain: boolean;
  readonly isSame: boolean;
  /** The newest that both signed. */
  readonly base: CommitmentRecord | undefined;
  /** Of the next share, and of the newest state. */
  readonly nextSeq: number;
  readonly lastN: number;
};

/** What follows from a disputed commitment by what was signed before; else it may be recomputed. */
export function ruleDisputed(
  disputed: DisputedFrame,
  place: DisputePlace,
): readonly Finding[] | 'recompute' {
  const { n, offer, logSeq } = disputed;
  const { isAgain, isSame, base, nextSeq, lastN } = place;
  if (isAgain && isSame) return [];
  if (isAgain) {
    const words = `the maker signed two commitments for state ${n}`;
    return [{ blame: 'maker', code: 'equivocation', words, n }];
  }
  const isNext = offer.baseN === (base?.n ?? 0);
  const baseSeq = base?.nextSeq ?? 0;
  if (isNext && offer.nextSeq <= baseSeq) {
    const words = `the maker signed commitment ${n} up to share ${offer.nextSeq}, after ${baseSeq}`;
    return [{ blame: 'maker', code: 'not_monotone', words, n }];
  }
  if (isNext && logSeq === offer.nextSeq && logSeq > nextSeq && n > lastN) return 'recompute';
  return [disputeOf(disputed, 'for shares that the file does not have in its place')];
}

/** The finding of a dispute that what was signed does not settle. */
export function disputeOf({ n, why }: DisputedFrame, what: string): Finding {
  const words = `the maker signed commitment ${n} ${what}, and the miner did not: ${why}`;
  return { blame: 'undecided', code: 'bad_commitment', words, n };
}
