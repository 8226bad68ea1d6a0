import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Job } from '../../jobs/job.ts';

/** Above the jobs that any session can still submit, also where each session has its own. */
const REMEMBERED = 8192;

/**
 * Which jobs are the same work: a header may solve either, since they differ at most in time and version.
 * A session has to get such jobs at one difficulty, or it could choose after the hash where a share earns
 * more.
 */
export class WorkIdentity {
  readonly #keys = new WeakMap<Job, string>();
  readonly #recent = new LRUCache<string, number>({ max: REMEMBERED });

  /** The same text for the same work. */
  keyOf(job: Job): string {
    const known = this.#keys.get(job);
    if (known !== undefined) return known;
    const { prevHash, coinb1, coinb2, branches, extranonceSize } = job;
    const hash = createHash('sha256');
    for (const bytes of [prevHash, coinb1, coinb2, ...branches])
      hash.update(`${bytes.length} `).update(bytes);
    const key = hash.update(`${extranonceSize}`).digest('base64');
    this.#keys.set(job, key);
    return key;
  }

  /** Remembers a job. True when another one before it was the same work. */
  isRepeat(job: Job): boolean {
    const key = this.keyOf(job);
    const first = this.#recent.get(key);
    if (first === undefined) this.#recent.set(key, job.id);
    return first !== undefined && first !== job.id;
  }
}
