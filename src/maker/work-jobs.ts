import { unreachable } from '../base/assert.ts';
import { concat, toHex } from '../base/bytes.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import type { JobId } from '../stratum/job-id.ts';

export type WorkJobsOptions = {
  /** Time in ms after the ack of a withdrawal in which shares of the job are credited. */
  readonly graceMs: number;
  /** The same where the miner was away when the job ended: its backlog comes first. */
  readonly backlogWindowMs: number;
  /** Greatest age in ms of work that a miner who was away may still bring. */
  readonly backlogMs: number;
  /** Jobs that may be withdrawn on one block; another block withdraws those before it for nothing. */
  readonly withdrawalsPerBlock: number;
  /** Jobs of an instance in force, and all of which shares may be credited, at most. */
  readonly maxLive: number;
  readonly maxKept: number;
};

/** A job as the pool gives it, with the share target of the contract. */
export type OfferedJob = Omit<WorkJob, 'id' | 'clean'>;

/** A job that was given to the miner. */
export type GivenJob = {
  readonly job: WorkJob;
  /** The process of the miner that it was given to, and the pool that it is of. */
  readonly instance: string;
  readonly pool: string;
  /** What makes shares of two jobs one: see `workKey`. */
  readonly key: string;
  /** In force; or at its end, which the miner has not acked; or ended. */
  readonly status: 'live' | 'leaving' | 'gone';
  /** It ends by this clean job, and not by a withdrawal. */
  readonly replacedBy: JobId | undefined;
  /** The miner was away when the job ended. */
  readonly isMissed: boolean;
  /** Monotonic time in ms until which shares of a withdrawn job are credited. */
  readonly untilMs: number;
  /** The same without a limit of work: what is credited after it is of the backlog. */
  readonly freeUntilMs: number;
};

const IN_FORCE = { untilMs: Number.POSITIVE_INFINITY, freeUntilMs: Number.POSITIVE_INFINITY };
const OVERDUE = { untilMs: Number.POSITIVE_INFINITY, freeUntilMs: Number.NEGATIVE_INFINITY };

/** What one process of the miner was given. */
export type InstanceBlocks = {
  /** Blocks that its jobs build on, the newest last: none of them makes a job clean again. */
  readonly blocks: readonly string[];
  /** Jobs withdrawn on the newest of them. */
  readonly withdrawals: number;
};

export type WorkJobsState = {
  /** By id, oldest first. */
  readonly jobs: ReadonlyMap<JobId, GivenJob>;
  readonly nextId: JobId;
  /** By instance, the one that was heard of last at the end. */
  readonly instances: ReadonlyMap<string, InstanceBlocks>;
  /** Processes of the miner that are connected and take jobs. */
  readonly subscribed: ReadonlySet<string>;
  /** Monotonic time in ms since which no work is brought; undefined while some is. */
  readonly awaySinceMs: number | undefined;
};

/** Why a job of the pool is not given to the miner. */
export type NotGiven =
  /** It is one in force already, or one withdrawn whose shares could not be told from its own. */
  | 'equal'
  /** On an earlier block. */
  | 'stale'
  /** Nobody is there to mine it. */
  | 'away';

export type WorkJobsEvent =
  | {
      readonly type: 'offered';
      readonly instance: string;
      readonly pool: string;
      readonly job: OfferedJob;
      /** The pool has no use for jobs before it. */
      readonly isClean: boolean;
      /** Target of the pool's shares, which the share target may not be harder than. */
      readonly poolTarget: bigint;
    }
  /** The miner has the job. */
  | { readonly type: 'job_acked'; readonly id: JobId }
  /** The miner does not mine it. */
  | { readonly type: 'job_refused'; readonly id: JobId }
  | { readonly type: 'withdrawal_acked'; readonly ids: readonly JobId[] }
  /** No work of this pool, or of any, can be submitted any more. */
  | { readonly type: 'pool_lost'; readonly instance: string; readonly pool?: string }
  | { readonly type: 'subscribed'; readonly instance: string }
  | { readonly type: 'unsubscribed'; readonly instance: string }
  /** Whoever brings the work of all processes is connected, or is not. */
  | { readonly type: 'delivers' }
  | { readonly type: 'delivers_not' }
  | { readonly type: 'tick' };

/** What is to be done, in this order. */
export type WorkJobsEffect =
  /** To disk, and then to the miner. */
  | { readonly type: 'give'; readonly given: GivenJob }
  /** The miner may have lost it. */
  | { readonly type: 'give_again'; readonly given: GivenJob }
  | { readonly type: 'withdraw'; readonly instance: string; readonly ids: readonly JobId[] }
  /** The instance has no job in force: these, the last, are withdrawn with all. */
  | { readonly type: 'down'; readonly instance: string; readonly ids: readonly JobId[] }
  /** No share of these can be credited any more. */
  | { readonly type: 'forget'; readonly ids: readonly JobId[] }
  | { readonly type: 'not_given'; readonly why: NotGiven };

export type WorkJobsTransition = {
  readonly state: WorkJobsState;
  readonly effects: readonly WorkJobsEffect[];
};

const BLOCKS_KEPT = 16;
const INSTANCES_KEPT = 16;
const NO_BLOCKS: InstanceBlocks = { blocks: [], withdrawals: 0 };

function withInstance(
  { instances }: WorkJobsState,
  instance: string,
  blocks: InstanceBlocks,
): WorkJobsState['instances'] {
  const others = [...instances].filter(([name]) => name !== instance).slice(1 - INSTANCES_KEPT);
  return new Map([...others, [instance, blocks]]);
}

/** The part of a job that its shares have in common with those of an equal one. */
export function workKey({ prevHash, coinb1, extranonce1, coinb2, branches }: OfferedJob): string {
  const parts = [prevHash, coinb1, extranonce1, coinb2, concat(...branches)];
  return parts.map(toHex).join(':');
}

/**
 * The state of a contract's jobs at a start: those on disk were given in an earlier run, and what became of
 * them is not known.
 * @param nextId above the ids of all jobs ever given
 */
export function initialWorkJobs(
  given: readonly Pick<GivenJob, 'job' | 'instance' | 'pool'>[],
  nextId: JobId,
  nowMs: number,
): WorkJobsState {
  const jobs = new Map(
    given.map((each): [JobId, GivenJob] => [
      each.job.id,
      {
        ...each,
        key: workKey(each.job),
        ...{ status: 'leaving', replacedBy: undefined, isMissed: true, ...OVERDUE },
      },
    ]),
  );
  let state: WorkJobsState = {
    ...{ jobs, nextId, instances: new Map(), subscribed: new Set(), awaySinceMs: nowMs },
  };
  for (const { instance, job } of given) {
    const { blocks } = state.instances.get(instance) ?? NO_BLOCKS;
    const more = [...new Set([...blocks, toHex(job.prevHash)])].slice(-BLOCKS_KEPT);
    state = { ...state, instances: withInstance(state, instance, { blocks: more, withdrawals: 0 }) };
  }
  return state;
}

/** True while shares of a job are credited. */
export function isCredited(state: WorkJobsState, id: JobId, nowMs: number): boolean {
  const given = state.jobs.get(id);
  if (given === undefined) return false;
  return given.status !== 'gone' || nowMs <= given.untilMs;
}

/** True where shares of a job are credited as a backlog alone, which has its limit. */
export function isBacklog({ freeUntilMs }: GivenJob, nowMs: number): boolean {
  return nowMs > freeUntilMs;
}

/** The life of the jobs that are given under one contract; pure. @param nowMs monotonic time */
export function transition(
  options: WorkJobsOptions,
  state: WorkJobsState,
  event: WorkJobsEvent,
  nowMs: number,
): WorkJobsTransition {
  switch (event.type) {
    case 'offered':
      return offered(options, state, event);
    case 'job_acked':
      return changed(state, (given) =>
        given.status === 'leaving' && given.replacedBy === event.id ? gone(options, given, nowMs) : given,
      );
    case 'job_refused':
      return jobRefused(state, event.id);
    case 'withdrawal_acked': {
      const ids = new Set(event.ids);
      return changed(state, (given) =>
        ids.has(given.job.id) && given.status === 'leaving' ? gone(options, given, nowMs) : given,
      );
    }
    case 'pool_lost':
      return poolLost(state, event);
    case 'subscribed':
      return subscribed(options, state, event.instance, nowMs);
    case 'unsubscribed':
      return unsubscribed(options, state, event.instance, nowMs);
    case 'delivers':
      return delivers(options, state, nowMs);
    case 'delivers_not':
      return { state: { ...state, awaySinceMs: state.awaySinceMs ?? nowMs }, effects: [] };
    case 'tick':
      return forgetDue(options, state, nowMs);
    default:
      return unreachable(event);
  }
}

function changed(state: WorkJobsState, change: (given: GivenJob) => GivenJob): WorkJobsTransition {
  const jobs = new Map([...state.jobs].map(([id, given]) => [id, change(given)]));
  return { state: { ...state, jobs }, effects: [] };
}

function gone(options: WorkJobsOptions, given: GivenJob, nowMs: number): GivenJob {
  const graceMs = given.isMissed ? Math.max(options.backlogWindowMs, options.graceMs) : options.graceMs;
  const untilMs = nowMs + graceMs;
  return { ...given, status: 'gone', untilMs, freeUntilMs: given.isMissed ? given.freeUntilMs : untilMs };
}

/** A job that ended while the miner was away, or ends now that it is. */
function missed(given: GivenJob): GivenJob {
  return { ...given, ...(given.status === 'gone' ? {} : OVERDUE), isMissed: true };
}

function offered(
  options: WorkJobsOptions,
  state: WorkJobsState,
  { instance, pool, job, isClean, poolTarget }: Extract<WorkJobsEvent, { readonly type: 'offered' }>,
): WorkJobsTransition {
  const notGiven = (why: NotGiven): WorkJobsTransition => ({
    state,
    effects: [{ type: 'not_given', why }],
  });
  const block = toHex(job.prevHash);
  const { blocks, withdrawals } = state.instances.get(instance) ?? NO_BLOCKS;
  const isNewest = blocks.at(-1) === block;
  const isOld = !isNewest && blocks.includes(block);
  if (!state.subscribed.has(instance))
    return { ...notGiven('away'), state: isNewest || isOld ? state : blockMissed(state, instance) };
  if (isOld) return notGiven('stale');
  const key = workKey(job);
  const equal = [...state.jobs.values()].findLast((each) => each.key === key);
  // Two equal jobs are never given at two targets: nobody can choose between them once a hash is known.
  if (equal !== undefined && (equal.status === 'live' || equal.job.shareTarget < poolTarget))
    return notGiven('equal');
  const id = state.nextId;
  const live = [...state.jobs.values()].filter(
    (each) => each.status === 'live' && each.instance === instance,
  );
  const useless = live.filter((each) => isClean && each.pool === pool);
  // Another block ends all before it. On one block, what may not be withdrawn stays in force.
  const leaving = isNewest ? useless.slice(0, options.withdrawalsPerBlock - withdrawals) : [];
  const jobs = new Map(state.jobs);
  for (const each of leaving) jobs.set(each.job.id, { ...each, status: 'leaving' });
  if (isNewest) {
    // No miner keeps so many: the oldest end without a word, and are credited as long as their block is.
    const rest = live.filter((each) => !leaving.includes(each));
    for (const each of rest.slice(0, Math.max(0, rest.length + 1 - options.maxLive)))
      jobs.set(each.job.id, { ...each, status: 'leaving' });
  } else {
    for (const each of state.jobs.values()) {
      if (each.instance === instance && each.status !== 'gone')
        jobs.set(each.job.id, { ...each, status: 'leaving', replacedBy: id });
    }
  }
  const shareTarget = equal?.job.shareTarget ?? job.shareTarget;
  const given: GivenJob = {
    ...{ instance, pool, key, job: { ...job, shareTarget, id, clean: !isNewest } },
    ...{ status: 'live', replacedBy: undefined, isMissed: false, ...IN_FORCE },
  };
  jobs.set(id, given);
  const forget = excessOf(options, jobs);
  for (const each of forget) jobs.delete(each);
  const effects: WorkJobsEffect[] = [{ type: 'give', given }];
  if (leaving.length > 0)
    effects.push({ type: 'withdraw', instance, ids: leaving.map((each) => each.job.id) });
  if (forget.length > 0) effects.push({ type: 'forget', ids: forget });
  const after = isNewest
    ? { blocks, withdrawals: withdrawals + leaving.length }
    : { blocks: [...blocks, block].slice(-BLOCKS_KEPT), withdrawals: 0 };
  return {
    state: { ...state, jobs, nextId: id + 1, instances: withInstance(state, instance, after) },
    effects,
  };
}

/** The block of an instance was replaced while the miner was away. */
function blockMissed(state: WorkJobsState, instance: string): WorkJobsState {
  const isOver = (each: GivenJob): boolean => each.instance === instance && each.status !== 'gone';
  return changed(state, (given) => (isOver(given) ? missed(given) : given)).state;
}

/** What the miner does not mine ended nothing: the jobs before it are withdrawn by name. */
function jobRefused(state: WorkJobsState, id: JobId): WorkJobsTransition {
  const given = state.jobs.get(id);
  if (given === undefined) return { state, effects: [] };
  const jobs = new Map(state.jobs);
  jobs.delete(id);
  const ids: JobId[] = [];
  for (const each of state.jobs.values()) {
    if (each.status !== 'leaving' || each.replacedBy !== id) continue;
    ids.push(each.job.id);
    jobs.set(each.job.id, { ...each, ...OVERDUE, replacedBy: undefined });
  }
  const { instance } = given;
  const withdraw: WorkJobsEffect[] = ids.length > 0 ? [{ type: 'withdraw', instance, ids }] : [];
  return { state: { ...state, jobs }, effects: [...withdraw, { type: 'forget', ids: [id] }] };
}

/** The jobs that are one too many: withdrawn ones first, the oldest of them. */
function excessOf({ maxKept }: WorkJobsOptions, jobs: ReadonlyMap<JobId, GivenJob>): JobId[] {
  const excess = jobs.size - maxKept;
  if (excess <= 0) return [];
  const order = ['gone', 'leaving', 'live'] as const;
  return order
    .flatMap((status) => [...jobs.values()].filter((each) => each.status === status))
    .slice(0, excess)
    .map(({ job }) => job.id);
}

function poolLost(
  state: WorkJobsState,
  { instance, pool }: Extract<WorkJobsEvent, { readonly type: 'pool_lost' }>,
): WorkJobsTransition {
  // Another process of the miner answers for one that is gone.
  const isMissed = state.subscribed.size === 0;
  const jobs = new Map(state.jobs);
  const ids: JobId[] = [];
  let isLast = true;
  for (const [id, each] of jobs) {
    if (each.instance !== instance || each.status !== 'live') continue;
    if (pool !== undefined && each.pool !== pool) {
      isLast = false;
      continue;
    }
    ids.push(id);
    const left: GivenJob = { ...each, status: 'leaving' };
    jobs.set(id, isMissed ? missed(left) : left);
  }
  if (ids.length === 0) return { state, effects: [] };
  // Work that cannot be submitted is worth nothing to anybody: it ends however many ended before it.
  const { blocks, withdrawals } = state.instances.get(instance) ?? NO_BLOCKS;
  const after = { blocks, withdrawals: withdrawals + (isLast ? 0 : ids.length) };
  const effects: WorkJobsEffect[] = [];
  if (!isMissed) effects.push({ type: isLast ? 'down' : 'withdraw', instance, ids });
  return { state: { ...state, jobs, instances: withInstance(state, instance, after) }, effects };
}

function subscribed(
  options: WorkJobsOptions,
  state: WorkJobsState,
  instance: string,
  nowMs: number,
): WorkJobsTransition {
  const due = forgetDue(options, state, nowMs);
  const awaySinceMs = due.state.awaySinceMs ?? nowMs;
  const jobs = new Map<JobId, GivenJob>();
  const effects: WorkJobsEffect[] = [...due.effects];
  const leaving = new Map<string, JobId[]>();
  for (const [id, each] of due.state.jobs) {
    // Other processes of the miner that are there go on with what they have.
    if (each.instance !== instance && state.subscribed.has(each.instance)) {
      jobs.set(id, longer(options, each, awaySinceMs, nowMs));
      continue;
    }
    const isMissed = each.status !== 'live' || each.instance !== instance;
    const replacedBy = each.status === 'leaving' ? undefined : each.replacedBy;
    const { untilMs } = longer(options, each, awaySinceMs, nowMs);
    const given = { ...(isMissed ? missed(each) : each), replacedBy };
    if (untilMs > each.untilMs) given.untilMs = untilMs;
    jobs.set(id, given);
    if (each.status === 'live' && each.instance === instance) effects.push({ type: 'give_again', given });
    if (each.status === 'leaving') leaving.set(each.instance, [...(leaving.get(each.instance) ?? []), id]);
  }
  for (const [of, ids] of leaving) effects.push({ type: 'withdraw', instance: of, ids });
  const there = new Set([...state.subscribed, instance]);
  return { state: { ...due.state, jobs, subscribed: there, awaySinceMs: undefined }, effects };
}

/** Shares found before work was not brought any more may come now, behind all that waited. */
function longer(
  { backlogWindowMs }: WorkJobsOptions,
  given: GivenJob,
  awaySinceMs: number,
  nowMs: number,
): GivenJob {
  const wasCredited = given.status === 'gone' && !given.isMissed && given.untilMs >= awaySinceMs;
  if (!wasCredited) return given;
  return { ...given, untilMs: Math.max(given.untilMs, nowMs + backlogWindowMs) };
}

/** A process is gone. While others are there its work still comes, with theirs, and nobody acks its jobs. */
function unsubscribed(
  options: WorkJobsOptions,
  state: WorkJobsState,
  instance: string,
  nowMs: number,
): WorkJobsTransition {
  const subscribed = new Set(state.subscribed);
  subscribed.delete(instance);
  if (subscribed.size === 0)
    return { state: { ...state, subscribed, awaySinceMs: state.awaySinceMs ?? nowMs }, effects: [] };
  const ended = changed(state, (each) =>
    each.instance === instance && each.status !== 'gone' ? gone(options, missed(each), nowMs) : each,
  );
  return { ...ended, state: { ...ended.state, subscribed } };
}

/** What ended since work was not brought any more is credited for as long as a backlog is taken. */
function delivers(options: WorkJobsOptions, state: WorkJobsState, nowMs: number): WorkJobsTransition {
  const { awaySinceMs } = state;
  if (awaySinceMs === undefined || state.subscribed.size === 0) return { state, effects: [] };
  const brought = changed(state, (each) => longer(options, each, awaySinceMs, nowMs));
  return { ...brought, state: { ...brought.state, awaySinceMs: undefined } };
}

/** Forgets the jobs of which no share can be credited any more. */
function forgetDue(options: WorkJobsOptions, state: WorkJobsState, nowMs: number): WorkJobsTransition {
  const { awaySinceMs } = state;
  const isLongAway = awaySinceMs !== undefined && nowMs - awaySinceMs > options.backlogMs + options.graceMs;
  const isDue = (each: GivenJob): boolean => {
    if (each.status === 'gone') return each.untilMs < (isLongAway ? nowMs : (awaySinceMs ?? nowMs));
    return each.status === 'leaving' && isLongAway;
  };
  const ids = [...state.jobs.values()].filter(isDue).map(({ job }) => job.id);
  if (ids.length === 0) return { state, effects: [] };
  const jobs = new Map(state.jobs);
  for (const id of ids) jobs.delete(id);
  return { state: { ...state, jobs }, effects: [{ type: 'forget', ids }] };
}
