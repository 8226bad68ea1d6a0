import { unreachable } from '../base/assert.ts';
import { toHex } from '../base/bytes.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { decimalDifficultyOf, difficultyOfTarget, targetOfDifficulty } from '../bitcoin/target.ts';
import type { BindingV3 } from '../contract/binding.ts';
import { backlogMs, easiestTarget, hardestTarget, latePpm } from '../contract/terms-access.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import type { ShareCode } from '../settlement/share-rules.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { JobId } from '../stratum/job-id.ts';
import type { Destination } from '../upstream/destination.ts';
import { FAILOVER_OPTIONS, type FailoverOptions } from '../upstream/failover.ts';
import type { UpstreamVerdict } from '../upstream/upstream-share.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { JobBinding } from './job-binding.ts';
import type { MakerStore } from './maker-store.ts';
import type { PoolAccounts } from './pool-accounts.ts';
import { PoolBook } from './pool-book.ts';
import { RefusalLog } from './refusal-log.ts';
import type { ShareCases } from './share-cases.ts';
import { loadSolutionCount, solutionCountEntry } from './solution-count.ts';
import { type Solution, Solutions } from './solutions.ts';
import { endLine, jobsOfLines, keptLine, type WorkFiles, workFilesInMemory } from './work-files.ts';
import {
  type GivenJob,
  initialWorkJobs,
  isBacklog,
  isCredited,
  type OfferedJob,
  transition,
  type WorkJobsEffect,
  type WorkJobsEvent,
  type WorkJobsOptions,
  type WorkJobsState,
} from './work-jobs.ts';
import { differenceOf } from './work-match.ts';
import { type OpenPool, WorkRelay } from './work-relay.ts';
import type { WorkStatus } from './work-status.ts';

/** What a maker has for contracts whose jobs are its own. */
export type OwnWork = {
  readonly pools: readonly OpenPool[];
  readonly failover: FailoverOptions;
  readonly book: PoolBook;
  readonly files: WorkFiles;
};

export type WorkBindingDeps = OwnWork & {
  readonly kernel: ShareKernel;
  readonly accounts: PoolAccounts;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** Time in ms after a reconnect in which a backlog is taken. */
  readonly backlogWindowMs: number;
};

/** A maker without pools still knows the jobs that it gave. */
export const NO_POOLS = (): OwnWork => ({
  ...{ pools: [], failover: FAILOVER_OPTIONS, book: new PoolBook([]), files: workFilesInMemory() },
});

/** Bytes of extranonce2 that sessions need, whatever less the terms ask for. */
const LEAST_EXTRANONCE2 = 8;
/** An upstream that nobody is subscribed to lives so much longer. */
const LINGER_MS = 60_000;
const TICK_MS = 5_000;
/** Ids begin by the clock, so that a ledger of an older copy gives none twice. */
const IDS_PER_MS = 1024;
const JOBS_AT_LEAST = 64;
const AGAIN_MS = 250;

type WorkTerms = Extract<BindingV3, { readonly type: 'work' }>;

/** Where a job that was given came from. */
type Origin = { readonly pool: Destination; readonly job: UpstreamJob };

/**
 * The binding of a contract whose jobs are the maker's own: relays them from its pools to the miner, knows
 * which of them a share may be of, and takes solutions. Nothing of a job is believed from the miner.
 */
export class WorkBinding implements JobBinding {
  readonly ownsJobs = true;
  readonly stats = { jobsGiven: 0, notGiven: {} as Record<string, number>, isDown: false };
  readonly #store: MakerStore;
  readonly #deps: WorkBindingDeps;
  readonly #terms: WorkTerms;
  readonly #options: WorkJobsOptions;
  readonly #solutions: Solutions;
  readonly #refusals: RefusalLog;
  readonly #serial = new SerialQueue();
  readonly #relays = new Map<string, WorkRelay>();
  readonly #lingers = new Map<string, Timer>();
  readonly #rate: TokenBucket;
  readonly #newInstances: TokenBucket;
  /** By instance: a job that waits for its turn. */
  readonly #waiting = new Map<string, Timer>();
  readonly #origins = new Map<JobId, Origin>();
  /** The own job of each job of the miner that was good. */
  readonly #sources = new WeakMap<JobRecord, JobId>();
  /** Work of each pool in the batch that is not on disk yet. */
  #counted: ReadonlyMap<string, bigint> = new Map();
  #state: WorkJobsState;
  #ticker: Timer | undefined;
  /** By instance: the connection of a process that takes jobs. */
  readonly #peers = new Map<string, RpcPeer>();
  #linesOnDisk = 0;
  /** The file may end in half a line. */
  #isTorn = false;

  constructor(store: MakerStore, deps: WorkBindingDeps) {
    const { terms, contractId } = store;
    const { binding } = terms;
    if (binding.type !== 'work') throw new CodedError('bad_terms', 'the jobs are not the maker’s');
    this.#store = store;
    this.#deps = { ...deps, log: deps.log.child({ contract: contractId }) };
    this.#terms = binding;
    this.#refusals = new RefusalLog(contractId, deps);
    this.#options = {
      graceMs: terms.staleGraceSeconds * 1000,
      backlogWindowMs: deps.backlogWindowMs,
      backlogMs: backlogMs(terms),
      withdrawalsPerBlock: binding.withdrawalsPerBlock,
      maxLive: LIMITS.jobsPerDestination,
      maxKept: LIMITS.peerJobs,
    };
    // A little slower than the miner's own count: the two clocks differ.
    const rate = { perSecond: (LIMITS.peerWorkJobs / 16) * 0.9, burst: LIMITS.peerWorkJobs / 2 };
    this.#rate = new TokenBucket(rate, deps.clock.monotonicMs());
    const { peerWorkInstances: burst } = LIMITS;
    this.#newInstances = new TokenBucket({ perSecond: 1 / 15, burst }, deps.clock.monotonicMs());
    this.#solutions = new Solutions(
      { latePpm: latePpm(terms), solutionsPerMinute: binding.solutionsPerMinute },
      {
        ...deps,
        canSubmit: ({ job }) => this.#origins.has(job.id),
        submit: (given, solution) => this.#submit(given, solution),
      },
    );
    this.#state = initialWorkJobs([], this.#firstId(0), deps.clock.monotonicMs());
  }

  /** The jobs in force, those whose shares are credited, and the solutions. */
  get work(): WorkStatus {
    const jobs = [...this.#state.jobs.values()];
    return {
      jobsLive: jobs.filter(({ status }) => status === 'live').length,
      jobsKept: jobs.length,
      ...this.stats,
      ...{ solutions: this.#solutions.late.solutions, lateSolutions: this.#solutions.late.late },
      isPaused: this.#solutions.isPaused,
    };
  }

  /**
   * Reads the jobs of earlier runs, of which shares are credited, and the count of their solutions. Throws
   * what the disk throws, `ledger_corrupt`.
   */
  async load(): Promise<void> {
    const { files, clock, ledger } = this.#deps;
    this.#solutions.restore(await loadSolutionCount(ledger, this.#store.contractId));
    const lines = await files.read(this.#store.contractId);
    const { jobs, newestId } = jobsOfLines(lines);
    this.#state = initialWorkJobs(jobs, this.#firstId(newestId), clock.monotonicMs());
    this.#linesOnDisk = lines.length;
    this.#isTorn = lines.length > 0;
    this.#beginTicks();
  }

  /** Ends the upstream connections; shares of the jobs are still credited. */
  stop(): void {
    this.#ticker?.cancel();
    for (const timer of this.#lingers.values()) timer.cancel();
    for (const instance of [...this.#relays.keys()]) this.#end(instance);
  }

  /**
   * Answers `work.subscribe`: jobs follow the answer. Throws `too_often` for new processes of the miner, each
   * of which is another connection to the pools.
   */
  subscribe(peer: RpcPeer, { instance }: Params<'work.subscribe'>): Result<'work.subscribe'> {
    const isNew = !this.#relays.has(instance);
    const isFull = this.#relays.size >= LIMITS.peerWorkInstances && this.#lingers.size === 0;
    if (isNew && (isFull || !this.#newInstances.take(this.#deps.clock.monotonicMs())))
      throw new CodedError('too_often', 'processes of one miner', { limit: 'peerWorkInstances' });
    this.#beginTicks();
    // A connection is of one process.
    for (const [other, its] of this.#peers) if (its === peer && other !== instance) this.#gone(other);
    this.#peers.set(instance, peer);
    this.#lingers.get(instance)?.cancel();
    this.#lingers.delete(instance);
    for (const other of this.#relays.keys()) if (!this.#peers.has(other)) this.#linger(other);
    void peer.closed.then(() => {
      if (this.#peers.get(instance) === peer) this.#gone(instance);
    });
    this.#deps.timers.afterTurn(() => {
      if (this.#peers.get(instance) !== peer) return;
      // It is told anew.
      this.stats.isDown = false;
      this.#apply({ type: 'subscribed', instance });
      this.#begin(instance);
    });
    return {};
  }

  /** A process of the miner takes no jobs any more. */
  #gone(instance: string): void {
    this.#peers.delete(instance);
    this.#apply({ type: 'unsubscribed', instance });
    this.#linger(instance);
  }

  /** The work of all processes is brought by one of them, which is there or is not. */
  delivers(isThere: boolean): void {
    this.#apply({ type: isThere ? 'delivers' : 'delivers_not' });
  }

  /** Where an instance is heard, or one of its miner that can answer for it. */
  #peerOf(instance: string): RpcPeer | undefined {
    return this.#peers.get(instance) ?? [...this.#peers.values()].at(-1);
  }

  /** Answers `work.solution`. Throws as `Solutions.show`, and `share_stale` for a job that is no more. */
  async solve({ id, ...solution }: Params<'work.solution'>): Promise<Result<'work.solution'>> {
    const given = this.#state.jobs.get(id);
    if (given === undefined) throw new CodedError(this.#unknown(id), 'no job of this contract');
    return this.#solutions.show(given, solution);
  }

  judgeJob(job: JobRecord, sourceId: JobId | undefined): ShareCode | undefined {
    const { jobs } = this.#state;
    if (sourceId !== undefined && !jobs.has(sourceId)) {
      const code = this.#unknown(sourceId);
      if (code === 'share_unbound') this.#refusals.job(job, 'it names a job that was never given');
      return code;
    }
    const own =
      sourceId === undefined
        ? [...jobs.values()].findLast((each) => differenceOf(each.job, job) === undefined)
        : jobs.get(sourceId);
    // One of our ledger that is known no more was good, and is too old.
    if (own === undefined) return 'share_stale';
    const difference = differenceOf(own.job, job);
    if (difference !== undefined) {
      this.#refusals.job(job, `it is not made of the job that it names: ${difference}`);
      return 'share_unbound';
    }
    this.#sources.set(job, own.job.id);
    return undefined;
  }

  /** Jobs are known by their ids for as long as their shares are credited. */
  #unknown(id: JobId): 'share_stale' | 'share_unbound' {
    return id < this.#state.nextId ? 'share_stale' : 'share_unbound';
  }

  async judgeNow(job: JobRecord): Promise<ShareCode | undefined> {
    const id = this.#sources.get(job);
    const isGood = id !== undefined && isCredited(this.#state, id, this.#deps.clock.monotonicMs());
    return isGood ? undefined : 'share_stale';
  }

  /** The one target that every share of a job is assigned. */
  shareTarget(job: JobRecord): bigint | undefined {
    return this.#givenOf(job)?.job.shareTarget;
  }

  upstreamTarget(job: JobRecord): bigint | undefined {
    return this.#givenOf(job)?.job.upstreamTarget;
  }

  lateCode(job: JobRecord): ShareCode | undefined {
    const given = this.#givenOf(job);
    const isLate = given === undefined || isBacklog(given, this.#deps.clock.monotonicMs());
    return isLate ? 'share_stale' : undefined;
  }

  async judgeShares(cases: ShareCases): Promise<void> {
    this.#solutions.judge(cases, (job) => this.#givenOf(job));
  }

  /** The solutions, once there is one, and each pool's work: small entries of a batch that is written. */
  counts(cases: ShareCases): readonly LedgerEntry[] {
    const { late } = this.#solutions;
    const { accounts } = this.#deps;
    for (const [pool, hashes] of this.#counted) accounts.release(pool, hashes);
    const byPool = new Map<string, bigint>();
    cases.eachRun((job, { workHashes }, count) => {
      const pool = this.#givenOf(job)?.pool;
      if (pool !== undefined) byPool.set(pool, (byPool.get(pool) ?? 0n) + BigInt(count) * workHashes);
    });
    this.#counted = byPool;
    return [
      ...(late.solutions === 0 ? [] : [solutionCountEntry(this.#store.contractId, late)]),
      ...[...byPool].map(([pool, hashes]) => accounts.credit(pool, hashes)),
    ];
  }

  judged(cases: ShareCases): void {
    this.#counted = new Map();
    this.#solutions.judged(cases);
    cases.eachRun((job, { workHashes }, count) => {
      const given = this.#givenOf(job);
      if (given !== undefined) this.#deps.book.credited(given.pool, BigInt(count) * workHashes);
    });
  }

  #givenOf(job: JobRecord | undefined): GivenJob | undefined {
    const id = job === undefined ? undefined : this.#sources.get(job);
    return id === undefined ? undefined : this.#state.jobs.get(id);
  }

  #firstId(newestId: JobId): JobId {
    return Math.max(newestId + 1, Math.floor(this.#deps.clock.nowMs()) * IDS_PER_MS);
  }

  #begin(instance: string): void {
    const known = this.#relays.get(instance);
    if (known !== undefined) {
      const { choice, whyDown } = known;
      if (choice?.lastJob !== undefined) this.#offer(instance, choice, choice.lastJob);
      else if (whyDown !== undefined) this.#sayDown(instance, whyDown);
      return;
    }
    const { pools, failover } = this.#deps;
    const relay = new WorkRelay(
      { pools, failover, faultOf: (job) => this.#faultOf(job) },
      {
        ...this.#deps,
        onJob: (pool, job) => this.#offer(instance, pool, job),
        onLost: (pool, code) => this.#lost(instance, code, pool),
        onDown: (code) => this.#sayDown(instance, code),
      },
    );
    const [longestAway] = this.#lingers.keys();
    if (this.#relays.size >= LIMITS.peerWorkInstances && longestAway !== undefined) this.#end(longestAway);
    this.#relays.set(instance, relay);
    relay.start();
  }

  #linger(instance: string): void {
    if (this.#lingers.has(instance)) return;
    this.#lingers.set(
      instance,
      this.#deps.timers.after(LINGER_MS, () => this.#end(instance)),
    );
  }

  #end(instance: string): void {
    this.#lingers.get(instance)?.cancel();
    this.#lingers.delete(instance);
    this.#waiting.get(instance)?.cancel();
    this.#waiting.delete(instance);
    this.#relays.get(instance)?.stop();
    this.#relays.delete(instance);
    this.#apply({ type: 'pool_lost', instance });
  }

  #lost(instance: string, code: ErrorCode, pool: string): void {
    this.#waiting.get(instance)?.cancel();
    this.#waiting.delete(instance);
    this.#deps.log.info({ pool, code }, 'a pool gives no work for this contract');
    this.#apply({ type: 'pool_lost', instance, pool });
  }

  #faultOf(job: UpstreamJob): ErrorCode | undefined {
    const least = Math.max(LEAST_EXTRANONCE2, this.#terms.extranonce2Bytes);
    if (job.extranonce2Size < least) return 'extranonce_too_small';
    return shareTargetFor(this.#store.terms, job.target) === undefined ? 'pool_target' : undefined;
  }

  /** As often as a miner takes jobs; of more, the newest. Another block waits for nothing. */
  #offer(instance: string, pool: Destination, upstream: UpstreamJob): void {
    this.#waiting.get(instance)?.cancel();
    this.#waiting.delete(instance);
    const block = toHex(upstream.prevHash);
    const isAnother = this.#state.instances.get(instance)?.blocks.at(-1) !== block;
    if (this.#rate.take(this.#deps.clock.monotonicMs()) || isAnother) this.#give(instance, pool, upstream);
    else {
      const again = (): void => this.#offer(instance, pool, upstream);
      this.#waiting.set(instance, this.#deps.timers.after(AGAIN_MS, again));
    }
  }

  #give(instance: string, pool: Destination, upstream: UpstreamJob): void {
    const shareTarget = shareTargetFor(this.#store.terms, upstream.target);
    if (shareTarget === undefined) return;
    const job = { ...offeredJob(upstream), shareTarget };
    const { nextId } = this.#state;
    const { clean: isClean, target: poolTarget } = upstream;
    this.#origins.set(nextId, { pool, job: upstream });
    this.#apply({ type: 'offered', instance, pool: pool.name, job, isClean, poolTarget });
    if (this.#state.nextId === nextId) this.#origins.delete(nextId);
  }

  #submit({ job }: GivenJob, solution: Solution): Promise<UpstreamVerdict> {
    const origin = this.#origins.get(job.id);
    const lost = { code: undefined, reason: 'maker_work_down', rttMs: undefined };
    if (origin === undefined) return Promise.resolve({ ...lost, outcome: 'lost' });
    const { extranonce2, ntime, nonce, version } = solution;
    const versionBits = (version & origin.job.versionMask) >>> 0;
    const share = { job: origin.job, extranonce2, ntime, nonce, versionBits };
    return new Promise((resolve) => origin.pool.submit(share, resolve));
  }

  #beginTicks(): void {
    this.#ticker ??= this.#deps.timers.every(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    this.#apply({ type: 'tick' });
    const { channel, stream } = this.#store;
    // Nobody mines any more.
    if (channel?.status !== 'open' || stream.status === 'ended')
      for (const instance of [...this.#relays.keys()]) this.#end(instance);
    if (!this.#store.isClosed) return;
    this.stop();
    this.#run(async () => this.#deps.files.remove(this.#store.contractId));
  }

  #apply(event: WorkJobsEvent): void {
    const { state, effects } = transition(
      this.#options,
      this.#state,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#state = state;
    for (const effect of effects) this.#follow(effect);
  }

  #follow(effect: WorkJobsEffect): void {
    switch (effect.type) {
      case 'give':
        this.stats.jobsGiven += 1;
        this.stats.isDown = false;
        this.#run(async () => this.#keep(effect.given));
        break;
      case 'give_again':
        this.#run(async () => this.#send(effect.given));
        break;
      case 'withdraw':
        this.#run(async () => this.#withdraw(effect.instance, effect.ids));
        break;
      case 'down':
        this.#sayDown(effect.instance, 'maker_work_down', effect.ids);
        break;
      case 'forget':
        for (const id of effect.ids) this.#origins.delete(id);
        this.#run(async () => this.#forget(effect.ids));
        break;
      case 'not_given':
        this.stats.notGiven[effect.why] = (this.stats.notGiven[effect.why] ?? 0) + 1;
        break;
      default:
        unreachable(effect);
    }
  }

  /** One after the other, as they were decided: a job is on disk before it leaves. */
  #run(task: () => Promise<void>): void {
    this.#serial.run(task).catch((error: unknown) => {
      this.#isTorn = true;
      this.#deps.log.warn({ error: String(error) }, 'the jobs of a contract cannot be written');
    });
  }

  async #keep(given: GivenJob): Promise<void> {
    if (!this.#state.jobs.has(given.job.id)) return;
    try {
      if (this.#isTorn) await this.#rewrite();
      else await this.#deps.files.append(this.#store.contractId, [keptLine(given)]);
    } catch (error) {
      // What is not on disk is not given: a restart could not credit it.
      this.#isTorn = true;
      this.#apply({ type: 'job_refused', id: given.job.id });
      throw error;
    }
    this.#linesOnDisk += 1;
    this.#send(given);
  }

  #send({ instance, job }: GivenJob): void {
    const peer = this.#peers.get(instance);
    const { contractId } = this.#store;
    if (peer === undefined || !this.#state.jobs.has(job.id)) return;
    call(peer, 'work.job', { contractId, instance, job }).then(
      () => this.#apply({ type: 'job_acked', id: job.id }),
      (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        if (peer.isClosed) return;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'the miner refused a job');
        this.stats.notGiven['refused'] = (this.stats.notGiven['refused'] ?? 0) + 1;
        this.#apply({ type: 'job_refused', id: job.id });
      },
    );
  }

  #withdraw(
    instance: string,
    all: readonly JobId[],
    why: Pick<Params<'work.gone'>, 'all' | 'code'> = {},
  ): void {
    const peer = this.#peerOf(instance);
    const { contractId } = this.#store;
    if (peer === undefined) return;
    for (let at = 0; at === 0 || at < all.length; at += LIMITS.jobsPerDestination) {
      const ids = all.slice(at, at + LIMITS.jobsPerDestination);
      call(peer, 'work.gone', { contractId, instance, ids, ...why }).then(
        () => this.#apply({ type: 'withdrawal_acked', ids }),
        (error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          // It mines them still, and is paid for them until their block is replaced.
          if (peer.isClosed || error.code === 'work_refused') return;
          this.#apply({ type: 'withdrawal_acked', ids });
        },
      );
    }
  }

  /** @param ids jobs that end with it */
  #sayDown(instance: string, code: ErrorCode, ids: readonly JobId[] = []): void {
    if (this.stats.isDown && ids.length === 0) return;
    this.stats.isDown = true;
    this.#deps.log.warn({ code }, 'no pool gives work for this contract');
    this.#run(async () => {
      // Another pool gave a job meanwhile, which must not end with them.
      if (this.stats.isDown) this.#withdraw(instance, ids, { all: true, code });
      else if (ids.length > 0) this.#withdraw(instance, ids);
    });
  }

  /**
   * Ends jobs on disk: a restart would credit them again. Where most lines are of such jobs, all are written
   * anew.
   */
  async #forget(ids: readonly JobId[]): Promise<void> {
    if (this.#isTorn || this.#linesOnDisk > 2 * this.#state.jobs.size + JOBS_AT_LEAST)
      return this.#rewrite();
    await this.#deps.files.append(this.#store.contractId, [endLine(ids)]);
    this.#linesOnDisk += 1;
  }

  async #rewrite(): Promise<void> {
    const lines = [...this.#state.jobs.values()].map(keptLine);
    await this.#deps.files.replace(this.#store.contractId, lines);
    this.#linesOnDisk = lines.length;
    this.#isTorn = false;
  }
}

function offeredJob(job: UpstreamJob): Omit<OfferedJob, 'shareTarget'> {
  const { version, prevHash, coinb1, coinb2, branches, bits, time } = job;
  const { extranonce1, extranonce2Size, versionMask, target } = job;
  return {
    ...{ version, prevHash, coinb1, coinb2, branches, bits, time },
    ...{ extranonce1, extranonce2Size, versionMask, upstreamTarget: target },
  };
}

/**
 * The share target of a job: the pool's own, or the hardest of the terms where the pool's is harder still.
 * Undefined where the pool's is easier than the terms allow: nobody may be assigned harder shares than the
 * pool counts.
 */
export function shareTargetFor(terms: MakerStore['terms'], poolTarget: bigint): bigint | undefined {
  const [easiest, hardest] = [easiestTarget(terms), hardestTarget(terms)];
  if (poolTarget > easiest) return undefined;
  const wanted = poolTarget < hardest ? hardest : poolTarget;
  if (decimalDifficultyOf(wanted) !== undefined) return wanted;
  // Shares are assigned difficulties: the next that is a little easier.
  const near = difficultyOfTarget(wanted);
  for (const part of [1e-15, 1e-12, 1e-9]) {
    const target = targetOfDifficulty(near * (1 - part));
    if (target >= wanted && target <= easiest) return target;
  }
  return undefined;
}
