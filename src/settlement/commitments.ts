import { CodedError } from '../base/errors.ts';
import type { StateCommitment } from '../channel/commitment.ts';
import {
  type EvidencePoint,
  type EvidenceSegment,
  jobLeaf,
  noEvidence,
} from '../channel/evidence-point.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import { shareTargetOf } from '../shares/share.ts';
import { parseJobDocument, SHARE_KIND, SHARE_RECORD_SIZE, unpackShares } from '../work/evidence.ts';
import { bodyOf, COMMITMENT_KIND, parseBody, stateDocumentId } from './records.ts';

/** Log rows read at a time. */
const ROWS_PER_READ = 64;

export function commitmentEntry(contractId: string, record: CommitmentRecord): LedgerEntry {
  const body = bodyOf(commitmentRecordCodec, record);
  return { type: 'put', kind: COMMITMENT_KIND, id: stateDocumentId(contractId, record.n), body };
}

/** What is stored of the commitments of a contract. */
export type StoredCommitments = {
  /** The newest that both signed. */
  readonly base: CommitmentRecord | undefined;
  /** That of the newest state, where the miner has not signed it. */
  readonly pending: CommitmentRecord | undefined;
};

/** Throws `ledger_corrupt`. */
export async function loadCommitments(
  ledger: Ledger,
  contractId: string,
  lastN: number,
): Promise<StoredCommitments> {
  const read = (body: string): CommitmentRecord => parseBody(COMMITMENT_KIND, commitmentRecordCodec, body);
  const newest = await ledger.get(COMMITMENT_KIND, stateDocumentId(contractId, lastN));
  const last = newest === undefined ? undefined : read(newest);
  if (last?.minerSignature) return { base: last, pending: undefined };
  // The one it builds on is named; without it the newest that both signed has to be looked for.
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

/** What both sign of a record. */
export function commitmentOf(record: CommitmentRecord): StateCommitment {
  const { n, workHashes, nextSeq, jobSetRoot, faultLogHead, tree } = record;
  return { n, workHashes, nextSeq, jobSetRoot, faultLogHead, shareRoot: tree.root() };
}

/** What the next commitment builds on. */
export function pointAfter(record: CommitmentRecord | undefined): EvidencePoint {
  if (record === undefined) return noEvidence();
  const { nextSeq, creditedHashes, tree, jobSetRoot } = record;
  return { nextSeq, workHashes: creditedHashes, tree, jobSetRoot };
}

/** Where the shares of a segment are, and their jobs. */
export type SegmentSource = {
  readonly ledger: Ledger;
  /** The stream of the log. */
  readonly stream: string;
  /** The body of a job as the own ledger has it. */
  readonly jobBody: (jobId: number) => Promise<string | undefined>;
};

/**
 * Reads the own log from `from` up to `to` and credits what `judge` takes; stops before the first share it
 * ends at. Returns the seq after the last share that was read. Throws `ledger_corrupt` for a gap or a job
 * that is missing.
 */
export async function readSegment(
  segment: EvidenceSegment,
  source: SegmentSource,
  range: { readonly from: number; readonly to: number },
  judge: (seq: number, segment: EvidenceSegment) => 'credit' | 'skip' | 'end',
): Promise<number> {
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
          if (segment.lacksJob(jobId)) segment.addJob(jobId, await leafOf(source, jobId));
          segment.credit(jobId, hash, shareTargetOf(difficulty).workHashes);
        }
        seq += 1;
      }
    }
    if (seq === before) throw new CodedError('ledger_corrupt', `share ${seq} of ${stream} is missing`);
  }
  return seq;
}

async function leafOf({ jobBody }: SegmentSource, jobId: number): Promise<Uint8Array> {
  const body = await jobBody(jobId);
  if (body === undefined) throw new CodedError('ledger_corrupt', `job ${jobId} is missing`);
  return jobLeaf(parseJobDocument(body));
}
