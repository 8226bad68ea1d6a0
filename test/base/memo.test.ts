import { expect, it } from 'vitest';
import { memo } from '../../src/base/memo.ts';

it('what was asked for is reckoned once, for so many, and then for all anew', () => {
  const asked: number[] = [];
  const square = memo(3, (key: number) => {
    asked.push(key);
    return key * key;
  });
  const of = (...keys: number[]): number[] => {
    asked.splice(0);
    expect(keys.map(square)).toEqual(keys.map((key) => key * key));
    return [...asked];
  };
  expect(of(1, 2, 1, 3, 2, 3, 1)).toEqual([1, 2, 3]);
  // One more than are kept: only that one is known then.
  expect(of(4, 4, 1, 1, 2, 4, 1, 2)).toEqual([4, 1, 2]);
  expect(of(3, 4)).toEqual([3, 4]);
});

it('what fails is not remembered', () => {
  let isFailing = true;
  const once = memo(1, (key: string) => {
    if (isFailing) throw new Error(key);
    return key;
  });
  expect(() => once('a')).toThrow('a');
  isFailing = false;
  expect(once('a')).toBe('a');
});
