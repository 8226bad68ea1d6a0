import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import { PackedShares } from '../peer/packed-shares.ts';
import type { ShareCode } from '../settlement/share-rules.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { KernelJobHandle, ShareKernel } from '../shares/kernel/kernel.ts';
import { meets, versionInMask } from '../shares/rules.ts';
import { type ShareTarget, shareTargetOf, wordsOfTarget } from '../shares/share.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { JobRecord } from '../work/evidence.ts';
import { jobAuditOf } from './job-audit.ts';
import { asEvidence, JOBS_KEPT, type ShareBlock } from './records.ts';
import { SeenHashes } from './seen-hashes.ts';

/** Cached targets; a stream uses few difficulties at a time. */
const TARGETS_KEPT = 1024;

type AuditedJob = {
  readonly record: JobRecord;
  readonly generation: string;
  /** Undefined where no kernel takes the job. */
  readonly handle: KernelJobHandle | undefined;
  readonly code: ShareCode | undefined;
};

/** What is known of a context of a block before its shares are read. */
type Plan = {
  readonly job: AuditedJob;
  readonly target: ShareTarget;
  readonly extranonce: Uint8Array;
  readonly code: ShareCode | undefined;
};

/** A share that is none by the rules that evidence proves. */
export type ShareFault = {
  readonly code: ShareCode;
  readonly seq: number;
  readonly words: string;
  /** False where it follows from the share's difficulty, which the roots that are signed do not cover. */
  readonly isProven: boolean;
};

/** The shares of a block, recomputed. */
export type AuditedBlock = {
  readonly first: number;
  readonly count: number;
  /** What shares have in common, and which of them each share has, by its place. */
  readonly kinds: readonly { readonly job: JobRecord; readonly target: ShareTarget }[];
  readonly kindOf: Uint16Array;
  /** 32 bytes a share, until the next block; zeros of one that could not be hashed. */
  readonly hashes: Uint8Array;
  /** By place. */
  readonly faults: ReadonlyMap<number, ShareFault>;
};

/** The work of some shares of a block, hashes: from one place up to another. */
export function workOf({ kinds, kindOf }: AuditedBlock, from: number, to: number): bigint {
  const counts = new Uint32Array(kinds.length);
  for (let place = from; place < to; place += 1) counts[kindOf[place]!]! += 1;
  return kinds.reduce((sum, { target }, kind) => sum + target.workHashes * BigInt(counts[kind]!), 0n);
}

/** Recomputes shares, a block in one run of the kernel: hash, target, rules and duplicates. */
export class ShareAudit {
  readonly #kernel: ShareKernel;
  readonly #judgeJob;
  readonly #easiest: bigint;
  readonly #easiestWords: Uint32Array;
  readonly #hardest: bigint;
  readonly #jobs = new Map<JobId, AuditedJob>();
  readonly #targets = new Map<number, ShareTarget>();
  readonly seen = new SeenHashes();

  /** @param kernel of at least `LIMITS.peerBatchShares` */
  constructor(terms: ContractTerms, kernel: ShareKernel) {
    this.#kernel = kernel;
    this.#judgeJob = jobAuditOf(terms);
    this.#easiest = easiestTarget(terms);
    this.#easiestWords = wordsOfTarget(this.#easiest);
    this.#hardest = hardestTarget(terms);
  }

  /** Takes a job, which comes before its shares; the oldest is forgotten as the writer forgets it. */
  addJob(record: JobRecord): void {
    this.#forget(record.id);
    if (this.#jobs.size >= JOBS_KEPT) this.#forget(this.#jobs.keys().next().value!);
    const code = this.#judgeJob(record);
    const generation = generationOf(record);
    this.#jobs.set(record.id, { record, generation, handle: this.#handleOf(record), code });
  }

  /** Frees the jobs. */
  stop(): void {
    for (const id of [...this.#jobs.keys()]) this.#forget(id);
  }

  #forget(id: JobId): void {
    const handle = this.#jobs.get(id)?.handle;
    if (handle !== undefined) this.#kernel.removeJob(handle);
    this.#jobs.delete(id);
  }

  #handleOf(record: JobRecord): KernelJobHandle | undefined {
    try {
      return this.#kernel.addJob(record);
    } catch (error) {
      if (error instanceof CodedError) return undefined;
      throw error;
    }
  }

  /** Recomputes a block. Throws `bad_evidence` for one that cannot be read, or a job that was not named. */
  take(block: ShareBlock): AuditedBlock {
    const packed = asEvidence('block of shares', () => new PackedShares(block.packed));
    const plans = packed.contexts.map(({ jobId, difficulty, extranonce1Size, extranonce2Size }) => {
      const job = this.#jobs.get(jobId);
      if (job === undefined)
        throw new CodedError(
          'bad_evidence',
          `share ${block.first} and on name job ${jobId.toString(16)}, not there`,
        );
      return this.#planOf(job, this.#targetOf(difficulty), extranonce1Size + extranonce2Size);
    });
    const faults = new Map<number, ShareFault>();
    const { packed: bytes } = block;
    const fault = (place: number, code: ShareCode, words: string, isSure = false): void => {
      const isProven = isSure || (code !== 'share_low' && code !== 'share_bad');
      faults.set(place, { code, seq: block.first + place, words, isProven });
    };
    let hashed = 0;
    let count = 0;
    const slots = new Uint16Array(packed.count);
    const kindOf = new Uint16Array(packed.count);
    asEvidence('block of shares', () =>
      packed.each((context, at, ntime, nonce, version) => {
        const plan = plans[context]!;
        const { record, handle } = plan.job;
        const place = count;
        count += 1;
        kindOf[place] = context;
        if (plan.code !== undefined) fault(place, plan.code, wordsOf(plan.code));
        else if (!versionInMask(version, record.version, record.versionMask))
          fault(place, 'share_bad', 'its version has bits that its job does not allow', true);
        else if (ntime < record.time) fault(place, 'bad_ntime', 'its time is before that of its job');
        if (handle === undefined || plan.extranonce.length !== record.extranonceSize) {
          slots[place] = NOT_HASHED;
          return;
        }
        const { extranonce } = plan;
        for (let byte = 0; byte < extranonce.length; byte += 1) extranonce[byte] = bytes[at + byte]!;
        this.#kernel.setShare(hashed, handle, extranonce, ntime, nonce, version);
        slots[place] = hashed;
        hashed += 1;
      }),
    );
    this.#kernel.run(hashed);
    const hashes = this.#hashesByPlace(slots, hashed);
    this.#judge(plans, kindOf, slots, hashes, block.first, faults);
    const kinds = plans.map(({ job, target }) => ({ job: job.record, target }));
    return { first: block.first, count, kinds, kindOf, hashes, faults };
  }

  #planOf(job: AuditedJob, target: ShareTarget, size: number): Plan {
    const extranonce = new Uint8Array(Math.min(size, LIMITS.upstreamExtranonceBytes));
    const isOutside = target.target > this.#easiest || target.target < this.#hardest;
    const isMisfit = job.handle === undefined || size !== job.record.extranonceSize;
    const code = job.code ?? (isMisfit ? 'share_bad' : isOutside ? 'share_low' : undefined);
    return { job, target, extranonce, code };
  }

  #targetOf(difficulty: number): ShareTarget {
    const known = this.#targets.get(difficulty);
    if (known !== undefined) return known;
    if (this.#targets.size >= TARGETS_KEPT) this.#targets.clear();
    const target = asEvidence('share', () => shareTargetOf(difficulty));
    this.#targets.set(difficulty, target);
    return target;
  }

  #hashesByPlace(slots: Uint16Array, hashed: number): Uint8Array {
    const { hashes } = this.#kernel;
    if (hashed === slots.length) return hashes.subarray(0, hashed * 32);
    const out = new Uint8Array(slots.length * 32);
    slots.forEach((slot, place) => {
      if (slot !== NOT_HASHED) out.set(hashes.subarray(slot * 32, slot * 32 + 32), place * 32);
    });
    return out;
  }

  #judge(
    plans: readonly Plan[],
    kindOf: Uint16Array,
    slots: Uint16Array,
    hashes: Uint8Array,
    first: number,
    faults: Map<number, ShareFault>,
  ): void {
    for (let place = 0; place < slots.length; place += 1) {
      if (slots[place] === NOT_HASHED || (faults.size > 0 && faults.has(place))) continue;
      const { job, target } = plans[kindOf[place]!]!;
      const seq = first + place;
      if (!meets(hashes, place * 32, target.words)) {
        const isProven = !meets(hashes, place * 32, this.#easiestWords);
        faults.set(place, { code: 'share_low', seq, words: 'its hash does not meet its target', isProven });
        continue;
      }
      const before = this.seen.add(job.generation, hashes, place * 32, seq);
      if (before === -1) continue;
      const words = `it is share ${before} again`;
      faults.set(place, { code: 'share_duplicate', seq, words, isProven: true });
    }
  }
}

const NOT_HASHED = 0xffff;

function wordsOf(code: ShareCode): string {
  if (code === 'share_unbound') return 'its job does not pay what the terms bind to';
  if (code === 'share_low') return 'its target is not within the terms';
  return 'its job is no work for a miner, or does not fit it';
}
