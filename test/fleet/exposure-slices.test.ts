import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import {
  mayMine,
  NO_SLICES,
  outstandingHashes,
  parseSlices,
  type SlicesEvent,
  type SlicesState,
  slicesToJson,
  transition,
} from '../../src/fleet/exposure-slices.ts';
import '../seed.ts';

const OPTIONS = { limitHashes: 100n, sliceHashes: 40n };
const NAMES = ['a', 'b', 'c'] as const;

function played(...events: readonly SlicesEvent[]): SlicesState {
  return events.reduce((state, event) => transition(OPTIONS, state, event, 0).state, NO_SLICES);
}

const asked = (instance: string, doneHashes: bigint, run = 1): SlicesEvent => ({
  ...{ type: 'asked', instance, run, doneHashes },
});
const counted = (instance: string, countedHashes: bigint): SlicesEvent => ({
  type: 'counted',
  instance,
  countedHashes,
});

describe('slices of what may be delivered', () => {
  it('are as large as wanted while the limit allows, and what is left then', () => {
    const { state, effects } = transition(
      OPTIONS,
      played(asked('a', 0n), asked('b', 0n)),
      asked('c', 0n),
      0,
    );
    expect(effects).toEqual([{ type: 'granted', instance: 'c', grantedHashes: 20n }]);
    expect(outstandingHashes(state)).toBe(100n);
    expect(transition(OPTIONS, state, asked('a', 30n), 0).effects).toEqual([]);
  });

  it('grow by what is counted, and by nothing else', () => {
    const state = played(
      asked('a', 0n),
      asked('b', 0n),
      asked('c', 0n),
      counted('a', 30n),
      counted('a', 20n),
    );
    expect(outstandingHashes(state)).toBe(70n);
    expect(transition(OPTIONS, state, asked('c', 20n), 0).effects).toEqual([
      { type: 'granted', instance: 'c', grantedHashes: 50n },
    ]);
  });

  it('are free again, but for what was done, once an instance is over', () => {
    const state = played(asked('a', 0n), asked('b', 0n), { type: 'ended', instance: 'a', doneHashes: 15n });
    expect(outstandingHashes(state)).toBe(55n);
    // What it did is counted later, or before.
    expect(outstandingHashes(transition(OPTIONS, state, counted('a', 15n), 0).state)).toBe(40n);
  });

  it('of a run that is over are free for the next one, which knows them for its own', () => {
    const state = played(asked('a', 0n), asked('b', 0n), asked('a', 15n, 2));
    expect(state.slices.get('a')).toEqual({ run: 2, grantedHashes: 55n, countedHashes: 0n });
    expect(outstandingHashes(state)).toBe(95n);
    // Also where there is no more to be had.
    const full = played(asked('a', 0n), asked('b', 0n), asked('c', 0n));
    const step = transition({ ...OPTIONS, limitHashes: 0n }, full, asked('c', 20n, 2), 0);
    expect(step.effects).toEqual([{ type: 'granted', instance: 'c', grantedHashes: 20n }]);
  });

  it('bound whoever has them', () => {
    expect([mayMine(10n, 10n), mayMine(10n, 11n)]).toEqual([true, false]);
  });

  it('survive being written down, and nothing else is read', () => {
    const state = played(asked('a', 0n), counted('a', 7n), asked('b', 3n));
    expect(parseSlices(slicesToJson(state))).toEqual(state);
    for (const body of [
      '',
      '{}',
      '{"version":1,"slices":[{}]}',
      slicesToJson(state).replace('"7"', '"99"'),
    ]) {
      let code = '';
      try {
        parseSlices(body);
      } catch (error) {
        code = codeOf(error);
      }
      expect(code, body).toBe('ledger_corrupt');
    }
  });
});

/** One thing that happens between an owner, who may change, and instances that may be cut off. */
type Step =
  | { readonly type: 'mine'; readonly at: number; readonly hashes: bigint }
  | { readonly type: 'ask'; readonly at: number }
  | { readonly type: 'hear'; readonly at: number }
  | { readonly type: 'pay'; readonly at: number }
  | { readonly type: 'crash'; readonly at: number }
  | { readonly type: 'end'; readonly at: number }
  | { readonly type: 'owner_changes' };

const at = fc.nat({ max: NAMES.length - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('mine' as const), at, hashes: fc.bigInt({ min: 1n, max: 60n }) }),
  fc.record({ type: fc.constantFrom('ask', 'hear', 'pay', 'crash'), at }),
  fc.record({ type: fc.constantFrom('hear', 'pay'), at }),
  fc.record({ type: fc.constant('end' as const), at }),
  fc.constant({ type: 'owner_changes' as const }),
);

describe('however late, lost or repeated what they hear is', () => {
  it('instances together never have more unpaid than the limit', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        let stored = NO_SLICES;
        const done = NAMES.map(() => 0n);
        /** What each has heard that it was granted; a lost machine hears nothing. */
        const granted = NAMES.map(() => 0n);
        const isOver = NAMES.map(() => false);
        for (const each of steps) {
          const index = each.type === 'owner_changes' ? 0 : each.at;
          const instance = NAMES[index]!;
          const take = (event: SlicesEvent): void => {
            stored = transition(OPTIONS, stored, event, 0).state;
          };
          if (
            each.type === 'mine' &&
            !isOver[index] &&
            mayMine(granted[index]!, done[index]! + each.hashes)
          )
            done[index] = done[index]! + each.hashes;
          // A restart forgets what it was told; it asks with what its chain has, or with less.
          else if (each.type === 'crash') granted[index] = 0n;
          else if (each.type === 'ask') take(asked(instance, done[index]! / 2n));
          else if (each.type === 'hear') granted[index] = stored.slices.get(instance)?.grantedHashes ?? 0n;
          else if (each.type === 'pay') take(counted(instance, done[index]!));
          else if (each.type === 'end') {
            isOver[index] = true;
            take({ type: 'ended', instance, doneHashes: done[index]! });
          } else if (each.type === 'owner_changes') stored = parseSlices(slicesToJson(stored));
          const unpaid = NAMES.reduce(
            (sum, name, place) => sum + done[place]! - (stored.slices.get(name)?.countedHashes ?? 0n),
            0n,
          );
          expect(unpaid <= OPTIONS.limitHashes && outstandingHashes(stored) <= OPTIONS.limitHashes).toBe(
            true,
          );
        }
      }),
    );
  });
});
