import type { LedgerEntry } from '../ledger/ledger.ts';
import { type DeliveryRecord, deliveryEntry } from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import {
  JOB_KIND,
  type JobRecord,
  jobDocument,
  jobDocumentId,
  SHARE_KIND,
  STREAM_KIND,
} from '../work/evidence.ts';
import type { StreamTotal } from '../work/meters.ts';
import type { ShareRows } from '../work/share-rows.ts';
import type { ContractLuck } from './contract-luck.ts';
import type { RefusedShare } from './maker-commitments.ts';

/** The result of a batch after all checks. */
export type Credit = {
  /** Shares that are credited, in order, with their work in hashes. */
  readonly shares: ShareRows;
  readonly workHashes: bigint;
  /** Jobs of these shares that are not stored yet. */
  readonly jobs: readonly JobRecord[];
  readonly nextSeq: number;
  /** Shares that are not credited. */
  readonly refused: readonly RefusedShare[];
  /** Work in hashes that the miner says it has delivered so far. */
  readonly ownWorkHashes: bigint;
  readonly luck: ContractLuck;
  /** What the binding counted by the batch; on disk with it. */
  readonly counts: readonly LedgerEntry[];
};

/** How far the work of a contract is credited. */
export type Credited = {
  readonly delivery: DeliveryRecord;
  /** Of the credited shares. */
  readonly evidence: StreamTotal;
};

/**
 * The ledger id of a miner's job: wire ids of different miners may be equal. Pass it to `evidenceLines` as
 * `jobKey`.
 */
export function makerJobKey(contractId: string, jobId: JobId): string {
  return `${contractId}:${jobDocumentId(jobId)}`;
}

/** What a batch adds to the credited work of a contract, and the entries that say so. */
export function creditEntries(
  contractId: string,
  { delivery: before, evidence }: Credited,
  { shares, workHashes, jobs, nextSeq, ownWorkHashes }: Credit,
  nowMs: number,
): Credited & { readonly entries: readonly LedgerEntry[] } {
  const delivery: DeliveryRecord = {
    ...before,
    ...{ nextSeq, ownWorkHashes },
    verifiedWorkHashes: before.verifiedWorkHashes + workHashes,
    contactAtMs: Math.max(0, Math.floor(nowMs)),
  };
  const total: StreamTotal = {
    seq: evidence.seq + shares.length,
    workHashes: evidence.workHashes + workHashes,
  };
  const entries: LedgerEntry[] = jobs.map((job) => ({
    ...{ type: 'insert', kind: JOB_KIND },
    ...{ id: makerJobKey(contractId, job.id), body: jobDocument(job) },
  }));
  if (shares.length > 0) {
    entries.push({
      ...{ type: 'log', kind: SHARE_KIND, stream: contractId },
      ...{ first: evidence.seq, count: shares.length, body: shares.body },
    });
    const body = `{"seq":${total.seq},"work":"${total.workHashes}"}`;
    entries.push({ type: 'put', kind: STREAM_KIND, id: contractId, body });
  }
  entries.push(deliveryEntry(contractId, delivery));
  return { delivery, evidence: total, entries };
}
