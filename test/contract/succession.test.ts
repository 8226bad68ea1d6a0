import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  delivers,
  mayOpen,
  NO_SUCCESSION,
  type SuccessionEvent,
  type SuccessionState,
  transition,
} from '../../src/contract/succession.ts';

const BLOCK_MS = 600_000;
const OPTIONS = { renews: true, leadBlocks: 39, blockIntervalMs: BLOCK_MS, retryMs: 300_000 };
const STEP_MS = 60_000;
const MANY_BLOCKS = 1_000_000;

/** A line whose contracts hold some work each, at a steady rate, in virtual time. */
class Line {
  state: SuccessionState = NO_SUCCESSION;
  nowMs = 0;
  opened = 0;
  /** Contracts that take work at one moment: the one delivered to, where it does. */
  readonly left = new Map<string, bigint>();
  readonly deepAtMs = new Map<string, number>();
  idleMs = 0;
  readonly order: string[] = [];
  readonly #size: bigint;
  /** How long each opening takes; undefined: it is refused. */
  readonly #openings: readonly (number | undefined)[];

  constructor(size: bigint, openings: readonly (number | undefined)[]) {
    this.#size = size;
    this.#openings = openings;
    this.#add('c0', 0);
    this.apply({ type: 'deep', contractId: 'c0' });
  }

  #add(contractId: string, takesMs: number): void {
    this.left.set(contractId, this.#size);
    this.deepAtMs.set(contractId, this.nowMs + takesMs);
    this.apply({ type: 'added', contractId });
  }

  apply(event: SuccessionEvent): void {
    const { state, effects } = transition(OPTIONS, this.state, event, this.nowMs);
    this.state = state;
    for (const effect of effects) {
      if (effect.type === 'move') continue;
      const takesMs = this.#openings[this.opened % this.#openings.length];
      this.opened += 1;
      if (takesMs === undefined) this.apply({ type: 'refused' });
      else this.#add(`c${this.opened}`, takesMs);
    }
  }

  step(hashesPerSecond: bigint): void {
    this.nowMs += STEP_MS;
    for (const [contractId, atMs] of this.deepAtMs)
      if (atMs <= this.nowMs) this.apply({ type: 'deep', contractId });
    const current = this.state.current!;
    const left = this.left.get(current)!;
    const done = (hashesPerSecond * BigInt(STEP_MS)) / 1000n;
    if (left <= 0n) this.idleMs += STEP_MS;
    else {
      if (this.order.at(-1) !== current) this.order.push(current);
      this.left.set(current, left - done);
      if (left - done <= 0n) this.apply({ type: 'over', contractId: current });
    }
    const remainingHashes = this.left.get(this.state.current!)!;
    this.apply({ type: 'progress', remainingHashes, hashesPerSecond, blocksLeft: MANY_BLOCKS });
  }
}

const LEAD_MS = OPTIONS.leadBlocks * BLOCK_MS;

describe('contracts that follow each other', () => {
  it('leave no gap while each is deep in its time, whatever they hold', () => {
    const rate = fc.bigInt({ min: 1n, max: 10n ** 18n });
    const openings = fc.array(fc.integer({ min: 0, max: LEAD_MS - 2 * STEP_MS }), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(
        rate,
        fc.integer({ min: 400, max: 3000 }),
        openings,
        (hashesPerSecond, minutes, times) => {
          const line = new Line(hashesPerSecond * 60n * BigInt(minutes), times);
          for (let done = 0; done < 7 * 1440; done += 1) line.step(hashesPerSecond);
          expect(line.idleMs).toBe(0);
          expect(line.order).toEqual(line.order.map((_id, at) => `c${at}`));
          // One is opened beside the one that runs, and no more.
          expect(line.opened).toBeLessThanOrEqual(line.order.length);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('are proposed again where one is refused, not at once, and not forgotten', () => {
    const rate = 1000n;
    const line = new Line(rate * 60n * 600n, [undefined, undefined, 3_600_000]);
    for (let done = 0; done < 1440; done += 1) line.step(rate);
    expect(line.idleMs).toBe(0);
    expect(line.order).toEqual(['c0', 'c3', 'c6']);
  });

  it('are opened in time before the blocks of one are over, however slow it is', () => {
    const line = new Line(10n ** 30n, [0]);
    const left = { remainingHashes: 10n ** 30n, hashesPerSecond: 0n };
    line.apply({ type: 'progress', ...left, blocksLeft: OPTIONS.leadBlocks + 1 });
    expect(line.opened).toBe(0);
    line.apply({ type: 'progress', ...left, blocksLeft: OPTIONS.leadBlocks });
    expect(line.opened).toBe(1);
    expect([delivers(line.state, 'c0'), delivers(line.state, 'c1')]).toEqual([true, false]);
  });

  it('one that ends before it was deep is replaced, and the one that runs goes on', () => {
    const line = new Line(10n ** 30n, [10 * LEAD_MS]);
    const progress = {
      type: 'progress',
      remainingHashes: 1n,
      hashesPerSecond: 1n,
      blocksLeft: 100,
    } as const;
    line.apply(progress);
    line.apply({ type: 'over', contractId: 'c1' });
    line.apply(progress);
    expect(line.opened).toBe(1);
    line.nowMs += OPTIONS.retryMs;
    line.apply(progress);
    expect(line.opened).toBe(2);
    expect(delivers(line.state, 'c0')).toBe(true);
  });

  it('end with the last where nobody asks for more, and one that is asked for takes over at once or later', () => {
    const once = { ...OPTIONS, renews: false };
    for (const takesOver of [false, true]) {
      let state = NO_SUCCESSION;
      const step = (event: SuccessionEvent) => {
        const moved = transition(once, state, event, 0);
        state = moved.state;
        return moved.effects;
      };
      step({ type: 'added', contractId: 'c0' });
      step({ type: 'deep', contractId: 'c0' });
      const used = { remainingHashes: 0n, hashesPerSecond: 1n, blocksLeft: 0 };
      expect(step({ type: 'progress', ...used })).toEqual([]);
      expect(mayOpen(state)).toBe(true);
      expect(step({ type: 'asked' })).toEqual([]);
      expect(mayOpen(state)).toBe(false);
      step({ type: 'refused' });
      step({ type: 'asked' });
      step({ type: 'added', contractId: 'c1', takesOver });
      expect(mayOpen(state)).toBe(false);
      const move = { type: 'move', to: 'c1' } as const;
      const close = { type: 'close', contractId: 'c0' } as const;
      expect(step({ type: 'deep', contractId: 'c1' })).toEqual(takesOver ? [move, close] : []);
      expect(delivers(state, takesOver ? 'c1' : 'c0')).toBe(true);
      expect(step({ type: 'over', contractId: 'c0' })).toEqual(takesOver ? [] : [move]);
      expect(step({ type: 'over', contractId: 'c1' })).toEqual([]);
      expect(state.isOver).toBe(true);
    }
  });
});
