import { LRUCache } from 'lru-cache';
import { concat, toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { targetOfCompact } from '../bitcoin/target.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import {
  countSolution,
  isLatePause,
  type LateSolutions,
  NO_SOLUTIONS,
} from '../settlement/late-solutions.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets, versionInMask } from '../shares/rules.ts';
import { wordsOfTarget } from '../shares/share.ts';
import { verifyShares } from '../shares/verify.ts';
import { upstreamExtranonce2 } from '../stratum/extranonce.ts';
import type { UpstreamVerdict } from '../upstream/upstream-share.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { PoolBook } from './pool-book.ts';
import type { ShareCases } from './share-cases.ts';
import type { GivenJob } from './work-jobs.ts';
import { type HashableJob, kernelJobOf } from './work-match.ts';

export type SolutionsOptions = {
  /** See the terms. */
  readonly latePpm: number;
  readonly solutionsPerMinute: number;
};

/** A job as far as its solutions concern it. */
export type SolvableJob = {
  readonly pool: string;
  readonly job: HashableJob & Pick<WorkJob, 'version' | 'versionMask' | 'upstreamTarget'>;
};

/** A share of a job of ours, as the pool wants it. */
export type Solution = Pick<Params<'work.solution'>, 'extranonce2' | 'ntime' | 'nonce' | 'version'>;

export type SolutionsDeps<Given extends SolvableJob> = {
  readonly kernel: ShareKernel;
  readonly clock: Clock;
  readonly book: PoolBook;
  /** False for a job of an earlier run: its connection is no more, and no pool takes a solution of it. */
  readonly canSubmit: (given: Given) => boolean;
  /** True while the miner shows solutions: what first comes in a batch is late then. */
  readonly isTold?: () => boolean;
  /** Sends a solution to the pool of its job. */
  readonly submit: (given: Given, solution: Solution) => Promise<UpstreamVerdict>;
};

/** A solution that was sent to its pool. */
type Sent = { readonly pool: string; readonly verdict: Promise<UpstreamVerdict> };

const SECONDS = 120;
/** The part of the agreed rate at which a miner need not send more: two clocks differ. */
const NEARLY = 0.9;

/** How often something happened in each of the last two minutes' seconds. */
class RecentRate {
  readonly #counts = new Uint32Array(SECONDS);
  #second = 0;

  add(monotonicMs: number): void {
    this.#forward(monotonicMs);
    this.#counts[this.#second % SECONDS]! += 1;
  }

  /** The most in any minute of the last two. */
  busiest(monotonicMs: number): number {
    this.#forward(monotonicMs);
    let sum = 0;
    let most = 0;
    for (let age = 0; age < SECONDS; age += 1) {
      sum += this.#at(age);
      if (age >= 60) sum -= this.#at(age - 60);
      most = Math.max(most, sum);
    }
    return most;
  }

  #at(age: number): number {
    return this.#counts[(this.#second - age + SECONDS * 2) % SECONDS] ?? 0;
  }

  #forward(monotonicMs: number): void {
    const second = Math.max(this.#second, Math.floor(monotonicMs / 1000));
    for (let each = Math.max(this.#second, second - SECONDS); each < second; each += 1)
      this.#counts[(each + 1) % SECONDS] = 0;
    this.#second = second;
  }
}

/**
 * The solutions of one contract: each is sent to its pool once, in the maker's name, when the miner shows it
 * or when its batch does. Credits nothing; what comes late by the miner's fault pauses credit.
 */
export class Solutions<Given extends SolvableJob = GivenJob> {
  readonly #options: SolutionsOptions;
  readonly #deps: SolutionsDeps<Given>;
  /** By the hash in hex. */
  readonly #sent: LRUCache<string, Sent>;
  /** The first words of these hashes, and of some that were sent before. */
  readonly #sentWords = new Set<number>();
  /** What solves a job, easiest target first: the pool's or the network's. */
  readonly #words = new WeakMap<SolvableJob['job'], Uint32Array>();
  readonly #budget: TokenBucket;
  readonly #shown = new RecentRate();
  #late: LateSolutions = NO_SOLUTIONS;

  constructor(options: SolutionsOptions, deps: SolutionsDeps<Given>) {
    this.#options = options;
    this.#deps = deps;
    const most = Math.max(4096, 30 * options.solutionsPerMinute);
    this.#sent = new LRUCache({ max: Math.min(LIMITS.workSolutions, most) });
    // Twice what was agreed: what came together need not have been found together.
    const perMinute = 2 * options.solutionsPerMinute;
    const rate = { perSecond: perMinute / 60, burst: Math.max(16, perMinute) };
    this.#budget = new TokenBucket(rate, deps.clock.monotonicMs());
  }

  get late(): LateSolutions {
    return this.#late;
  }

  /** Goes on from what an earlier run counted. */
  restore(late: LateSolutions): void {
    this.#late = late;
  }

  get isPaused(): boolean {
    return isLatePause(this.#late, this.#deps.clock.monotonicMs());
  }

  /**
   * Answers `work.solution`. Throws `too_often`, `share_bad` for what does not fit its job, `share_low` for
   * what is no solution.
   */
  async show(given: Given, solution: Solution): Promise<Result<'work.solution'>> {
    const { job } = given;
    const monotonicMs = this.#deps.clock.monotonicMs();
    if (!this.#budget.take(monotonicMs))
      throw new CodedError('too_often', `${this.#options.solutionsPerMinute} solutions a minute`);
    if (
      solution.extranonce2.length !== job.extranonce2Size ||
      !versionInMask(solution.version, job.version, job.versionMask)
    )
      throw new CodedError('share_bad', 'it does not fit its job');
    const hash = this.#hashOf(job, solution);
    if (!this.#isSolution(job, hash)) throw new CodedError('share_low', 'it is no solution of its job');
    const key = toHex(hash);
    const known = this.#sent.get(key);
    if (known === undefined) this.#shown.add(monotonicMs);
    const sent = known ?? this.#send(given, key, solution, false);
    return resultOf(await sent.verdict);
  }

  /**
   * Looks at the shares of a batch that were hashed: solutions that were not shown are sent now, and are
   * late. Of jobs of an earlier run nobody knows what was shown, and no pool takes it. Nothing is credited in
   * a pause.
   */
  judge(cases: ShareCases, givenOf: (job: JobRecord | undefined) => Given | undefined): void {
    for (let index = 0; index < cases.length; index += 1) {
      if (!cases.isGood(index) || !cases.isHashed(index)) continue;
      const given = givenOf(cases.jobs[index]);
      if (given === undefined) continue;
      if (this.#isSolution(given.job, cases.rows.body, cases.rows.hashAt(index)))
        this.#count(given, cases, index);
      if (this.isPaused) cases.codes[index] = 'late_solutions';
    }
  }

  /** Our verdict on shares, for those that were sent. */
  judged(cases: ShareCases): void {
    for (let index = 0; index < cases.length; index += 1) {
      if (!cases.isHashed(index) || cases.codes[index] === 'share_duplicate') continue;
      // Next to none were sent: text is made of those alone that may have been.
      if (!this.#sentWords.has(firstWord(cases.rows.body, cases.rows.hashAt(index)))) continue;
      const sent = this.#sent.get(toHex(cases.rows.hash(index)));
      if (sent !== undefined) this.#deps.book.judged(sent.pool, sent, cases.isGood(index));
    }
  }

  #count(given: Given, { rows }: ShareCases, index: number): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    const key = toHex(rows.hash(index));
    let isLate = false;
    if (!this.#sent.has(key)) {
      if (!this.#deps.canSubmit(given)) return;
      const isExcused = this.#shown.busiest(monotonicMs) >= NEARLY * this.#options.solutionsPerMinute;
      isLate = !isExcused && (this.#deps.isTold?.() ?? true);
      const share = rows.share(index);
      const extranonce = concat(share.extranonce1, share.extranonce2);
      const extranonce2 = upstreamExtranonce2(extranonce, given.job.extranonce2Size);
      const { ntime, nonce, version } = share;
      this.#send(given, key, { extranonce2, ntime, nonce, version }, isLate);
    }
    this.#late = countSolution(this.#options.latePpm, this.#late, isLate, monotonicMs);
  }

  #send(given: Given, key: string, solution: Solution, isLate: boolean): Sent {
    const { book, submit } = this.#deps;
    const { pool, job } = given;
    const sent: Sent = { pool, verdict: submit(given, solution) };
    this.#sent.set(key, sent);
    if (this.#sentWords.size >= 2 * this.#sent.max) this.#sentWords.clear();
    if (this.#sentWords.size === 0)
      for (const each of this.#sent.keys()) this.#sentWords.add(wordOfKey(each));
    this.#sentWords.add(wordOfKey(key));
    book.sent(pool, sent, isLate);
    void sent.verdict.then((verdict) => book.answered(pool, sent, verdict, job.upstreamTarget));
    return sent;
  }

  #isSolution(job: SolvableJob['job'], hashes: Uint8Array, at = 0): boolean {
    let words = this.#words.get(job);
    if (words === undefined) {
      const network = targetOfCompact(job.bits);
      words = wordsOfTarget(network > job.upstreamTarget ? network : job.upstreamTarget);
      this.#words.set(job, words);
    }
    return meets(hashes, at, words);
  }

  #hashOf(job: SolvableJob['job'], { extranonce2, ntime, nonce, version }: Solution): Uint8Array {
    const share = { job: 0, extranonce: extranonce2, ntime, nonce, version };
    return verifyShares(this.#deps.kernel, [kernelJobOf(job)], [share]);
  }
}

/** The first four bytes of a hash. */
function firstWord(hashes: Uint8Array, at: number): number {
  return ((hashes[at]! << 24) | (hashes[at + 1]! << 16) | (hashes[at + 2]! << 8) | hashes[at + 3]!) >>> 0;
}

function wordOfKey(hashHex: string): number {
  return Number.parseInt(hashHex.slice(0, 8), 16);
}

function resultOf({ outcome, code, reason, rttMs }: UpstreamVerdict): Result<'work.solution'> {
  const isCode = code !== undefined && Number.isInteger(code) && Math.abs(code) <= 2 ** 31;
  return {
    outcome,
    ...(isCode ? { code } : {}),
    ...(reason === '' ? {} : { reason: reason.slice(0, 200) }),
    ...(rttMs === undefined ? {} : { rttMs: Math.round(rttMs) }),
  };
}
