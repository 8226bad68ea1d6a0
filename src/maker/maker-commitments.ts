import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { signCommitment, verifyCommitment } from '../channel/commitment.ts';
import { EMPTY_FAULT_LOG, EvidenceSegment } from '../channel/evidence-point.ts';
import type { ChannelParams } from '../channel/params.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { integer, nullable, object } from '../peer/codec.ts';
import type { CommitmentOffer, CommitmentRecord } from '../peer/commitment-codecs.ts';
import { addToRanges, rangesCodec, type SeqRange } from '../peer/seal-codecs.ts';
import {
  commitmentEntry,
  commitmentOf,
  loadCommitments,
  pointAfter,
  readSegment,
  type SegmentSource,
} from '../settlement/commitments.ts';
import { bodyOf, parseBody, REFUSALS_KIND } from '../settlement/records.ts';

/**
 * The refused ranges; null where they were too many to keep, after which nothing is committed to any more.
 */
const refusalsCodec = object({
  version: ['version', integer(1, 1)],
  ranges: ['ranges', nullable(rangesCodec)],
});

/**
 * Most credited shares since the newest commitment that are read again for the next: 20 MB of the log. This
 * bounds the cost of a miner that acks states and never signs their commitments.
 */
const MAX_SEGMENT_SHARES = 262_144;

/** The part of the maker's store that a commitment is made from. */
export type CommitmentBasis = SegmentSource & {
  readonly params: ChannelParams;
  /** Seq after the last share of the own log, which has the credited ones. */
  readonly evidenceSeq: number;
  /** Seq of the miner's stream: every share before it was judged. */
  readonly nextSeq: number;
};

/**
 * The maker's commitments of one contract: the newest that the miner signed too, the one that waits for
 * that, and the refused shares since the former. It writes nothing: the caller appends the returned entries
 * with those of the batch, state or ack.
 */
export class MakerCommitments {
  #base: CommitmentRecord | undefined;
  #pending: CommitmentRecord | undefined;
  #refused: readonly SeqRange[] | undefined;

  private constructor(
    base: CommitmentRecord | undefined,
    pending: CommitmentRecord | undefined,
    refused: readonly SeqRange[] | undefined,
  ) {
    this.#base = base;
    this.#pending = pending;
    this.#refused = refused;
  }

  static create(): MakerCommitments {
    return new MakerCommitments(undefined, undefined, []);
  }

  /** Loads the commitments from the ledger. Throws `ledger_corrupt`. */
  static async load(ledger: Ledger, contractId: string, lastN: number): Promise<MakerCommitments> {
    const { base, pending } = await loadCommitments(ledger, contractId, lastN);
    const body = await ledger.get(REFUSALS_KIND, contractId);
    const ranges = body === undefined ? [] : parseBody(REFUSALS_KIND, refusalsCodec, body).ranges;
    return new MakerCommitments(base, pending, ranges);
  }

  /** Adds refused shares of a batch; call `done` once the entries are on disk. */
  withRefused(
    contractId: string,
    seqs: readonly number[],
  ): { readonly entries: readonly LedgerEntry[]; readonly done: () => void } {
    if (seqs.length === 0 || this.#refused === undefined) return { entries: [], done: () => {} };
    const ranges = added(rangesFrom(this.#refused, this.#base?.nextSeq ?? 0), seqs);
    const body = bodyOf(refusalsCodec, { version: 1, ranges });
    return {
      entries: [{ type: 'put', kind: REFUSALS_KIND, id: contractId, body }],
      done: () => {
        this.#refused = ranges;
      },
    };
  }

  /**
   * Makes the commitment of a state about to be stored, over the credited shares that it pays for.
   * Undefined where the own log lacks some of them, as after a restore, does not know which were refused,
   * or would have to be read too far back. `pending` from `keep` on.
   */
  async make(
    basis: CommitmentBasis,
    state: Pick<SignedState, 'n' | 'workHashes'>,
    signer: Signer,
  ): Promise<CommitmentRecord | undefined> {
    const base = this.#base;
    const fromSeq = base?.nextSeq ?? 0;
    const logSeq = base?.logSeq ?? 0;
    const refused = rangesFrom(this.#refused ?? [], fromSeq);
    const refusedCount = refused.reduce((sum, { count }) => sum + count, 0);
    const judged = basis.nextSeq - fromSeq;
    if (this.#refused === undefined || judged !== basis.evidenceSeq - logSeq + refusedCount)
      return undefined;
    if (basis.evidenceSeq - logSeq > MAX_SEGMENT_SHARES) return undefined;
    const { params } = basis;
    const total = params.terms.workTotalHashes;
    const segment = new EvidenceSegment(pointAfter(base));
    const paid = (): bigint => smaller(segment.workHashes, total);
    const range = { from: logSeq, to: basis.evidenceSeq };
    const end = await readSegment(segment, basis, range, () =>
      paid() < state.workHashes ? 'credit' : 'end',
    );
    if (paid() !== state.workHashes || end === logSeq) return undefined;
    const nextSeq = seqAfter(fromSeq, end - logSeq, refused);
    const point = segment.end(nextSeq);
    const record: CommitmentRecord = {
      version: 1,
      n: state.n,
      baseN: base?.n ?? 0,
      workHashes: state.workHashes,
      creditedHashes: point.workHashes,
      nextSeq,
      logSeq: end,
      refused: refused.filter(({ first }) => first < nextSeq),
      tree: point.tree,
      jobSetRoot: point.jobSetRoot,
      faultLogHead: EMPTY_FAULT_LOG,
      makerSignature: '',
      minerSignature: undefined,
    };
    return { ...record, makerSignature: signCommitment(params, commitmentOf(record), signer) };
  }

  /** Keeps the commitment of the state about to be stored, undefined where it has none. */
  keep(record: CommitmentRecord | undefined): void {
    this.#pending = record;
  }

  /** The commitment to offer with a state, where it has one. */
  offerOf(n: number): CommitmentOffer | undefined {
    const record = this.#pending;
    if (record?.n !== n) return undefined;
    const { baseN, nextSeq, refused, tree, jobSetRoot, faultLogHead, makerSignature: signature } = record;
    return { baseN, nextSeq, refused, shareRoot: tree.root(), jobSetRoot, faultLogHead, signature };
  }

  /**
   * Adds the miner's signature from its ack of this state; call `done` once the entries are on disk.
   * Without one the next commitment builds on the same base again. Throws `bad_signature`.
   */
  withSignature(
    params: ChannelParams,
    n: number,
    minerSignature: string | undefined,
  ): { readonly entries: readonly LedgerEntry[]; readonly done: () => void } {
    const pending = this.#pending;
    if (pending?.n !== n || minerSignature === undefined) return { entries: [], done: () => {} };
    verifyCommitment(params, commitmentOf(pending), 'miner', minerSignature);
    const record = { ...pending, minerSignature };
    return { entries: [commitmentEntry(params.contractId, record)], done: () => this.#advance(record) };
  }

  #advance(record: CommitmentRecord): void {
    this.#base = record;
    this.#pending = undefined;
    this.#refused = this.#refused && rangesFrom(this.#refused, record.nextSeq);
  }

  /**
   * Restores the newest commitment as the miner shows it, where it is that of the newest state and newer
   * than the own. Shares judged since are lost here and count as refused. Returns the entries to write;
   * call `done` after that. Throws `bad_signature`, `equivocation` for another content of a number held
   * here.
   */
  restored(
    params: ChannelParams,
    shown: CommitmentRecord,
    now: { readonly lastN: number; readonly nextSeq: number; readonly evidenceSeq: number },
  ): { readonly entries: readonly LedgerEntry[]; readonly done: () => void } {
    const nothing = { entries: [], done: () => {} };
    const base = this.#base;
    if (shown.n !== now.lastN || shown.n < (base?.n ?? 0) || shown.nextSeq > now.nextSeq) return nothing;
    if (shown.minerSignature === undefined) return nothing;
    verifyCommitment(params, commitmentOf(shown), 'maker', shown.makerSignature);
    verifyCommitment(params, commitmentOf(shown), 'miner', shown.minerSignature);
    if (shown.n === base?.n) {
      if (equal(shown.tree.root(), base.tree.root()) && equal(shown.jobSetRoot, base.jobSetRoot))
        return nothing;
      throw new CodedError('equivocation', `two contents for commitment ${shown.n}`);
    }
    if (this.#pending?.n === shown.n) return this.withSignature(params, shown.n, shown.minerSignature);
    const record = { ...shown, logSeq: now.evidenceSeq };
    const missing = now.nextSeq - shown.nextSeq;
    const ranges = missing === 0 ? [] : [{ first: shown.nextSeq, count: missing }];
    const { contractId } = params;
    const body = bodyOf(refusalsCodec, { version: 1, ranges });
    return {
      entries: [
        commitmentEntry(contractId, record),
        { type: 'put', kind: REFUSALS_KIND, id: contractId, body },
      ],
      done: () => {
        this.#advance(record);
        this.#refused = ranges;
      },
    };
  }
}

/** Adds seqs to ranges; undefined for more than can be kept. */
function added(ranges: readonly SeqRange[], seqs: readonly number[]): readonly SeqRange[] | undefined {
  try {
    return addToRanges(ranges, seqs);
  } catch (error) {
    if (error instanceof CodedError && error.code === 'overload') return undefined;
    throw error;
  }
}

/** The part of the ranges from this seq on. */
function rangesFrom(ranges: readonly SeqRange[], seq: number): readonly SeqRange[] {
  return ranges.flatMap(({ first, count }) => {
    const end = first + count;
    if (end <= seq) return [];
    return first >= seq ? [{ first, count }] : [{ first: seq, count: end - seq }];
  });
}

/** The seq after the given number of credited shares from `from` on. */
function seqAfter(from: number, credited: number, refused: readonly SeqRange[]): number {
  let seq = from;
  let left = credited;
  for (const { first, count } of refused) {
    if (first - seq >= left) break;
    left -= first - seq;
    seq = first + count;
  }
  return seq + left;
}
