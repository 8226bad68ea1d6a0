import { CodedError } from '../base/errors.ts';
import type { CommitmentScope, StateCommitment } from '../channel/commitment.ts';
import {
  type EvidencePoint,
  type EvidenceSegment,
  jobLeaf,
  noEvidence,
} from '../channel/evidence-point.ts';
import type { FaultRecount } from '../channel/fault-log.ts';
import { NO_WEIGHTS, weighedRoot } from '../channel/share-weights.ts';
import { headOfState } from '../contract/event-chain.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import {
  type CommitmentOffer,
  type CommitmentRecord,
  commitmentRecordCodec,
} from '../peer/commitment-codecs.ts';
import type { FeatureSet } from '../peer/features.ts';
import { shareTargetOf } from '../shares/share.ts';
import { parseJobDocument, SHARE_KIND, SHARE_RECORD_SIZE, unpackShares } from '../work/evidence.ts';
import { bodyOf, COMMITMENT_KIND, parseBody, stateDocumentId } from './records.ts';

/** Log rows per read. */
const ROWS_PER_READ = 64;

/** The ledger entry of a commitment. */
export function commitmentEntry(contractId: string, record: CommitmentRecord): LedgerEntry {
  const body = bodyOf(commitmentRecordCodec, record);
  return { type: 'put', kind: COMMITMENT_KIND, id: stateDocumentId(contractId, record.n), body };
}

/** The stored commitments of a contract. */
export type StoredCommitments = {
  /** The newest commitment that both signed. */
  readonly base: CommitmentRecord | undefined;
  /** The commitment of the newest state, while the miner has not signed it. */
  readonly pending: CommitmentRecord | undefined;
};

/** Loads the commitments of a contract. Throws `ledger_corrupt`. */
export async function loadCommitments(
  ledger: Ledger,
  contractId: string,
  lastN: number,
): Promise<StoredCommitments> {
  const read = (body: string): CommitmentRecord => parseBody(COMMITMENT_KIND, commitmentRecordCodec, body);
  const newest = await ledger.get(COMMITMENT_KIND, stateDocumentId(contractId, lastN));
  const last = newest === undefined ? undefined : read(newest);
  if (last?.minerSignature) return { base: last, pending: undefined };
  // A pending one names its base; without it, search for the newest that both signed.
  if (last !== undefined) {
    const body = await ledger.get(COMMITMENT_KIND, stateDocumentId(contractId, last.baseN));
    return { base: body === undefined ? undefined : read(body), pending: last };
  }
  const all = await ledger.list(COMMITMENT_KIND, `${contractId}:`);
  const signed = all
    .map(({ body }) => read(body))
    .filter(({ minerSignature }) => minerSignature !== undefined);
  return { base: signed.toSorted((a, b) => a.n - b.n).at(-1), pending: undefined };
}

/** The content of a record that both sides sign. */
export function commitmentOf(record: CommitmentRecord): StateCommitment {
  const { n, workHashes, nextSeq, jobSetRoot, faultLogHead, tree, weightsHead, eventsHead } = record;
  const root = tree.root();
  const shareRoot = weightsHead === undefined ? root : weighedRoot(root, weightsHead);
  return { n, workHashes, nextSeq, jobSetRoot, faultLogHead, shareRoot, eventsHead };
}

/** What commitments have beyond the first ones. */
export type CommitmentFormat = {
  readonly hasFaultLog: boolean;
  /** Where shares may be worth more or less, what each is credited for is signed too. */
  readonly isWeighed: boolean;
  /** The head of the contract's events is signed too. */
  readonly hasEvents: boolean;
};

/** The format of what two sides sign that have these features in common. */
export function formatOf(features: FeatureSet, terms: ContractTerms): CommitmentFormat {
  const hasRange = easiestTarget(terms) !== hardestTarget(terms);
  const isWeighed = hasRange && features.has('share_weights');
  return { hasFaultLog: features.has('fault_log'), isWeighed, hasEvents: features.has('event_log') };
}

/** True for a commitment of this format. */
export function isOfFormat(
  { faults, weightsHead, eventsHead }: FormattedParts,
  { hasFaultLog, isWeighed, hasEvents }: CommitmentFormat,
): boolean {
  const [hasFaults, hasWeights] = [faults !== undefined, weightsHead !== undefined];
  return hasFaults === hasFaultLog && hasWeights === isWeighed && (eventsHead !== undefined) === hasEvents;
}

type FormattedParts = Pick<CommitmentOffer, 'faults' | 'weightsHead' | 'eventsHead'>;

/** True where a commitment has nothing that this format has not. */
export function isWithinFormat(
  { faults, weightsHead, eventsHead }: FormattedParts,
  { hasFaultLog, isWeighed, hasEvents }: CommitmentFormat,
): boolean {
  return (
    (faults === undefined || hasFaultLog) &&
    (weightsHead === undefined || isWeighed) &&
    (eventsHead === undefined || hasEvents)
  );
}

/** The head of the events behind a state, on that of the newest commitment that both signed. */
export function eventsHeadAfter(
  { contractId, terms }: Pick<CommitmentScope, 'contractId' | 'terms'>,
  base: Pick<CommitmentRecord, 'workHashes' | 'eventsHead'> | undefined,
  state: Pick<CommitmentRecord, 'n' | 'workHashes'>,
): Uint8Array {
  const eventsHead = base?.eventsHead;
  const signed = eventsHead === undefined ? undefined : { workHashes: base!.workHashes, eventsHead };
  return headOfState(contractId, terms, signed, state);
}

/** The evidence point that the next commitment builds on. */
export function pointAfter(record: CommitmentRecord | undefined): EvidencePoint {
  if (record === undefined) return noEvidence();
  const { nextSeq, creditedHashes, tree, jobSetRoot, weightsHead = NO_WEIGHTS } = record;
  return { nextSeq, workHashes: creditedHashes, tree, weightsHead, jobSetRoot };
}

/** The source of a segment's shares and jobs. */
export type SegmentSource = {
  readonly ledger: Ledger;
  /** Name of the stream in the log. */
  readonly stream: string;
  /** Reads the body of a job from the own ledger. */
  readonly jobBody: (jobId: number) => Promise<string | undefined>;
};

/**
 * Reads the own log from `from` up to `to` and credits the shares that `judge` accepts; stops before the
 * first share at which `judge` ends. Returns the seq after the last share that was read. Throws
 * `ledger_corrupt` for a gap or a job that is missing.
 * @param recount takes the shares of its faults
 */
export async function readSegment(
  segment: EvidenceSegment,
  source: SegmentSource,
  range: { readonly from: number; readonly to: number },
  judge: (seq: number, segment: EvidenceSegment) => 'credit' | 'skip' | 'end',
  recount?: FaultRecount,
): Promise<number> {
  const leaves = new Map<number, Uint8Array>();
  const leafOf = async (jobId: number): Promise<Uint8Array> => {
    const leaf = leaves.get(jobId) ?? (await readLeaf(source, jobId));
    leaves.set(jobId, leaf);
    return leaf;
  };
  const { ledger, stream } = source;
  let seq = range.from;
  while (seq < range.to) {
    const rows = await ledger.readLog(SHARE_KIND, stream, seq, ROWS_PER_READ);
    const before = seq;
    for (const { first, count, body } of rows) {
      if (first > seq || body.length !== count * SHARE_RECORD_SIZE) break;
      for (const share of unpackShares(body.subarray((seq - first) * SHARE_RECORD_SIZE))) {
        if (seq >= range.to) return seq;
        const verdict = judge(seq, segment);
        if (verdict === 'end') return seq;
        if (verdict === 'credit') {
          const { jobId, hash, difficulty } = share;
          if (segment.lacksJob(jobId)) segment.addJob(jobId, await leafOf(jobId));
          segment.credit(jobId, hash, shareTargetOf(difficulty).workHashes);
        }
        const fault = recount?.rangeOf(seq);
        if (fault !== undefined) {
          const leaf = fault.evidence === 'shares' ? await leafOf(share.jobId) : undefined;
          recount!.take(fault, share, leaf, shareTargetOf(share.difficulty).workHashes);
        }
        seq += 1;
      }
    }
    if (seq === before) throw new CodedError('ledger_corrupt', `share ${seq} of ${stream} is missing`);
  }
  return seq;
}

async function readLeaf({ jobBody }: SegmentSource, jobId: number): Promise<Uint8Array> {
  const body = await jobBody(jobId);
  if (body === undefined) throw new CodedError('ledger_corrupt', `job ${jobId} is missing`);
  return jobLeaf(parseJobDocument(body));
}
