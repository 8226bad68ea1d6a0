import { describe, expect, it } from 'vitest';
import {
  freshLease,
  type OwnershipEvent,
  type OwnershipState,
  ownershipOptions,
  ownershipStart,
  transition,
  wakeAtMs,
} from '../../src/fleet/ownership.ts';

const OPTIONS = ownershipOptions(10_000);
const LEASE = { resource: 'c', token: 3 };
const START = ownershipStart('c', 0);

/** What follows from events at their times: the state, and effects as text. */
function play(...events: readonly (readonly [atMs: number, event: OwnershipEvent])[]): {
  readonly state: OwnershipState;
  readonly effects: readonly string[];
} {
  let state = START;
  const effects: string[] = [];
  for (const [atMs, event] of events) {
    const step = transition(OPTIONS, state, event, atMs);
    state = step.state;
    effects.push(...step.effects.map((each) => (each.type === 'stop' ? `stop ${each.why}` : each.type)));
  }
  return { state, effects };
}

const tick = { type: 'tick' } as const;
const taken = { type: 'taken', lease: LEASE } as const;
const OWNED = [
  [0, tick],
  [100, taken],
] as const;

describe('an instance that wants a channel', () => {
  it('asks, owns it from the answer on, and for so long from its question', () => {
    const { state, effects } = play(...OWNED);
    expect(effects).toEqual(['take', 'own']);
    expect(freshLease(state, 7_999)).toEqual(LEASE);
    expect(freshLease(state, 8_000)).toBeUndefined();
  });

  it('asks again when the other one ought to be over, but not more often than it may', () => {
    const held = { type: 'held', owner: 'b', leftMs: 300 } as const;
    const { state, effects } = play([0, tick], [10, held], [310, tick], [311, tick]);
    expect(effects).toEqual(['take', 'take']);
    expect(state.owner).toBe('b');
    expect(wakeAtMs(play([0, tick], [10, { ...held, leftMs: 60_000 }]).state)).toBe(10 + OPTIONS.retryMs);
  });

  it('does not begin by an answer that came too late, and asks at once', () => {
    const { state, effects } = play([0, tick], [9_000, taken]);
    expect(effects).toEqual(['take', 'renew']);
    expect(freshLease(state, 9_000)).toBeUndefined();
    const renewed = transition(OPTIONS, state, { type: 'renewed' }, 9_050);
    expect(renewed.effects).toEqual([{ type: 'own', lease: LEASE }]);
  });
});

describe('an owner', () => {
  it('renews, and is fresh from each question that was answered', () => {
    const { state, effects } = play(...OWNED, [2_100, tick], [2_200, { type: 'renewed' }]);
    expect(effects.slice(2)).toEqual(['renew']);
    expect(freshLease(state, 10_099)).toEqual(LEASE);
    expect(freshLease(state, 10_100)).toBeUndefined();
  });

  it('stops before its lease is over where nobody answers, and goes on with the same where nobody took it', () => {
    const silent = [...OWNED, [2_100, tick], [4_000, { type: 'unanswered' }], [6_000, tick]] as const;
    const { state, effects } = play(...silent, [8_000, tick]);
    expect(effects.slice(2)).toEqual(['renew', 'renew', 'stop late']);
    expect(wakeAtMs(play(...silent).state)).toBe(8_000);
    const back = [{ type: 'stopped' }, { type: 'renewed' }] as const;
    const last = transition(OPTIONS, transition(OPTIONS, state, back[0], 8_001).state, back[1], 8_002);
    expect(last.effects).toEqual([{ type: 'own', lease: LEASE }]);
    // Not before it has stopped.
    expect(transition(OPTIONS, state, back[1], 8_002).effects).toEqual([]);
  });

  it('stops at once where it slept, whatever it hears first', () => {
    for (const event of [tick, { type: 'unanswered' }, { type: 'wanted', isWanted: true }] as const)
      expect(play(...OWNED, [2_100, tick], [60_000, event]).effects).toContain('stop late');
    const { state } = play(...OWNED);
    expect(freshLease(state, 60_000)).toBeUndefined();
  });

  it('that is refused once, by a renewal or a write, has lost it', () => {
    const refused = play(...OWNED, [2_100, tick], [2_200, { type: 'refused' }]);
    expect(refused.effects.slice(2)).toEqual(['renew', 'stop lost']);
    const written = play(...OWNED, [500, { type: 'lost', lease: LEASE }]);
    expect(written.effects.slice(2)).toEqual(['stop lost']);
    expect(freshLease(written.state, 600)).toBeUndefined();
    const older = play(...OWNED, [500, { type: 'lost', lease: { ...LEASE, token: 2 } }]);
    expect(older.effects.slice(2)).toEqual([]);
  });

  it('does not begin anew before it has stopped', () => {
    const again = { type: 'taken', lease: { ...LEASE, token: 9 } } as const;
    const lost = [...OWNED, [500, { type: 'lost', lease: LEASE }], [2_100, tick], [2_200, again]] as const;
    expect(play(...lost).effects.slice(2)).toEqual(['stop lost', 'take']);
    expect(play(...lost, [2_300, { type: 'stopped' }]).effects.slice(4)).toEqual(['own']);
  });

  it('leaves it to others once it has stopped', () => {
    const left = [...OWNED, [200, { type: 'wanted', isWanted: false }]] as const;
    expect(play(...left).effects.slice(2)).toEqual(['stop left']);
    const { state, effects } = play(...left, [300, { type: 'stopped' }], [9_000, tick]);
    expect(effects.slice(3)).toEqual(['give_back']);
    expect(wakeAtMs(state)).toBe(Infinity);
  });

  it('that is no longer to be one gives back what comes after all', () => {
    const { effects } = play([0, tick], [50, { type: 'wanted', isWanted: false }], [100, taken]);
    expect(effects).toEqual(['take', 'give_back']);
  });

  it('that is wanted again while it stops goes on when it has', () => {
    const wanted = (isWanted: boolean) => ({ type: 'wanted', isWanted }) as const;
    const { effects } = play(
      ...OWNED,
      [200, wanted(false)],
      [210, wanted(true)],
      [300, { type: 'stopped' }],
    );
    expect(effects.slice(2)).toEqual(['stop left', 'own']);
  });
});
