import { describe, expect, it } from 'vitest';
import { isDelivering, mayPayFees, restoreLifecycle, transition } from '../../src/channel/lifecycle.ts';
import type { LifecycleEvent, LifecycleState } from '../../src/channel/lifecycle-state.ts';
import { EH } from './fixtures.ts';
import {
  built,
  EXPIRY,
  isAct,
  Life,
  MARGINS,
  opened,
  optionsFor,
  START,
  stored,
  TERMS,
} from './lifecycle-model.ts';

type Role = 'miner' | 'maker';
const ROLES = ['miner', 'maker'] as const;

function live(role: Role): Life {
  const life = new Life(optionsFor(role));
  life.run(opened(role));
  return life;
}

describe('the node is asked for a fee rate', () => {
  const DEEP = { coinDepth: 6, spendDepth: undefined };
  const WAITING = { coinDepth: 0, spendDepth: undefined };
  const asks = (life: Life, view: Parameters<typeof mayPayFees>[2], height: number): boolean =>
    mayPayFees(life.options, life.state, view, height);

  it.each(ROLES)('never before there is a channel, nor after it failed (%s)', (role) => {
    const proposed = new Life(optionsFor(role));
    proposed.run([{ type: 'contract_signed' }]);
    expect(proposed.state.status).toBe('proposed');
    const failed = live(role);
    for (const height of [START, EXPIRY, EXPIRY + 100]) {
      for (const view of [DEEP, WAITING]) {
        expect(asks(proposed, view, height)).toBe(false);
        const over = { ...failed.state, status: 'failed' } as LifecycleState;
        expect(mayPayFees(failed.options, over, view, height)).toBe(false);
      }
    }
  });

  it.each(ROLES)(
    'always while the funding waits, and never once the channel is spent in a block (%s)',
    (role) => {
      const life = live(role);
      expect(asks(life, WAITING, START + 2)).toBe(true);
      expect(asks(life, { ...DEEP, spendDepth: 1 }, EXPIRY)).toBe(false);
      expect(asks(life, { ...DEEP, spendDepth: 0 }, EXPIRY)).toBe(true);
    },
  );

  it('by a miner from when it closes alone, to the block; by a maker from the expiry', () => {
    const miner = live('miner');
    expect(asks(miner, DEEP, EXPIRY - MARGINS.broadcastBlocks - 1)).toBe(false);
    expect(asks(miner, DEEP, EXPIRY - MARGINS.broadcastBlocks)).toBe(true);
    const maker = live('maker');
    expect(asks(maker, DEEP, EXPIRY - 1)).toBe(false);
    expect(asks(maker, DEEP, EXPIRY)).toBe(true);
  });

  it('by a miner from when it would ask for a close where the contract is suspended', () => {
    const life = live('miner');
    const state: LifecycleState = {
      ...life.state,
      fault: { type: 'suspended', code: 'ledger_io' } as never,
    };
    const at = (height: number): boolean => mayPayFees(life.options, state, DEEP, height);
    expect(at(EXPIRY - MARGINS.askBlocks - 1)).toBe(false);
    expect(at(EXPIRY - MARGINS.askBlocks)).toBe(true);
  });
});

describe('a contract that is restored', () => {
  const restored = (role: Role, status: LifecycleState['status']): LifecycleState =>
    restoreLifecycle(
      optionsFor(role),
      {
        ...{ status, reason: '', fault: undefined, close: undefined },
        ...{ workHashes: 0n, ackedN: 0, claimedN: -1 },
        newest: { n: 0, workHashes: 0n, paidSat: 0n },
      },
      1_000,
    );

  it.each(['open', 'closing'] as const)(
    'while %s: the maker credits at once, the miner looks first',
    (status) => {
      expect(restored('maker', status).stream.fundingDepth).toBe(TERMS.minDepth);
      expect(restored('miner', status).stream.fundingDepth).toBe(0);
      expect(isDelivering(optionsFor('miner'), restored('miner', status))).toBe(false);
    },
  );

  it('before it was open has no depth, and once closed a stream that ended', () => {
    for (const role of ROLES) {
      expect(restored(role, 'funding').stream.fundingDepth).toBe(0);
      expect(restored(role, 'closed').stream.status).toBe('ended');
      expect(restored(role, 'open').stream.status).not.toBe('ended');
    }
  });
});

it('a child was bid for one close: another one that takes its place has none, and waits anew', () => {
  const bid = (feeSat: bigint) => ({ kind: 'state', feeSat, vsize: 200 }) as const;
  const life = live('miner');
  life.step(stored(1, EH));
  const built1 = built('state', 1_325n, 1);
  const close = built1.type === 'close_built' ? built1.close : expect.unreachable();
  const childOf = (feeSat: bigint, event: LifecycleEvent): unknown => {
    const watch = { ...life.state.watch, close: bid(feeSat), childFeeSat: 900n, bidSince: 5 };
    const { state } = transition(life.options, { ...life.state, watch }, event, 0);
    return [state.watch.childFeeSat, state.watch.bidSince];
  };
  expect(childOf(close.feeSat, built1)).toEqual([900n, 5]);
  expect(childOf(close.feeSat + 1n, built1)).toEqual([0n, undefined]);
  const together = { type: 'close_built', close: { ...close, kind: 'together' } } as const;
  expect(childOf(close.feeSat, together)).toEqual([0n, undefined]);
});

describe('the record of a contract', () => {
  /** Whether the second close is written after the first. */
  function isWritten(...[first, second]: [ReturnType<typeof built>, ReturnType<typeof built>]): boolean {
    const life = live('miner');
    life.step(stored(1, EH));
    life.step(first);
    life.step(second);
    return life.last.filter(isAct).some(({ type }) => type === 'persist');
  }

  it('is written again for another close: kind, state, transaction or fee', () => {
    expect(isWritten(built('state', 1_325n, 1), built('state', 1_325n, 1))).toBe(false);
    expect(isWritten(built('state', 1_325n, 1), built('state', 1_326n, 1))).toBe(true);
    expect(isWritten(built('state', 1_325n, 0), built('state', 1_325n, 1))).toBe(true);
    const [one, other] = [built('state', 1_325n, 1), built('state', 1_325n, 1)].map((event) =>
      event.type === 'close_built' ? event : expect.unreachable(),
    );
    for (const change of [{ kind: 'together' }, { transactionHex: '00' }, { vsize: 266 }, { feeSat: 1n }])
      expect(isWritten(one!, { ...other!, close: { ...other!.close, ...(change as object) } })).toBe(true);
  });
});
