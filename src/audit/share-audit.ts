import { generationOf } from '../shares/duplicates.ts';
import type { ShareTarget } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';
import { JobWindow, TargetCache } from './block-context.ts';
import type { HashedBlock, ShareFault } from './block-hasher.ts';
import { SeenHashes } from './seen-hashes.ts';

type AuditedJob = { readonly record: JobRecord; readonly generation: string };

/** The shares of a block, recomputed. */
export type AuditedBlock = {
  readonly first: number;
  readonly count: number;
  /** What shares have in common, and which of them each share has, by its place. */
  readonly kinds: readonly { readonly job: JobRecord; readonly target: ShareTarget }[];
  readonly kindOf: Uint16Array;
  /** 32 bytes a share; zeros of one that could not be hashed. */
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

/** The audit of shares that were hashed (`BlockHasher`): none of them was sold before. */
export class ShareAudit {
  readonly #jobs = new JobWindow<AuditedJob>();
  readonly #targets = new TargetCache();
  readonly seen = new SeenHashes();

  /** Takes a job, which comes before its shares. */
  addJob(record: JobRecord): void {
    this.#jobs.add(record.id, () => ({ record, generation: generationOf(record) }));
  }

  /** Takes a block. @param first seq of its first share */
  take(first: number, { contexts, contextOf, hashes, faults }: HashedBlock): AuditedBlock {
    const jobs = contexts.map(({ jobId }) => this.#jobs.of(jobId, first));
    const count = contextOf.length;
    for (let place = 0; place < count; place += 1) {
      if (faults.size > 0 && faults.has(place)) continue;
      const seq = first + place;
      const before = this.seen.add(jobs[contextOf[place]!]!.generation, hashes, place * 32, seq);
      if (before === -1) continue;
      const words = `it is share ${before} again`;
      faults.set(place, { code: 'share_duplicate', seq, words, isProven: true });
    }
    const kinds = contexts.map(({ difficulty }, context) => {
      return { job: jobs[context]!.record, target: this.#targets.of(difficulty) };
    });
    return { first, count, kinds, kindOf: contextOf, hashes, faults };
  }
}
