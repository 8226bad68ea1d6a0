import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import {
  type CommitmentScope,
  type StateCommitment,
  signCommitment,
  verifyCommitment,
} from '../channel/commitment.ts';
import { EvidenceSegment } from '../channel/evidence-point.ts';
import { EMPTY_FAULT_LOG, FaultRecount, faultLogHead } from '../channel/fault-log.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CommitmentOffer, type CommitmentRecord, refusedBy } from '../peer/commitment-codecs.ts';
import type { FeatureSet } from '../peer/features.ts';
import type { SeqRange } from '../peer/seal-codecs.ts';
import {
  type CommitmentFormat,
  commitmentEntry,
  commitmentOf,
  eventsHeadAfter,
  isOfFormat,
  isWithinFormat,
  loadCommitments,
  pointAfter,
  readSegment,
  type SegmentSource,
} from '../settlement/commitments.ts';
import { type DisputedCommitment, disputedEntry, loadDisputed } from '../settlement/disputed-commitment.ts';
import { HeardRefusals } from './heard-refusals.ts';

/** What a commitment says of its state, or of the total where there is no channel. */
type CommittedState = Pick<SignedState, 'n' | 'workHashes'>;

/** The part of the miner's store that a commitment is checked against. */
export type CommitmentCheck = SegmentSource & {
  /** As both sides know it. */
  readonly format: CommitmentFormat;
  readonly params: CommitmentScope;
  /** Seq after the last durable share. */
  readonly durableSeq: number;
  /** Writes entries; resolves once they are on disk. */
  readonly write: (entries: readonly LedgerEntry[]) => Promise<void>;
};

/** The miner's commitments of one contract: the newest, which both signed. */
export class MinerCommitments {
  #newest: CommitmentRecord | undefined;
  #heard: HeardRefusals;
  #disputed: DisputedCommitment | undefined;

  private constructor(
    newest: CommitmentRecord | undefined,
    heard: HeardRefusals,
    disputed?: DisputedCommitment,
  ) {
    this.#newest = newest;
    this.#heard = heard;
    this.#disputed = disputed;
  }

  static create(): MinerCommitments {
    return new MinerCommitments(undefined, HeardRefusals.create());
  }

  /** Loads the commitments from the ledger. Throws `ledger_corrupt`. */
  static async load(ledger: Ledger, contractId: string, lastN: number): Promise<MinerCommitments> {
    const { base } = await loadCommitments(ledger, contractId, lastN);
    const heard = await HeardRefusals.load(ledger, contractId);
    return new MinerCommitments(base, heard, await loadDisputed(ledger, contractId));
  }

  /** The newest commitment that both signed. */
  get newest(): CommitmentRecord | undefined {
    return this.#newest;
  }

  /** The first commitment that the maker signed and the own log contradicts. */
  get disputed(): DisputedCommitment | undefined {
    return this.#disputed;
  }

  /** The newest commitment as a maker can read it. */
  shownTo(features: FeatureSet): CommitmentRecord | undefined {
    const newest = this.#newest;
    if (newest === undefined || !features.has('state_commitments')) return undefined;
    // Its signatures are of a root that such a maker does not know.
    if (newest.weightsHead !== undefined && !features.has('share_weights')) return undefined;
    if (newest.eventsHead !== undefined && !features.has('event_log')) return undefined;
    if (features.has('fault_log')) return newest;
    const { faults: _, ...older } = newest;
    return older;
  }

  /**
   * Takes note of what the maker refused of a batch, by its answer: its fault log has to say the same. What
   * was never heard, as before a crash, is taken as the log has it.
   */
  heard(firstSeq: number, refused: readonly { readonly seq: number; readonly code: string }[]): void {
    this.#heard.take(firstSeq, this.#newest?.nextSeq ?? 0, refused);
  }

  /** The ledger entry of what was heard. */
  heardEntry(contractId: string): LedgerEntry {
    return this.#heard.entry(contractId);
  }

  /**
   * Checks and signs the commitment that the maker offers, with a state that is on disk where there is a
   * channel, against the own log less the refused shares; on disk when this resolves. The newest one again
   * gets the same signature. Undefined where it builds on another commitment than the own newest, as after a
   * restore of either side: then the state is acked without one; and where it lacks what both sides know,
   * as one that was made before. Throws `bad_signature`, and `bad_commitment` where the
   * own log disagrees: the first such one is kept on disk, as a proof of what the maker signed.
   */
  async countersign(
    offer: CommitmentOffer,
    state: CommittedState,
    check: CommitmentCheck,
    signer: Signer,
  ): Promise<string | undefined> {
    const { params } = check;
    const { n, workHashes } = state;
    const offered: StateCommitment = { ...offer, n, workHashes };
    verifyCommitment(params, offered, 'maker', offer.signature);
    if (!isWithinFormat(offer, check.format))
      throw new CodedError('bad_commitment', `the commitment of state ${n} is of no agreed format`);
    try {
      return await this.#countersignOwn(offer, state, check, signer);
    } catch (error) {
      if (error instanceof CodedError && error.code === 'bad_commitment' && this.#disputed === undefined) {
        const disputed = { n, workHashes, why: error.message.slice(0, 300), offer };
        await check.write([disputedEntry(params.contractId, disputed)]);
        this.#disputed = disputed;
      }
      throw error;
    }
  }

  async #countersignOwn(
    offer: CommitmentOffer,
    state: CommittedState,
    check: CommitmentCheck,
    signer: Signer,
  ): Promise<string | undefined> {
    const { params } = check;
    const newest = this.#newest;
    const { n } = state;
    if (newest?.n === n) {
      const isSame = newest.makerSignature === offer.signature;
      if (isSame && newest.minerSignature !== undefined) return newest.minerSignature;
      throw new CodedError('bad_commitment', `state ${n} had another commitment before`);
    }
    if ((newest?.n ?? 0) !== offer.baseN) return undefined;
    if (!isOfFormat(offer, check.format)) return undefined;
    const record = await this.#recompute(offer, state, check);
    const isOurs =
      equal(commitmentOf(record).shareRoot, offer.shareRoot) &&
      equal(record.jobSetRoot, offer.jobSetRoot) &&
      equal(record.faultLogHead, offer.faultLogHead);
    if (isOurs && record.eventsHead !== undefined && !equal(record.eventsHead, offer.eventsHead!))
      throw new CodedError('bad_commitment', `the own events up to state ${n} are others`);
    if (!isOurs) throw new CodedError('bad_commitment', `the own evidence of state ${n} has other roots`);
    const minerSignature = signCommitment(params, commitmentOf(record), signer);
    const signed = { ...record, minerSignature };
    await check.write([commitmentEntry(params.contractId, signed)]);
    this.#newest = signed;
    return minerSignature;
  }

  async #recompute(
    offer: CommitmentOffer,
    { n, workHashes }: CommittedState,
    check: CommitmentCheck,
  ): Promise<CommitmentRecord> {
    const from = this.#newest?.nextSeq ?? 0;
    const { nextSeq, faults } = offer;
    const refused = refusedBy(offer);
    if (nextSeq <= from || nextSeq > check.durableSeq || !areWithin(refused, from, nextSeq))
      throw new CodedError('bad_commitment', `no shares from ${from} to ${nextSeq} in the own log`);
    if (faults !== undefined && (offer.refused.length > 0 || !this.#heard.agrees(faults, from, nextSeq)))
      throw new CodedError('bad_commitment', `the fault log of state ${n} is not what the maker answered`);
    const segment = new EvidenceSegment(pointAfter(this.#newest));
    const isRefused = refusals(refused);
    const recount = new FaultRecount(faults ?? []);
    await readSegment(
      segment,
      check,
      { from, to: nextSeq },
      (seq) => (isRefused(seq) ? 'skip' : 'credit'),
      recount,
    );
    const point = segment.end(nextSeq);
    const paidHashes = smaller(point.workHashes, check.params.terms.workTotalHashes);
    if (paidHashes !== workHashes)
      throw new CodedError('bad_commitment', `the own evidence of state ${n} is of ${paidHashes} hashes`);
    return {
      ...{ version: 1, n, baseN: offer.baseN, workHashes, creditedHashes: point.workHashes },
      ...{ nextSeq, logSeq: nextSeq, refused: offer.refused, tree: point.tree },
      jobSetRoot: point.jobSetRoot,
      ...(faults === undefined ? { faultLogHead: EMPTY_FAULT_LOG } : this.#logOf(recount)),
      ...(offer.weightsHead === undefined ? {} : { weightsHead: point.weightsHead }),
      ...(offer.eventsHead === undefined
        ? {}
        : { eventsHead: eventsHeadAfter(check.params, this.#newest, { n, workHashes }) }),
      makerSignature: offer.signature,
      minerSignature: undefined,
    };
  }

  #logOf({ faults }: FaultRecount): Pick<CommitmentRecord, 'faults' | 'faultLogHead'> {
    return { faults, faultLogHead: faultLogHead(this.#newest?.faultLogHead ?? EMPTY_FAULT_LOG, faults) };
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
