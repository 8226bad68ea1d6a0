import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { latePpm } from '../contract/terms-access.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import type { UpstreamOutcome, UpstreamVerdict } from '../upstream/upstream-share.ts';
import type { JobRecord } from '../work/evidence.ts';
import { WorkSolutions } from './work-solutions.ts';

/** A block that was found with a job of the own node or pool. */
export type FoundBlock = Omit<Params<'work.block'>, 'contractId'>;

export type FoundBlocksDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/** The jobs of blocks that were found last: their transactions may be asked for before they are on disk. */
const JOBS_KEPT = 16;
/** Blocks that are shown again over a new link, though they were answered. */
const SHOWN_KEPT = 16;

type Waiting = FoundBlock & { readonly isBlock?: boolean };

/**
 * The blocks found under a contract that the coinbase pays: each is shown to the maker at once, so that it
 * publishes it too, whatever becomes of it at the own node or pool.
 */
export class FoundBlocks {
  readonly #contractId: string;
  readonly #deps: FoundBlocksDeps;
  readonly #solutions: WorkSolutions<Waiting>;
  readonly #jobs = new Map<number, JobRecord>();
  /** The newest that were answered: a maker that starts anew knows of none, and would find them late. */
  readonly #shown = new Set<FoundBlock>();
  /** False with a maker of an older build: it hears of blocks by the batches, and none of them is late. */
  #isTold = true;
  #lastReason: string | undefined;

  constructor(contractId: string, terms: ContractTerms, deps: FoundBlocksDeps) {
    this.#contractId = contractId;
    this.#deps = deps;
    this.#solutions = new WorkSolutions<Waiting>(
      { perMinute: LIMITS.payoutBlocksPerMinute, latePpm: latePpm(terms) },
      { ...deps, onVerdict: (...words) => this.#onVerdict(...words), onRtt: () => {} },
    );
  }

  /** What the maker's node said of them, since the start. */
  get counts(): Readonly<Record<UpstreamOutcome, number>> {
    return this.#solutions.counts;
  }

  /** Why the last that the maker could not publish was not. */
  get lastReason(): string | undefined {
    return this.#lastReason;
  }

  /** See `WorkSolutions.isLate`. */
  get isLate(): boolean {
    return this.#isTold && this.#solutions.isLate;
  }

  jobOf(jobId: number): JobRecord | undefined {
    return this.#jobs.get(jobId);
  }

  /** Takes a block, before it is on disk: a job has its id for ever. */
  found(block: FoundBlock): void {
    const { job } = block;
    this.#jobs.delete(job.id);
    this.#jobs.set(job.id, job);
    const [oldest] = this.#jobs.keys();
    if (this.#jobs.size > JOBS_KEPT && oldest !== undefined) this.#jobs.delete(oldest);
    if (this.#isTold) this.#solutions.submit(block);
  }

  /** The channel is open over a link. */
  connected(peer: RpcPeer): void {
    this.#isTold = peer.features.has('payout_blocks');
    if (!this.#isTold) return;
    const show = (block: FoundBlock): Promise<Result<'work.block'>> =>
      call(peer, 'work.block', { contractId: this.#contractId, ...block });
    this.#solutions.connected(show);
    for (const block of this.#shown)
      show(block).catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
      });
  }

  disconnected(): void {
    this.#solutions.disconnected();
  }

  stop(): void {
    this.#solutions.stop();
  }

  #onVerdict({ outcome, reason }: UpstreamVerdict, block: FoundBlock): void {
    const { log } = this.#deps;
    this.#shown.add(block);
    const [oldest] = this.#shown;
    if (this.#shown.size > SHOWN_KEPT && oldest !== undefined) this.#shown.delete(oldest);
    const fields = { contract: this.#contractId, outcome };
    if (outcome === 'accepted') {
      log.info(fields, 'a block is published by the market maker too');
      return;
    }
    this.#lastReason = reason;
    log.warn({ ...fields, reason }, 'a block is not published by the market maker');
  }
}
