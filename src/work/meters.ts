import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { parseDecimal } from '../base/units.ts';
import type { Job } from '../jobs/job.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { AcceptedShare, ShareTarget } from '../shares/share.ts';
import {
  EXTRANONCE_ROOM,
  JOB_KIND,
  jobDocument,
  jobDocumentId,
  jobRecordOf,
  SHARE_KIND,
  SharePacker,
  STREAM_KIND,
} from './evidence.ts';

/**
 * What a stream has earned: the seq of its next share, which is also the number of its shares, and their
 * work.
 */
export type StreamTotal = { readonly seq: number; readonly workHashes: bigint };

/** What one batch adds to one stream. */
export type CreditPart = {
  readonly stream: string;
  /** Seq of the first share. */
  readonly first: number;
  readonly count: number;
  /** Work of these shares alone. */
  readonly workHashes: bigint;
  /** The stream's work before them. */
  readonly workBefore: bigint;
  /** Packed shares (`unpackShares`), in seq order. */
  readonly body: Uint8Array;
  /** Jobs of these shares that the stream had not used before. */
  readonly newJobs: readonly Job[];
  /** `void` after an earlier batch of the stream, or this one, was not written. */
  status: 'reserved' | 'durable' | 'void';
};

/** One batch: what to append, in one append, and what it adds where. */
export type Credit = { readonly entries: readonly LedgerEntry[]; readonly parts: readonly CreditPart[] };

export type MetersOptions = {
  /** Bytes of a submission's extranonce that are the session id. Default 4. */
  readonly extranonce1Size?: number;
};

type StreamMeter = {
  durable: StreamTotal;
  /** The next share goes here: durable plus what is being written. */
  reserved: StreamTotal;
  /** Parts being written, oldest first. */
  readonly writing: CreditPart[];
  /** Ids of jobs known to be in the ledger, or on the way there before any later share. */
  readonly jobs: Set<number>;
};

/**
 * Jobs remembered per stream as stored, also where each session has jobs of its own; writing one again is
 * harmless, the ledger keeps the first.
 */
const JOBS_REMEMBERED = 16 * LIMITS.jobsPerDestination;

/**
 * Exact credited work per stream. A batch is reserved by `credit`, appended by the caller, then either
 * applied when it is durable or abandoned. Appends must be made in the order of the credits; since the
 * ledger takes no row that leaves a gap, a batch that was not written takes down those reserved behind
 * it, and no total ever includes work that is not in the log.
 */
export class Meters {
  readonly stats = { shares: 0, batches: 0, abandonedShares: 0 };
  readonly #extranonce1Size: number;
  readonly #streams = new Map<string, StreamMeter>();

  constructor(options: MetersOptions = {}, totals: ReadonlyMap<string, StreamTotal> = new Map()) {
    this.#extranonce1Size = options.extranonce1Size ?? 4;
    assert(
      this.#extranonce1Size >= 0 && this.#extranonce1Size <= EXTRANONCE_ROOM,
      'meters_extranonce1_size',
    );
    for (const [stream, total] of totals) this.#streams.set(stream, newMeter(total));
  }

  /**
   * The totals as the ledger has them. Throws `ledger_corrupt` when a stream's total and its log do not
   * end together.
   */
  static async load(ledger: Ledger, options: MetersOptions = {}): Promise<Meters> {
    const totals = new Map<string, StreamTotal>();
    for (const { id, body } of await ledger.list(STREAM_KIND)) {
      const total = parseStreamTotal(id, body);
      await checkLogEnd(ledger, id, total);
      totals.set(id, total);
    }
    return new Meters(options, totals);
  }

  /** What is durable. Zero for a stream that has no share. */
  total(stream: string): StreamTotal {
    return this.#streams.get(stream)?.durable ?? { seq: 0, workHashes: 0n };
  }

  streams(): string[] {
    return [...this.#streams.keys()];
  }

  /** Shares reserved but not yet durable, over all streams. */
  pendingShares(): number {
    let shares = 0;
    for (const meter of this.#streams.values()) shares += meter.reserved.seq - meter.durable.seq;
    return shares;
  }

  /** Reserves the place of these shares in their streams, each credited at its assigned target. */
  credit(accepted: readonly AcceptedShare[]): Credit {
    const parts = splitByStream(accepted).map((shares) => this.#reserve(shares));
    const entries: LedgerEntry[] = [];
    for (const part of parts) appendEntries(entries, part);
    return { entries, parts };
  }

  /** The entries are durable: the totals advance. */
  apply(credit: Credit): void {
    this.stats.batches += 1;
    for (const part of credit.parts) {
      assert(part.status === 'reserved', 'meters_applied_part', { stream: part.stream, first: part.first });
      part.status = 'durable';
      this.stats.shares += part.count;
      const meter = this.#meter(part.stream);
      while (meter.writing[0]?.status === 'durable') {
        const oldest = meter.writing.shift()!;
        meter.durable = totalAfter(oldest);
      }
    }
  }

  /**
   * The append was refused, nothing of it was written: its place is taken back, and that of all behind
   * it.
   */
  abandon(credit: Credit): void {
    for (const part of credit.parts) {
      this.stats.abandonedShares += part.count;
      if (part.status === 'void') continue;
      const meter = this.#meter(part.stream);
      for (const lost of meter.writing.splice(meter.writing.indexOf(part))) {
        lost.status = 'void';
        for (const job of lost.newJobs) meter.jobs.delete(job.id);
      }
      meter.reserved = { seq: part.first, workHashes: part.workBefore };
    }
  }

  /** `credit`, append, then `apply` or `abandon`: what the share engine awaits before it answers. */
  async commit(ledger: Ledger, accepted: readonly AcceptedShare[]): Promise<Credit> {
    const credit = this.credit(accepted);
    try {
      await ledger.append(credit.entries);
    } catch (error) {
      this.abandon(credit);
      throw error;
    }
    this.apply(credit);
    return credit;
  }

  #reserve(shares: readonly AcceptedShare[]): CreditPart {
    const stream = shares[0]!.submission.job.stream;
    const meter = this.#meter(stream);
    const packer = new SharePacker(shares.length, this.#extranonce1Size);
    const newJobs: Job[] = [];
    let lastJob: Job | undefined;
    for (const share of shares) {
      packer.add(share);
      const { job } = share.submission;
      if (job === lastJob) continue;
      lastJob = job;
      if (!meter.jobs.has(job.id)) {
        rememberJob(meter.jobs, job.id);
        newJobs.push(job);
      }
    }
    const part: CreditPart = {
      stream,
      first: meter.reserved.seq,
      count: shares.length,
      workHashes: workOfShares(shares),
      workBefore: meter.reserved.workHashes,
      body: packer.bytes,
      newJobs,
      status: 'reserved',
    };
    meter.writing.push(part);
    meter.reserved = totalAfter(part);
    return part;
  }

  #meter(stream: string): StreamMeter {
    const existing = this.#streams.get(stream);
    if (existing !== undefined) return existing;
    const meter = newMeter({ seq: 0, workHashes: 0n });
    this.#streams.set(stream, meter);
    return meter;
  }
}

/** The sum of what each share earns. Shares of one target are counted, then multiplied. */
export function workOfShares(shares: readonly AcceptedShare[]): bigint {
  let work = 0n;
  let target: ShareTarget | undefined;
  let count = 0;
  let others: Map<ShareTarget, number> | undefined;
  for (const share of shares) {
    const { assigned } = share.submission;
    if (assigned === target) {
      count += 1;
      continue;
    }
    if (target !== undefined) {
      others ??= new Map();
      others.set(target, (others.get(target) ?? 0) + count);
    }
    target = assigned;
    count = 1;
  }
  if (target !== undefined) work += BigInt(count) * target.workHashes;
  if (others !== undefined) for (const [other, shares] of others) work += BigInt(shares) * other.workHashes;
  return work;
}

/** The total of a stream as stored. Throws `ledger_corrupt`. */
export function parseStreamTotal(stream: string, body: string): StreamTotal {
  try {
    const value: unknown = JSON.parse(body);
    if (isRecord(value) && Number.isSafeInteger(value['seq']) && Number(value['seq']) >= 0) {
      return { seq: Number(value['seq']), workHashes: parseDecimal(value['work'], 'work') };
    }
  } catch {
    // Reported below: whatever is wrong with it, the total cannot be used.
  }
  throw new CodedError('ledger_corrupt', `the total of stream ${stream} cannot be read`);
}

async function checkLogEnd(ledger: Ledger, stream: string, total: StreamTotal): Promise<void> {
  const { end } = await ledger.logRange(SHARE_KIND, stream);
  if (end !== total.seq) {
    throw new CodedError(
      'ledger_corrupt',
      `stream ${stream} has total ${total.seq} but its log ends at ${end}`,
    );
  }
}

function newMeter(total: StreamTotal): StreamMeter {
  return { durable: total, reserved: total, writing: [], jobs: new Set() };
}

function totalAfter(part: CreditPart): StreamTotal {
  return { seq: part.first + part.count, workHashes: part.workBefore + part.workHashes };
}

function rememberJob(jobs: Set<number>, id: number): void {
  if (jobs.size >= JOBS_REMEMBERED) {
    const [oldest] = jobs;
    jobs.delete(oldest!);
  }
  jobs.add(id);
}

/** Shares of one stream together, in their order; most batches have one stream. */
function splitByStream(accepted: readonly AcceptedShare[]): (readonly AcceptedShare[])[] {
  const first = accepted[0]?.submission.job.stream;
  if (first === undefined) return [];
  let isOne = true;
  for (const share of accepted) isOne &&= share.submission.job.stream === first;
  if (isOne) return [accepted];
  const streams = new Map<string, AcceptedShare[]>();
  for (const share of accepted) {
    const { stream } = share.submission.job;
    const shares = streams.get(stream);
    if (shares === undefined) streams.set(stream, [share]);
    else shares.push(share);
  }
  return [...streams.values()];
}

function appendEntries(entries: LedgerEntry[], part: CreditPart): void {
  for (const job of part.newJobs) {
    entries.push({
      type: 'insert',
      kind: JOB_KIND,
      id: jobDocumentId(job.id),
      body: jobDocument(jobRecordOf(job), job.upstream.bought?.jobId),
    });
  }
  const { stream, first, count, body } = part;
  const total = totalAfter(part);
  entries.push({ type: 'log', kind: SHARE_KIND, stream, first, count, body });
  entries.push({
    type: 'put',
    kind: STREAM_KIND,
    id: stream,
    body: `{"seq":${total.seq},"work":"${total.workHashes}"}`,
  });
}
