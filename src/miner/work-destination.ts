import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { latePpm } from '../contract/terms-access.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Logger } from '../log/logger.ts';
import type { Params } from '../peer/messages.ts';
import { printJobId } from '../stratum/job-id.ts';
import type { Destination, DestinationFigures, DestinationListener } from '../upstream/destination.ts';
import { type DestinationHealth, isUsable } from '../upstream/failover.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from '../upstream/upstream-share.ts';
import { VerdictHealth } from '../upstream/verdict-health.ts';
import { VerdictMatrixCounter } from '../upstream/verdict-matrix.ts';
import { WorkJobs } from './work-jobs.ts';
import type { WorkBinding } from './work-rules.ts';
import { type SendSolution, WorkSolutions } from './work-solutions.ts';

export type WorkDestinationOptions = {
  readonly name: string;
  readonly terms: ContractTerms;
  readonly binding: WorkBinding;
};

export type WorkDestinationDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly view: Pick<TipTracker, 'standing'>;
  /** From a solution to the verdict of the maker's pool. */
  readonly observeSolution?: (seconds: number) => void;
};

/** An open channel over a connection to the maker. */
export type WorkLink = {
  /** Asks for jobs. Throws `CodedError`. */
  readonly subscribe: () => Promise<void>;
  readonly solve: SendSolution<UpstreamShare>;
};

/** What status shows of the work that a maker gives. */
export type WorkStatus = {
  /** There is a job that can be mined. */
  readonly up: boolean;
  /** Why not, in words. */
  readonly down_reason: string | null;
  readonly jobs: { readonly taken: number; readonly live: number; readonly waiting: number };
  /** Jobs and withdrawals of the maker that break the terms, by what they break. */
  readonly refused_jobs: Readonly<Record<string, number>>;
  readonly last_refused_job: string | null;
  /** By the verdict of the maker's pool. */
  readonly solutions: DestinationFigures['shares'];
  /** Why its pool refused the last that it did. */
  readonly last_refused_solution: string | null;
  /** From a solution to its verdict. */
  readonly solution_ms: { readonly p50: number | null; readonly p99: number | null };
};

/** An error of the subscription is tried again after so long. */
const SUBSCRIBE_AGAIN_MS = 5_000;
const SAID_EVERY_MS = 10_000;
const NO_LINK = 'the market maker is not connected';
const NO_JOB = 'the market maker gives no job that can be mined';

/**
 * Jobs that the maker of a contract gives over the peer link, as a place to mine to. It has work while the
 * maker is connected, subscribed to, and gives jobs that the terms pay; without, all its jobs are gone.
 */
export class WorkDestination implements Destination {
  readonly name: string;
  /** A job that leaves too little extranonce2 to be shared is refused. */
  readonly mode = 'shared';
  readonly links = undefined;
  readonly #deps: WorkDestinationDeps;
  readonly #log: Logger;
  readonly #jobs: WorkJobs;
  readonly #solutions: WorkSolutions;
  readonly #verdicts: VerdictHealth;
  readonly #matrix = new VerdictMatrixCounter();
  #listener: DestinationListener = {};
  #link: WorkLink | undefined;
  #isSubscribed = false;
  #downReason = NO_LINK;
  #timer: Timer | undefined;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor({ name, terms, binding }: WorkDestinationOptions, deps: WorkDestinationDeps) {
    this.name = name;
    this.#deps = deps;
    const { clock, timers, view } = deps;
    this.#log = deps.log.child({ target: name });
    this.#verdicts = new VerdictHealth(clock);
    this.#jobs = new WorkJobs(
      { terms, binding },
      {
        ...{ clock, timers, view, log: this.#log },
        onJob: (job) => this.#onJob(job),
        onGone: (ids) => this.#listener.onGone?.(this, new Set(ids.map(printJobId))),
        onEmpty: () => this.#onEmpty(),
      },
    );
    this.#solutions = new WorkSolutions(
      { perMinute: binding.solutionsPerMinute, latePpm: latePpm(terms) },
      {
        ...{ clock, timers },
        onVerdict: (verdict, share) => this.#onVerdict(verdict, share),
        onRtt: (rttMs) => this.#onRtt(rttMs),
      },
    );
  }

  /** Who mines here is told of its jobs from now on. */
  listenTo(listener: DestinationListener): this {
    this.#listener = listener;
    return this;
  }

  get health(): DestinationHealth {
    const { ageMs } = this.#jobs;
    const isFresh = ageMs !== undefined && ageMs <= LIMITS.jobAgeMs;
    return {
      ...this.#verdicts.health,
      ...{ name: this.name, isUp: this.#isSubscribed, shapeChanges: 0 },
      ...{ jobAgeMs: isFresh ? ageMs : undefined, jobAgeLimitMs: LIMITS.jobAgeMs },
    };
  }

  get lastJob(): UpstreamJob | undefined {
    return this.#jobs.newest;
  }

  get figures(): DestinationFigures {
    return {
      shares: this.#solutions.counts,
      sharesInFlight: this.#solutions.inFlight,
      verdicts: this.#matrix.counts,
      lastRefusal: this.#verdicts.lastRefusal,
      ...{ connection: undefined, links: undefined },
    };
  }

  get status(): WorkStatus {
    const { stats, counts, lastFault } = this.#jobs;
    const isUp = isUsable(this.health);
    return {
      up: isUp,
      down_reason: isUp ? null : this.#whyDown,
      jobs: { taken: stats.taken, live: counts.live, waiting: counts.held },
      refused_jobs: stats.refused,
      last_refused_job: lastFault?.detail ?? null,
      solutions: this.#solutions.counts,
      last_refused_solution: this.#verdicts.lastRefusal ?? null,
      solution_ms: {
        p50: this.#solutions.latencyMs(50) ?? null,
        p99: this.#solutions.latencyMs(99) ?? null,
      },
    };
  }

  /** See `WorkSolutions.isLate`. */
  get isLate(): boolean {
    return this.#solutions.isLate;
  }

  /** Its connection is that of the contract. */
  start(): void {}

  stop(): void {
    this.#link = undefined;
    this.#isSubscribed = false;
    this.#timer?.cancel();
    this.#jobs.stop();
    this.#solutions.stop();
  }

  submit(share: UpstreamShare, done?: VerdictCallback, token?: object): void {
    if (token === undefined) {
      this.#solutions.submit(share, done);
      return;
    }
    this.#matrix.forwarded(token);
    this.#solutions.submit(share, (verdict) => {
      this.#matrix.resolved(token, verdict.outcome);
      done?.(verdict);
    });
  }

  judged(token: object, isAccepted: boolean): void {
    this.#matrix.judged(token, isAccepted);
  }

  /** The maker can be asked for jobs; may be called again for the same link. */
  connected(link: WorkLink): void {
    if (this.#link === link) return;
    this.#link = link;
    void this.#subscribe(link);
  }

  /** The maker is away: nobody mines its jobs any more, until it gives them again. */
  disconnected(): void {
    if (this.#link === undefined) return;
    this.#link = undefined;
    this.#isSubscribed = false;
    this.#timer?.cancel();
    this.#solutions.disconnected();
    this.#downReason = NO_LINK;
    this.#jobs.linkLost();
  }

  /** A job of the maker. Throws `work_refused`. */
  give({ job }: Pick<Params<'work.job'>, 'job'>): void {
    this.#jobs.give(job);
  }

  /** The maker withdraws jobs, or all. Throws `work_refused`. */
  withdraw({ ids, all, code }: Pick<Params<'work.gone'>, 'ids' | 'all' | 'code'>): void {
    this.#downReason = all === true ? `the market maker has no work: ${code ?? 'it says not why'}` : NO_JOB;
    if (all === true) this.#jobs.withdrawAll();
    else this.#jobs.withdraw(ids);
  }

  /** The own node has another tip. */
  onTip(): void {
    this.#jobs.onTip();
  }

  async #subscribe(link: WorkLink): Promise<void> {
    try {
      // Jobs may come before the answer.
      this.#isSubscribed = true;
      this.#solutions.connected(link.solve);
      this.#downReason = NO_JOB;
      await link.subscribe();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (this.#link !== link) return;
      this.#isSubscribed = false;
      this.#downReason = `the market maker refuses to give jobs: ${error.code}`;
      this.#log.warn({ code: error.code, detail: error.message }, 'the market maker refuses to give jobs');
      this.#timer = this.#deps.timers.after(SUBSCRIBE_AGAIN_MS, () => {
        if (this.#link === link) void this.#subscribe(link);
      });
    }
  }

  #onJob(job: UpstreamJob): void {
    this.#listener.onJob?.(this, job);
  }

  #onEmpty(): void {
    const code: ErrorCode = 'maker_work_down';
    const reason = this.#whyDown;
    this.#log.warn({ code, reason }, 'the market maker gives no work: the hashrate is at the fallback');
    this.#listener.onDown?.(this, code, reason);
  }

  get #whyDown(): string {
    const { counts, lastFault } = this.#jobs;
    if (this.#downReason !== NO_JOB) return this.#downReason;
    if (counts.held > 0) return 'the own bitcoin node does not know the block of its jobs yet';
    return lastFault === undefined ? NO_JOB : `${NO_JOB}; the last that was refused: ${lastFault.detail}`;
  }

  #onVerdict(verdict: UpstreamVerdict, share: UpstreamShare): void {
    this.#verdicts.judged(verdict);
    if (verdict.outcome === 'refused') this.#sayRefused(verdict);
    this.#listener.onVerdict?.(this, verdict, share);
  }

  #sayRefused({ reason }: UpstreamVerdict): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    if (monotonicMs - this.#saidAtMs < SAID_EVERY_MS) return;
    this.#saidAtMs = monotonicMs;
    this.#log.warn({ reason }, "the market maker's pool refuses a solution; it is credited all the same");
  }

  #onRtt(rttMs: number): void {
    this.#verdicts.answered(rttMs);
    this.#deps.observeSolution?.(rttMs / 1000);
    this.#listener.observeRttSeconds?.(this, rttMs / 1000);
  }
}
