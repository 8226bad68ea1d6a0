import { describe, expect, it } from 'vitest';
import { type Fact, Timeline } from '../../src/daemon/timeline.ts';
import { VirtualTime } from '../base/virtual-time.ts';

type Type = 'pool' | 'block' | 'came';

function stand(start: readonly Fact<Type>[]) {
  const time = new VirtualTime();
  let facts = start;
  const timeline = new Timeline<Type>(() => facts, ['came'], time);
  const told = () =>
    timeline.rows.map(({ type, subject, before, after }) => [type, subject, before, after]);
  return { time, timeline, told, show: (...now: readonly Fact<Type>[]) => (facts = now) };
}

const pool = (subject: string, value: string): Fact<Type> => ({ type: 'pool', subject, value });
const came = (value: string, note: string): Fact<Type> => ({ type: 'came', subject: '', value, note });

describe('a timeline', () => {
  it('tells what is another value than before, what is new and what is gone, and no more', async () => {
    const { time, told, show } = stand([pool('a', 'up'), pool('b', 'up')]);
    await time.advance(3_000);
    expect(told()).toEqual([]);
    show(pool('a', 'down'), pool('b', 'up'));
    await time.advance(3_000);
    show(pool('c', 'up'), pool('a', 'up'));
    await time.advance(3_000);
    expect(told()).toEqual([
      ['pool', 'a', 'up', 'down'],
      ['pool', 'c', null, 'up'],
      ['pool', 'a', 'down', 'up'],
      ['pool', 'b', 'up', null],
    ]);
  });

  it('has number, time and contract of each', async () => {
    const { time, timeline, show } = stand([]);
    const startMs = time.clock.nowMs();
    timeline.add(pool('a', 'up'));
    show({ ...pool('b', 'up'), contract: 'c1' });
    await time.advance(1_000);
    expect(timeline.rows).toEqual([
      {
        ...{ number: 1, at_ms: startMs, type: 'pool', subject: 'a', contract: null, note: null },
        ...{ before: null, after: 'up' },
      },
      {
        ...{ number: 2, at_ms: startMs + 1_000, type: 'pool', subject: 'b', contract: 'c1', note: null },
        ...{ before: null, after: 'up' },
      },
    ]);
  });

  it('looks at what changes all the time once a minute, and tells it together', async () => {
    const { time, timeline, told, show } = stand([came('0', '')]);
    for (let second = 1; second < 60; second += 1) {
      show(came(String(second), `rig${second}`));
      await time.advance(1_000);
    }
    expect(told()).toEqual([]);
    await time.advance(1_000);
    expect(timeline.rows).toMatchObject([{ before: '0', after: '59', note: 'rig59' }]);
    await time.advance(120_000);
    expect(timeline.rows).toHaveLength(1);
  });

  it('keeps the newest, and nothing after its end', async () => {
    const { time, timeline, show } = stand([]);
    for (let count = 1; count <= 600; count += 1) {
      show({ type: 'block', subject: '', value: String(count) });
      await time.advance(1_000);
    }
    const { rows } = timeline;
    expect([rows.length, rows[0]!.number, rows.at(-1)!.number]).toEqual([500, 101, 600]);
    timeline.stop();
    show();
    await time.advance(5_000);
    expect(timeline.rows.at(-1)!.number).toBe(600);
  });
});
