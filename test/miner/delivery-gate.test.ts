import { describe, expect, it } from 'vitest';
import { DeliveryGate } from '../../src/miner/delivery-gate.ts';
import { ExposureTotal } from '../../src/miner/exposure-total.ts';

const EH = 10n ** 18n;

function gateOf(contractId: string, total?: ExposureTotal, priceMsatPerEh = 1000n) {
  const turns: (() => void)[] = [];
  let changes = 0;
  const gate = new DeliveryGate(
    { contractId, priceMsatPerEh },
    {
      timers: { afterTurn: (run) => void turns.push(run) },
      onChange: () => {
        changes += 1;
      },
      ...(total === undefined ? {} : { total }),
    },
  );
  const turn = (): number => {
    for (const run of turns.splice(0)) run();
    return changes;
  };
  return { gate, turn };
}

describe('the gate of a contract', () => {
  it('takes nothing before it knows that there is room', () => {
    expect(gateOf('a').gate.admits(1n)).toBe(false);
  });

  it('takes shares found together up to the bound and one share, and says so once', () => {
    const { gate, turn } = gateOf('a');
    gate.set(3n * EH - 1n, 0n);
    const taken = Array.from({ length: 10 }, () => gate.admits(EH)).filter(Boolean);
    expect(taken).toHaveLength(3);
    expect(gate.inFlightHashes).toBe(3n * EH);
    expect(turn()).toBe(1);
  });

  it('at the bound exactly takes nothing more', () => {
    const { gate } = gateOf('a');
    gate.set(EH, 0n);
    expect([gate.admits(EH), gate.admits(1n)]).toEqual([true, false]);
    gate.set(1n, 0n);
    expect([gate.admits(EH), gate.admits(1n)]).toEqual([true, false]);
  });

  it('says that its room is used up, each time, and nothing while there is some', () => {
    const { gate, turn } = gateOf('a');
    gate.set(2n * EH, 0n);
    gate.admits(EH);
    expect(turn()).toBe(0);
    gate.admits(EH);
    expect(turn()).toBe(1);
    gate.set(EH - 1n, 0n);
    gate.admits(EH);
    expect(turn()).toBe(2);
    expect(gate.isHeld).toBe(false);
  });

  it('forgets what landed, and never counts less than nothing', () => {
    const { gate } = gateOf('a');
    gate.set(5n * EH, 0n);
    gate.admits(2n * EH);
    gate.landed(EH);
    expect(gate.inFlightHashes).toBe(EH);
    gate.landed(3n * EH);
    expect(gate.inFlightHashes).toBe(0n);
  });
});

describe('the bound over all contracts of a proxy', () => {
  it('counts both, in flight too, whoever is asked', () => {
    const total = new ExposureTotal(5n);
    const one = gateOf('one', total);
    const two = gateOf('two', total, 2000n);
    for (const { gate } of [one, two]) gate.set(100n * EH, 0n);
    expect(one.gate.admits(EH)).toBe(true);
    expect(two.gate.admits(2n * EH)).toBe(true);
    expect(total.sat).toBe(5n);
    expect([one.gate.admits(1n), two.gate.admits(1n)]).toEqual([false, false]);
    expect([one.gate.isHeld, two.gate.isHeld]).toEqual([true, true]);
    // Both are told, after the turn.
    expect([one.turn(), two.turn()]).toEqual([1, 1]);
  });

  it('counts what a contract of an earlier run left unpaid', () => {
    const total = new ExposureTotal(5n);
    gateOf('earlier', total).gate.set(0n, 4n * EH);
    const { gate } = gateOf('now', total);
    gate.set(100n * EH, 0n);
    expect([gate.admits(EH), gate.admits(EH)]).toEqual([true, false]);
  });

  it('holds until a quarter is free, and is free when a contract is over', () => {
    const total = new ExposureTotal(4n);
    const { gate, turn } = gateOf('one', total);
    gate.set(100n * EH, 4n * EH);
    expect(gate.isHeld).toBe(true);
    gate.set(100n * EH, 3n * EH + EH / 100n);
    expect(gate.isHeld).toBe(true);
    gate.set(100n * EH, 3n * EH);
    expect(gate.isHeld).toBe(false);
    expect(turn()).toBe(1);
    gate.set(100n * EH, 0n);
    expect(total.sat).toBe(0n);
  });
});
