import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DELIVERY_START,
  type DeliveryEffect,
  type DeliveryEvent,
  type DeliveryOptions,
  type DeliveryState,
  dueHashesIn,
  FAULT_OWNERS,
  type FaultOwner,
  transition,
} from '../../src/contract/delivery-state.ts';
import { seededRandom } from '../seed.ts';
import { poisson } from './delivery-miners.ts';

const OPTIONS: DeliveryOptions = {
  dueHashes: 12n,
  shareHashes: 1n,
  tolerancePpm: 20_000,
  cureBlocks: 24,
  curtailmentBlocks: 60,
  shortfall: { alpha: 1e-3, tolerance: 0.02, windowMinutes: 1440, expectedMinutes: 10_080 },
};

/** A contract as its minutes go by, a block each ten of them. */
class Course {
  readonly options: DeliveryOptions;
  state: DeliveryState = DELIVERY_START;
  minute = 0;
  readonly effects: DeliveryEffect[] = [];

  constructor(options: DeliveryOptions = OPTIONS) {
    this.options = options;
  }

  get height(): number {
    return 1000 + Math.floor(this.minute / 10);
  }

  event(event: DeliveryEvent): void {
    const step = transition(this.options, this.state, event, this.height);
    this.state = step.state;
    this.effects.push(...step.effects);
  }

  minutes(count: number, credited: () => number, owner?: FaultOwner): void {
    for (let done = 0; done < count; done += 1) {
      this.event({ type: 'minute', creditedHashes: BigInt(credited()), owner });
      this.minute += 1;
    }
  }
}

const moves = (course: Course): string[] =>
  course.effects.map((effect) => (effect.type === 'status_changed' ? effect.to : effect.reason));

describe('delivery', () => {
  it('that stops is in cure within minutes, and in default when the time to make it up is over', () => {
    const random = seededRandom();
    const course = new Course();
    course.minutes(600, () => poisson(random, 12));
    expect(course.state.status).toBe('live');
    course.minutes(10, () => 0);
    expect(course.state.status).toBe('cure');
    const by = course.state.cureByHeight!;
    expect(by).toBeGreaterThanOrEqual(1060 + OPTIONS.cureBlocks);
    while (course.height < by) {
      expect(course.state.status).toBe('cure');
      course.minutes(1, () => 0);
    }
    course.minutes(1, () => 0);
    expect(course.state.status).toBe('default');
    expect(moves(course).slice(-2)).toEqual(['cure', 'default']);
  });

  it('that is made up in time is live again, and stays so', () => {
    const random = seededRandom();
    const course = new Course();
    course.minutes(60, () => 0);
    expect(course.state.status).toBe('cure');
    expect(course.state.missingHashes).toBe(660n);
    course.minutes(100, () => poisson(random, 24));
    expect(course.state.status).toBe('live');
    expect(course.state.cureByHeight).toBeUndefined();
    course.minutes(1440, () => poisson(random, 12));
    expect(course.state.status).not.toBe('default');
    expect(course.state.status).not.toBe('cure');
  });

  it('that only goes on as due makes up nothing', () => {
    const course = new Course();
    course.minutes(60, () => 0);
    while (course.height < course.state.cureByHeight!) {
      expect(course.state.status).toBe('cure');
      course.minutes(1, () => 12);
    }
    course.minutes(1, () => 12);
    expect(course.state.status).toBe('default');
  });

  it('is not excused by a surplus of before', () => {
    const course = new Course();
    course.minutes(1000, () => 24);
    course.minutes(10, () => 0);
    expect(course.state.status).toBe('cure');
    expect(course.state.missingHashes).toBeGreaterThan(100n);
  });

  it('owes nothing in minutes that are not the fault of the miner, of whoever else they are', () => {
    for (const owner of FAULT_OWNERS) {
      const course = new Course();
      course.minutes(2000, () => 0, owner);
      const isMiners = owner === 'miner_offline' || owner === 'miner_slow';
      expect(course.state.status, owner).toBe(isMiners ? 'default' : 'live');
      if (!isMiners) expect(course.state.missingHashes, owner).toBe(0n);
    }
  });

  it('owes nothing while curtailed by notice, and all of it from the first block after', () => {
    const course = new Course();
    course.minutes(10, () => 12);
    course.event({ type: 'curtailment', fromHeight: 1003, blocks: 40 });
    course.minutes(20, () => 12);
    course.minutes(400, () => 0);
    expect([course.height, course.state.status, course.state.curtailedBlocks]).toEqual([1043, 'live', 40]);
    course.minutes(10, () => 0);
    expect(course.state.status).toBe('cure');
  });

  it('owes everything later by exactly the blocks of a curtailment (I29)', () => {
    const heightOfCure = (blocks: number): number => {
      const course = new Course();
      course.minutes(10, () => 12);
      if (blocks > 0) course.event({ type: 'curtailment', fromHeight: 1003, blocks });
      course.minutes(20, () => 12);
      while (course.state.status === 'live') course.minutes(10, () => 0);
      expect(course.state.status).toBe('cure');
      return course.height;
    };
    const first = heightOfCure(0);
    const curtailed = Array.from({ length: 60 }, (_, index) => index + 1);
    expect(curtailed.map(heightOfCure)).toEqual(curtailed.map((blocks) => first + blocks));
  });

  it.each([
    ['not ahead of the tip', 1000, 5, 'not_ahead'],
    ['of no block', 1001, 0, 'not_ahead'],
    ['of more blocks than the terms allow', 1001, 61, 'beyond_allowance'],
  ] as const)('takes no notice that is %s', (_, fromHeight, blocks, reason) => {
    const course = new Course();
    course.event({ type: 'curtailment', fromHeight, blocks });
    expect(course.effects).toEqual([{ type: 'curtailment_refused', reason }]);
    expect(course.state).toEqual(DELIVERY_START);
  });

  it('takes notices one behind the other, as many blocks as the terms allow in all (I28)', () => {
    const course = new Course();
    course.event({ type: 'curtailment', fromHeight: 1001, blocks: 30 });
    course.event({ type: 'curtailment', fromHeight: 1031, blocks: 30 });
    expect(moves(course)).toEqual(['overlaps']);
    course.minutes(10, () => 12);
    course.event({ type: 'curtailment', fromHeight: 1030, blocks: 30 });
    expect(moves(course)).toEqual(['overlaps', 'overlaps']);
    course.event({ type: 'curtailment', fromHeight: 1031, blocks: 30 });
    expect(course.state.curtailedBlocks).toBe(60);
    course.event({ type: 'curtailment', fromHeight: 1090, blocks: 1 });
    expect(moves(course)).toEqual(['overlaps', 'overlaps', 'overlaps']);
  });

  it('is the same for all who read the same log, whatever they stop and restore in between', () => {
    const event = fc.oneof(
      {
        weight: 20,
        arbitrary: fc.record({
          type: fc.constant('minute' as const),
          creditedHashes: fc.bigInt(0n, 40n),
          owner: fc.option(fc.constantFrom(...FAULT_OWNERS), { nil: undefined }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant('curtailment' as const),
          fromHeight: fc.integer({ min: 990, max: 1100 }),
          blocks: fc.integer({ min: 0, max: 70 }),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), (events) => {
        const [one, other] = [new Course(), new Course()];
        let missing = 0n;
        for (const next of events) {
          const due = next.type === 'minute' ? dueHashesIn(OPTIONS, one.state, next.owner, one.height) : 0n;
          const wasDefault = one.state.status === 'default';
          for (const course of [one, other]) {
            course.event(next);
            if (next.type === 'minute') course.minute += 1;
          }
          other.state = structuredClone(other.state);
          if (wasDefault) expect(one.state.status).toBe('default');
          if (next.type === 'minute' && !wasDefault) {
            const after = missing + (due * 980_000n) / 1_000_000n - next.creditedHashes;
            missing = after > 0n ? after : 0n;
            expect(one.state.missingHashes).toBe(missing);
          }
          expect(one.state.curtailedBlocks).toBeLessThanOrEqual(OPTIONS.curtailmentBlocks);
        }
        expect(one.state).toEqual(other.state);
        expect(one.effects).toEqual(other.effects);
      }),
      { numRuns: 200 },
    );
  });

  it('of honest miners ends in default in none of fifty weeks', () => {
    const random = seededRandom();
    for (let week = 0; week < 50; week += 1) {
      const course = new Course();
      course.minutes(10_080, () => poisson(random, 12));
      expect(course.state.status).not.toBe('default');
    }
  });
});
