import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type CommitmentScope, signCommitment, verifyCommitment } from '../channel/commitment.ts';
import { EvidenceSegment, jobLeaf } from '../channel/evidence-point.ts';
import {
  EMPTY_FAULT_LOG,
  type Fault,
  type FaultEvidence,
  faultLogHead,
  lostFault,
  noShares,
  type RefusedContent,
  withShare,
} from '../channel/fault-log.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { integer, nullable, object } from '../peer/codec.ts';
import { type CommitmentOffer, type CommitmentRecord, faultsCodec } from '../peer/commitment-codecs.ts';
import { rangesCodec, type SeqRange } from '../peer/seal-codecs.ts';
import {
  type CommitmentFormat,
  commitmentEntry,
  commitmentOf,
  eventsHeadAfter,
  isWithinFormat,
  loadCommitments,
  pointAfter,
  readSegment,
  type SegmentSource,
} from '../settlement/commitments.ts';
import { bodyOf, parseBody, REFUSALS_KIND } from '../settlement/records.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * The refused shares; null where they were too many to keep, after which nothing is committed to any more.
 * Version 1 had no reasons.
 */
const refusalsCodec = object(
  { version: ['version', integer(1, 2)] },
  { ranges: ['ranges', nullable(rangesCodec)], faults: ['faults', nullable(faultsCodec)] },
);

/** The reason of what was refused before reasons were kept. */
const UNLOGGED = 'unlogged';

/** A share that was not credited. */
export type RefusedShare = {
  readonly seq: number;
  /** The code that the miner is told. */
  readonly code: string;
  readonly share: RefusedContent;
  /** Undefined where the maker does not have it. */
  readonly job: JobRecord | undefined;
  readonly workHashes: bigint;
};

/** The part of the maker's store that a commitment is made from. */
export type CommitmentBasis = SegmentSource & {
  readonly params: CommitmentScope;
  /** Seq after the last share of the own log, which has the credited ones. */
  readonly evidenceSeq: number;
  /** Seq of the miner's stream: every share before it was judged. */
  readonly nextSeq: number;
  /** True where each is of work that its maker bounds, however much there is. */
  readonly isSplit?: boolean;
};

/**
 * The maker's commitments of one contract: the newest that the miner signed too, the one that waits for
 * that, and the refused shares since the former. It writes nothing: the caller appends the returned entries
 * with those of the batch, state or ack.
 */
export class MakerCommitments {
  #base: CommitmentRecord | undefined;
  #pending: CommitmentRecord | undefined;
  #refused: readonly Fault[] | undefined;

  private constructor(
    base: CommitmentRecord | undefined,
    pending: CommitmentRecord | undefined,
    refused: readonly Fault[] | undefined,
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
    return new MakerCommitments(base, pending, body === undefined ? [] : faultsIn(body));
  }

  /** Adds refused shares of a batch; call `done` once the entries are on disk. */
  withRefused(
    contractId: string,
    refused: readonly RefusedShare[],
  ): { readonly entries: readonly LedgerEntry[]; readonly bytes: number; readonly done: () => void } {
    if (refused.length === 0 || this.#refused === undefined)
      return { entries: [], bytes: 0, done: () => {} };
    const since = faultsFrom(this.#refused, this.#base?.nextSeq ?? 0);
    const all = withShares(since, refused);
    const faults = all.length > LIMITS.faultRanges ? undefined : all;
    const entry = refusalsEntry(contractId, faults);
    return {
      ...{ entries: [entry], bytes: entry.body.length },
      done: () => {
        this.#refused = faults;
      },
    };
  }

  /**
   * Makes the commitment of a state about to be stored, over the credited shares that it pays for.
   * Undefined where the own log lacks some of them, as after a restore, does not know which were refused,
   * or would have to be read too far back. `pending` from `keep` on.
   * @param format without a fault log for a miner that does not know them: it is empty then
   */
  async make(
    basis: CommitmentBasis,
    state: Pick<SignedState, 'n' | 'workHashes'>,
    { hasFaultLog, isWeighed, hasEvents }: CommitmentFormat,
    signer: Signer,
  ): Promise<CommitmentRecord | undefined> {
    const base = this.#base;
    const fromSeq = base?.nextSeq ?? 0;
    const logSeq = base?.logSeq ?? 0;
    const refused = faultsFrom(this.#refused ?? [], fromSeq);
    const refusedCount = refused.reduce((sum, { count }) => sum + count, 0);
    const judged = basis.nextSeq - fromSeq;
    if (this.#refused === undefined || judged !== basis.evidenceSeq - logSeq + refusedCount)
      return undefined;
    // So that a miner that acks states and never signs their commitments costs no more.
    const isMore = basis.evidenceSeq - logSeq > LIMITS.commitmentShares;
    if (isMore && basis.isSplit !== true) return undefined;
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
    const faults = refused.filter(({ first }) => first < nextSeq);
    const record: CommitmentRecord = {
      version: 1,
      n: state.n,
      baseN: base?.n ?? 0,
      workHashes: state.workHashes,
      creditedHashes: point.workHashes,
      nextSeq,
      logSeq: end,
      refused: hasFaultLog ? [] : rangesOf(faults),
      tree: point.tree,
      jobSetRoot: point.jobSetRoot,
      faultLogHead: hasFaultLog
        ? faultLogHead(base?.faultLogHead ?? EMPTY_FAULT_LOG, faults)
        : EMPTY_FAULT_LOG,
      ...(hasFaultLog ? { faults } : {}),
      ...(isWeighed ? { weightsHead: point.weightsHead } : {}),
      ...(hasEvents ? { eventsHead: eventsHeadAfter(params, base, state) } : {}),
      makerSignature: '',
      minerSignature: undefined,
    };
    return { ...record, makerSignature: signCommitment(params, commitmentOf(record), signer) };
  }

  /** Keeps the commitment of the state about to be stored, undefined where it has none. */
  keep(record: CommitmentRecord | undefined): void {
    this.#pending = record;
  }

  /** The newest that both signed, and what was offered since. */
  get base(): CommitmentRecord | undefined {
    return this.#base;
  }
  get pending(): CommitmentRecord | undefined {
    return this.#pending;
  }

  /** The commitment to offer with a state, where it has one that the miner can read. */
  offerOf(n: number, format: CommitmentFormat): CommitmentOffer | undefined {
    const record = this.#pending;
    if (record?.n !== n || !isWithinFormat(record, format)) return undefined;
    const { baseN, refused, faults, weightsHead, eventsHead, makerSignature: signature } = record;
    const { nextSeq, shareRoot, jobSetRoot, faultLogHead } = commitmentOf(record);
    return {
      ...{ baseN, nextSeq, refused, shareRoot, jobSetRoot, faultLogHead, signature },
      ...(faults === undefined ? {} : { faults }),
      ...(weightsHead === undefined ? {} : { weightsHead }),
      ...(eventsHead === undefined ? {} : { eventsHead }),
    };
  }

  /**
   * Adds the miner's signature from its ack of this state; call `done` once the entries are on disk.
   * Without one the next commitment builds on the same base again. Throws `bad_signature`.
   */
  withSignature(
    params: CommitmentScope,
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
    this.#refused = this.#refused && faultsFrom(this.#refused, record.nextSeq);
  }

  /**
   * Restores the newest commitment as the miner shows it, where it is that of the newest state and newer
   * than the own. Shares judged since are lost here and count as refused. Returns the entries to write;
   * call `done` after that. Throws `bad_signature`, `equivocation` for another content of a number held
   * here.
   */
  restored(
    params: CommitmentScope,
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
    const faults = missing === 0 ? [] : [lostFault('maker_restored', shown.nextSeq, missing)];
    const { contractId } = params;
    return {
      entries: [commitmentEntry(contractId, record), refusalsEntry(contractId, faults)],
      done: () => {
        this.#base = record;
        this.#pending = undefined;
        this.#refused = faults;
      },
    };
  }
}

/** The document of refused shares; undefined for too many. */
function refusalsEntry(contractId: string, faults: readonly Fault[] | undefined): LedgerEntry {
  const body = bodyOf(refusalsCodec, { version: 2, faults });
  return { type: 'put', kind: REFUSALS_KIND, id: contractId, body };
}

function faultsIn(body: string): readonly Fault[] | undefined {
  const { version, ranges, faults } = parseBody(REFUSALS_KIND, refusalsCodec, body);
  if (version === 2) return faults;
  if (ranges === undefined || ranges.length > LIMITS.faultRanges) return undefined;
  return ranges.map(({ first, count }) => lostFault(UNLOGGED, first, count));
}

/**
 * The faults with more shares, which ascend. None of them is added to once it was signed: a commitment ends
 * with a credited share.
 */
function withShares(faults: readonly Fault[], refused: readonly RefusedShare[]): readonly Fault[] {
  const out = [...faults];
  const leaves = new Map<JobRecord, Uint8Array>();
  for (const { seq, code, share, job, workHashes } of refused) {
    const evidence: FaultEvidence = job === undefined ? 'jobless' : 'shares';
    if (job !== undefined && !leaves.has(job)) leaves.set(job, jobLeaf(job));
    const last = out.at(-1);
    const isNext = last?.code === code && last.evidence === evidence && last.first + last.count === seq;
    const fault = isNext ? out.pop()! : noShares(code, seq, evidence);
    out.push(withShare(fault, share, job && leaves.get(job), workHashes));
  }
  return out;
}

/** The faults from this seq on; of one that has lost its shares the part. */
function faultsFrom(faults: readonly Fault[], seq: number): readonly Fault[] {
  return faults.flatMap((fault) => {
    const end = fault.first + fault.count;
    if (end <= seq) return [];
    if (fault.first >= seq) return [fault];
    assert(fault.evidence === 'none', 'fault_not_split');
    return [lostFault(fault.code, seq, end - seq)];
  });
}

function rangesOf(faults: readonly Fault[]): readonly SeqRange[] {
  const seqs: { first: number; count: number }[] = [];
  for (const { first, count } of faults) {
    const last = seqs.at(-1);
    if (last !== undefined && last.first + last.count === first) last.count += count;
    else seqs.push({ first, count });
  }
  return seqs;
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
