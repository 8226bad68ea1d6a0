import { expect, it } from 'vitest';
import { filesUnder, readSource } from './source-tree.ts';

/** Invariants of things that there are not: nothing here can keep or break them. */
const ABSENT: Readonly<Record<number, string>> = {
  49: 'a side of a contract cannot be made over to another',
  50: 'nor can its keys lose what was made over',
  51: 'no right of a contract can be renounced',
  53: 'nobody pays for another out of an allowance',
};
const COUNT = 60;

it('each invariant is named by a test that asserts it, or is of something that there is not', () => {
  const names = filesUnder('test')
    .filter((file) => file.endsWith('test.ts'))
    .flatMap((file) => [...readSource(file).matchAll(/\(((?:I\d+(?:, |–| to )?)+)\)/g)])
    .flatMap(([, group]) => [...group!.matchAll(/I(\d+)/g)].map(([, number]) => Number(number)));
  const all = Array.from({ length: COUNT }, (_, index) => index + 1);
  const missing = all.filter((number) => !names.includes(number) && ABSENT[number] === undefined);
  expect(missing).toEqual([]);
  expect(Object.keys(ABSENT).filter((number) => names.includes(Number(number)))).toEqual([]);
});
