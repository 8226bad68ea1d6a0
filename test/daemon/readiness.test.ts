import { describe, expect, it } from 'vitest';
import { contractCheck, makerCheck, type ServedState } from '../../src/daemon/readiness.ts';

type Sold = Parameters<typeof contractCheck>[0][number];

function sold(changes: Partial<Sold> = {}): Sold {
  return {
    ...{ contractId: 'ab'.repeat(32), connected: true, channel: 'open', stream: 'live' },
    ...{ fault: undefined, frozen: undefined, delivery: undefined, expiryHeight: 1000 },
    ...{ balance: { minerSat: 0n, makerSat: 0n }, live: true, isExposureLimited: false },
    ...changes,
  };
}

const waiting = { stream: 'pending', live: false } as const;

describe('whether contracts can be delivered to', () => {
  it.each<[string, readonly Sold[], true | RegExp]>([
    ['none', [], true],
    ['one that runs', [sold()], true],
    ['one without a channel', [sold({ ...waiting, channel: 'none' })], /has no channel yet$/],
    ['one whose channel is young', [sold({ ...waiting, channel: 'funding' })], /deep enough$/],
    ['a successor beside the one that runs', [sold(), sold({ ...waiting, channel: 'funding' })], true],
    ['one that is paused', [sold({ stream: 'paused', live: false })], /is paused$/],
    ['one that is not paid', [sold({ live: false, isExposureLimited: true })], /is unpaid$/],
    ['one that is over', [sold({ stream: 'ended', live: false, channel: 'closed' })], true],
  ])('%s', (_name, all, expected) => {
    const answer = contractCheck(all);
    if (expected === true) expect(answer).toBe(true);
    else expect(answer).toMatch(expected);
  });
});

describe('whether makers serve', () => {
  const served: ServedState = {
    ...{ contractId: 'cd'.repeat(32), connected: true, stream: 'live', needed: true, lastError: undefined },
    work: { up: true, down_reason: null },
  };
  const down = { up: false, down_reason: 'no pool' };

  it.each<[string, Partial<ServedState>, true | string]>([
    ['connected and giving work', {}, true],
    ['connected, where the jobs are others', { work: undefined }, true],
    ['gone', { connected: false, lastError: 'peer_closed' }, ': not connected, peer_closed'],
    ['never there', { connected: false }, ': not connected'],
    ['without work', { work: down }, ': it gives no work, no pool'],
    ['without work before the beginning', { work: down, stream: 'pending' }, true],
    ['gone after the end', { connected: false, needed: false }, true],
  ])('%s', (_name, changes, expected) => {
    const answer = makerCheck([served, { ...served, ...changes }]);
    expect(answer).toBe(expected === true ? true : `contract cdcdcdcdcdcdcdcd${expected}`);
  });
});
