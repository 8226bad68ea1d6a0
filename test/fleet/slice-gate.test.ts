import { expect, it } from 'vitest';
import { SliceGate } from '../../src/fleet/slice-gate.ts';

it('a gate takes what was granted and no more, also before it is on disk', () => {
  const gate = new SliceGate();
  expect([gate.admits(1n), gate.isOpen]).toEqual([false, false]);
  gate.grant(80n, 80n);
  expect(gate.isOpen).toBe(true);
  expect([gate.admits(50n), gate.admits(31n), gate.admits(30n), gate.admits(1n)]).toEqual([
    ...[true, false, true, false],
  ]);
  expect([gate.inFlightHashes, gate.isOpen]).toEqual([80n, false]);
  // What was lost may come again; what is on disk may not.
  gate.lost(30n);
  gate.done(50n, 50n);
  expect([gate.inFlightHashes, gate.admits(31n), gate.admits(30n)]).toEqual([0n, false, true]);
});

it('a gate is open until an eighth of the slice is left, and again from a half on', () => {
  const gate = new SliceGate();
  gate.grant(80n, 80n);
  const openAt = (doneHashes: bigint): boolean => {
    gate.done(doneHashes, 0n);
    return gate.isOpen;
  };
  expect([openAt(0n), openAt(70n), openAt(71n)]).toEqual([true, true, false]);
  gate.grant(110n, 80n);
  expect(gate.isOpen).toBe(false);
  gate.grant(111n, 80n);
  expect(gate.isOpen).toBe(true);
});

it('a grant never falls, and a gate that is shut stays so', () => {
  const gate = new SliceGate();
  gate.grant(80n, 80n);
  gate.grant(10n, 80n);
  expect([gate.grantedHashes, gate.admits(40n)]).toEqual([80n, true]);
  gate.shut();
  gate.grant(800n, 80n);
  expect([gate.admits(1n), gate.isOpen, gate.inFlightHashes]).toEqual([false, false, 40n]);
});
