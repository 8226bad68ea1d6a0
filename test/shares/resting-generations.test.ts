import { expect, it } from 'vitest';
import { RestingGenerations } from '../../src/shares/resting-generations.ts';

const MINUTE_MS = 60_000;
const block = (seed: number): { readonly prevHash: Uint8Array } => ({
  prevHash: new Uint8Array(32).fill(seed),
});

/** @param remembered blocks of which hashes are known at the start, which is at 0 */
function setup(remembered: readonly number[] = []) {
  const names = (): string[] => remembered.map((seed) => `0${seed}`.repeat(32));
  const duplicates = { size: 10, maxHashes: 100, names };
  const live = new Set<number>();
  const dropped: string[] = [];
  const resting = new RestingGenerations(
    {
      duplicates,
      isLive: (prevHash) => live.has(prevHash[0]!),
      drop: (generation) => dropped.push(generation.slice(0, 2)),
    },
    0,
  );
  return { duplicates, live, dropped, resting };
}

it('drops a generation ten minutes after its last job, and none that has a job again', () => {
  const { live, dropped, resting } = setup();
  resting.retired(block(1), 0);
  resting.retired(block(2), MINUTE_MS);
  resting.sweep(10 * MINUTE_MS - 1);
  expect(dropped).toEqual([]);
  live.add(1);
  resting.sweep(10 * MINUTE_MS);
  live.delete(1);
  resting.retired(block(1), 11 * MINUTE_MS);
  resting.sweep(11 * MINUTE_MS);
  expect(dropped).toEqual(['02']);
  resting.sweep(21 * MINUTE_MS);
  expect(dropped).toEqual(['02', '01']);
});

it('drops what was remembered at a start in the same way', () => {
  const { duplicates, live, dropped, resting } = setup([1, 2, 3]);
  live.add(2);
  resting.sweep(10 * MINUTE_MS - 1);
  expect(dropped).toEqual([]);
  resting.sweep(10 * MINUTE_MS);
  expect(dropped).toEqual(['01', '03']);
  live.delete(2);
  duplicates.size = 51;
  resting.retired(block(2), 11 * MINUTE_MS);
  resting.sweep(11 * MINUTE_MS);
  expect(dropped).toEqual(['01', '03', '02']);
});

it('keeps nothing to rest while another job of its block lives, or the table is half full', () => {
  const { duplicates, live, dropped, resting } = setup();
  live.add(1);
  resting.retired(block(1), 0);
  live.delete(1);
  resting.sweep(60 * MINUTE_MS);
  expect(dropped).toEqual([]);
  resting.retired(block(2), 0);
  duplicates.size = 51;
  resting.sweep(1);
  expect(dropped).toEqual(['02']);
});
