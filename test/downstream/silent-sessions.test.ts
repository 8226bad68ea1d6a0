import { expect, it } from 'vitest';
import { SilentSessions } from '../../src/downstream/server/silent-sessions.ts';

function sessionOf(name: string, seenAtMonotonicMs: number, accepted = 0) {
  const session = { address: name, seenAtMonotonicMs, accepted, isClosed: false, reason: '' };
  const close = (reason: string): void => {
    session.isClosed = true;
    session.reason = reason;
  };
  return Object.assign(session, { close });
}

it('ends the session that is silent longest, one for each that comes, and spares who earns', () => {
  const all = [
    sessionOf('b', 1_000),
    sessionOf('earns', 0, 1),
    sessionOf('a', 500),
    sessionOf('speaks', 95_000),
    sessionOf('c', 2_000),
  ];
  const facts: unknown[] = [];
  const silent = new SilentSessions({ sessions: () => all, onFull: (fact) => facts.push(fact) });
  const ended = (): string[] => all.filter(({ isClosed }) => isClosed).map(({ address }) => address);
  silent.makeRoom(100_000);
  expect(ended()).toEqual(['a']);
  expect(facts).toEqual([{ silent: 3, longestMs: 99_500 }]);
  // One that spoke meanwhile stays.
  all[0]!.seenAtMonotonicMs = 100_000;
  silent.makeRoom(100_100);
  expect(ended()).toEqual(['a', 'c']);
  expect(all.at(-1)!.reason).toBe('session_limit');
  // All are looked at once a second, however many come.
  for (let count = 0; count < 100; count += 1) silent.makeRoom(100_500);
  expect(facts).toHaveLength(1);
  silent.makeRoom(130_000);
  expect(ended()).toEqual(['earns', 'a', 'c']);
});
