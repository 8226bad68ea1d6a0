import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { displayHash } from '../bitcoin/header.ts';
import { targetOfCompact } from '../bitcoin/target.ts';
import type { BlockMaking, TemplateTransaction } from '../chain/block-template.ts';
import type { ChainSource } from '../chain/source.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { UpstreamOutcome, UpstreamVerdict } from '../upstream/upstream-share.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { PoolBook } from './pool-book.ts';
import type { ShareCases } from './share-cases.ts';
import { loadSolutionCount, solutionCountEntry } from './solution-count.ts';
import { type Solution, Solutions, type SolvableJob } from './solutions.ts';
import { areOfJob, blockOf, type SampleDeps, withTransactions } from './template-sample.ts';
import type { SolutionStatus } from './work-status.ts';

/** The name under which the own node stands in the book of pools. */
export const OWN_NODE = 'own node';

/** Jobs whose transactions are kept after their sample: those of the newest templates. */
const SAMPLES_KEPT = 2;
/** Time in ms in which a miner shows the transactions of a block. */
const ANSWER_MS = 10_000;

export type FoundBlocksDeps = {
  readonly kernel: ShareKernel;
  readonly chain: Pick<ChainSource, 'blocks'>;
  readonly templates: Pick<TemplateWatch, 'transactions' | 'transactionsOf'>;
  readonly book: PoolBook;
  readonly ask: SampleDeps['ask'];
  /** True where the miner of the contract shows the blocks that it finds at once. */
  readonly isTold: () => boolean;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/** The blocks of one contract, since the start; the counts of solutions also over starts. */
export type FoundBlocksStatus = SolutionStatus & {
  readonly verdicts: Readonly<Record<UpstreamOutcome, number>>;
  /** Why the last that was not published was not. */
  readonly lastFault: string | undefined;
};

type OwnJob = SolvableJob & { readonly record: JobRecord };

/**
 * The blocks that are found with the miner's own jobs under one contract: each is published by the own node
 * too, when the miner shows it or when its batch does, whatever the miner's pool does with it. Credits
 * nothing; what comes late by the miner's fault pauses credit.
 */
export class FoundBlocks {
  readonly #contractId: string;
  readonly #deps: FoundBlocksDeps;
  readonly #solutions: Solutions<OwnJob>;
  readonly #jobs = new WeakMap<JobRecord, OwnJob>();
  readonly #verdicts: Record<UpstreamOutcome, number> = { accepted: 0, refused: 0, timeout: 0, lost: 0 };
  #lastFault: string | undefined;
  #kept: readonly (readonly TemplateTransaction[])[] = [];

  constructor(contractId: string, latePpm: number, deps: FoundBlocksDeps) {
    this.#contractId = contractId;
    this.#deps = deps;
    const options = { latePpm, solutionsPerMinute: LIMITS.payoutBlocksPerMinute };
    this.#solutions = new Solutions<OwnJob>(options, {
      ...deps,
      canSubmit: () => true,
      isTold: deps.isTold,
      submit: ({ record }, solution) => this.#publish(record, solution),
    });
  }

  get status(): FoundBlocksStatus {
    const { solutions, late } = this.#solutions.late;
    return {
      ...{ solutions, lateSolutions: late, isPaused: this.#solutions.isPaused },
      ...{ verdicts: this.#verdicts, lastFault: this.#lastFault },
    };
  }

  /** Goes on from the count of an earlier run. Throws `ledger_corrupt`. */
  async load(): Promise<void> {
    this.#solutions.restore(await loadSolutionCount(this.#deps.ledger, this.#contractId));
  }

  /** Takes note of the transactions of a job whose block is good. */
  keep(transactions: readonly TemplateTransaction[]): void {
    this.#kept = [transactions, ...this.#kept].slice(0, SAMPLES_KEPT);
  }

  /** Answers `work.block`, of a job that pays as agreed. Throws as `Solutions.show`. */
  show({ job, extranonce, ...share }: Params<'work.block'>): Promise<Result<'work.block'>> {
    return this.#solutions.show(this.#ownJob(job), { ...share, extranonce2: extranonce });
  }

  /** See `Solutions.judge`. */
  judge(cases: ShareCases): void {
    this.#solutions.judge(cases, (job) => (job === undefined ? undefined : this.#ownJob(job)));
  }

  /** Our verdict on shares. */
  judged(cases: ShareCases): void {
    this.#solutions.judged(cases);
    cases.eachRun((_, { workHashes }, count) =>
      this.#deps.book.credited(OWN_NODE, BigInt(count) * workHashes),
    );
  }

  /** The count of solutions, once there is one. */
  counts(): readonly LedgerEntry[] {
    const { late } = this.#solutions;
    return late.solutions === 0 ? [] : [solutionCountEntry(this.#contractId, late)];
  }

  #ownJob(record: JobRecord): OwnJob {
    const known = this.#jobs.get(record);
    if (known !== undefined) return known;
    const { version, versionMask, prevHash, coinb1, coinb2, branches, bits, extranonceSize } = record;
    const job = {
      ...{ version, versionMask, prevHash, coinb1, coinb2, branches, bits },
      ...{ extranonce1: new Uint8Array(0), extranonce2Size: extranonceSize },
      upstreamTarget: targetOfCompact(bits),
    };
    const own = { pool: OWN_NODE, job, record };
    this.#jobs.set(record, own);
    return own;
  }

  async #publish(job: JobRecord, { extranonce2, ...share }: Solution): Promise<UpstreamVerdict> {
    const { clock, chain, log } = this.#deps;
    const startedMs = clock.monotonicMs();
    const solution = { ...share, extranonce: extranonce2 };
    let verdict: UpstreamVerdict;
    try {
      if (chain.blocks === undefined) throw new CodedError('chain_rpc', 'the own node makes no blocks');
      const fault = await this.#submit(job, solution, chain.blocks);
      const isTaken = fault === undefined || fault === 'duplicate';
      const rttMs = clock.monotonicMs() - startedMs;
      const outcome = isTaken ? 'accepted' : 'refused';
      verdict = { outcome, code: undefined, reason: isTaken ? '' : fault, rttMs };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      verdict = { outcome: 'lost', code: undefined, reason: error.message, rttMs: undefined };
    }
    const { outcome, reason } = verdict;
    this.#verdicts[outcome] += 1;
    const fields = { contract: this.#contractId, job: job.wireId, parent: displayHash(job.prevHash) };
    if (outcome === 'accepted') log.info(fields, 'a block of the miner is published by the own node too');
    else {
      this.#lastFault = reason;
      log.warn({ ...fields, reason }, 'a block of the miner could not be published here');
    }
    return verdict;
  }

  /** What the own node says of the block: built of what is here, else of what the miner shows. */
  async #submit(
    job: JobRecord,
    solution: Parameters<typeof blockOf>[1],
    blocks: BlockMaking,
  ): Promise<string | undefined> {
    const { templates, ask, clock, timers } = this.#deps;
    const submit = (transactions: readonly TemplateTransaction[]): Promise<string | undefined> =>
      blocks.submitBlock(blockOf(job, solution, transactions));
    const here =
      this.#kept.find((transactions) => areOfJob(job, transactions)) ??
      templates.transactionsOf(job.branches);
    if (here !== undefined) {
      const fault = await submit(here);
      // Where the witness of one is another than here, the block is known by what the miner shows.
      if (fault === undefined || here.length === 0 || !isOfTransactions(fault)) return fault;
    }
    const deps = { blocks, known: () => templates.transactions, ask, clock, timers };
    return withTransactions(
      this.#contractId,
      job,
      ANSWER_MS,
      deps,
      async (transactions) => {
        if (areOfJob(job, transactions)) return submit(transactions);
        throw new CodedError(
          'unknown_job',
          'the transactions that the miner shows are not those of the job',
        );
      },
      (fault) => fault === undefined || !isOfTransactions(fault),
    );
  }
}

/** True for a verdict that other witnesses of the same transactions may change. */
function isOfTransactions(fault: string): boolean {
  return !/^(duplicate|inconclusive|prev-blk|high-hash)/.test(fault);
}
