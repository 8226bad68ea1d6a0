import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { LOOK_MS, LOOKS_AT_ONCE, SampleTurns } from '../../src/maker/sample-turns.ts';
import { VirtualTime } from '../base/virtual-time.ts';

/** Turns, and looks that end when they are told to. */
class Looks {
  readonly time = new VirtualTime();
  readonly hits: Record<string, number> = {};
  readonly turns: SampleTurns;
  /** Those that began, in their order, and how each is ended. */
  readonly begun: number[] = [];
  readonly ends = new Map<number, (error?: CodedError) => void>();
  #count = 0;

  constructor() {
    const { clock, timers } = this.time;
    this.turns = new SampleTurns({ clock, timers, limitHits: this.hits });
  }

  /** Asks for one more look. Resolves with `ended`, or its code, once it is over. */
  ask(): Promise<string> {
    const index = this.#count;
    this.#count += 1;
    const look = (): Promise<void> => {
      this.begun.push(index);
      return new Promise((resolve, reject) => {
        this.ends.set(index, (error) => (error === undefined ? resolve() : reject(error)));
      });
    };
    return this.turns.run(look).then(() => 'ended', codeOf);
  }

  askFor(count: number): Promise<string>[] {
    return Array.from({ length: count }, () => this.ask());
  }
}

describe('the looks of a contract', () => {
  it('are so many side by side, and one more for each that ends, in their order', async () => {
    const looks = new Looks();
    const asked = looks.askFor(LOOKS_AT_ONCE + 3);
    await looks.time.settle();
    expect(looks.begun).toEqual([0, 1, 2, 3]);
    looks.ends.get(2)!();
    await looks.time.settle();
    expect(looks.begun).toEqual([0, 1, 2, 3, 4]);
    // One that fails makes room as well, and says so to who asked.
    looks.ends.get(0)!(new CodedError('chain_unreachable'));
    await looks.time.settle();
    expect(looks.begun).toEqual([0, 1, 2, 3, 4, 5]);
    for (const index of [1, 3, 4, 5]) looks.ends.get(index)!();
    await looks.time.settle();
    looks.ends.get(6)!();
    expect(await Promise.all(asked)).toEqual(['chain_unreachable', ...Array(6).fill('ended')]);
    // Then all the places are free again, and no more than those.
    void looks.askFor(LOOKS_AT_ONCE + 1);
    await looks.time.settle();
    expect(looks.begun).toHaveLength(7 + LOOKS_AT_ONCE);
  });

  it('are so many in a time: a burst, and then one each turn', async () => {
    const looks = new Looks();
    const one = async (): Promise<boolean> => {
      const before = looks.begun.length;
      void looks.ask();
      await looks.time.settle();
      const hasBegun = looks.begun.length > before;
      if (hasBegun) looks.ends.get(looks.begun.at(-1)!)!();
      await looks.time.settle();
      return hasBegun;
    };
    for (let count = 0; count < LIMITS.peerSamples; count += 1) expect(await one()).toBe(true);
    expect(looks.hits).toEqual({});
    expect(await one()).toBe(false);
    expect(looks.hits).toEqual({ peerSamples: 1 });
    await looks.time.advance(LOOK_MS - 1);
    expect(looks.begun).toHaveLength(LIMITS.peerSamples);
    await looks.time.advance(1);
    expect(looks.begun).toHaveLength(LIMITS.peerSamples + 1);
    looks.ends.get(looks.begun.at(-1)!)!();
    // Room comes back evenly, at eight a second, up to the burst.
    await looks.time.advance(3 * LOOK_MS);
    expect([await one(), await one(), await one(), await one()]).toEqual([true, true, true, false]);
  });

  it('that wait are so many, beside those that run', async () => {
    const looks = new Looks();
    void looks.askFor(LOOKS_AT_ONCE + LIMITS.payoutSamples - 1);
    expect(looks.turns.isFull).toBe(false);
    void looks.askFor(1);
    expect(looks.turns.isFull).toBe(true);
    await looks.time.settle();
    looks.ends.get(0)!();
    await looks.time.settle();
    expect(looks.turns.isFull).toBe(false);
  });
});
