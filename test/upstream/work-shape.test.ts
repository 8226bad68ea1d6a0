import { expect, it } from 'vitest';
import { WorkShape } from '../../src/upstream/work-shape.ts';

it('counts how often extranonce2 size or version bits changed in the last ten minutes', () => {
  const shape = new WorkShape();
  shape.see(8, 0x1fffe000, 0);
  expect(shape.changes(0)).toBe(0);
  shape.see(8, 0x1fffe000, 1_000);
  expect(shape.changes(1_000)).toBe(0);
  shape.see(1, 0x1fffe000, 2_000);
  shape.see(8, 0, 3_000);
  shape.see(8, 0x2000, 300_000);
  expect(shape.changes(300_000)).toBe(3);
  expect(shape.changes(602_999)).toBe(2);
  expect(shape.changes(603_000)).toBe(1);
  expect(shape.changes(900_000)).toBe(0);
  for (let at = 0; at < 1_000; at += 1) shape.see(at % 2, 0, 1_000_000 + at);
  expect(shape.changes(1_001_000)).toBe(64);
});
