import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type StateCommitment, signCommitment, verifyCommitment } from '../channel/commitment.ts';
import { EMPTY_FAULT_LOG, EvidenceSegment } from '../channel/evidence-point.ts';
import type { ChannelParams } from '../channel/params.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { CommitmentOffer, CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { SeqRange } from '../peer/seal-codecs.ts';
import {
  commitmentEntry,
  commitmentOf,
  loadCommitments,
  pointAfter,
  readSegment,
  type SegmentSource,
} from '../settlement/commitments.ts';

/** The part of the miner's store that a commitment is checked against. */
export type CommitmentCheck = SegmentSource & {
  readonly params: ChannelParams;
  /** Seq after the last durable share. */
  readonly durableSeq: number;
  /** Writes entries; resolves once they are on disk. */
  readonly write: (entries: readonly LedgerEntry[]) => Promise<void>;
};

/** The miner's commitments of one contract: the newest, which both signed. */
export class MinerCommitments {
  #newest: CommitmentRecord | undefined;

  private constructor(newest: CommitmentRecord | undefined) {
    this.#newest = newest;
  }

  static create(): MinerCommitments {
    return new MinerCommitments(undefined);
  }

  /** Loads the commitments from the ledger. Throws `ledger_corrupt`. */
  static async load(ledger: Ledger, contractId: string, lastN: number): Promise<MinerCommitments> {
    return new MinerCommitments((await loadCommitments(ledger, contractId, lastN)).base);
  }

  /** The newest commitment that both signed. */
  get newest(): CommitmentRecord | undefined {
    return this.#newest;
  }

  /**
   * Checks and signs the commitment that the maker offers with a state that is on disk, against the own log
   * less the refused shares; on disk when this resolves. The newest one again gets the same signature.
   * Undefined where it builds on another commitment than the own newest, as after a restore of either side:
   * then the state is acked without one. Throws `bad_signature`, and `bad_commitment` where the own log
   * disagrees.
   */
  async countersign(
    offer: CommitmentOffer,
    state: SignedState,
    check: CommitmentCheck,
    signer: Signer,
  ): Promise<string | undefined> {
    const { params } = check;
    const newest = this.#newest;
    const { n, workHashes } = state;
    const offered: StateCommitment = { ...offer, n, workHashes };
    verifyCommitment(params, offered, 'maker', offer.signature);
    if (newest?.n === n) {
      const isSame = newest.makerSignature === offer.signature;
      if (isSame && newest.minerSignature !== undefined) return newest.minerSignature;
      throw new CodedError('bad_commitment', `state ${n} had another commitment before`);
    }
    if ((newest?.n ?? 0) !== offer.baseN) return undefined;
    const record = await this.#recompute(offer, state, check);
    const isOurs =
      equal(record.tree.root(), offer.shareRoot) &&
      equal(record.jobSetRoot, offer.jobSetRoot) &&
      equal(record.faultLogHead, offer.faultLogHead);
    if (!isOurs) throw new CodedError('bad_commitment', `the own evidence of state ${n} has other roots`);
    const minerSignature = signCommitment(params, commitmentOf(record), signer);
    const signed = { ...record, minerSignature };
    await check.write([commitmentEntry(params.contractId, signed)]);
    this.#newest = signed;
    return minerSignature;
  }

  async #recompute(
    offer: CommitmentOffer,
    { n, workHashes }: SignedState,
    check: CommitmentCheck,
  ): Promise<CommitmentRecord> {
    const from = this.#newest?.nextSeq ?? 0;
    const { refused, nextSeq } = offer;
    if (nextSeq <= from || nextSeq > check.durableSeq || !areWithin(refused, from, nextSeq))
      throw new CodedError('bad_commitment', `no shares from ${from} to ${nextSeq} in the own log`);
    const segment = new EvidenceSegment(pointAfter(this.#newest));
    const isRefused = refusals(refused);
    await readSegment(segment, check, { from, to: nextSeq }, (seq) => (isRefused(seq) ? 'skip' : 'credit'));
    const point = segment.end(nextSeq);
    const paidHashes = smaller(point.workHashes, check.params.terms.workTotalHashes);
    if (paidHashes !== workHashes)
      throw new CodedError('bad_commitment', `the own evidence of state ${n} is of ${paidHashes} hashes`);
    return {
      version: 1,
      n,
      baseN: offer.baseN,
      workHashes,
      creditedHashes: point.workHashes,
      nextSeq,
      logSeq: nextSeq,
      refused,
      tree: point.tree,
      jobSetRoot: point.jobSetRoot,
      faultLogHead: EMPTY_FAULT_LOG,
      makerSignature: offer.signature,
      minerSignature: undefined,
    };
  }
}

/** True for ranges that are ascending, disjoint, and in the segment. */
function areWithin(ranges: readonly SeqRange[], from: number, to: number): boolean {
  let seq = from;
  return ranges.every(({ first, count }) => {
    const isAhead = first >= seq;
    seq = first + count;
    return isAhead && seq <= to;
  });
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
