import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DownstreamServer } from '../../src/downstream/server/server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { Router } from '../../src/mining/router.ts';
import { NOWHERE, type RoutedDestination } from '../../src/mining/routing.ts';
import {
  NONE_SLOW,
  SLOW_SESSIONS,
  type SlowSessionsState,
  type SpeedOfSession,
  transition,
} from '../../src/mining/slow-sessions.ts';
import { withoutContract } from '../../src/mining/work-routes.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import { SPLIT_OPTIONS } from '../../src/upstream/split.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { FakeDestination } from './fake-destination.ts';
import { destinationToml, type MiningStand, Stand, until } from './stand.ts';

/** Of difficulty 65,536. */
const SHARE_HASHES = 65_536 * 2 ** 32;
const MINUTE = 60_000;

const session = (id: number, more: Partial<SpeedOfSession> = {}): SpeedOfSession => {
  return { id, hashesPerSecond: 0, accepted: 0, guessed: undefined, connectedForMs: MINUTE, ...more };
};
const look = (
  state: SlowSessionsState,
  sessions: readonly SpeedOfSession[],
  shareHashes: number | undefined = SHARE_HASHES,
) => transition(SLOW_SESSIONS, state, { type: 'look', sessions, shareHashes }, 0);
const measured = (hashesPerSecond: number): SpeedOfSession => session(1, { hashesPerSecond, accepted: 20 });

describe('a session is too slow for a contract', () => {
  it.each([
    ['a NerdMiner by its name', session(1, { guessed: 65e3 }), true],
    ['a Bitaxe by its name', session(1, { guessed: 1e12 }), true],
    ['a Bitaxe as measured', measured(1.2e12), true],
    ['an S21', measured(200e12), false],
    ['one that is measured for a moment only', { ...measured(1e12), connectedForMs: 59_000 }, false],
    ['a machine of no name that has just come', session(1), false],
    ['one that is measured to be faster than its name', { ...measured(50e12), guessed: 1e12 }, false],
    ['one that has found nothing for long', session(1, { connectedForMs: 17 * MINUTE, accepted: 2 }), true],
  ])('%s: %s', (_who, one, isSlow) => {
    const { state, effects } = look(NONE_SLOW, [one]);
    expect(state.slow.has(1)).toBe(isSlow);
    expect(effects).toEqual(isSlow ? [{ type: 'changed', session: 1 }] : []);
  });

  it('and comes back only when it is clearly fast enough', () => {
    const perMinute = (shares: number): SpeedOfSession => measured((shares * SHARE_HASHES) / 60);
    let { state } = look(NONE_SLOW, [perMinute(0.49)]);
    expect(state.slow.get(1)).toBeCloseTo(0.49);
    for (const shares of [0.6, 0.99]) {
      const next = look(state, [perMinute(shares)]);
      expect(next.effects).toEqual([]);
      state = next.state;
    }
    const back = look(state, [perMinute(1.01)]);
    expect(back.effects).toEqual([{ type: 'changed', session: 1 }]);
    expect(look(back.state, [perMinute(0.51)]).effects).toEqual([]);
  });

  it('for none that wants it', () => {
    const { state } = look(NONE_SLOW, [session(1, { guessed: 65e3 })]);
    const ended = transition(
      SLOW_SESSIONS,
      state,
      { type: 'look', sessions: [session(1)], shareHashes: undefined },
      0,
    );
    expect(ended.state.slow.size).toBe(0);
    expect(ended.effects).toEqual([{ type: 'changed', session: 1 }]);
    // A session that is gone leaves nothing behind.
    expect(look(state, []).state.slow.size).toBe(0);
  });
});

describe('the router', () => {
  const CONTRACT = 'buyer@a1';

  /** Three machines: an S21, a Bitaxe and one that is as fast as the test says. */
  function routed() {
    const clock = new ManualClock(0);
    const at = new Map([1, 2, 3].map((id) => [id, NOWHERE]));
    const speeds = new Map([
      [1, 200e12],
      [2, 1e12],
      [3, 200e12],
    ]);
    let own: string | undefined = 'own';
    const assign = (which: 'all' | { readonly id: number }, to: string): void => {
      for (const id of which === 'all' ? at.keys() : [which.id]) at.set(id, to);
    };
    const sessions = () =>
      [...at].map(([id, destination]) => {
        const known = { id, destination, hashesPerSecond: speeds.get(id)!, accepted: 100, userAgent: '' };
        return { ...known, connectedForMs: clock.monotonicMs() };
      });
    const session = (id: number) => ({ id, isStarted: true, userAgent: '' });
    const server = { assign, session, sessions } as unknown as DownstreamServer;
    const router = new Router(
      { failover: FAILOVER_OPTIONS, split: SPLIT_OPTIONS },
      {
        ...{ server: () => server, clock, log: silentLogger, prepare: () => {}, onNowhere: () => {} },
        routeOf: (_session, name) => name,
        contractShareHashes: (name) => (name.includes('@') ? SHARE_HASHES : undefined),
        ownRoute: () => own,
      },
    );
    const health = (name: string): RoutedDestination => {
      const { health: one } = new FakeDestination(name);
      return { health: one, quota: undefined };
    };
    const demand = (hasContract: boolean): void =>
      router.update({ contracts: hasContract ? [health(CONTRACT)] : [], fallbacks: [health('own')] });
    const seconds = (count: number): void => {
      for (let second = 0; second < count; second += 1) {
        clock.advance(1_000);
        router.balance();
      }
    };
    const setOwn = (name: string | undefined): void => {
      own = name;
    };
    return { at, speeds, router, demand, seconds, setOwn };
  }

  it('sends who is measured too slow to the own pool, whichever that is, and back', () => {
    const { at, speeds, demand, seconds, setOwn, router } = routed();
    demand(false);
    seconds(60);
    expect([...at.values()]).toEqual(['own', 'own', 'own']);
    demand(true);
    expect([...at.values()]).toEqual([CONTRACT, 'own', CONTRACT]);
    expect(router.sharesPerMinuteOfSlow(2)).toBeCloseTo(0.213, 3);
    speeds.set(3, 2e12);
    seconds(10);
    expect(at.get(3)).toBe('own');
    setOwn('other');
    seconds(1);
    expect([...at.values()]).toEqual([CONTRACT, 'other', 'other']);
    speeds.set(3, 200e12);
    seconds(10);
    expect([...at.values()]).toEqual([CONTRACT, 'other', CONTRACT]);
    setOwn(undefined);
    seconds(1);
    expect([...at.values()]).toEqual([CONTRACT, CONTRACT, CONTRACT]);
  });
});

describe('a contract whose shares are hard', () => {
  let stand: Stand;
  beforeEach(() => {
    stand = new Stand();
  });
  afterEach(() => stand.close());

  const TOML = '[stratum]\nlisten = "127.0.0.1:0"\n';
  const A = 'a1'.repeat(32);

  function miner({ mining }: MiningStand, agent: string): Socket {
    const socket = connect(mining.server.addresses()[0]!.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`{"id":1,"method":"mining.subscribe","params":["${agent}"]}\n`);
    socket.write(`{"id":2,"method":"mining.authorize","params":["farm.${agent.slice(0, 4)}","x"]}\n`);
    stand.onClose(() => socket.destroy());
    return socket;
  }

  /** Where each mines to: by the name of a destination, `*` where it is for the contract. */
  const places = ({ mining }: MiningStand): Record<string, string> =>
    Object.fromEntries(
      mining.server.sessions().map(({ userAgent, destination }) => {
        const name = withoutContract(destination);
        return [userAgent, name === destination ? name : `${name}*`];
      }),
    );

  it('leaves slow machines at the own pool, and takes them where there is none', async () => {
    const [buyer, own] = [await stand.pool(), await stand.pool()];
    const rows = [destinationToml(buyer, 'buyer', 'role = "contract"'), destinationToml(own, 'own')];
    const made = await stand.mining(TOML + rows.join(''));
    const { mining } = made;
    await until(
      () => mining.destinations.every(({ health }) => health.jobAgeMs !== undefined),
      'both are up',
    );
    let heard = '';
    miner(made, 'NerdMinerV2/1.7').on('data', (chunk: Buffer) => {
      heard += chunk.toString();
    });
    miner(made, 'Antminer S21');
    const bothMine = (): boolean =>
      ['Antminer S21', 'NerdMinerV2/1.7'].every((agent) => places(made)[agent] === 'own');
    await until(bothMine, 'both mine');

    const contract = { contractId: A, destination: 'buyer', difficulty: 65_536, isDelivering: true };
    mining.setContract(contract);
    await until(() => places(made)['Antminer S21'] === 'buyer*', 'the contract has the fast one');
    expect(places(made)['NerdMinerV2/1.7']).toBe('own');
    const slow = mining.server.sessions().find(({ userAgent }) => userAgent.startsWith('Nerd'))!;
    const fast = mining.server.sessions().find(({ userAgent }) => userAgent.startsWith('Ant'))!;
    expect(mining.router.sharesPerMinuteOfSlow(slow.id)).toBeLessThan(0.5);
    expect(mining.router.sharesPerMinuteOfSlow(fast.id)).toBeUndefined();

    // Who comes while it runs is never given its work.
    miner(made, 'bitaxe/BM1370');
    await until(() => places(made)['bitaxe/BM1370'] === 'own', 'the Bitaxe mines');

    expect(heard).toContain('mining.notify');
    expect(heard).not.toContain('65536');
    mining.removeDestination('own');
    await until(
      () => Object.values(places(made)).every((place) => place === 'buyer*'),
      'all work for the contract',
    );
    mining.endContract(A);
    await until(() => mining.destination === 'none', 'nobody mines');
  });
});
