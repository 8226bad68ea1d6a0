import { unreachable } from '../base/assert.ts';
import { type Clock, type Random, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { BlockMaking } from '../chain/block-template.ts';
import type { ChainSource } from '../chain/source.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import { type BlockClaim, blockClaim } from '../settlement/job-coinbase.ts';
import { checkPayout, PAYOUT_FAULTS, type PayoutTerms } from '../settlement/payout-rules.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { JobBinding } from './job-binding.ts';
import { type SampleDeps, type SampleResult, sampleJob } from './template-sample.ts';

export type PayoutBindingDeps = {
  readonly view: TipTracker;
  readonly templates: TemplateWatch;
  readonly chain: Pick<ChainSource, 'blocks'>;
  /** See `SampleDeps`. Throws `peer_closed` while the miner is not connected. */
  readonly ask: SampleDeps['ask'];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
};

/** How far the look at the whole block of a job is. */
type Sample =
  /** Drawn, and asked for when the miner is there. */
  | { readonly type: 'drawn' }
  | { readonly type: 'running'; readonly done: Promise<void> }
  | { readonly type: 'good' | 'bad' | 'unshown' | 'late' };

/** What is kept of a job while it is judged. */
type Judged = {
  readonly claim: BlockClaim;
  sample: Sample | undefined;
  attempts: number;
  fault: string | undefined;
};

/** Faults that say nothing of the job: it is asked about again. */
const PASSING: ReadonlySet<string> = new Set([
  'peer_closed',
  'chain_unreachable',
  'chain_rpc',
  'chain_syncing',
]);

/** Times that a job is asked about where the connection, or the own node, is lost meanwhile. */
const MAX_ATTEMPTS = 3;

/** Sampled jobs at most in the answer to those that were not shown. */
const MAX_OWED = 100_000;

/**
 * The binding `payout`: the own node says what the block of a job must be, and a part of the jobs, drawn so
 * that the miner cannot foretell it, is validated whole.
 *
 * A node that does not answer costs the miner nothing: what it does not tell is not judged, and the rest is.
 * A sample that the miner does not show ends the credit of its job, and so many jobs are credited only after
 * their sample as would have been drawn one of; twice as many at the next time. One whose block is invalid
 * puts every job to come to that test.
 */
export class PayoutBinding implements JobBinding {
  readonly stats = { good: 0, bad: 0, unshown: 0, late: 0, inconclusive: 0 };
  readonly #terms: ContractTerms;
  readonly #binding: PayoutTerms;
  readonly #contractId: string;
  readonly #deps: PayoutBindingDeps;
  readonly #judged = new WeakMap<JobRecord, Judged>();
  /** Jobs that are credited only once their sample is good. */
  #owed = 0;
  #forgiven = 0;
  #isStopped = false;

  constructor(contractId: string, terms: ContractTerms, binding: PayoutTerms, deps: PayoutBindingDeps) {
    this.#contractId = contractId;
    this.#terms = terms;
    this.#binding = binding;
    this.#deps = deps;
  }

  /** True while no job is credited before its sample. */
  get isStrict(): boolean {
    return this.#owed > 0;
  }

  judgeJob(job: JobRecord): ShareCode | undefined {
    const fault = checkJob(this.#terms, job);
    const claim = fault === undefined ? blockClaim(job) : undefined;
    if (claim === undefined) {
      if (fault === 'share_unbound') this.#warn(job, PAYOUT_FAULTS.payees);
      return fault ?? 'share_bad';
    }
    const judged: Judged = { claim, sample: undefined, attempts: 0, fault: undefined };
    this.#judged.set(job, judged);
    if (this.#isDrawn()) {
      judged.sample = { type: 'drawn' };
      this.#begin(job, judged);
    }
    return undefined;
  }

  async judgeNow(job: JobRecord): Promise<ShareCode | undefined> {
    const judged = this.#judged.get(job);
    if (judged === undefined) return 'share_bad';
    const hash = displayHash(job.prevHash);
    const standing = await this.#deps.view.standing(hash);
    if (standing.status === 'unknown') return 'stale_race';
    const facts = this.#deps.templates.factsOf(hash, standing);
    const fault = checkPayout(this.#terms.network, this.#binding.minFeesPpm, job, judged.claim, facts);
    if (fault !== undefined) {
      if (judged.fault !== fault) this.#warn(job, PAYOUT_FAULTS[fault]);
      judged.fault = fault;
      return 'share_unbound';
    }
    return this.#judgeSample(job, judged);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #judgeSample(job: JobRecord, judged: Judged): Promise<ShareCode | undefined> {
    if (judged.sample === undefined && this.isStrict) judged.sample = { type: 'drawn' };
    this.#begin(job, judged);
    if (judged.sample?.type === 'running' && this.isStrict) {
      const { sampleSeconds } = this.#binding;
      await Promise.race([judged.sample.done, sleep(this.#deps.timers, sampleSeconds * 1000)]);
    }
    switch (judged.sample?.type) {
      case 'bad':
        return 'share_unbound';
      case 'unshown':
        return 'share_unshown';
      case 'late':
        return 'stale_race';
      case 'drawn':
      case 'running':
        return this.isStrict ? 'stale_race' : undefined;
      case 'good':
      case undefined:
        return undefined;
      default:
        return unreachable(judged.sample);
    }
  }

  #isDrawn(): boolean {
    if (this.isStrict) return true;
    const { samplePpm } = this.#binding;
    if (samplePpm === 0) return false;
    const drawn = Buffer.from(this.#deps.random.bytes(6)).readUIntBE(0, 6) / 2 ** 48;
    return drawn < samplePpm / 1_000_000;
  }

  #begin(job: JobRecord, judged: Judged): void {
    if (judged.sample?.type !== 'drawn' || this.#isStopped) return;
    const { templates, chain } = this.#deps;
    const { parentHash } = templates;
    // Without a template of the own node nothing can be judged, and the miner is not to blame.
    if (parentHash === undefined || chain.blocks === undefined) {
      this.#settle(job, judged, { type: 'inconclusive', why: 'the own node makes no blocks' });
      return;
    }
    const { promise: done, resolve } = Promise.withResolvers<void>();
    judged.sample = { type: 'running', done };
    void this.#run(job, judged, chain.blocks).finally(resolve);
  }

  async #run(job: JobRecord, judged: Judged, blocks: BlockMaking): Promise<void> {
    const { templates, ask, clock, timers, view } = this.#deps;
    const deps = { blocks, known: () => templates.transactions, ask, clock, timers };
    try {
      const { status } = await view.standing(displayHash(job.prevHash));
      if (status === 'unknown') {
        judged.sample = { type: 'drawn' };
        return;
      }
      // A node judges blocks on its tip alone. Work that comes later than that could never be looked at.
      if (status === 'superseded') {
        this.#missed(job, judged, 'late');
        return;
      }
      const answerMs = this.#binding.sampleSeconds * 1000;
      this.#settle(job, judged, await sampleJob(this.#contractId, job, answerMs, deps));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const isPassing = PASSING.has(error.code) && error.meta['remote'] !== true;
      judged.attempts += 1;
      if (isPassing && judged.attempts < MAX_ATTEMPTS) judged.sample = { type: 'drawn' };
      else this.#missed(job, judged, 'unshown', error.message);
    }
  }

  #settle(job: JobRecord, judged: Judged, result: SampleResult): void {
    this.stats[result.type] += 1;
    if (result.type === 'bad') {
      judged.sample = { type: 'bad' };
      this.#owed = Number.POSITIVE_INFINITY;
      this.#warn(job, `its block would be refused: ${result.why}`);
      return;
    }
    judged.sample = { type: 'good' };
    if (result.type === 'good') this.#owed = Math.max(0, this.#owed - 1);
    else this.#deps.log.info({ job: job.wireId, why: result.why }, 'a sampled job could not be judged');
  }

  /** A sample that cannot be had any more. */
  #missed(
    job: JobRecord,
    judged: Judged,
    type: 'unshown' | 'late',
    why = 'its block was replaced before',
  ): void {
    this.stats[type] += 1;
    judged.sample = { type };
    const one = Math.ceil(1_000_000 / Math.max(1, this.#binding.samplePpm));
    this.#owed = Math.max(this.#owed, Math.min(MAX_OWED, one * 2 ** Math.min(16, this.#forgiven)));
    this.#forgiven += 1;
    this.#warn(job, `a sampled job was not shown in time: ${why}`);
  }

  #warn({ wireId }: JobRecord, why: string): void {
    this.#deps.log.warn({ contract: this.#contractId, job: wireId, why }, 'a job is not paid');
  }
}
