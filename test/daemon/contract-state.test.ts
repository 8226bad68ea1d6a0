import { describe, expect, it } from 'vitest';
import type { ChainPart } from '../../src/daemon/chain-part.ts';
import {
  type ContractState,
  channelCheck,
  contractStateSources,
  isBegun,
  metersAway,
  needsPeer,
} from '../../src/daemon/contract-state.ts';

function contract(changes: Partial<ContractState> = {}): ContractState {
  return {
    ...{ contractId: 'ab'.repeat(32), connected: true, channel: 'open', stream: 'live' },
    ...{ fault: undefined, frozen: undefined, delivery: undefined, expiryHeight: 1000 },
    balance: { minerSat: 100n, makerSat: 900n },
    ...changes,
  };
}

/** Where the clock says the chain is, and the nodes. */
function at(projectedHeight: number | undefined, height = projectedHeight): ChainPart {
  return { chainClock: { standing: { projectedHeight, height } } } as ChainPart;
}

describe('metrics of contracts', () => {
  const broken = contract({ fault: 'broken', frozen: 'two contents' });

  it('count a fault as long as money is in the channel, and not for good', () => {
    const closed = contract({ ...broken, channel: 'closed' });
    const sources = contractStateSources(() => [broken, closed, contract({ fault: 'suspended' })], at(500));
    expect(sources.channel_faults()).toEqual({ broken: 1, suspended: 1 });
    expect(sources.channel_state()).toEqual({ frozen: 2, closed: 1 });
  });

  it('count a default until the channel is closed', () => {
    const delivery = { own: 'default' } as const;
    const all = [contract({ delivery, channel: 'closing', stream: 'ended' })];
    const sources = contractStateSources(() => all, at(500));
    expect(sources.contract_delivery_state()).toEqual({ default: 1 });
    all[0] = contract({ delivery, channel: 'closed', stream: 'ended' });
    expect(sources.contract_delivery_state()).toEqual({});
  });

  it('tell the blocks to the first expiry, by the clock where no node tells, and nothing without a channel', () => {
    const all = [
      contract(),
      contract({ expiryHeight: 800, channel: 'closing' }),
      contract({ expiryHeight: 600, channel: 'closed' }),
    ];
    expect(contractStateSources(() => all, at(700, 650)).channel_expiry_blocks()).toBe(100);
    expect(contractStateSources(() => all, at(undefined, 650)).channel_expiry_blocks()).toBe(150);
    expect(contractStateSources(() => all, undefined).channel_expiry_blocks()).toBeUndefined();
    expect(contractStateSources(() => [], at(700)).channel_expiry_blocks()).toBeUndefined();
  });

  it('miss the other side of what has begun, and at a proxy of what is to begin', () => {
    const away = { connected: false } as const;
    const all = [
      contract(),
      contract(away),
      contract({ ...away, channel: 'none', stream: 'pending' }),
      contract({ ...away, channel: 'closing' }),
      contract({ ...away, stream: 'ended' }),
      contract({ ...away, channel: 'closed', stream: 'ended' }),
    ];
    expect(contractStateSources(() => all, at(1)).contracts_without_peer()).toBe(2);
    const isMissed = (each: ContractState) => isBegun(each) && needsPeer(each);
    expect(contractStateSources(() => all, at(1), isMissed).contracts_without_peer()).toBe(1);
  });
});

it('a contract without money misses its other side until it has ended', () => {
  const away = { connected: false };
  const all = [
    { ...away, status: 'live' },
    { ...away, status: 'ended' },
    { connected: true, status: 'live' },
  ];
  expect(metersAway(all)).toBe(1);
});

describe('the check of channels', () => {
  it('names the fault, and an expiry that is near', () => {
    expect(channelCheck([contract()], at(856))).toBe(true);
    expect(channelCheck([contract()], at(857))).toBe('contract abababababababab expires in 143 blocks');
    expect(channelCheck([contract({ channel: 'closed' })], at(990))).toBe(true);
    expect(channelCheck([contract({ fault: 'suspended', frozen: 'ledger_io' })], at(1))).toBe(
      'contract abababababababab is suspended: ledger_io',
    );
  });
});
