import type { Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { commitmentOfJob } from '../jobs/bead-metadata.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { kindOf } from './braidpool-rpc.ts';

export type JobMetadataDeps = {
  /** Asks the node for what hashes to a commitment; rejects when it does not tell. */
  readonly ask: (commitment: Uint8Array) => Promise<Uint8Array>;
  readonly timers: Timers;
};

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;

/**
 * The way of a node's jobs to where they are mined: each that commits to metadata waits until the node told
 * it, so that nobody leaves the job before. Where the node does not tell, the job goes on without it, which
 * says why, and the newest is asked about again.
 */
export class JobMetadata {
  readonly #deps: JobMetadataDeps;
  readonly #give: (job: UpstreamJob) => void;
  /** Numbers of jobs as they came: the last, and the last that was given. */
  #last = 0;
  #given = 0;
  #retry: Timer | undefined;

  constructor(deps: JobMetadataDeps, give: (job: UpstreamJob) => void) {
    this.#deps = deps;
    this.#give = give;
  }

  add(job: UpstreamJob): void {
    this.#last += 1;
    const commitment = commitmentOfJob(job);
    if (commitment === undefined) this.#giveAs(this.#last, job);
    else void this.#ask(this.#last, job, commitment, FIRST_RETRY_MS);
  }

  /** Nothing that came so far is given any more. */
  clear(): void {
    this.#last += 1;
    this.#given = this.#last;
    this.#retry?.cancel();
  }

  async #ask(
    number: number,
    job: UpstreamJob,
    commitment: Uint8Array,
    retryMs: number,
    isAgain = false,
  ): Promise<void> {
    try {
      const metadata = await this.#deps.ask(commitment);
      this.#giveAs(number, { ...job, metadata }, isAgain);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (!isAgain) this.#giveAs(number, { ...job, metadataFault: wordsOf(error) });
      if (number !== this.#given) return;
      const nextMs = Math.min(MAX_RETRY_MS, 2 * retryMs);
      this.#retry = this.#deps.timers.after(retryMs, () => {
        void this.#ask(number, job, commitment, nextMs, true);
      });
    }
  }

  /** Gives a job unless a newer one was given. */
  #giveAs(number: number, job: UpstreamJob, isAgain = false): void {
    if (isAgain ? number !== this.#given : number <= this.#given) return;
    this.#given = number;
    this.#retry?.cancel();
    this.#give(job);
  }
}

function wordsOf(error: CodedError): string {
  if (kindOf(error) === 'unknown_method') return 'the node of its pool cannot tell the metadata of jobs';
  return `the node of its pool does not tell the metadata of the job: ${error.message}`;
}
