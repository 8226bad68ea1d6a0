import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import {
  initialWorkJobs,
  isBacklog,
  isCredited,
  type NotGiven,
  type OfferedJob,
  transition,
  type WorkJobsEffect,
  type WorkJobsEvent,
  type WorkJobsOptions,
} from '../../src/maker/work-jobs.ts';
import type { JobId } from '../../src/stratum/job-id.ts';
import { offer } from './work-fixtures.ts';

const OPTIONS: WorkJobsOptions = {
  ...{ graceMs: 10_000, backlogWindowMs: 600_000, backlogMs: 3_600_000 },
  ...{ withdrawalsPerBlock: 3, maxLive: 4, maxKept: 16 },
};
const A = 'aa'.repeat(16);
const B = 'bb'.repeat(16);

/** The machine with its time in hand. */
class Machine {
  nowMs = 1_000;
  state = initialWorkJobs([], 100, this.nowMs);
  readonly options: WorkJobsOptions;

  constructor(options: Partial<WorkJobsOptions> = {}) {
    this.options = { ...OPTIONS, ...options };
    this.on({ type: 'subscribed', instance: A });
  }

  on(event: WorkJobsEvent): readonly WorkJobsEffect[] {
    const { state, effects } = transition(this.options, this.state, event, this.nowMs);
    this.state = state;
    return effects;
  }

  /** The id of the job that was given, or why none was. */
  offer(
    job: OfferedJob,
    { isClean = false, instance = A, pool = 'p', poolTarget = job.upstreamTarget } = {},
  ): JobId | NotGiven {
    const effects = this.on({ type: 'offered', instance, pool, job, isClean, poolTarget });
    for (const effect of effects) {
      if (effect.type === 'give') return effect.given.job.id;
      if (effect.type === 'not_given') return effect.why;
    }
    throw new Error('neither given nor not');
  }

  given(job: OfferedJob, how = {}): JobId {
    const id = this.offer(job, how);
    if (typeof id !== 'number') throw new Error(id);
    this.on({ type: 'job_acked', id });
    return id;
  }

  statusOf(id: JobId): string | undefined {
    return this.state.jobs.get(id)?.status;
  }

  credits(id: JobId): boolean {
    return isCredited(this.state, id, this.nowMs);
  }
}

describe('the jobs that a maker gives', () => {
  it('are clean with another block alone, and never with one that was', () => {
    const machine = new Machine();
    const [a, b, c] = [machine.given(offer(1, 1)), machine.given(offer(1, 2)), machine.given(offer(2, 3))];
    expect([a, b, c].map((id) => machine.state.jobs.get(id)!.job.clean)).toEqual([true, false, true]);
    expect(machine.offer(offer(1, 4))).toBe('stale');
    const again = machine.given(offer(2, 4), { isClean: true });
    expect(machine.state.jobs.get(again)!.job.clean).toBe(false);
  });

  it('are of none of the last 16 blocks but the newest; what is older is as good as new', () => {
    const machine = new Machine({ maxKept: 64 });
    for (let block = 1; block <= 17; block += 1) machine.given(offer(block, block));
    expect([2, 16].map((block) => machine.offer(offer(block, 100)))).toEqual(['stale', 'stale']);
    const id = machine.given(offer(1, 101));
    expect(machine.state.jobs.get(id)!.job.clean).toBe(true);
    expect(machine.state.instances.get(A)!.blocks).toHaveLength(16);
    expect(machine.offer(offer(17, 102))).toBe('stale');
    // The one that it took the place of is forgotten too.
    expect(machine.offer(offer(2, 103))).toBeTypeOf('number');
  });

  it('are of so many processes of a miner, of which the one that is heard of again is the newest', () => {
    const machine = new Machine({ maxKept: 64 });
    const names = Array.from({ length: 17 }, (_, at) => `${at}`);
    for (const name of names.slice(0, 16)) {
      machine.on({ type: 'subscribed', instance: name });
      machine.given(offer(1, Number(name)), { instance: name });
    }
    const known = (): string[] => [...machine.state.instances.keys()].filter((name) => name !== A);
    expect(known()).toEqual(names.slice(0, 16));
    machine.given(offer(1, 50), { instance: '15' });
    expect(known()).toEqual(names.slice(0, 16));
    machine.given(offer(1, 51), { instance: '0' });
    expect(known()).toEqual([...names.slice(1, 16), '0']);
    machine.on({ type: 'subscribed', instance: '16' });
    machine.given(offer(1, 52), { instance: '16' });
    expect(known()).toEqual([...names.slice(2, 16), '0', '16']);
  });

  it('of another pool stay where those of one are withdrawn, however many are in force', () => {
    const machine = new Machine();
    const other = machine.given(offer(1, 1), { pool: 'q' });
    const own = [2, 3, 4].map((mark) => machine.given(offer(1, mark)));
    machine.given(offer(1, 5), { isClean: true });
    expect([other, ...own].map((id) => machine.statusOf(id))).toEqual([
      ...['live', 'leaving', 'leaving', 'leaving'],
    ]);
  });

  it('equal to one that ended are given again at its target, where the pool still takes that', () => {
    const machine = new Machine();
    const job = offer(1, 1);
    machine.given(job);
    machine.given(offer(1, 2), { isClean: true });
    expect(machine.offer(job, { poolTarget: job.shareTarget + 1n })).toBe('equal');
    expect(machine.offer(job, { poolTarget: job.shareTarget })).toBeTypeOf('number');
    expect(machine.offer(job, { poolTarget: job.shareTarget })).toBe('equal');
  });

  it('on an older block end nothing while the miner is away, and none on the newest', () => {
    const machine = new Machine();
    machine.given(offer(1, 1));
    const id = machine.given(offer(2, 2));
    machine.on({ type: 'unsubscribed', instance: A });
    expect([machine.offer(offer(1, 3)), machine.offer(offer(2, 4))]).toEqual(['away', 'away']);
    expect(machine.state.jobs.get(id)).toMatchObject({ status: 'live', isMissed: false });
    expect(machine.offer(offer(3, 5))).toBe('away');
    expect(machine.state.jobs.get(id)).toMatchObject({ status: 'live', isMissed: true });
  });

  it('end with the ack of the clean job, and are credited for the grace after it', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    const id = machine.offer(offer(2, 2)) as JobId;
    machine.nowMs += 5 * OPTIONS.graceMs;
    expect([machine.statusOf(old), machine.credits(old)]).toEqual(['leaving', true]);
    machine.on({ type: 'job_acked', id });
    machine.nowMs += OPTIONS.graceMs;
    expect([machine.statusOf(old), machine.credits(old)]).toEqual(['gone', true]);
    machine.nowMs += 1;
    expect(machine.credits(old)).toBe(false);
    expect(machine.on({ type: 'tick' })).toEqual([{ type: 'forget', ids: [old] }]);
    expect(machine.credits(id)).toBe(true);
  });

  it('are withdrawn where the pool has no use for them, and credited from the ack on for the grace', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    const other = machine.given(offer(1, 2), { pool: 'q' });
    const effects = machine.on({
      ...{ type: 'offered', instance: A, pool: 'p', job: offer(1, 3), isClean: true, poolTarget: 1n },
    });
    expect(effects.map(({ type }) => type)).toEqual(['give', 'withdraw']);
    expect(effects[1]).toMatchObject({ instance: A, ids: [old] });
    expect(machine.statusOf(other)).toBe('live');
    machine.nowMs += 100_000;
    expect(machine.credits(old)).toBe(true);
    machine.on({ type: 'withdrawal_acked', ids: [old] });
    machine.nowMs += OPTIONS.graceMs;
    expect(machine.credits(old)).toBe(true);
    machine.nowMs += 1;
    expect(machine.credits(old)).toBe(false);
  });

  it('are withdrawn so often on one block, and what may not be stays in force', () => {
    const machine = new Machine();
    const ids = [1, 2, 3, 4, 5].map((mark) => machine.given(offer(1, mark), { isClean: true }));
    expect(ids.map((id) => machine.statusOf(id))).toEqual([
      'leaving',
      'leaving',
      'leaving',
      'live',
      'live',
    ]);
    const next = machine.given(offer(2, 6));
    expect(machine.statusOf(ids[3]!)).toBe('gone');
    machine.given(offer(2, 7), { isClean: true });
    expect(machine.statusOf(next)).toBe('leaving');
  });

  it('are a backlog once the time is over in which they cost none, to the ms', () => {
    const machine = new Machine();
    const given = machine.state.jobs.get(machine.given(offer(1, 1)))!;
    const until = { ...given, freeUntilMs: 5_000 };
    expect([4_999, 5_000, 5_001].map((nowMs) => isBacklog(until, nowMs))).toEqual([false, false, true]);
  });

  it('are withdrawn with a pool that is lost, however many were, and count for those that follow', () => {
    const machine = new Machine();
    const lost = machine.given(offer(1, 1), { pool: 'q' });
    machine.given(offer(1, 2));
    machine.on({ type: 'pool_lost', instance: A, pool: 'q' });
    expect(machine.statusOf(lost)).toBe('leaving');
    const ids = [3, 4, 5, 6].map((mark) => machine.given(offer(1, mark), { isClean: true }));
    // One of three is used up.
    expect(ids.map((id) => machine.statusOf(id))).toEqual(['leaving', 'live', 'live', 'live']);
  });

  it('are in force so many, the oldest of which end without a word, and are credited with their block', () => {
    const machine = new Machine();
    const ids = Array.from({ length: 7 }, (_, mark) => machine.given(offer(1, mark)));
    const ended = ids.slice(0, 3);
    expect(ids.map((id) => machine.statusOf(id))).toEqual([
      ...['leaving', 'leaving', 'leaving', 'live', 'live', 'live', 'live'],
    ]);
    machine.nowMs += 100 * OPTIONS.graceMs;
    expect(ended.every((id) => machine.credits(id))).toBe(true);
    machine.given(offer(2, 9));
    machine.nowMs += OPTIONS.graceMs + 1;
    expect(ended.some((id) => machine.credits(id))).toBe(false);
  });

  it('are no more than can be kept: ended ones are forgotten first, then those that leave, the oldest first', () => {
    const machine = new Machine({ maxKept: 4, maxLive: 9 });
    const forgets = (mark: number, isClean = false): readonly JobId[] =>
      machine
        .on({ type: 'offered', instance: A, pool: 'p', job: offer(1, mark), isClean, poolTarget: 1n })
        .flatMap((effect) => (effect.type === 'forget' ? effect.ids : []));
    expect([forgets(1), forgets(2), forgets(3, true)]).toEqual([[], [], []]);
    const [first, second, third] = [...machine.state.jobs.keys()];
    machine.on({ type: 'withdrawal_acked', ids: [second!] });
    expect(forgets(4)).toEqual([]);
    expect([forgets(5), forgets(6), forgets(7)]).toEqual([[second], [first], [third]]);
    expect(machine.state.jobs.size).toBe(4);
    expect(machine.credits(third!)).toBe(false);
  });

  it('are not equal to one in force', () => {
    const machine = new Machine();
    machine.given(offer(1, 1));
    const shape: Partial<OfferedJob>[] = [
      { time: 1_800_000_000 },
      { version: 0x2000_2000 },
      { shareTarget: 5n },
      { upstreamTarget: 4n },
      { bits: 0x1d00_fffe },
    ];
    for (const change of shape) expect(machine.offer(offer(1, 1, change))).toBe('equal');
    for (const change of [
      { extranonce1: Uint8Array.of(1) },
      { branches: [] },
      { coinb1: Uint8Array.of(2) },
    ])
      expect(machine.offer(offer(1, 1, change))).toBeGreaterThan(0);
  });

  it('that are equal to a withdrawn one have its share target, or are not given', () => {
    const machine = new Machine();
    const first = machine.given(offer(1, 1, { shareTarget: 1000n, upstreamTarget: 900n }));
    machine.on({ type: 'pool_lost', instance: A });
    expect(machine.offer(offer(1, 1, { shareTarget: 1001n }), { poolTarget: 1001n })).toBe('equal');
    const again = machine.given(offer(1, 1, { shareTarget: 800n }), { poolTarget: 800n });
    expect(machine.state.jobs.get(again)!.job.shareTarget).toBe(1000n);
    expect(again).toBeGreaterThan(first);
  });

  it('of a pool that is lost are withdrawn, and the miner is told where there is no other', () => {
    const machine = new Machine();
    const p = machine.given(offer(1, 1), { pool: 'p' });
    const q = machine.given(offer(1, 2), { pool: 'q' });
    expect(machine.on({ type: 'pool_lost', instance: A, pool: 'q' })).toEqual([
      { type: 'withdraw', instance: A, ids: [q] },
    ]);
    expect(machine.on({ type: 'pool_lost', instance: A, pool: 'p' })).toEqual([
      { type: 'down', instance: A, ids: [p] },
    ]);
    expect(machine.on({ type: 'pool_lost', instance: A, pool: 'p' })).toEqual([]);
  });

  it('are given to nobody who is away; what ends meanwhile is told, and waits for the backlog', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    machine.on({ type: 'unsubscribed', instance: A });
    expect(machine.offer(offer(2, 2))).toBe('away');
    expect(machine.on({ type: 'pool_lost', instance: A })).toEqual([]);
    machine.nowMs += OPTIONS.backlogMs;
    expect(machine.on({ type: 'subscribed', instance: A })).toEqual([
      { type: 'withdraw', instance: A, ids: [old] },
    ]);
    machine.on({ type: 'withdrawal_acked', ids: [old] });
    machine.nowMs += OPTIONS.backlogWindowMs;
    expect(machine.credits(old)).toBe(true);
    machine.nowMs += 1;
    expect(machine.credits(old)).toBe(false);
  });

  it('that were just withdrawn when the link broke wait for the backlog too, once', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    machine.given(offer(2, 2));
    machine.nowMs += OPTIONS.graceMs;
    for (const isCreditedAfter of [true, false]) {
      machine.on({ type: 'unsubscribed', instance: A });
      machine.nowMs += OPTIONS.backlogWindowMs;
      machine.on({ type: 'tick' });
      machine.on({ type: 'subscribed', instance: A });
      machine.nowMs += 1;
      expect(machine.credits(old)).toBe(isCreditedAfter);
      machine.nowMs += OPTIONS.graceMs;
    }
  });

  it('are forgotten where the miner stays away longer than any backlog', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    machine.on({ type: 'unsubscribed', instance: A });
    machine.on({ type: 'pool_lost', instance: A });
    machine.nowMs += OPTIONS.backlogMs + OPTIONS.graceMs;
    expect(machine.on({ type: 'tick' })).toEqual([]);
    machine.nowMs += 1;
    expect(machine.on({ type: 'tick' })).toEqual([{ type: 'forget', ids: [old] }]);
  });

  it('in force are told again to the process that had them, and withdrawn from one that is no more', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    machine.on({ type: 'unsubscribed', instance: A });
    expect(machine.on({ type: 'subscribed', instance: A })).toMatchObject([
      { type: 'give_again', given: { job: { id: old } } },
    ]);
    machine.on({ type: 'unsubscribed', instance: A });
    expect(machine.on({ type: 'subscribed', instance: B })).toEqual([]);
    const id = machine.given(offer(1, 1, { extranonce1: Uint8Array.of(2) }), { instance: B });
    expect(machine.state.jobs.get(id)!.job.clean).toBe(true);
    expect(machine.on({ type: 'pool_lost', instance: A })).toEqual([
      { type: 'down', instance: A, ids: [old] },
    ]);
    machine.on({ type: 'withdrawal_acked', ids: [old] });
    machine.nowMs += OPTIONS.graceMs + 1;
    expect(machine.credits(old)).toBe(true);
  });

  it('of one process do not end those of another', () => {
    const machine = new Machine();
    const a = machine.given(offer(1, 1));
    expect(machine.on({ type: 'subscribed', instance: B })).toEqual([]);
    machine.given(offer(2, 1, { extranonce1: Uint8Array.of(2) }), { instance: B });
    expect(machine.state.jobs.get(a)).toMatchObject({ status: 'live', isMissed: false });
  });

  it('of a process that is gone while others are there are credited as long as a backlog is taken', () => {
    const machine = new Machine();
    const a = machine.given(offer(1, 1));
    machine.on({ type: 'subscribed', instance: B });
    const b = machine.given(offer(1, 1, { extranonce1: Uint8Array.of(2) }), { instance: B });
    expect(machine.on({ type: 'unsubscribed', instance: A })).toEqual([]);
    expect([machine.statusOf(a), machine.statusOf(b)]).toEqual(['gone', 'live']);
    expect(machine.offer(offer(1, 3))).toBe('away');
    machine.nowMs += OPTIONS.backlogWindowMs;
    expect(machine.credits(a)).toBe(true);
    machine.nowMs += 1;
    expect([machine.credits(a), machine.credits(b)]).toEqual([false, true]);
    // It comes back with what its pool has, under another id.
    machine.on({ type: 'subscribed', instance: A });
    expect(machine.offer(offer(1, 1))).toBeTypeOf('number');
  });

  it('that end while nobody brings the work of their process are credited once it is brought again', () => {
    for (const isBrought of [true, false]) {
      const machine = new Machine();
      machine.on({ type: 'subscribed', instance: B });
      const old = machine.given(offer(1, 1), { instance: B });
      machine.on({ type: 'delivers_not' });
      machine.given(offer(2, 2), { instance: B });
      machine.nowMs += OPTIONS.graceMs;
      if (isBrought) machine.on({ type: 'delivers' });
      machine.nowMs += 1;
      expect(machine.credits(old)).toBe(isBrought);
      machine.nowMs += OPTIONS.backlogWindowMs;
      expect(machine.credits(old)).toBe(false);
    }
  });

  it('that the miner refuses are none; what they replaced is withdrawn by name', () => {
    const machine = new Machine();
    const old = machine.given(offer(1, 1));
    const id = machine.offer(offer(2, 2)) as JobId;
    expect(machine.on({ type: 'job_refused', id })).toEqual([
      { type: 'withdraw', instance: A, ids: [old] },
      { type: 'forget', ids: [id] },
    ]);
    expect([machine.credits(old), machine.credits(id)]).toEqual([true, false]);
    expect(machine.on({ type: 'job_refused', id })).toEqual([]);
  });

  it('of an earlier run are credited until the miner has them withdrawn', () => {
    const before = new Machine();
    const id = before.given(offer(1, 1));
    const machine = new Machine();
    machine.state = initialWorkJobs([...before.state.jobs.values()], id + 1, machine.nowMs);
    expect(machine.credits(id)).toBe(true);
    expect(machine.on({ type: 'subscribed', instance: A })).toEqual([
      { type: 'withdraw', instance: A, ids: [id] },
    ]);
    machine.on({ type: 'withdrawal_acked', ids: [id] });
    machine.nowMs += OPTIONS.backlogWindowMs;
    expect(machine.credits(id)).toBe(true);
    machine.nowMs += 1;
    expect(machine.credits(id)).toBe(false);
    expect(machine.offer(offer(1, 2))).toBe(id + 1);
  });

  it('of an earlier run have their blocks, none of which makes a job clean for the same process again', () => {
    const before = new Machine();
    before.given(offer(1, 1));
    before.given(offer(2, 2));
    const machine = new Machine();
    machine.state = initialWorkJobs([...before.state.jobs.values()], 200, machine.nowMs);
    machine.on({ type: 'subscribed', instance: A });
    const cleanOf = (effects: readonly WorkJobsEffect[]): unknown[] =>
      effects.map((effect) => (effect.type === 'give' ? effect.given.job.clean : effect.type));
    const offered = (job: OfferedJob, instance: string): unknown[] => {
      const how = { instance, pool: 'p', isClean: false, poolTarget: job.upstreamTarget };
      return cleanOf(machine.on({ type: 'offered', job, ...how }));
    };
    expect(offered(offer(1, 3), A)).toEqual(['not_given']);
    expect(offered(offer(2, 4), A)).toEqual([false]);
    expect(offered(offer(3, 5), A)).toEqual([true]);
    // To another process of the miner they say nothing.
    machine.on({ type: 'subscribed', instance: B });
    expect(offered(offer(1, 6), B)).toEqual([true]);
  });

  it('keep all promises, whatever happens in whatever order', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          block: fc.nat({ max: 3 }),
          mark: fc.nat({ max: 5 }),
          isClean: fc.boolean(),
        }),
      },
      { weight: 5, arbitrary: fc.constantFrom('ack', 'ack', 'ack', 'lost', 'away', 'back', 'tick') },
      { weight: 2, arbitrary: fc.nat({ max: 700_000 }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const machine = new Machine();
        const model = new Model(machine);
        for (const each of steps) {
          if (typeof each === 'number') machine.nowMs += each;
          else if (typeof each === 'string') model.happens(each);
          else model.offers(each.block, each.mark, each.isClean);
          model.check();
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** What a miner may rely on, kept beside the machine. */
class Model {
  readonly #machine: Machine;
  readonly #unacked: { readonly type: 'job' | 'withdrawal'; readonly ids: readonly JobId[] }[] = [];
  readonly #ackedAtMs = new Map<JobId, number>();
  readonly #blocks: string[] = [];
  #lastId = 0;
  #churn = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  offers(block: number, mark: number, isClean: boolean): void {
    const how = { instance: A, pool: 'p', isClean, poolTarget: 1n };
    const effects = this.#machine.on({ type: 'offered', job: offer(block, mark), ...how });
    for (const effect of effects) if (effect.type === 'withdraw') this.#churn += effect.ids.length;
    this.#follow(effects);
    expect(this.#churn).toBeLessThanOrEqual(OPTIONS.withdrawalsPerBlock);
  }

  happens(what: 'ack' | 'lost' | 'away' | 'back' | 'tick'): void {
    const machine = this.#machine;
    if (what === 'ack') this.#acks();
    if (what === 'away') this.#unacked.length = 0;
    if (what === 'lost') this.#follow(machine.on({ type: 'pool_lost', instance: A }));
    if (what === 'away') this.#follow(machine.on({ type: 'unsubscribed', instance: A }));
    if (what === 'back') this.#follow(machine.on({ type: 'subscribed', instance: A }));
    if (what === 'tick') this.#follow(machine.on({ type: 'tick' }));
  }

  check(): void {
    const { state, nowMs } = this.#machine;
    const jobs = [...state.jobs.values()];
    expect(jobs.filter(({ status }) => status === 'live').length).toBeLessThanOrEqual(OPTIONS.maxLive);
    expect(jobs.length).toBeLessThanOrEqual(OPTIONS.maxKept);
    for (const given of jobs) {
      const { job, status } = given;
      const ackedAtMs = this.#ackedAtMs.get(job.id);
      if (status !== 'gone') expect(ackedAtMs).toBeUndefined();
      if (status !== 'gone' || nowMs - ackedAtMs! <= OPTIONS.graceMs)
        expect(isCredited(state, job.id, nowMs)).toBe(true);
      // Nothing is credited without a limit after the grace of its end.
      else expect(isBacklog(given, nowMs)).toBe(true);
    }
  }

  #acks(): void {
    const machine = this.#machine;
    const acked = this.#unacked.shift();
    if (acked === undefined || machine.state.awaySinceMs !== undefined) return;
    const open = [...machine.state.jobs.values()].filter(({ status }) => status === 'leaving');
    if (acked.type === 'job') machine.on({ type: 'job_acked', id: acked.ids[0]! });
    else machine.on({ type: 'withdrawal_acked', ids: acked.ids });
    for (const { job } of open)
      if (machine.statusOf(job.id) === 'gone') this.#ackedAtMs.set(job.id, machine.nowMs);
  }

  #follow(effects: readonly WorkJobsEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'withdraw' || effect.type === 'down')
        this.#unacked.push({ type: 'withdrawal', ids: effect.ids });
      if (effect.type !== 'give') continue;
      const { job, key } = effect.given;
      const block = toHex(job.prevHash);
      const equals = [...this.#machine.state.jobs.values()].filter((other) => other.key === key);
      expect(equals.filter(({ status }) => status === 'live')).toHaveLength(1);
      expect(new Set(equals.map((other) => other.job.shareTarget)).size).toBe(1);
      expect(job.clean).toBe(block !== this.#blocks.at(-1));
      if (job.clean) expect(this.#blocks.includes(block)).toBe(false);
      if (job.clean) {
        this.#churn = 0;
        this.#blocks.push(block);
      }
      expect(job.id).toBeGreaterThan(this.#lastId);
      this.#lastId = job.id;
      this.#unacked.push({ type: 'job', ids: [job.id] });
    }
  }
}
