import { EVIDENCE_MAGIC, type FrameKind, FrameWriter } from '../audit/frames.ts';
import { EVIDENCE_FORMAT, JOBS_KEPT, printJob, printRecord, printShares } from '../audit/records.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { parseSignedState, type SignedState } from '../channel/states.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { makerJobKey } from '../maker/maker-store.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import type { WireShare } from '../peer/packed-shares.ts';
import {
  ACK_KIND,
  COMMITMENT_KIND,
  EQUIVOCATION_KIND,
  parseBody,
  STATE_KIND,
  signedStateCodec,
  stateDocumentId,
} from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import {
  JOB_KIND,
  jobDocumentId,
  parseJobDocument,
  SHARE_KIND,
  SHARE_RECORD_SIZE,
  unpackShares,
} from '../work/evidence.ts';
import type { FundedChannel } from './channel-report.ts';

/** Log rows per read. */
const ROWS_PER_READ = 64;

/** What an export holds. */
export type ExportCounts = { jobs: number; shares: number; commitments: number; states: number };

/** The evidence of one contract in the ledger of either side, as an evidence file (`src/audit/EXPORT.md`). */
export class EvidenceExport {
  readonly counts: ExportCounts = { jobs: 0, shares: 0, commitments: 0, states: 0 };
  readonly #ledger: Ledger;
  readonly #channel: FundedChannel;
  readonly #writer = new FrameWriter();
  /** Jobs named last, oldest first. */
  readonly #jobs = new Set<JobId>();
  /** Seq after the last share that was written. */
  #seq = 0;

  constructor(ledger: Ledger, channel: FundedChannel) {
    this.#ledger = ledger;
    this.#channel = channel;
  }

  /**
   * The bytes, in parts of some KB: everything on disk when it begins. Throws `ledger_corrupt`, also where
   * shares of the contract were let go of.
   */
  async *bytes(made: { readonly atMs: number; readonly program: string }): AsyncGenerator<Uint8Array> {
    const { role, params, stored, last } = this.#channel;
    const { contractId, contract } = stored;
    const { terms, minerSignature, makerSignature } = contract;
    const { first, end } = await this.#ledger.logRange(SHARE_KIND, contractId);
    if (first > 0)
      throw new CodedError('ledger_corrupt', `the ledger let go of the shares before ${first}`);
    yield EVIDENCE_MAGIC;
    const head = { format: EVIDENCE_FORMAT, version: 1, role, network: terms.network, contractId } as const;
    yield this.#frame('head', printRecord('head', { ...head, madeAtMs: made.atMs, program: made.program }));
    yield this.#frame('contract', printRecord('contract', { terms, minerSignature, makerSignature }));
    yield this.#frame('channel', printRecord('channel', params));
    const ack = await this.#ack();
    for (let n = 0; n <= last.n; n += 1) {
      const commitment = await this.#commitment(n);
      const state = await this.#state(n);
      if (state === undefined) continue;
      if (commitment !== undefined) {
        this.counts.commitments += 1;
        yield this.#frame('commitment', printRecord('commitment', commitment));
        yield* this.#shares(commitment.logSeq);
      }
      this.counts.states += 1;
      yield this.#frame('state', printRecord('state', state));
      if (ack?.n === n) yield this.#frame('ack', printRecord('ack', ack));
    }
    yield* this.#shares(end);
    for (const { body } of await this.#ledger.list(EQUIVOCATION_KIND, `${contractId}:`)) {
      const proof = proofOf(body);
      if (proof !== undefined) yield this.#frame('proof', printRecord('proof', proof));
    }
    yield this.#frame('end', printRecord('end', this.counts));
  }

  #frame(kind: FrameKind, payload: Uint8Array): Uint8Array {
    return this.#writer.frame(kind, payload);
  }

  async #state(n: number): Promise<SignedState | undefined> {
    const body = await this.#ledger.get(STATE_KIND, stateDocumentId(this.#channel.stored.contractId, n));
    return body === undefined ? undefined : parseBody(STATE_KIND, signedStateCodec, body);
  }

  async #commitment(n: number): Promise<CommitmentRecord | undefined> {
    const id = stateDocumentId(this.#channel.stored.contractId, n);
    const body = await this.#ledger.get(COMMITMENT_KIND, id);
    return body === undefined ? undefined : parseBody(COMMITMENT_KIND, commitmentRecordCodec, body);
  }

  async #ack(): Promise<{ n: number; signature: string } | undefined> {
    const body = await this.#ledger.get(ACK_KIND, this.#channel.stored.contractId);
    const value: unknown = body === undefined ? undefined : JSON.parse(body);
    if (!isRecord(value)) return undefined;
    const { n, signature } = value;
    return typeof n === 'number' && typeof signature === 'string' ? { n, signature } : undefined;
  }

  /** The shares up to a seq, each of its jobs before it. Throws `ledger_corrupt` for one that is missing. */
  async *#shares(to: number): AsyncGenerator<Uint8Array> {
    const { contractId } = this.#channel.stored;
    while (this.#seq < to) {
      const rows = await this.#ledger.readLog(SHARE_KIND, contractId, this.#seq, ROWS_PER_READ);
      const before = this.#seq;
      let pending: WireShare[] = [];
      let atMs = 0;
      for (const { first, count, body, atMs: writtenMs } of rows) {
        if (first > this.#seq + pending.length || body.length !== count * SHARE_RECORD_SIZE) break;
        const wanted = body.subarray((this.#seq + pending.length - first) * SHARE_RECORD_SIZE);
        for (const share of unpackShares(wanted)) {
          if (this.#seq + pending.length >= to) break;
          pending.push(share);
          atMs = writtenMs;
          if (pending.length < LIMITS.peerBatchShares) continue;
          yield* this.#block(pending, atMs);
          pending = [];
        }
      }
      if (pending.length > 0) yield* this.#block(pending, atMs);
      if (this.#seq === before) throw new CodedError('ledger_corrupt', `share ${before} is missing`);
    }
  }

  async *#block(shares: readonly WireShare[], atMs: number): AsyncGenerator<Uint8Array> {
    const wanted = [...new Set(shares.map(({ jobId }) => jobId))];
    // More jobs than a reader keeps would push each other out.
    if (wanted.length > JOBS_KEPT / 2) {
      const middle = Math.floor(shares.length / 2);
      yield* this.#block(shares.slice(0, middle), atMs);
      yield* this.#block(shares.slice(middle), atMs);
      return;
    }
    const missing = wanted.filter((id) => !this.#jobs.has(id));
    // Those of the block that the new ones would push out are named again too.
    const pushed = Math.max(0, this.#jobs.size + missing.length - JOBS_KEPT) + wanted.length;
    const oldest = new Set(
      missing.length > 0 && this.#jobs.size > JOBS_KEPT / 2 ? [...this.#jobs].slice(0, pushed) : [],
    );
    const named = wanted.filter((id) => !this.#jobs.has(id) || oldest.has(id));
    for (const id of named) {
      this.#jobs.delete(id);
      if (this.#jobs.size >= JOBS_KEPT) this.#jobs.delete(this.#jobs.values().next().value!);
      this.#jobs.add(id);
      this.counts.jobs += 1;
      yield this.#frame('job', printJob(await this.#job(id)));
    }
    yield this.#frame('shares', printShares(this.#seq, atMs, shares));
    this.#seq += shares.length;
    this.counts.shares += shares.length;
  }

  async #job(id: JobId) {
    const { role, stored } = this.#channel;
    const key = role === 'maker' ? makerJobKey(stored.contractId, id) : jobDocumentId(id);
    const body = await this.#ledger.get(JOB_KIND, key);
    if (body === undefined) throw new CodedError('ledger_corrupt', `job ${key} is missing`);
    return parseJobDocument(body);
  }
}

/** The two states of an equivocation; undefined for one of another shape. */
function proofOf(body: string): { held: SignedState; shown: SignedState } | undefined {
  const value: unknown = JSON.parse(body);
  if (!isRecord(value)) return undefined;
  return { held: parseSignedState(value['held']), shown: parseSignedState(value['shown']) };
}
