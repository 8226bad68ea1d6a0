import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NO_ROUTE,
  type Plan,
  planText,
  type RoutedDestination,
  type RoutingDemand,
  type RoutingEvent,
  type RoutingState,
  transition as route,
} from '../../src/mining/routing.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';

const OPTIONS = { failover: { ...FAILOVER_OPTIONS, returnAfterMs: 60_000 } };

type How = 'up' | 'down' | 'sick';
type Wish = RoutedDestination['quota'];

function destination(name: string, how: How, quota?: Wish): RoutedDestination {
  return {
    health: {
      name,
      isUp: how !== 'down',
      jobAgeMs: how === 'down' ? undefined : 0,
      jobAgeLimitMs: 60_000,
      rejectRatio: how === 'sick' ? 0.9 : 0,
      verdicts: 100,
      rttMs: 5,
      shapeChanges: 0,
    },
    quota,
  };
}

const weight = (parts: number): Wish => ({ type: 'weight', weight: parts });
const rate = (hashesPerSecond: bigint): Wish => ({ type: 'rate', hashesPerSecond });

const demand = (routing: RoutingDemand): RoutingEvent => ({ type: 'demand', ...routing });

/** A step, and that it says what follows from it: all work made ready, and a move where the plan is new. */
function stepped(
  before: RoutingState,
  routing: RoutingDemand,
  nowMs: number,
): { state: RoutingState; plan: Plan } {
  const { state, effects } = route(OPTIONS, before, demand(routing), nowMs);
  const { plan } = state;
  const names = planText(plan) === 'none' ? [] : planText(plan).split('+');
  const isNew = planText(plan) !== planText(before.plan);
  expect(effects).toEqual([
    ...names.map((name) => ({ type: 'prepare', route: name })),
    ...(isNew ? [{ type: 'move', from: before.plan, to: plan }] : []),
  ]);
  return { state, plan };
}

/** The plans after each input, all at their times. */
function plansOf(...steps: readonly (readonly [atMs: number, input: RoutingDemand])[]): string[] {
  let state: RoutingState = NO_ROUTE;
  return steps.map(([atMs, input]) => {
    const next = stepped(state, input, atMs);
    state = next.state;
    return `${next.plan.type} ${planText(next.plan)}`;
  });
}

function planOf(contract: RoutedDestination | undefined, ...fallbacks: RoutedDestination[]): string {
  return plansOf([0, { contracts: contract === undefined ? [] : [contract], fallbacks }])[0]!;
}

describe('without weights and rates', () => {
  it('goes to the contract while it is served, else to the best of the own', () => {
    const [buyer, own, spare] = [
      destination('buyer', 'up'),
      destination('own', 'up'),
      destination('s', 'up'),
    ];
    expect(planOf(buyer, own, spare)).toBe('one buyer');
    expect(planOf(undefined, own, spare)).toBe('one own');
    expect(planOf(destination('buyer', 'down'), own, spare)).toBe('one own');
    expect(planOf(destination('buyer', 'sick'), own)).toBe('one buyer');
    expect(planOf(undefined, destination('own', 'down'), spare)).toBe('one s');
    expect(planOf(undefined, destination('own', 'sick'), destination('s', 'down'))).toBe('one own');
    expect(planOf(undefined, destination('own', 'down'))).toBe('one none');
    expect(planOf(undefined)).toBe('one none');
  });

  it('returns to a better destination after a time only', () => {
    const at = (how: How): RoutingDemand => ({
      contracts: [],
      fallbacks: [destination('own', how), destination('s', 'up')],
    });
    expect(
      plansOf([0, at('up')], [1, at('down')], [2, at('up')], [60_001, at('up')], [60_002, at('up')]),
    ).toEqual(['one own', 'one s', 'one s', 'one s', 'one own']);
  });
});

describe('any history of health', () => {
  const how = fc.constantFrom<How>('up', 'down', 'sick');
  const quota = fc.option(
    fc.oneof(
      fc.integer({ min: 1, max: 9 }).map(weight),
      fc.bigInt({ min: 1n, max: 9n }).map((hashes) => rate(hashes)),
    ),
    { nil: undefined },
  );
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 90_000 }),
    hows: fc.array(how, { minLength: 4 }),
  });

  it('leads only to who works, to nobody only when nobody does, and to the healthy before the sick', () => {
    fc.assert(
      fc.property(fc.array(quota, { minLength: 4, maxLength: 4 }), fc.array(step), (wishes, steps) => {
        let state: RoutingState = NO_ROUTE;
        let atMs = 0;
        for (const { afterMs, hows } of steps) {
          atMs += afterMs;
          const all = wishes.map((own, at) => destination(`d${at}`, hows[at]!, own));
          const next = stepped(state, { contracts: [], fallbacks: all }, atMs);
          state = next.state;
          const names = planText(next.plan).split('+');
          const states = names.map((name) => hows[Number(name.slice(1))]);
          const available = hows.slice(0, 4);
          if (available.includes('up')) expect(new Set(states)).toEqual(new Set(['up']));
          else if (available.includes('sick')) expect(new Set(states)).toEqual(new Set(['sick']));
          else expect(names).toEqual(['none']);
          if (next.plan.type === 'split') expect(names.length).toBeGreaterThan(1);
        }
      }),
    );
  });
});

describe('with weights and rates', () => {
  const [a, b] = [destination('a', 'up', weight(3)), destination('b', 'up', weight(1))];
  const own = destination('own', 'up');

  it('splits among those that have one; the rest stands by, or takes what rates leave', () => {
    expect(planOf(undefined, a, b, own)).toBe('split a+b');
    expect(planOf(undefined, destination('a', 'down', weight(3)), b, own)).toBe('one b');
    expect(
      planOf(undefined, destination('a', 'sick', weight(3)), destination('b', 'down', weight(1)), own),
    ).toBe('one own');
    const rated = destination('r', 'up', rate(5n));
    expect(planOf(undefined, rated, own)).toBe('split r+own');
    expect(planOf(undefined, rated, destination('own', 'sick'))).toBe('one r');
    expect(planOf(undefined, rated, b, own)).toBe('split r+b');
  });

  it('serves the sick when there is nobody else', () => {
    const [sickA, sickB] = [destination('a', 'sick', weight(3)), destination('b', 'sick', weight(1))];
    expect(planOf(undefined, sickA, sickB)).toBe('split a+b');
    expect(planOf(undefined, sickA, destination('own', 'down'))).toBe('one a');
    expect(planOf(undefined, destination('a', 'down', weight(1)), destination('own', 'sick'))).toBe(
      'one own',
    );
  });

  it('gives the contract its rate first and the own the rest, or all of it without a rate', () => {
    const buyer = destination('buyer', 'up', rate(5n));
    expect(planOf(buyer, a, b)).toBe('split buyer+a+b');
    expect(planOf(buyer, own)).toBe('split buyer+own');
    expect(planOf(buyer)).toBe('one buyer');
    expect(planOf(destination('buyer', 'up'), a, b)).toBe('one buyer');
    expect(planOf(destination('buyer', 'down', rate(5n)), a, b)).toBe('split a+b');
  });

  it('takes a new one at once, and one that failed after a time of health', () => {
    const at = (how: How): RoutingDemand => ({
      contracts: [],
      fallbacks: [destination('a', how, weight(3)), b],
    });
    expect(
      plansOf(
        [0, at('down')],
        [10, at('up')],
        [20, at('sick')],
        [30, at('up')],
        [40, at('down')],
        [50, at('up')],
        [60_049, at('up')],
        [60_050, at('up')],
        [60_060, at('up')],
      ),
    ).toEqual([
      ...['one b', 'split a+b', 'one b', 'one b', 'one b', 'one b', 'one b'],
      ...['split a+b', 'split a+b'],
    ]);
  });

  it('takes those on probation when nobody is steady', () => {
    const at = (howA: How, howB: How): RoutingDemand => ({
      contracts: [],
      fallbacks: [destination('a', howA, weight(3)), destination('b', howB, weight(1))],
    });
    expect(
      plansOf([0, at('up', 'up')], [1, at('down', 'up')], [2, at('up', 'down')], [3, at('up', 'up')]),
    ).toEqual(['split a+b', 'one b', 'one a', 'split a+b']);
  });
});

describe('several contracts', () => {
  const several = (contracts: RoutedDestination[], ...fallbacks: RoutedDestination[]): string =>
    plansOf([0, { contracts, fallbacks }])[0]!;
  const own = destination('own', 'up');

  it('share all hashrate by weight, and the own get what rates leave', () => {
    const [x, y] = [destination('x', 'up'), destination('y', 'up')];
    expect(several([x, y], own)).toBe('split x+y');
    expect(several([x, destination('y', 'down')], own)).toBe('one x');
    expect(several([destination('x', 'down'), destination('y', 'down')], own)).toBe('one own');
    const [ratedX, ratedY] = [destination('x', 'up', rate(5n)), destination('y', 'up', rate(3n))];
    expect(several([ratedX, ratedY], own)).toBe('split x+y+own');
    expect(several([ratedX, y], own)).toBe('split x+y');
    expect(several([ratedX, ratedY])).toBe('split x+y');
  });

  it('get equal parts, those by weight, and rates before both', () => {
    const quotasOf = (...contracts: RoutedDestination[]): unknown => {
      const { plan } = stepped(NO_ROUTE, { contracts, fallbacks: [own] }, 0);
      return plan.type === 'split' ? plan.destinations.map(({ quota }) => quota) : plan.destination;
    };
    expect(quotasOf(destination('x', 'up'), destination('y', 'up', weight(3)))).toEqual([
      weight(1),
      weight(3),
    ]);
    expect(quotasOf(destination('x', 'up', rate(4n)), destination('y', 'up'))).toEqual([
      rate(4n),
      weight(1),
    ]);
    expect(quotasOf(destination('x', 'up', rate(4n)))).toEqual([rate(4n), { type: 'rest' }]);
  });

  const contract = fc.record({
    how: fc.constantFrom<How>('up', 'down', 'sick'),
    isDelivering: fc.boolean(),
    quota: fc.option(
      fc.oneof(
        fc.integer({ min: 1, max: 9 }).map(weight),
        fc.bigInt({ min: 1n, max: 9n }).map((hashes) => rate(hashes)),
      ),
      { nil: undefined },
    ),
  });

  it('are served exactly while they deliver and work, whatever the own do; the own only beside rates', () => {
    const steps = fc.array(fc.array(contract, { maxLength: 5 }));
    fc.assert(
      fc.property(steps, fc.constantFrom<How>('up', 'down', 'sick'), (rounds, howOwn) => {
        let state: RoutingState = NO_ROUTE;
        for (const [round, contracts] of rounds.entries()) {
          const wanting = contracts.flatMap(({ how, isDelivering, quota }, at) =>
            isDelivering ? [destination(`c${at}`, how, quota)] : [],
          );
          const input = { contracts: wanting, fallbacks: [destination('own', howOwn)] };
          const next = stepped(state, input, round * 1_000);
          state = next.state;
          const names = planText(next.plan).split('+');
          const served = wanting.filter(({ health }) => health.isUp);
          const sold = served.map(({ health }) => health.name);
          expect(names.filter((name) => name.startsWith('c'))).toEqual(sold);
          const leavesRest = served.every(({ quota }) => quota?.type === 'rate');
          expect(names.includes('own')).toBe(leavesRest && howOwn !== 'down');
        }
      }),
    );
  });
});
