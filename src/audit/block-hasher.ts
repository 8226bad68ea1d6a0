import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import { PackedShares } from '../peer/packed-shares.ts';
import type { ShareCode } from '../settlement/share-rules.ts';
import type { KernelJobHandle, ShareKernel } from '../shares/kernel/kernel.ts';
import { meets, versionInMask } from '../shares/rules.ts';
import { type ShareTarget, wordsOfTarget } from '../shares/share.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { JobRecord } from '../work/evidence.ts';
import { JobWindow, TargetCache } from './block-context.ts';
import type { Frame } from './frames.ts';
import { jobAuditOf } from './job-audit.ts';
import { asEvidence, parseJob, parseRecord, parseShares, type ShareBlock } from './records.ts';

/** A share that is none by the rules that evidence proves. */
export type ShareFault = {
  readonly code: ShareCode;
  readonly seq: number;
  readonly words: string;
  /** False where it follows from the share's difficulty, which the roots that are signed do not cover. */
  readonly isProven: boolean;
};

/** A block of shares, each hashed and judged by itself. */
export type HashedBlock = {
  /** What shares have in common, and which of them each share has, by its place. */
  readonly contexts: readonly { readonly jobId: JobId; readonly difficulty: number }[];
  readonly contextOf: Uint16Array;
  /** 32 bytes a share; zeros of one that could not be hashed. */
  readonly hashes: Uint8Array;
  /** By place; who audits the block adds to them. */
  readonly faults: Map<number, ShareFault>;
};

type HashedJob = {
  readonly record: JobRecord;
  /** Undefined where no kernel takes the job. */
  readonly handle: KernelJobHandle | undefined;
  readonly code: ShareCode | undefined;
};

/** What is known of a context of a block before its shares are read. */
type Plan = {
  readonly job: HashedJob;
  readonly target: ShareTarget;
  readonly extranonce: Uint8Array;
  readonly code: ShareCode | undefined;
};

/**
 * Recomputes the shares of one file, a block in one run of the kernel: hash, target, and the rules that need
 * no other share. All frames of the file come in their order; those without shares and jobs say nothing.
 */
export class BlockHasher {
  readonly #kernel: ShareKernel;
  #terms: BlockRules | undefined;
  readonly #jobs = new JobWindow<HashedJob>(({ handle }) => {
    if (handle !== undefined) this.#kernel.removeJob(handle);
  });
  readonly #targets = new TargetCache();

  /** @param kernel of at least `LIMITS.peerBatchShares` */
  constructor(kernel: ShareKernel) {
    this.#kernel = kernel;
  }

  /**
   * Takes the next frame. Returns its block where it has one, or the `bad_evidence` that it is; a frame of
   * another kind that cannot be read is for who reads that.
   */
  take(frame: Frame): HashedBlock | CodedError | undefined {
    try {
      if (frame.kind === 'contract') this.#terms = rulesOf(parseRecord('contract', frame).terms);
      else if (frame.kind === 'job') this.#addJob(parseJob(frame));
      else if (frame.kind === 'shares') return this.#hash(parseShares(frame));
      else if (frame.kind === 'end') this.#jobs.clear();
      return undefined;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return frame.kind === 'shares' ? error : undefined;
    }
  }

  #addJob(record: JobRecord): void {
    const code = this.#terms?.judgeJob(record);
    this.#jobs.add(record.id, () => ({ record, handle: this.#handleOf(record), code }));
  }

  #handleOf(record: JobRecord): KernelJobHandle | undefined {
    try {
      return this.#kernel.addJob(record);
    } catch (error) {
      if (error instanceof CodedError) return undefined;
      throw error;
    }
  }

  #hash(block: ShareBlock): HashedBlock {
    const packed = asEvidence('block of shares', () => new PackedShares(block.packed));
    const plans = packed.contexts.map(({ jobId, difficulty, extranonce1Size, extranonce2Size }) => {
      const job = this.#jobs.of(jobId, block.first);
      return this.#planOf(job, this.#targets.of(difficulty), extranonce1Size + extranonce2Size);
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
    const contextOf = new Uint16Array(packed.count);
    asEvidence('block of shares', () =>
      packed.each((context, at, ntime, nonce, version) => {
        const plan = plans[context]!;
        const { record, handle } = plan.job;
        const place = count;
        count += 1;
        contextOf[place] = context;
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
    this.#judge(plans, contextOf, slots, hashes, block.first, faults);
    const contexts = packed.contexts.map(({ jobId, difficulty }) => ({ jobId, difficulty }));
    return { contexts, contextOf, hashes, faults };
  }

  #planOf(job: HashedJob, target: ShareTarget, size: number): Plan {
    const { easiest, hardest } = this.#rules;
    const extranonce = new Uint8Array(Math.min(size, LIMITS.upstreamExtranonceBytes));
    const isOutside = target.target > easiest || target.target < hardest;
    const isMisfit = job.handle === undefined || size !== job.record.extranonceSize;
    const code = job.code ?? (isMisfit ? 'share_bad' : isOutside ? 'share_low' : undefined);
    return { job, target, extranonce, code };
  }

  get #rules(): BlockRules {
    if (this.#terms === undefined) throw new CodedError('bad_evidence', 'shares before their contract');
    return this.#terms;
  }

  /** A copy: the kernel's own are those of its next run. */
  #hashesByPlace(slots: Uint16Array, hashed: number): Uint8Array {
    const { hashes } = this.#kernel;
    if (hashed === slots.length) return hashes.slice(0, hashed * 32);
    const out = new Uint8Array(slots.length * 32);
    slots.forEach((slot, place) => {
      if (slot !== NOT_HASHED) out.set(hashes.subarray(slot * 32, slot * 32 + 32), place * 32);
    });
    return out;
  }

  #judge(
    plans: readonly Plan[],
    contextOf: Uint16Array,
    slots: Uint16Array,
    hashes: Uint8Array,
    first: number,
    faults: Map<number, ShareFault>,
  ): void {
    const { easiestWords } = this.#rules;
    for (let place = 0; place < slots.length; place += 1) {
      if (slots[place] === NOT_HASHED || (faults.size > 0 && faults.has(place))) continue;
      const { target } = plans[contextOf[place]!]!;
      if (meets(hashes, place * 32, target.words)) continue;
      const isProven = !meets(hashes, place * 32, easiestWords);
      const words = 'its hash does not meet its target';
      faults.set(place, { code: 'share_low', seq: first + place, words, isProven });
    }
  }
}

const NOT_HASHED = 0xffff;

/** What the terms say of a share. */
type BlockRules = {
  readonly judgeJob: ReturnType<typeof jobAuditOf>;
  readonly easiest: bigint;
  readonly easiestWords: Uint32Array;
  readonly hardest: bigint;
};

function rulesOf(terms: ContractTerms): BlockRules {
  const easiest = easiestTarget(terms);
  const words = { easiest, easiestWords: wordsOfTarget(easiest), hardest: hardestTarget(terms) };
  return { ...words, judgeJob: jobAuditOf(terms) };
}

function wordsOf(code: ShareCode): string {
  if (code === 'share_unbound') return 'its job does not pay what the terms bind to';
  if (code === 'share_low') return 'its target is not within the terms';
  return 'its job is no work for a miner, or does not fit it';
}
