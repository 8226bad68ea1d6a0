import { LRUCache } from 'lru-cache';
import { LIMITS } from '../base/limits.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import type { Job } from '../jobs/job.ts';
import { meets } from '../shares/rules.ts';
import { type AcceptedShare, type Submission, wordsOfTarget } from '../shares/share.ts';
import { type Luck, leastOdds, luckFor, oddsOf, UNLIKELY } from '../work/luck.ts';

/** What a share may solve beyond its own target: a block, or what its upstream asks for. */
export const SOLUTIONS = ['block', 'upstream'] as const;
export type Solution = (typeof SOLUTIONS)[number];

type Count = { solutions: number; expected: number };
type Counts = { readonly [Each in Solution]: Count };
type Target = { readonly words: Uint32Array; readonly workHashes: number };
type JobTargets = { readonly [Each in Solution]: Target };

/** A worker whose luck is not believed. */
export type UnlikelyWorker = Luck & { readonly worker: string; readonly solution: Solution };

/** Workers listed. */
const UNLIKELY_LISTED = 16;

/** The luck of workers by name since they were first seen, of those seen last. In memory alone. */
export class WorkerLuck {
  readonly #workers: LRUCache<string, Counts>;
  readonly #targets = new WeakMap<Job, JobTargets>();

  constructor(options: { readonly maxWorkers?: number } = {}) {
    this.#workers = new LRUCache({ max: options.maxWorkers ?? LIMITS.luckWorkers });
  }

  get size(): number {
    return this.#workers.size;
  }

  /** Counts shares that are credited. */
  add(shares: readonly AcceptedShare<Submission & { readonly workerName: string }>[]): void {
    for (const share of shares) {
      const { job, assigned, workerName } = share.submission;
      const { hashes = share.hash, hashAt = 0 } = share;
      const targets = this.#targets.get(job) ?? this.#targetsOf(job);
      const counts = this.#workers.get(workerName) ?? this.#newWorker(workerName);
      const workHashes = Number(assigned.workHashes);
      addTo(counts.block, targets.block, workHashes, hashes, hashAt);
      addTo(counts.upstream, targets.upstream, workHashes, hashes, hashAt);
    }
  }

  /** The counts of a worker; undefined where it has no credited share, or none for long. */
  of(worker: string): Counts | undefined {
    return this.#workers.peek(worker);
  }

  /** The odds of the least likely worker among all. */
  odds(solution: Solution): number {
    return leastOdds(this.#odds(solution).map(([, odds]) => odds));
  }

  /** Workers whose luck is unlikely, whatever their number, the least likely first. */
  unlikely(): UnlikelyWorker[] {
    return SOLUTIONS.flatMap((solution) =>
      this.#odds(solution)
        .filter(([, odds]) => odds * this.size < UNLIKELY)
        .sort(([, a], [, b]) => a - b)
        .slice(0, UNLIKELY_LISTED)
        .map(([worker]) => {
          const { solutions, expected } = this.#workers.peek(worker)![solution];
          return { worker, solution, ...luckFor(solutions, expected) };
        }),
    );
  }

  #odds(solution: Solution): [worker: string, odds: number][] {
    return [...this.#workers.entries()].map(([worker, counts]) => {
      const { solutions, expected } = counts[solution];
      return [worker, oddsOf(solutions, expected)];
    });
  }

  #targetsOf(job: Job): JobTargets {
    const targets = { block: solved(job.networkTarget), upstream: solved(job.upstreamTarget) };
    this.#targets.set(job, targets);
    return targets;
  }

  #newWorker(name: string): Counts {
    const counts = { block: { solutions: 0, expected: 0 }, upstream: { solutions: 0, expected: 0 } };
    this.#workers.set(name, counts);
    return counts;
  }
}

function solved(target: bigint): Target {
  return { words: wordsOfTarget(target), workHashes: Number(workOfTarget(target)) };
}

function addTo(count: Count, target: Target, workHashes: number, hashes: Uint8Array, at: number): void {
  count.expected += Math.min(1, workHashes / target.workHashes);
  if (meets(hashes, at, target.words)) count.solutions += 1;
}
