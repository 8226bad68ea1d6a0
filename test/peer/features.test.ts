import { expect, it } from 'vitest';
import { FEATURE_TABLE, missingFeature, OFFERED_FEATURES } from '../../src/peer/features.ts';

it('features have even bits of their own, and this program needs none of its peers', () => {
  const bits = FEATURE_TABLE.map(({ bit }) => bit);
  expect(new Set(bits).size).toBe(bits.length);
  expect(bits.filter((bit) => bit % 2 !== 0)).toEqual([]);
  expect(OFFERED_FEATURES.filter((bit) => bit % 2 === 0 || !bits.some((each) => each === bit - 1))).toEqual(
    [],
  );
});

it('a bit is missing only where it is needed and not announced here', () => {
  expect(missingFeature([1], [0, 3, 77])).toBeUndefined();
  expect(missingFeature([0], [0])).toBeUndefined();
  expect(missingFeature([1], [5, 2])).toBe(2);
  expect(missingFeature([], [1023, 1022])).toBe(1022);
});
