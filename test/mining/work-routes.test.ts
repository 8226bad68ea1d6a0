import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DownstreamServer } from '../../src/downstream/server/server.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { Router } from '../../src/mining/router.ts';
import { NOWHERE } from '../../src/mining/routing.ts';
import {
  type ContractWork,
  type DestinationSetup,
  destinationOfRoute,
  unpaidReason,
  type WorkRoute,
  WorkRoutes,
  withoutContract,
  workFor,
} from '../../src/mining/work-routes.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import { SPLIT_OPTIONS } from '../../src/upstream/split.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { FakeDestination } from './fake-destination.ts';

function add(routes: WorkRoutes, name: string, more: Partial<DestinationSetup> = {}): FakeDestination {
  const setup = { ...{ role: 'contract', priority: 0, quota: undefined, extranonce1: 'auto' }, ...more };
  const destination = new FakeDestination(name);
  routes.add({ setup: { ...setup, name } as DestinationSetup, destination, node: undefined });
  return destination;
}

function contract(contractId: string, destination: string, more: Partial<ContractWork> = {}): ContractWork {
  return { contractId, destination, difficulty: 1, isDelivering: true, ...more };
}

/** A job by what it says of its route. */
function jobOf(destination: string): Parameters<WorkRoutes['destinationOf']>[0] {
  return { destination } as Parameters<WorkRoutes['destinationOf']>[0];
}

describe('what a job commits to', () => {
  const upstream = { upstreamJobId: '1', metadata: Uint8Array.of(1) } as unknown as UpstreamJob;
  const routesOf = (more: Partial<ContractWork>): { at: FakeDestination; route: WorkRoute } => {
    const routes = new WorkRoutes();
    const at = add(routes, 'pool');
    routes.setContract(contract('x', 'pool', more));
    return { at, route: routes.contracts[0]! };
  };

  it('is kept for a buyer that has to be shown it, and for nobody else', () => {
    const { metadata: _, ...bare } = upstream;
    expect(workFor(routesOf({ needsMetadata: true }).route, upstream)).toBe(upstream);
    expect(workFor(routesOf({}).route, upstream)).toEqual(bare);
    expect(workFor(routesOf({}).route, bare)).toBe(bare);
  });

  it('is not known of jobs of single miners, so that none is mined for such a buyer', () => {
    for (const needsMetadata of [true, false]) {
      const { at, route } = routesOf({ needsMetadata, unpaidReason: () => 'not asked' });
      at.mode = 'per_session';
      at.lastJob = upstream;
      expect(unpaidReason(route) !== undefined).toBe(needsMetadata);
      at.mode = 'shared';
      expect(unpaidReason(route)).toBe('not asked');
    }
  });
});

describe('WorkRoutes', () => {
  it('has a route for each contract, and one for each destination of the own', () => {
    const routes = new WorkRoutes();
    const [pool, own] = [add(routes, 'pool'), add(routes, 'own', { role: 'fallback', priority: 2 })];
    add(routes, 'better', { role: 'fallback', priority: 1 });
    expect(routes.destinations.map(({ setup: { name } }) => name)).toEqual(['pool', 'better', 'own']);
    expect(routes.of(pool)).toEqual([]);
    routes.setContract(contract('x', 'pool'));
    routes.setContract(contract('y', 'pool', { difficulty: 8 }));
    routes.setContract(contract('z', 'own', { isDelivering: false }));
    expect(routes.of(pool).map(({ name, stream }) => [name, stream])).toEqual([
      ['pool@x', 'x'],
      ['pool@y', 'y'],
    ]);
    expect(routes.of(own).map(({ name, stream }) => [name, stream])).toEqual([
      ['own', 'own:own'],
      ['own@z', 'z'],
    ]);
    const { contracts, fallbacks } = routes.routed();
    expect(contracts.map(({ health: { name } }) => name)).toEqual(['pool@x', 'pool@y']);
    expect(fallbacks.map(({ health: { name } }) => name)).toEqual(['better', 'own']);
    expect(['pool@x', 'pool#4', 'own'].map(destinationOfRoute)).toEqual(['pool', 'pool', 'own']);
    expect(['pool@x', 'pool#4', 'own'].map(withoutContract)).toEqual(['pool', 'pool#4', 'own']);
  });

  it('says what has changed', () => {
    const routes = new WorkRoutes();
    add(routes, 'pool');
    add(routes, 'other');
    const rate = { type: 'rate', hashesPerSecond: 5n } as const;
    const first = contract('x', 'pool', { quota: rate });
    expect(routes.setContract(first)?.ended).toBeUndefined();
    expect(routes.setContract({ ...first, quota: { ...rate } })).toBeUndefined();
    expect(routes.setContract({ ...first, quota: { ...rate, hashesPerSecond: 6n } })).toBeDefined();
    expect(routes.setContract({ ...first, isDelivering: false })).toBeDefined();
    expect(routes.setContract({ ...first, difficulty: 2 })).toBeDefined();
    expect(routes.setContract({ ...first, destination: 'other' })?.ended?.name).toBe('pool@x');
    expect(() => routes.setContract({ ...first, destination: 'none' })).toThrow(/no destination "none"/);
    expect(routes.endContract('x')?.name).toBe('other@x');
    expect(routes.endContract('x')).toBeUndefined();
  });

  it('divides the rate of a destination among its contracts that have none of their own', () => {
    const routes = new WorkRoutes();
    const rate = (hashesPerSecond: bigint) => ({ type: 'rate', hashesPerSecond }) as const;
    add(routes, 'pool', { quota: rate(90n) });
    const quotas = (): unknown[] => routes.routed().contracts.map(({ quota }) => quota);
    routes.setContract(contract('x', 'pool'));
    expect(quotas()).toEqual([rate(90n)]);
    routes.setContract(contract('y', 'pool'));
    routes.setContract(contract('z', 'pool', { quota: rate(7n) }));
    expect(quotas()).toEqual([rate(45n), rate(45n), rate(7n)]);
    routes.setContract(contract('x', 'pool', { isDelivering: false }));
    expect(quotas()).toEqual([rate(90n), rate(7n)]);
  });

  it('knows the way of the last shares for two minutes after an end, and not that of another destination', () => {
    const routes = new WorkRoutes();
    const before = add(routes, 'pool');
    routes.setContract(contract('x', 'pool'));
    const [pool] = routes.destinations;
    const ended = routes.remove(pool!);
    expect(ended.map(({ name }) => name)).toEqual(['pool@x']);
    expect(routes.contracts).toEqual([]);
    expect(ended.some((route) => routes.isLive(route))).toBe(false);
    routes.ended(ended, 0);
    routes.sweep(119_999);
    expect(routes.destinationOf(jobOf('pool@x'))?.destination).toBe(before);
    expect(routes.destinationOf(jobOf('pool#3'))?.destination).toBe(before);
    const after = add(routes, 'pool');
    expect(routes.destinationOf(jobOf('pool@x'))?.destination).toBe(before);
    routes.setContract(contract('x', 'pool'));
    routes.sweep(120_000);
    expect(routes.destinationOf(jobOf('pool@x'))?.destination).toBe(after);
    routes.ended([routes.endContract('x')!], 200_000);
    routes.sweep(400_000);
    expect(routes.destinationOf(jobOf('pool@x'))).toBeUndefined();
    expect(routes.destinationOf(jobOf('pool#3'))?.destination).toBe(after);
  });
});

/** Sessions that are where they were assigned last. */
class FakeSessions {
  readonly places = new Map<number, string>();
  moves = 0;

  constructor(count: number, at: string) {
    for (let id = 1; id <= count; id += 1) this.places.set(id, at);
  }

  get server(): Pick<DownstreamServer, 'assign' | 'session' | 'sessions'> {
    const assign = (which: 'all' | { readonly id: number }, destination: string): void => {
      for (const id of which === 'all' ? this.places.keys() : [which.id]) {
        if (this.places.get(id) !== destination) this.moves += 1;
        this.places.set(id, destination);
      }
    };
    const session = (id: number) => ({ id });
    const sessions = () =>
      [...this.places].map(([id, destination]) => ({
        ...{ id, destination, hashesPerSecond: 100, accepted: 100 },
      }));
    return { assign, session, sessions } as unknown as ReturnType<typeof Object.assign>;
  }
}

describe('any history of contracts and destinations', () => {
  const NAMES = ['a', 'b', 'c'];
  const IDS = ['x', 'y', 'z'];
  const step = fc.oneof(
    fc.record({
      what: fc.constant('set' as const),
      id: fc.constantFrom(...IDS),
      at: fc.constantFrom(...NAMES),
      isDelivering: fc.boolean(),
    }),
    fc.record({ what: fc.constant('end' as const), id: fc.constantFrom(...IDS) }),
    fc.record({
      what: fc.constantFrom('remove' as const, 'toggle' as const),
      at: fc.constantFrom(...NAMES),
    }),
  );

  it('leaves every session at once at a contract that wants it and works, else at the own, else nowhere', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), (steps, hasOwn) => {
        const routes = new WorkRoutes();
        const sessions = new FakeSessions(7, NOWHERE);
        const clock = new ManualClock(0);
        const router = new Router(
          { failover: FAILOVER_OPTIONS, split: SPLIT_OPTIONS },
          {
            ...{ server: () => sessions.server, clock, log: silentLogger },
            ...{ prepare: () => {}, routeOf: (_session, name) => name, onNowhere: () => {} },
            ...{ contractShareHashes: () => undefined, ownRoute: () => undefined },
          },
        );
        const destinations = new Map(NAMES.map((name) => [name, add(routes, name)]));
        if (hasOwn) add(routes, 'own', { role: 'fallback' });
        const streams = new Map<string, string>();
        router.update(routes.routed());
        for (const one of steps) {
          clock.advance(1_000);
          if (one.what === 'set') {
            if (!destinations.has(one.at)) destinations.set(one.at, add(routes, one.at));
            routes.setContract(contract(one.id, one.at, { isDelivering: one.isDelivering }));
          } else if (one.what === 'end') routes.endContract(one.id);
          else if (one.what === 'remove') {
            const mined = routes.destinations.find(({ setup }) => setup.name === one.at);
            if (mined !== undefined) routes.remove(mined);
            destinations.delete(one.at);
          } else {
            const destination = destinations.get(one.at);
            if (destination !== undefined) destination.isUp = !destination.isUp;
          }
          router.update(routes.routed());
          const wanting = routes.contracts.filter(isServed).map(({ name }) => name);
          const expected = wanting.length > 0 ? wanting : [hasOwn ? 'own' : NOWHERE];
          for (const place of sessions.places.values()) expect(expected).toContain(place);
          for (const { name, stream } of routes.contracts) {
            expect(streams.get(name) ?? stream).toBe(stream);
            streams.set(name, stream);
          }
        }
        const moves = sessions.moves;
        router.update(routes.routed());
        expect(sessions.moves).toBe(moves);
      }),
    );
  });

  function isServed({ contract: work, at: { destination } }: WorkRoute): boolean {
    return work?.isDelivering === true && destination.health.isUp;
  }
});
