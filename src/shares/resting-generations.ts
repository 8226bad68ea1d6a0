import { fromHex } from '../base/bytes.ts';
import { type DuplicateSet, generationOf } from './duplicates.ts';

/** A tip that two pools or two blocks disagree about is settled long before. */
const REST_MS = 10 * 60_000;

export type RestingGenerationsDeps = {
  readonly duplicates: Pick<DuplicateSet, 'size' | 'maxHashes' | 'names'>;
  /** A job on this block can be submitted. */
  readonly isLive: (prevHash: Uint8Array) => boolean;
  readonly drop: (generation: string) => void;
};

type Resting = { readonly prevHash: Uint8Array; readonly sinceMs: number };

/**
 * Generations of credited hashes whose jobs are all gone. Their block may become the tip again, with the same
 * jobs, so they are kept for a while; not while the table is more than half full.
 */
export class RestingGenerations {
  readonly #deps: RestingGenerationsDeps;
  /** The one that rests longest is the first. */
  readonly #resting = new Map<string, Resting>();

  /** What is remembered at the start rests from then on, unless a job of its block comes. */
  constructor(deps: RestingGenerationsDeps, monotonicMs: number) {
    this.#deps = deps;
    for (const generation of deps.duplicates.names())
      this.#resting.set(generation, { prevHash: fromHex(generation), sinceMs: monotonicMs });
  }

  /** A job is retired. */
  retired(job: { readonly prevHash: Uint8Array }, monotonicMs: number): void {
    if (this.#deps.isLive(job.prevHash)) return;
    const generation = generationOf(job);
    this.#resting.delete(generation);
    this.#resting.set(generation, { prevHash: job.prevHash, sinceMs: monotonicMs });
  }

  /** Drops what has rested; to be called every few seconds. */
  sweep(monotonicMs: number): void {
    const { duplicates, isLive, drop } = this.#deps;
    for (const [generation, { prevHash, sinceMs }] of this.#resting) {
      const isLiving = isLive(prevHash);
      const isCrowded = duplicates.size > duplicates.maxHashes / 2;
      if (!isLiving && !isCrowded && monotonicMs - sinceMs < REST_MS) continue;
      this.#resting.delete(generation);
      if (!isLiving) drop(generation);
    }
  }
}
