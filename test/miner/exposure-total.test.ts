import { expect, it } from 'vitest';
import { ExposureTotal } from '../../src/miner/exposure-total.ts';

/** Two contracts under a bound of 100 sats, and how often each was told. */
function setup() {
  const total = new ExposureTotal(100n);
  const told = { a: 0, b: 0 };
  const a = total.join('a', () => {
    told.a += 1;
  });
  const b = total.join('b', () => {
    told.b += 1;
  });
  return { total, told, a, b };
}

it('the bound on unpaid pay is over all contracts, and a share at it is not taken', () => {
  const { total, told, a, b } = setup();
  expect([total.sat, a.isHeld(), b.isHeld()]).toEqual([0n, false, false]);
  expect(a.take(60_000n)).toBe(true);
  expect(b.take(39_999n)).toBe(true);
  expect([total.sat, a.isHeld(), told]).toEqual([99n, false, { a: 0, b: 0 }]);
  // Below the bound a share is taken as a whole, whatever it is worth.
  expect(a.take(2_001n)).toBe(true);
  expect([total.sat, a.isHeld(), b.isHeld(), told]).toEqual([102n, true, true, { a: 1, b: 1 }]);
  expect([a.take(1n), b.take(1n), total.sat]).toEqual([false, false, 102n]);
});

it('exactly at the bound all are held, and until a quarter of it is free again', () => {
  const { total, told, a, b } = setup();
  a.set(100_000n);
  expect([a.isHeld(), b.take(0n), told]).toEqual([true, false, { a: 1, b: 1 }]);
  b.set(5_000n);
  a.set(70_001n);
  expect([total.sat, a.isHeld(), b.isHeld(), told]).toEqual([75n, true, true, { a: 1, b: 1 }]);
  a.set(70_000n);
  expect([total.sat, a.isHeld(), b.isHeld(), told]).toEqual([75n, false, false, { a: 2, b: 2 }]);
  a.set(94_999n);
  expect([a.isHeld(), told]).toEqual([false, { a: 2, b: 2 }]);
  a.set(95_000n);
  expect([a.isHeld(), told]).toEqual([true, { a: 3, b: 3 }]);
});

it('what is set replaces all that was taken, of that contract alone', () => {
  const { total, a, b } = setup();
  a.take(10_000n);
  a.take(20_000n);
  b.take(5_000n);
  a.set(12_000n);
  expect(total.sat).toBe(17n);
  b.set(0n);
  expect(total.sat).toBe(12n);
  a.take(1_000n);
  expect(total.sat).toBe(13n);
  a.set(0n);
  expect(total.sat).toBe(0n);
});

it('a contract that joins again is told in the place of the one before', () => {
  const { total, told, a } = setup();
  let again = 0;
  const joined = total.join('a', () => {
    again += 1;
  });
  a.take(100_000n);
  expect([again, told]).toEqual([1, { a: 0, b: 1 }]);
  joined.set(1n);
  expect([again, total.sat]).toEqual([2, 0n]);
});
