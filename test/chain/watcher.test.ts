import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FEE_CAPS, mostFeeSat } from '../../src/chain/fee-caps.ts';
import {
  beginBlocksOf,
  type ChannelView,
  type CloseMargins,
  checkMargins,
  DEFAULT_CLOSE_MARGINS,
  FUNDING_PATIENCE_BLOCKS,
  transition,
  type WatchEffect,
  type WatchRole,
  watchFrom,
} from '../../src/chain/watcher.ts';
import { TERMS_DEFAULTS } from '../../src/contract/terms-defaults.ts';
import {
  CHILD_VSIZE,
  LADDER,
  MINER_OUTPUT_SAT,
  ModelChain,
  ModelParty,
  REFUND_VSIZE,
  SAVED,
} from './watch-model.ts';

const MARGINS = {
  askBlocks: 12,
  broadcastBlocks: 8,
  urgentBlocks: 3,
  finalDepth: 3,
  watchDepth: 10,
  patienceBlocks: 6,
} satisfies CloseMargins;
const BASE = 1_000;
const LIFE = 30;

function setUp(margins: CloseMargins = MARGINS, life = LIFE) {
  const chain = new ModelChain(BASE, BASE + life);
  const party = (role: WatchRole): ModelParty =>
    new ModelParty({ role, minDepth: 2, expiryHeight: BASE + life, margins }, chain);
  return { chain, miner: party('miner'), maker: party('maker') };
}

/** The channel funded, seen by both, open. */
function opened(margins: CloseMargins = MARGINS, life = LIFE): ReturnType<typeof setUp> {
  const world = setUp(margins, life);
  for (const party of [world.miner, world.maker]) party.look();
  mine(world, 2);
  for (const party of [world.miner, world.maker]) party.state = { ...party.state, status: 'open' };
  return world;
}

function mine({ chain, miner, maker }: ReturnType<typeof setUp>, blocks: number, isEmpty = false): void {
  for (let left = blocks; left > 0; left -= 1) {
    chain.mine(isEmpty);
    miner.look();
    maker.look();
  }
}

const types = (effects: readonly WatchEffect[]): string[] => effects.map(({ type }) => type);
const childOf = (party: ModelParty): bigint | undefined => {
  const effect = party.effects.find(({ type }) => type === 'pay_child');
  return effect?.type === 'pay_child' ? effect.feeSat : undefined;
};
const rungOf = (party: ModelParty): number | undefined => {
  const effect = party.effects.find(({ type }) => type === 'close_alone');
  return effect?.type === 'close_alone' ? effect.rung : undefined;
};

describe('the margins', () => {
  it('give each deadline its time, and a close its depth before the next could be missed', () => {
    const { askBlocks, broadcastBlocks, urgentBlocks, finalDepth, watchDepth } = DEFAULT_CLOSE_MARGINS;
    expect(checkMargins(DEFAULT_CLOSE_MARGINS)).toEqual(DEFAULT_CLOSE_MARGINS);
    // A close broadcast on time and mined at the last rung is final before the refund is valid.
    expect(urgentBlocks).toBeGreaterThan(finalDepth);
    expect(askBlocks - broadcastBlocks).toBeGreaterThanOrEqual(144);
    expect(watchDepth).toBeGreaterThanOrEqual(10 * finalDepth);
    for (const wrong of [
      { urgentBlocks: 145 },
      { broadcastBlocks: 289 },
      { watchDepth: 5 },
      { finalDepth: 0 },
    ]) {
      expect(() => checkMargins({ ...DEFAULT_CLOSE_MARGINS, ...wrong })).toThrow('invariant');
    }
  });
});

describe('the deadlines of the miner', () => {
  it('are those of the design, to the block', () => {
    const world = opened(DEFAULT_CLOSE_MARGINS, 400);
    const { chain, miner } = world;
    const left = (): number => chain.expiryHeight - chain.height;
    mine(world, left() - 325);
    expect(types(miner.effects)).toEqual(['funded']);
    mine(world, 1);
    expect(types(miner.effects)).toEqual(['funded', 'refuse_steps']);
    mine(world, 324 - 145);
    expect(types(miner.effects)).toEqual(['funded', 'refuse_steps']);
    mine(world, 1);
    expect(left()).toBe(144);
    expect(rungOf(miner)).toBe(1);
    expect(miner.state.status).toBe('closing');
  });

  it('climb the ladder with the fee rate, never down, and a rung a block once it waits for two', () => {
    const world = opened();
    const { chain, miner } = world;
    mine(world, LIFE - 2 - 8, true);
    expect(rungOf(miner)).toBe(1);
    chain.satPerKvb = 12_000;
    mine(world, 1, true);
    expect(rungOf(miner)).toBe(2);
    chain.satPerKvb = 1_000;
    mine(world, 1, true);
    expect(types(miner.effects)).toEqual([]);
    mine(world, 1, true);
    expect(rungOf(miner)).toBe(3);
    expect(chain.waiting).toMatchObject({ id: 'S3' });
    // Beyond the ladder the child grows by half at each block.
    mine(world, 1, true);
    expect(childOf(miner)).toBeGreaterThan(10_000n);
  });

  it('a close asked for by hand takes the rung of the moment and climbs from then on', () => {
    const world = opened();
    const { chain, miner } = world;
    miner.look('close_alone');
    expect(rungOf(miner)).toBe(1);
    chain.satPerKvb = 45_000;
    mine(world, 1, true);
    expect(rungOf(miner)).toBe(3);
  });
});

describe('beyond the ladder', () => {
  it('a child pays what is missing, and is raised with the rate', () => {
    const world = opened();
    const { chain, miner } = world;
    chain.satPerKvb = 100_000;
    miner.look('close_alone');
    expect(rungOf(miner)).toBe(3);
    const both = (LADDER[3]!.vsize + CHILD_VSIZE) * 100;
    expect(childOf(miner)).toBe(BigInt(both) - LADDER[3]!.feeSat);
    chain.satPerKvb = 100_100;
    mine(world, 1, true);
    expect(childOf(miner)).toBe(BigInt(both) - LADDER[3]!.feeSat);
    chain.satPerKvb = 120_000;
    miner.look();
    expect(childOf(miner)).toBe(BigInt(both * 1.2) - LADDER[3]!.feeSat);
    chain.satPerKvb = 10_000_000;
    mine(world, 1, true);
    expect(childOf(miner)).toBe(MINER_OUTPUT_SAT / 2n - LADDER[3]!.feeSat);
  });

  it('a close that both signed gets a child at once, and a rung above only when the expiry is near', () => {
    const world = opened();
    const { chain, miner } = world;
    mine(world, LIFE - 2 - 11, true);
    const close = { kind: 'together', feeSat: 200n, vsize: 179 } as const;
    miner.closeId = 'X';
    miner.state = { ...miner.state, status: 'closing', close };
    miner.look();
    expect(types(miner.effects)).toEqual(['funded', 'send_close', 'pay_child']);
    miner.look();
    expect(types(miner.effects)).toEqual(['pay_child']);
    expect(childOf(miner)).toBe((179n + 110n) * 3n - 200n);
    chain.satPerKvb = 6_000;
    mine(world, 2, true);
    expect(types(miner.effects)).toEqual(['pay_child']);
    expect(miner.state.close?.kind).toBe('together');
    mine(world, 1, true);
    expect(miner.state.close?.kind).toBe('state');
  });

  it('an output of another wallet has no child', () => {
    const { miner, chain } = opened();
    const { childVsize: _childVsize, ...view } = chain.view(false, undefined);
    const { effects } = transition(
      miner.options,
      { ...miner.state, status: 'open' },
      { type: 'close_alone', view: { ...view, satPerKvb: 1_000_000 } },
      chain.height,
    );
    expect(types(effects)).toEqual(['funded', 'close_alone']);
  });
});

describe('what a close may cost', () => {
  const { dustSat } = SAVED;

  it('is a part of what it saves, 1,500 sats in any case, and never all but dust', () => {
    const most = (left: number, outputSat: bigint): bigint =>
      mostFeeSat(DEFAULT_FEE_CAPS, left, { outputSat, dustSat });
    expect([145, 73, 72, 71, 12, 11, 0, -20].map((left) => most(left, 100_000n))).toEqual(
      [10_000, 10_000, 10_000, 50_000, 50_000, 99_706, 99_706, 99_706].map(BigInt),
    );
    expect(most(145, 5_000n)).toBe(1_500n);
    expect(most(145, 1_200n)).toBe(906n);
    expect(most(0, 200n)).toBe(0n);
    expect(mostFeeSat([{ blocksLeft: 0, ppm: 20_000 }], -1, SAVED)).toBe(2_000n);
  });

  it('has the caps that terms have by default', () => {
    expect(DEFAULT_FEE_CAPS).toEqual(TERMS_DEFAULTS.feeCaps);
  });

  /** The first bid of a miner so many blocks before the expiry. */
  const firstBid = (left: number, satPerKvb: number, more: Partial<ChannelView> = {}) => {
    const { miner, chain } = opened(DEFAULT_CLOSE_MARGINS, 400);
    const view = { ...chain.view(false, undefined), satPerKvb, ...more };
    const options = { ...miner.options, expiryHeight: chain.height + left };
    return transition(options, miner.state, { type: 'close_alone', view }, chain.height);
  };
  const paid = ({ state }: ReturnType<typeof firstBid>): bigint => state.close!.feeSat + state.childFeeSat;

  it('follows the market in a calm one, also in the last block', () => {
    for (const left of [144, 36, 12, 1, -3]) expect(paid(firstBid(left, 3_000))).toBe(LADDER[1]!.feeSat);
  });

  it('is bounded in a market that takes everything', () => {
    expect(paid(firstBid(144, 1_200_000))).toBe(10_000n);
    expect(paid(firstBid(36, 1_200_000))).toBe(50_000n);
    expect(paid(firstBid(1, 1_200_000))).toBe(MINER_OUTPUT_SAT - dustSat);
  });

  it('is at most twice what blocks ask for: a lower rung and a child where the next rung is dearer', () => {
    const { state, effects } = firstBid(30, 24_000);
    expect(types(effects)).toEqual(['funded', 'close_alone', 'pay_child']);
    expect(state.close!.feeSat).toBe(LADDER[2]!.feeSat);
    expect(state.close!.feeSat + state.childFeeSat).toBe(((265n + 110n) * 24_000n) / 1_000n);
    // Without the key of the output the lower rung goes alone, and climbs.
    const { childVsize: _childVsize, ...cold } = opened().chain.view(false, undefined);
    expect(paid(firstBid(30, 24_000, { ...cold, childVsize: undefined as never, satPerKvb: 24_000 }))).toBe(
      LADDER[2]!.feeSat,
    );
  });

  it('is the lowest rung where even that is above the cap', () => {
    const ladder = [{ satPerKvb: 9_000, feeSat: 2_385n, vsize: 265 }];
    const { effects } = firstBid(144, 1_200_000, { ladder, saved: { outputSat: 4_000n, dustSat } });
    expect(effects).toContainEqual({ type: 'close_alone', rung: 0 });
    expect(types(effects)).not.toContain('pay_child');
  });
});

describe('a close that the other side pins', () => {
  /** At 60 sat/vB, with 978 vB and 20,000 sat on the close. */
  function pinned() {
    const world = opened(DEFAULT_CLOSE_MARGINS, 400);
    const { chain, miner } = world;
    for (let left = 338; left > 0; left -= 1) chain.mine(true);
    chain.satPerKvb = 15_000;
    miner.look('close_alone');
    const first = chain.waiting!;
    chain.pin(20_000n, 978);
    chain.satPerKvb = 60_000;
    return { ...world, first };
  }

  it('is answered with more than the child and all its parents pay, at once', () => {
    const { chain, miner, first } = pinned();
    miner.look();
    const { feeSat, childSat, childVsize } = chain.waiting!;
    expect(childVsize).not.toBe(978);
    expect(feeSat + childSat).toBeGreaterThan(first.feeSat + 20_000n);
    expect(Number(feeSat + childSat) / (265 + childVsize)).toBeGreaterThanOrEqual(60);
  });

  it('is left alone while blocks earn enough with the child of the other', () => {
    const { chain, miner } = pinned();
    chain.satPerKvb = 16_000;
    miner.look();
    expect(types(miner.effects)).toEqual([]);
  });

  it('climbs blindly, block by block, where no node tells what waits', () => {
    const { chain, miner } = pinned();
    const bids: bigint[] = [];
    for (let block = 0; block < 8; block += 1) {
      const { waiting: _waiting, ...view } = chain.view(false, miner.closeId);
      const { state } = transition(miner.options, miner.state, { type: 'tip', view }, chain.height);
      miner.state = state;
      bids.push(state.close!.feeSat + state.childFeeSat);
      chain.mine(true);
    }
    expect(bids.at(-1)).toBeGreaterThan(25_300n);
    expect(bids.at(-1)).toBeLessThanOrEqual(50_000n);
    expect(bids.toSorted((a, b) => Number(a - b))).toEqual(bids);
  });

  it('after the expiry outbids a refund that waits, without waiting for it', () => {
    const world = opened();
    const { chain, miner } = world;
    for (let left = LIFE - 2; left > 0; left -= 1) chain.mine(true);
    chain.send({ id: 'R', kind: 'refund', feeSat: 10_000n });
    miner.look();
    miner.look();
    expect(chain.waiting!.kind).toBe('state');
  });

  it('is answered at once where no node tells what waits, with a rung however dear', () => {
    const { chain, miner } = opened();
    for (let left = LIFE - 2; left > 0; left -= 1) chain.mine(true);
    miner.look();
    expect(chain.waiting).toMatchObject({ kind: 'state', feeSat: LADDER[1]!.feeSat });
    chain.forget();
    chain.send({ id: 'R', kind: 'refund', feeSat: LADDER[1]!.feeSat + 100n });
    const { waiting: _waiting, ...view } = chain.view(false, miner.closeId);
    expect(view.isRival).toBe(true);
    const { effects } = transition(miner.options, miner.state, { type: 'tip', view }, chain.height);
    expect(effects).toEqual([{ type: 'close_alone', rung: 2 }]);
  });
});

describe('a funding that waits', () => {
  it('is paid for by a child of the change after some blocks, and by more where blocks ask for that', () => {
    const { maker, chain } = setUp();
    maker.look();
    const push = { feeSat: 600n, vsize: 300, childVsize: 110, availableSat: 50_000n };
    const feeAt = (satPerKvb: number): bigint | undefined => {
      const view = { ...chain.view(false, undefined), satPerKvb, push };
      const { state, effects } = transition(
        maker.options,
        maker.state,
        { type: 'tip', view },
        chain.height,
      );
      maker.state = state;
      const effect = effects.find(({ type }) => type === 'push_funding');
      return effect?.type === 'push_funding' ? effect.feeSat : undefined;
    };
    expect(feeAt(20_000)).toBeUndefined();
    for (let left = FUNDING_PATIENCE_BLOCKS; left > 0; left -= 1) chain.mine(true);
    // Enough by what blocks ask for, and stuck all the same: half as much again.
    expect(feeAt(2_000)).toBe(410n * 3n - 600n);
    expect(feeAt(20_000)).toBe(410n * 20n - 600n);
    expect(feeAt(20_010)).toBe(410n * 20n - 600n);
    chain.mine(false);
    expect(feeAt(20_000)).toBeUndefined();
    expect(maker.state.pushFeeSat).toBe(0n);
  });
});

describe('a funding that never comes', () => {
  it('is given up by the maker at the expiry, and taken back should it come after all', () => {
    const { maker, chain } = setUp();
    const lost: ChannelView = { ...chain.view(false, undefined), coinDepth: undefined };
    const look = (view: ChannelView): string[] => {
      const event = { type: 'tip', view } as const;
      const { state, effects } = transition(maker.options, maker.state, event, chain.height);
      maker.state = state;
      return types(effects);
    };
    expect(look({ ...lost, canResend: true })).toEqual(['send_funding']);
    expect(look(lost)).toEqual([]);
    for (let left = LIFE; left > 0; left -= 1) chain.mine(true);
    expect(look(lost)).toEqual(['status']);
    expect(maker.state.status).toBe('closed');
    expect(look({ ...lost, coinDepth: 1 })).toEqual(['funded', 'status', 'reopened', 'refund']);
  });
});

describe('a close', () => {
  it('is final at its depth, watched to the end, and made again when a reorganisation undoes it', () => {
    const world = opened();
    const { chain, miner, maker } = world;
    miner.look('close_alone');
    mine(world, 2);
    expect(miner.state.status).toBe('closing');
    mine(world, 1);
    for (const party of [miner, maker]) expect(types(party.effects)).toEqual(['status', 'final']);
    chain.reorg(3, 0);
    chain.forget();
    miner.look();
    expect(types(miner.effects)).toEqual(['funded', 'status', 'reopened', 'send_close']);
    maker.look();
    expect(types(maker.effects)).toEqual(['status', 'reopened']);
    expect(miner.state.status).toBe('closing');
    mine(world, 10);
    for (const party of [miner, maker]) expect(types(party.effects)).toEqual(['over']);
    mine(world, 1);
    for (const party of [miner, maker]) expect(types(party.effects)).toEqual([]);
  });

  it('of both that is lost has its time to come back before the maker takes the refund', () => {
    const world = opened();
    const { chain, maker } = world;
    for (let left = LIFE; left > 0; left -= 1) chain.mine(true);
    const close = { kind: 'together', feeSat: 200n, vsize: 179 } as const;
    maker.closeId = 'X';
    maker.state = { ...maker.state, status: 'closing', close };
    for (let left = MARGINS.finalDepth; left > 0; left -= 1) {
      maker.look();
      expect(types(maker.effects)).toEqual(['funded', 'send_close']);
      chain.forget();
      chain.mine(true);
    }
    maker.look();
    expect(types(maker.effects)).toContain('refund');
  });
});

describe('the refund', () => {
  it('comes at the expiry, not one block before, and is raised by what nodes ask for', () => {
    const world = opened();
    const { chain, maker } = world;
    for (let left = LIFE - 2; left > 1; left -= 1) {
      chain.mine(true);
      maker.look();
      expect(types(maker.effects)).toEqual(['funded']);
    }
    chain.mine(true);
    maker.look();
    expect(types(maker.effects)).toEqual(['funded', 'refund']);
    expect(maker.state.close).toEqual({ kind: 'refund', feeSat: 390n, vsize: REFUND_VSIZE });
    chain.satPerKvb = 3_900;
    maker.look();
    expect(types(maker.effects)).toEqual([]);
    chain.satPerKvb = 4_000;
    maker.look();
    expect(types(maker.effects)).toEqual(['refund']);
  });

  it('that no block takes for two blocks climbs by half at each, whatever nodes ask for, up to its bound', () => {
    const { chain, maker } = opened();
    for (let left = LIFE - 2; left > 0; left -= 1) chain.mine(true);
    chain.refundMostSat = 1_500n;
    maker.look();
    const fees: bigint[] = [];
    for (let blocks = 0; blocks < 8; blocks += 1) {
      fees.push(maker.state.close!.feeSat);
      chain.mine(true);
      maker.look();
      // The same tip once more changes nothing.
      maker.look();
    }
    expect(fees).toEqual([390n, 390n, 585n, 878n, 1_317n, 1_500n, 1_500n, 1_500n]);
    chain.mine(false);
    maker.look();
    expect(maker.state.outputStatus).toBe('spent_in_block');
  });

  it('leaves a state of the miner alone that waits', () => {
    const world = opened();
    const { chain, miner, maker } = world;
    for (let left = LIFE; left > 0; left -= 1) chain.mine(true);
    miner.look();
    expect(chain.waiting?.kind).toBe('state');
    chain.satPerKvb = 50_000;
    maker.look();
    expect(types(maker.effects)).toEqual(['status']);
  });
});

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('mine' as const), isEmpty: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('look' as const),
      who: fc.constantFrom<WatchRole>('miner', 'maker'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('reorg' as const),
      depth: fc.integer({ min: 1, max: 7 }),
      more: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('forget' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('restart' as const),
      who: fc.constantFrom<WatchRole>('miner', 'maker'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('rate' as const),
      satPerKvb: fc.integer({ min: 500, max: 200_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('close' as const) }) },
);

/** What must hold of every step, whatever the chain does. */
function guard(party: ModelParty, chain: ModelChain): void {
  const { role, margins, expiryHeight } = party.options;
  let lowestLeft = Number.POSITIVE_INFINITY;
  party.onStep = (before, event, after, effects) => {
    const { view } = event;
    const left = expiryHeight - chain.height;
    lowestLeft = Math.min(lowestLeft, left);
    const depth = view.spendDepth ?? 0;
    for (const effect of effects) {
      if (effect.type === 'refund') expect([role, left <= 0]).toEqual(['maker', true]);
      if (effect.type === 'close_alone' || effect.type === 'pay_child') expect(role).toBe('miner');
      if (effect.type === 'refuse_steps') expect(left).toBeLessThanOrEqual(beginBlocksOf(margins));
      if (effect.type === 'pay_child') {
        // A reorganisation takes no bid back.
        const mostSat = mostFeeSat(DEFAULT_FEE_CAPS, Math.min(left, lowestLeft), SAVED);
        expect(effect.feeSat + after.close!.feeSat).toBeLessThanOrEqual(mostSat);
      }
      if (effect.type === 'final') expect(depth).toBeGreaterThanOrEqual(margins.finalDepth);
      if (effect.type === 'over') expect(depth).toBeGreaterThanOrEqual(margins.watchDepth!);
      if (effect.type === 'reopened') expect(depth).toBe(0);
    }
    // A state on its way is replaced by a better paid one only.
    if (before.close?.kind === 'state' && after.close !== before.close) {
      expect(after.close!.feeSat).toBeGreaterThan(before.close.feeSat);
    }
    // Nobody leaves a channel unspent when the deadline has come.
    if (
      role === 'miner' &&
      view.coinDepth !== undefined &&
      left <= margins.broadcastBlocks &&
      !before.isOver
    ) {
      expect(types(effects).some((type) => type === 'close_alone' || type === 'send_close')).toBe(true);
    }
    if (after.status === 'closed' && !after.isOver && before.status === 'closed')
      expect(depth).toBeGreaterThan(0);
  };
}

describe('any schedule of blocks, reorganisations, looks and restarts', () => {
  it('keeps the deadlines, and comes to an end that both sides know', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const world = opened();
        const { chain } = world;
        for (const party of [world.miner, world.maker]) guard(party, chain);
        for (const each of actions) {
          if (each.type === 'mine') chain.mine(each.isEmpty);
          if (each.type === 'look') world[each.who].look();
          if (each.type === 'reorg') chain.reorg(each.depth, each.depth + each.more);
          if (each.type === 'forget') chain.forget();
          if (each.type === 'restart') world[each.who].restart();
          if (each.type === 'rate') chain.satPerKvb = each.satPerKvb;
          if (each.type === 'close') world.miner.look('close_alone');
        }
        // The chain calms down: whoever looks at each block comes to the end.
        mine(world, Math.max(chain.expiryHeight - chain.height, 0) + 30);
        expect(chain.spend?.depth).toBeGreaterThanOrEqual(MARGINS.watchDepth);
        for (const party of [world.miner, world.maker]) {
          expect(party.state).toMatchObject({ status: 'closed', isOver: true });
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the same whether a tip is told once or again', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const world = opened();
        const { chain } = world;
        for (const each of actions) {
          if (each.type === 'mine') chain.mine(each.isEmpty);
          if (each.type === 'reorg') chain.reorg(each.depth, each.depth + each.more);
          if (each.type === 'forget') chain.forget();
          if (each.type === 'rate') chain.satPerKvb = each.satPerKvb;
          if (each.type !== 'look') continue;
          const party = world[each.who];
          party.look();
          const { state } = party;
          party.look();
          // The first look may have put something into the mempool that the second one sees.
          party.look();
          expect(party.state.status).toBe(state.status);
          expect(party.state.close).toEqual(state.close);
          const once = ['status', 'final', 'reopened', 'over', 'close_alone', 'refund', 'send_funding'];
          expect(types(party.effects).filter((type) => once.includes(type))).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('leaves nothing in a state that a restart would miss', () => {
    const fresh = watchFrom('closing', { kind: 'refund', feeSat: 260n, vsize: 130 });
    expect(Object.keys(fresh).sort()).toEqual(
      [
        'bidSince',
        'cancelFeeSat',
        'cancelSince',
        'childFeeSat',
        'close',
        'fundingDepth',
        'isOver',
        'lostSince',
        'pushFeeSat',
        'pushSince',
        'spentSince',
        'outputStatus',
        'status',
        'waitsSince',
      ].sort(),
    );
  });
});
