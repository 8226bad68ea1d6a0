import { unreachable } from '../base/assert.ts';
import { type Random, sleep } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { LimitHits } from '../base/limits.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { BlockMaking } from '../chain/block-template.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { BlockStatus, TipTracker } from '../chain/tip-tracker.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { latePpm } from '../contract/terms-access.ts';
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { Feature } from '../peer/features.ts';
import type { Params, Result } from '../peer/messages.ts';
import { type BlockClaim, blockClaim } from '../settlement/job-coinbase.ts';
import {
  checkPayout,
  PAYOUT_FAULTS,
  type PayoutFault,
  type PayoutTerms,
} from '../settlement/payout-rules.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { JobRecord } from '../work/evidence.ts';
import { FoundBlocks, type FoundBlocksDeps, type FoundBlocksStatus } from './found-blocks.ts';
import type { JobBinding } from './job-binding.ts';
import { RefusalLog } from './refusal-log.ts';
import { loadSamples, NO_SAMPLES, samplesEntry, withJob } from './sample-record.ts';
import { SampleTurns } from './sample-turns.ts';
import type { ShareCases } from './share-cases.ts';
import { type SampleResult, sampleJob } from './template-sample.ts';

export type PayoutBindingDeps = Omit<FoundBlocksDeps, 'isTold'> & {
  readonly view: TipTracker;
  readonly templates: TemplateWatch;
  /** True where the miner announced a feature. */
  readonly knows: (feature: Feature) => boolean;
  readonly random: Random;
  readonly limitHits?: LimitHits;
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
  /** Shares of it were credited by an earlier run: it is drawn only where it was drawn then. */
  readonly isOld: boolean;
  /** It claims what was due while its miner was away, and no more. */
  isLate: boolean;
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

const NO_BLOCKS: SampleResult = {
  ...{ type: 'inconclusive', why: 'the own node makes no blocks', isReplaced: false },
};

/** Sampled jobs at most in the answer to those that were not shown. */
const MAX_OWED = 100_000;

/**
 * The binding `payout`: the own node says what the block of a job must be, and a part of the jobs, drawn so
 * that the miner cannot foretell it, is validated whole.
 *
 * A node that does not answer costs the miner nothing: what it does not tell is not judged, and the rest is.
 * A sample that the miner does not show ends the credit of its job, and so many jobs are credited only after
 * their sample as would have been drawn one of; twice as many at the next time. One whose block is invalid
 * puts every job to come to that test. All of it is on disk with the batch after it.
 */
export class PayoutBinding implements JobBinding {
  readonly stats = { good: 0, bad: 0, unshown: 0, late: 0, inconclusive: 0 };
  readonly #terms: ContractTerms;
  readonly #binding: PayoutTerms;
  readonly #contractId: string;
  readonly #deps: PayoutBindingDeps;
  readonly #refusals: RefusalLog;
  readonly #judged = new WeakMap<JobRecord, Judged>();
  readonly #blocks: FoundBlocks;
  readonly #turns: SampleTurns;
  #record = NO_SAMPLES;
  /** What of it is on disk. */
  #saved = NO_SAMPLES;
  #saving = NO_SAMPLES;
  /** A job drawn before counts as not drawn. */
  #isNextDrawn = false;
  #isStopped = false;

  constructor(contractId: string, terms: ContractTerms, binding: PayoutTerms, deps: PayoutBindingDeps) {
    this.#contractId = contractId;
    this.#terms = terms;
    this.#binding = binding;
    this.#deps = deps;
    this.#refusals = new RefusalLog(contractId, deps);
    this.#turns = new SampleTurns(deps);
    const isTold = (): boolean => deps.knows('payout_blocks');
    this.#blocks = new FoundBlocks(contractId, latePpm(terms), { ...deps, isTold });
  }

  get blocks(): FoundBlocksStatus {
    return this.#blocks.status;
  }

  async load(): Promise<void> {
    await this.#blocks.load();
    this.#record = await loadSamples(this.#deps.ledger, this.#contractId);
    this.#saved = this.#record;
  }

  counts(): readonly LedgerEntry[] {
    this.#saving = this.#record;
    const samples = this.#record === this.#saved ? [] : [samplesEntry(this.#contractId, this.#record)];
    return [...this.#blocks.counts(), ...samples];
  }

  async judgeShares(cases: ShareCases): Promise<void> {
    this.#blocks.judge(cases);
  }

  judged(cases: ShareCases): void {
    this.#saved = this.#saving;
    this.#blocks.judged(cases);
  }

  /**
   * Answers `work.block`: the block is published here too. Throws `share_unbound` for one that does not pay
   * as agreed, and as `FoundBlocks.show`.
   */
  async showBlock(params: Params<'work.block'>): Promise<Result<'work.block'>> {
    const { job } = params;
    const code = checkJob(this.#terms, job);
    const claim = code === undefined ? blockClaim(job) : undefined;
    if (claim === undefined) throw new CodedError(code ?? 'share_bad', 'its job does not pay as agreed');
    const fault = this.#faultOf(job, claim, await this.#deps.view.standing(displayHash(job.prevHash)));
    // A block that claims less than is due is still worth more to its payees than none.
    if (fault !== undefined && fault !== 'too_little')
      throw new CodedError('share_unbound', PAYOUT_FAULTS[fault]);
    return this.#blocks.show(params);
  }

  /** True while no job is credited before its sample. */
  get isStrict(): boolean {
    return this.#record.owed > 0;
  }

  judgeJob(job: JobRecord, _source: JobId | undefined, isOld = false): ShareCode | undefined {
    const fault = checkJob(this.#terms, job);
    const claim = fault === undefined ? blockClaim(job) : undefined;
    if (claim === undefined) {
      if (fault === 'share_unbound') this.#refusals.job(job, PAYOUT_FAULTS.payees);
      return fault ?? 'share_bad';
    }
    const sample = this.#sampleOf(job);
    const judged: Judged = { claim, sample, attempts: 0, fault: undefined, isOld, isLate: false };
    this.#judged.set(job, judged);
    if (judged.sample === undefined && !isOld && this.#isDrawn()) this.#draw(job, judged);
    this.#begin(job, judged);
    return undefined;
  }

  async judgeNow(job: JobRecord, awaySinceMs?: number): Promise<ShareCode | undefined> {
    const judged = this.#judged.get(job);
    if (judged === undefined) return 'share_bad';
    const hash = displayHash(job.prevHash);
    const standing = await this.#deps.view.standing(hash);
    if (standing.status === 'unknown') return 'stale_race';
    // A share may come sooner after its block than the own template.
    if (standing.status === 'current') await this.#deps.templates.see(hash);
    const fault = this.#faultOf(job, judged.claim, standing);
    judged.isLate =
      fault !== undefined &&
      awaySinceMs !== undefined &&
      this.#faultOf(job, judged.claim, standing, awaySinceMs) === undefined;
    if (fault !== undefined && !judged.isLate) {
      if (judged.fault !== fault) this.#refusals.job(job, PAYOUT_FAULTS[fault]);
      judged.fault = fault;
      return 'share_unbound';
    }
    return this.#judgeSample(job, judged);
  }

  lateCode(job: JobRecord): ShareCode | undefined {
    return this.#judged.get(job)?.isLate === true ? 'share_unbound' : undefined;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** What the sample of a job came to in an earlier run, or before the job left the memory. */
  #sampleOf({ id }: JobRecord): Sample | undefined {
    if (this.#record.ended.includes(id)) return { type: 'unshown' };
    if (this.#record.good.includes(id)) return { type: 'good' };
    return this.#record.drawn.includes(id) ? { type: 'drawn' } : undefined;
  }

  #draw({ id }: JobRecord, judged: Judged): void {
    judged.sample = { type: 'drawn' };
    this.#record = { ...this.#record, drawn: withJob(this.#record.drawn, id) };
  }

  #drawNoMore({ id }: JobRecord): void {
    this.#record = { ...this.#record, drawn: this.#record.drawn.filter((each) => each !== id) };
  }

  /** @param sinceMs see `TemplateWatch.factsOf` */
  #faultOf(
    job: JobRecord,
    claim: BlockClaim,
    standing: BlockStatus,
    sinceMs?: number,
  ): PayoutFault | undefined {
    if (standing.status === 'unknown') return undefined;
    const facts = this.#deps.templates.factsOf(displayHash(job.prevHash), standing, sinceMs);
    return checkPayout(this.#terms.network, this.#binding.minFeesPpm, job, claim, facts);
  }

  async #judgeSample(job: JobRecord, judged: Judged): Promise<ShareCode | undefined> {
    if (judged.sample === undefined && this.isStrict) this.#draw(job, judged);
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
        // What could not even wait for its look is not credited before it.
        return this.isStrict || this.#turns.isFull ? 'stale_race' : undefined;
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
    if (this.isStrict || this.#isNextDrawn) {
      this.#isNextDrawn = false;
      return true;
    }
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
      this.#settle(job, judged, NO_BLOCKS);
      return;
    }
    if (this.#turns.isFull) return;
    const { promise: done, resolve } = Promise.withResolvers<void>();
    judged.sample = { type: 'running', done };
    const { blocks } = chain;
    void this.#turns.run(() => this.#run(job, judged, blocks).finally(resolve));
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
        // One that was credited before came in time then.
        if (judged.isOld) {
          judged.sample = { type: 'late' };
          this.#drawNoMore(job);
        } else this.#missed(job, judged, 'late');
        return;
      }
      const answerMs = this.#binding.sampleSeconds * 1000;
      const result = await sampleJob(this.#contractId, job, answerMs, deps);
      if (result.type === 'inconclusive' && (result.isReplaced || (await this.#isReplaced(job))))
        this.#replaced(job, judged);
      else this.#settle(job, judged, result);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const isPassing = PASSING.has(error.code) && error.meta['remote'] !== true;
      judged.attempts += 1;
      if (isPassing && judged.attempts < MAX_ATTEMPTS) judged.sample = { type: 'drawn' };
      else this.#missed(job, judged, 'unshown', error.message);
    }
  }

  /** True where another block replaced that of a job, by the own node; false where it does not answer. */
  async #isReplaced({ prevHash }: JobRecord): Promise<boolean> {
    try {
      return (await this.#deps.view.standing(displayHash(prevHash))).status === 'superseded';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return false;
    }
  }

  /**
   * A sample whose block was replaced before it was judged. Credited before it, the job counts as not drawn,
   * and the next is drawn in its place: who waits for a block before it answers gets nothing by that. Where
   * none is credited before its sample, this one never is, which is no miss: the block may be chance.
   */
  #replaced(job: JobRecord, judged: Judged): void {
    const why = 'its block was replaced meanwhile';
    if (!this.isStrict) {
      this.#isNextDrawn = true;
      this.#settle(job, judged, { type: 'inconclusive', why, isReplaced: true });
      return;
    }
    this.stats.late += 1;
    this.#end(job, judged, 'late');
    this.#refusals.job(job, `a sampled job is not paid: ${why}`);
  }

  /** Ends the credit of a job. */
  #end(job: JobRecord, judged: Judged, type: 'bad' | 'unshown' | 'late'): void {
    judged.sample = { type };
    this.#drawNoMore(job);
    this.#record = { ...this.#record, ended: withJob(this.#record.ended, job.id) };
  }

  #settle(job: JobRecord, judged: Judged, result: SampleResult): void {
    this.stats[result.type] += 1;
    if (result.type === 'bad') {
      this.#end(job, judged, 'bad');
      this.#record = { ...this.#record, owed: Number.POSITIVE_INFINITY };
      this.#refusals.job(job, `its block would be refused: ${result.why}`);
      return;
    }
    this.#drawNoMore(job);
    judged.sample = { type: 'good' };
    if (result.type === 'good') {
      this.#blocks.keep(result.transactions);
      if (this.isStrict) {
        const good = withJob(this.#record.good, job.id);
        this.#record = { ...this.#record, good, owed: this.#record.owed - 1 };
      }
    } else this.#deps.log.info({ job: job.wireId, why: result.why }, 'a sampled job could not be judged');
  }

  /** A sample that cannot be had any more. */
  #missed(
    job: JobRecord,
    judged: Judged,
    type: 'unshown' | 'late',
    why = 'its block was replaced before',
  ): void {
    this.stats[type] += 1;
    this.#end(job, judged, type);
    const one = Math.ceil(1_000_000 / Math.max(1, this.#binding.samplePpm));
    const { owed, forgiven } = this.#record;
    this.#record = {
      ...this.#record,
      owed: Math.max(owed, Math.min(MAX_OWED, one * 2 ** Math.min(16, forgiven))),
      forgiven: forgiven + 1,
    };
    this.#refusals.job(job, `a sampled job was not shown in time: ${why}`);
  }
}
