import { EVIDENCE_MAGIC, type FrameKind, FrameWriter } from '../audit/frames.ts';
import { EVIDENCE_FORMAT, JOBS_KEPT, printJob, printRecord, printShares } from '../audit/records.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import type { ChannelParams } from '../channel/params.ts';
import { parseSignedState, type SignedState } from '../channel/states.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { makerJobKey } from '../maker/maker-store.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import type { WireShare } from '../peer/packed-shares.ts';
import { type DisputedCommitment, loadDisputed } from '../settlement/disputed-commitment.ts';
import { loadMetering, METERING_KIND } from '../settlement/metering-records.ts';
import { loadHours } from '../settlement/minute-records.ts';
import { loadPriceBases } from '../settlement/price-basis.ts';
import {
  ACK_KIND,
  COMMITMENT_KIND,
  EQUIVOCATION_KIND,
  parseBody,
  STATE_KIND,
  signedStateCodec,
  stateDocumentId,
} from '../settlement/records.ts';
import { loadTips } from '../settlement/tip-log.ts';
import type { JobId } from '../stratum/job-id.ts';
import {
  JOB_KIND,
  jobDocumentId,
  parseJobDocument,
  SHARE_KIND,
  SHARE_RECORD_SIZE,
  unpackShares,
} from '../work/evidence.ts';
import {
  type ListedContract,
  listedChannel,
  pickContract,
  readChannels,
  requireFunded,
} from './channel-report.ts';
import type { Party } from './transaction-view.ts';

/** Log rows per read. */
const ROWS_PER_READ = 64;

/** A contract of a ledger that can be exported. */
export type ExportedContract = {
  readonly contractId: string;
  readonly role: Party;
  readonly contract: {
    readonly terms: ContractTerms;
    readonly minerSignature: string;
    readonly makerSignature: string;
  };
  /** Undefined for metering, which has no channel. */
  readonly params: ChannelParams | undefined;
  /** Of the newest state or total. */
  readonly lastN: number;
};

/**
 * The contract whose id begins so, with a channel or for metering; without a word the only one that is not
 * over. Throws as `pickChannel` and `requireFunded`.
 */
export async function exportedContract(ledger: Ledger, prefix?: string): Promise<ExportedContract> {
  const channels = (await readChannels(ledger)).map(listedChannel);
  const ids = (await ledger.list(METERING_KIND)).map(({ id }) => id);
  const metered = (await Promise.all(ids.map((id) => loadMetering(ledger, id))))
    .filter((stored) => stored !== undefined)
    .map((stored) => ({ contractId: stored.contractId, isOver: stored.status === 'ended', stored }));
  const listed: readonly (ListedContract & (typeof channels | typeof metered)[number])[] = [
    ...channels,
    ...metered,
  ];
  const picked = pickContract(listed, prefix);
  if ('stored' in picked) {
    const { contractId, record, n } = picked.stored;
    return { contractId, role: record.role, contract: record, params: undefined, lastN: n };
  }
  const { stored, role, params, last } = requireFunded(picked.snapshot);
  const { contractId, contract } = stored;
  return { contractId, role, contract, params, lastN: last.n };
}

/** What an export holds. */
export type ExportCounts = { jobs: number; shares: number; commitments: number; states: number };

/** The evidence of one contract in the ledger of either side, as an evidence file (`src/audit/EXPORT.md`). */
export class EvidenceExport {
  readonly counts: ExportCounts = { jobs: 0, shares: 0, commitments: 0, states: 0 };
  readonly #ledger: Ledger;
  readonly #exported: ExportedContract;
  readonly #writer = new FrameWriter();
  /** Jobs named last, oldest first. */
  readonly #jobs = new Set<JobId>();
  /** Seq after the last share that was written. */
  #seq = 0;

  constructor(ledger: Ledger, exported: ExportedContract) {
    this.#ledger = ledger;
    this.#exported = exported;
  }

  /**
   * The bytes, in parts of some KB: everything on disk when it begins. Throws `ledger_corrupt`, also where
   * shares of the contract were let go of.
   */
  async *bytes(made: { readonly atMs: number; readonly program: string }): AsyncGenerator<Uint8Array> {
    const { contractId, role, contract, params, lastN } = this.#exported;
    const { terms, minerSignature, makerSignature } = contract;
    const { first, end } = await this.#ledger.logRange(SHARE_KIND, contractId);
    if (first > 0)
      throw new CodedError('ledger_corrupt', `the ledger let go of the shares before ${first}`);
    yield EVIDENCE_MAGIC;
    const head = { format: EVIDENCE_FORMAT, version: 1, role, network: terms.network, contractId } as const;
    yield this.#frame('head', printRecord('head', { ...head, madeAtMs: made.atMs, program: made.program }));
    yield this.#frame('contract', printRecord('contract', { terms, minerSignature, makerSignature }));
    if (params !== undefined) yield this.#frame('channel', printRecord('channel', params));
    for (const basis of await loadPriceBases(this.#ledger, contractId))
      yield this.#frame('prices', printRecord('prices', basis));
    yield* this.#minutes();
    const ack = await this.#ack();
    const disputed = role === 'miner' ? await loadDisputed(this.#ledger, contractId) : undefined;
    for (let n = 0; n <= lastN; n += 1) {
      const commitment = await this.#commitment(n);
      const state = params === undefined ? undefined : await this.#state(n);
      if (state === undefined && params !== undefined) continue;
      if (commitment !== undefined) {
        this.counts.commitments += 1;
        yield this.#frame('commitment', printRecord('commitment', commitment));
        yield* this.#shares(commitment.logSeq);
      } else if (disputed?.n === n) yield* this.#disputed(disputed, lastN, end);
      if (state === undefined) continue;
      this.counts.states += 1;
      yield this.#frame('state', printRecord('state', state));
      if (ack?.n === n) yield this.#frame('ack', printRecord('ack', ack));
      if (commitment !== undefined && disputed?.n === n) yield this.#disputedFrame(disputed, this.#seq);
    }
    // Of metering a total is known once both signed it.
    if (disputed !== undefined && disputed.n > lastN) yield* this.#disputed(disputed, lastN, end);
    yield* this.#shares(end);
    for (const { body } of await this.#ledger.list(EQUIVOCATION_KIND, `${contractId}:`)) {
      const proof = proofOf(body);
      if (proof !== undefined) yield this.#frame('proof', printRecord('proof', proof));
    }
    const tips = await loadTips(this.#ledger, contractId);
    // The newest signature covers all before it.
    for (const [at, { version, entries, signature }] of tips.entries()) {
      const isLast = at === tips.length - 1 && signature !== undefined;
      yield this.#frame(
        'tips',
        printRecord('tips', { version, entries, ...(isLast ? { signature } : {}) }),
      );
    }
    yield this.#frame('end', printRecord('end', this.counts));
  }

  /** The minute logs of both sides, as far as they are here. */
  async *#minutes(): AsyncGenerator<Uint8Array> {
    for (const role of ['miner', 'maker'] as const)
      for (const { reports, signature } of await loadHours(this.#ledger, this.#exported.contractId, role))
        yield this.#frame('minutes', printRecord('minutes', { role, reports, signature }));
  }

  /** A commitment that is disputed, and its shares, where no other goes on from there. */
  async *#disputed(disputed: DisputedCommitment, lastN: number, end: number): AsyncGenerator<Uint8Array> {
    const { n, offer } = disputed;
    let isLast = offer.nextSeq > this.#seq && offer.nextSeq <= end;
    for (let next = n + 1; isLast && next <= lastN; next += 1)
      isLast = (await this.#commitment(next)) === undefined;
    yield this.#disputedFrame(disputed, isLast ? offer.nextSeq : this.#seq);
    if (isLast) yield* this.#shares(offer.nextSeq);
  }

  #disputedFrame(disputed: DisputedCommitment, logSeq: number): Uint8Array {
    return this.#frame('disputed', printRecord('disputed', { version: 1, ...disputed, logSeq }));
  }

  #frame(kind: FrameKind, payload: Uint8Array): Uint8Array {
    return this.#writer.frame(kind, payload);
  }

  async #state(n: number): Promise<SignedState | undefined> {
    const body = await this.#ledger.get(STATE_KIND, stateDocumentId(this.#exported.contractId, n));
    return body === undefined ? undefined : parseBody(STATE_KIND, signedStateCodec, body);
  }

  async #commitment(n: number): Promise<CommitmentRecord | undefined> {
    const id = stateDocumentId(this.#exported.contractId, n);
    const body = await this.#ledger.get(COMMITMENT_KIND, id);
    return body === undefined ? undefined : parseBody(COMMITMENT_KIND, commitmentRecordCodec, body);
  }

  async #ack(): Promise<{ n: number; signature: string } | undefined> {
    const body = await this.#ledger.get(ACK_KIND, this.#exported.contractId);
    const value: unknown = body === undefined ? undefined : JSON.parse(body);
    if (!isRecord(value)) return undefined;
    const { n, signature } = value;
    return typeof n === 'number' && typeof signature === 'string' ? { n, signature } : undefined;
  }

  /** The shares up to a seq, each of its jobs before it. Throws `ledger_corrupt` for one that is missing. */
  async *#shares(to: number): AsyncGenerator<Uint8Array> {
    const { contractId } = this.#exported;
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
    const { role, contractId } = this.#exported;
    const key = role === 'maker' ? makerJobKey(contractId, id) : jobDocumentId(id);
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
