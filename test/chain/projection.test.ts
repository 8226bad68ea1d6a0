import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isDueByClock,
  type ProjectionEvent,
  projectedHeightOf,
  projectionFrom,
  SILENT_CLOSE_MS,
  transition,
} from '../../src/chain/projection.ts';

const INTERVAL = 600_000;
const OPTIONS = { blockIntervalMs: INTERVAL, lateBlocks: 12 };
const tip = (height: number, ageMs = 0): ProjectionEvent => ({ type: 'tip', height, ageMs });

/** Runs events at their times. @returns the effects by time */
function run(events: readonly (readonly [nowMs: number, event: ProjectionEvent])[], options = OPTIONS) {
  let state = projectionFrom(0);
  const effects = events.flatMap(([nowMs, event]) => {
    const next = transition(options, state, event, nowMs);
    state = next.state;
    return next.effects.map((effect) => [nowMs / INTERVAL, effect.type] as const);
  });
  return { state, effects };
}

const asked: ProjectionEvent = { type: 'asked' };
const at = (intervals: number, event: ProjectionEvent) => [intervals * INTERVAL, event] as const;

describe('the height by the clock', () => {
  it('runs on from the last tip, by whole intervals', () => {
    const { state } = run([at(1, tip(100)), at(3, tip(101))]);
    expect(projectedHeightOf(OPTIONS, state, 3 * INTERVAL)).toBe(101);
    expect(projectedHeightOf(OPTIONS, state, 5 * INTERVAL - 1)).toBe(102);
    expect(projectedHeightOf(OPTIONS, state, 5 * INTERVAL)).toBe(103);
    expect(projectedHeightOf(OPTIONS, projectionFrom(0), INTERVAL)).toBeUndefined();
    const off = { ...OPTIONS, blockIntervalMs: 0 };
    expect(projectedHeightOf(off, state, 1e12)).toBe(101);
  });

  it('is that of the block where a run begins with an old one, and no date in the future counts', () => {
    expect(projectedHeightOf(OPTIONS, run([at(0, tip(100, 5 * INTERVAL))]).state, 0)).toBe(105);
    expect(projectedHeightOf(OPTIONS, run([at(0, tip(100, -5 * INTERVAL))]).state, 0)).toBe(100);
    expect(projectedHeightOf(OPTIONS, run([at(0, tip(1)), at(0, tip(2, 9 * INTERVAL))]).state, 0)).toBe(2);
  });
});

describe('silence', () => {
  it('is told once, after twelve blocks did not come and all nodes were asked, and its end too', () => {
    const events = [
      at(0, tip(100)),
      at(11.99, asked),
      at(12, asked),
      at(13, asked),
      at(14, tip(101)),
      at(20, asked),
    ];
    expect(run(events).effects).toEqual([
      [12, 'stalled'],
      [14, 'advanced'],
    ]);
  });

  it('is not told before the nodes were asked: a machine that slept knows nothing', () => {
    expect(run([at(0, tip(100)), at(90, tip(190)), at(90, asked)]).effects).toEqual([]);
  });

  it('is not ended by a tip that is no higher', () => {
    expect(run([at(0, tip(100)), at(12, asked), at(13, tip(100)), at(13, tip(99))]).effects).toEqual([
      [12, 'stalled'],
    ]);
  });

  it('is none where nothing is projected', () => {
    const options = { ...OPTIONS, blockIntervalMs: 0 };
    expect(run([at(0, tip(100, 1e12)), at(1e6, asked)], options).effects).toEqual([]);
  });

  it('is told where no node ever answered', () => {
    expect(run([at(12, asked)]).effects).toEqual([[12, 'stalled']]);
  });

  it('alternates with its end, whatever comes', () => {
    const event = fc.oneof(
      fc.constant(asked),
      fc.nat({ max: 200 }).map((height) => tip(height)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 30 }), event), { maxLength: 40 }), (steps) => {
        let now = 0;
        const timed = steps.map(([wait, step]) => {
          now += wait;
          return at(now, step);
        });
        const told = run(timed).effects.map(([, type]) => type);
        expect(told).toEqual(told.map((_type, index) => (index % 2 === 0 ? 'stalled' : 'advanced')));
      }),
    );
  });
});

describe('a deadline by the clock', () => {
  it('comes only after hours without a block, and only when its height is projected', () => {
    const due = (silentMs: number, projectedHeight: number | undefined): boolean =>
      isDueByClock({ silentMs, projectedHeight }, 500);
    expect(due(SILENT_CLOSE_MS, 500)).toBe(true);
    expect(due(SILENT_CLOSE_MS - 1, 500)).toBe(false);
    expect(due(SILENT_CLOSE_MS, 499)).toBe(false);
    expect(due(SILENT_CLOSE_MS, undefined)).toBe(false);
  });
});
