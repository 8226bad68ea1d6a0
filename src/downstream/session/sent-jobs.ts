import type { JobId } from '../../stratum/job-id.ts';
import type { SentJob } from './prepared-job.ts';

/** At one job in 150 ms some ten seconds of them, more than any firmware keeps. */
const CAPACITY = 64;

/**
 * The jobs a session was sent, newest first: it may submit to no others. A ring that grows to its
 * capacity.
 */
export class SentJobs {
  #ring: SentJob[] = [];
  #newest = -1;

  add(sent: SentJob): void {
    if (this.#ring.length < CAPACITY) {
      // Not `push`, which makes room for sixteen more: most sessions hold few jobs, and there are many
      // sessions.
      this.#ring = this.#ring.concat(sent);
      this.#newest = this.#ring.length - 1;
    } else {
      this.#newest = (this.#newest + 1) % CAPACITY;
      this.#ring[this.#newest] = sent;
    }
  }

  find(jobId: JobId): SentJob | undefined {
    const count = this.#ring.length;
    for (let back = 0; back < count; back += 1) {
      const sent = this.#ring[(this.#newest - back + count) % count]!;
      if (sent.job.id === jobId) return sent;
    }
    return undefined;
  }

  /** The newest job of this work. */
  findWork(work: string): SentJob | undefined {
    return this.list().findLast((sent) => sent.work === work);
  }

  forgetWork(work: string): void {
    this.#ring = this.list().filter((sent) => sent.work !== work);
    this.#newest = this.#ring.length - 1;
  }

  /** Oldest first. */
  list(): SentJob[] {
    return [...this.#ring.slice(this.#newest + 1), ...this.#ring.slice(0, this.#newest + 1)];
  }
}
