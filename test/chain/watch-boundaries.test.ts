import { describe, expect, it } from 'vitest';
import {
  beginBlocksOf,
  type ChannelView,
  checkMargins,
  DEFAULT_CLOSE_MARGINS,
  FUNDING_PATIENCE_BLOCKS,
  type PendingClose,
  SPENT_ELSEWHERE,
  shareOf,
  transition,
  type WatchOptions,
  type WatchState,
  wantsFeeRate,
  watchFrom,
} from '../../src/chain/watcher.ts';

const EXPIRY = 1_000;
const MARGINS = checkMargins({ ...DEFAULT_CLOSE_MARGINS, askBlocks: 288, broadcastBlocks: 144 });
const LADDER = [1_000, 5_000].map((satPerKvb) => ({
  satPerKvb,
  feeSat: BigInt(satPerKvb / 5),
  vsize: 200,
}));

const MINER: WatchOptions = { role: 'miner', minDepth: 3, expiryHeight: EXPIRY, margins: MARGINS };
const MAKER: WatchOptions = { ...MINER, role: 'maker' };

/** A coin that is deep, and nothing else. */
const COIN: ChannelView = {
  coinDepth: 50,
  spendDepth: undefined,
  isOurs: false,
  canResend: false,
  satPerKvb: 1_000,
  ladder: LADDER,
  refundVsize: 130,
};
const GONE: ChannelView = { ...COIN, coinDepth: undefined };

function look(
  options: WatchOptions,
  state: Partial<WatchState>,
  view: ChannelView,
  height: number,
  type: 'tip' | 'close_alone' = 'tip',
) {
  const from: WatchState = { ...watchFrom('open', undefined), ...state };
  const step = transition(options, from, { type, view }, height);
  return { ...step, types: step.effects.map((effect) => effect.type) };
}

const stateClose = (feeSat = 200n): PendingClose => ({ kind: 'state', feeSat, vsize: 200 });
const TOGETHER: PendingClose = { kind: 'together', feeSat: 300n, vsize: 150 };

describe('margins', () => {
  it('may be equal where one gives the next its time', () => {
    const edge = { askBlocks: 5, broadcastBlocks: 5, urgentBlocks: 5, finalDepth: 1, watchDepth: 1 };
    expect(checkMargins(edge)).toEqual({ ...edge, patienceBlocks: 36 });
    expect(checkMargins({ ...edge, urgentBlocks: 0, patienceBlocks: 0 })).toMatchObject({
      urgentBlocks: 0,
      patienceBlocks: 0,
    });
    for (const wrong of [{ urgentBlocks: -1 }, { urgentBlocks: 6 }, { askBlocks: 4 }, { watchDepth: 0 }]) {
      expect(() => checkMargins({ ...edge, ...wrong })).toThrow('invariant');
    }
  });

  it('have the watched depth of the final one where that is deeper, and keep what else is said', () => {
    const { watchDepth: _watchDepth, ...rest } = DEFAULT_CLOSE_MARGINS;
    expect(checkMargins({ ...rest, finalDepth: 150 }).watchDepth).toBe(150);
    expect(checkMargins({ ...rest, finalDepth: 99 }).watchDepth).toBe(100);
    const feeCaps = [{ blocksLeft: 0, ppm: 1 }];
    expect(checkMargins({ ...rest, beginBlocks: 7, feeCaps })).toMatchObject({ beginBlocks: 7, feeCaps });
    expect(Object.keys(checkMargins(rest))).not.toContain('beginBlocks');
    expect(Object.keys(checkMargins(rest))).not.toContain('feeCaps');
    expect([beginBlocksOf(rest), beginBlocksOf({ ...rest, beginBlocks: 7 })]).toEqual([324, 7]);
  });

  it('half of an output may go into fees, and never its dust', () => {
    expect([shareOf(1_001n, 294n), shareOf(500n, 294n), shareOf(588n, 294n)]).toEqual([500n, 206n, 294n]);
  });
});

describe('whether the fee rate is asked for', () => {
  const asks = (
    options: WatchOptions,
    status: WatchState['status'],
    view: Partial<ChannelView>,
    height: number,
  ): boolean => wantsFeeRate(options, watchFrom(status, undefined), { ...COIN, ...view }, height);

  it('never once a block holds the end, and always while the funding or the end waits', () => {
    for (const options of [MINER, MAKER]) {
      expect(asks(options, 'closing', { coinDepth: undefined, spendDepth: 1 }, EXPIRY)).toBe(false);
      expect(asks(options, 'funding', { coinDepth: 0 }, 1)).toBe(true);
    }
    expect(asks(MINER, 'closing', { coinDepth: undefined, spendDepth: 0 }, 1)).toBe(true);
    expect(asks(MAKER, 'closing', { coinDepth: undefined, spendDepth: 0 }, 1)).toBe(false);
  });

  it('by the maker from the expiry on, by the miner from where it closes', () => {
    expect(asks(MAKER, 'open', {}, EXPIRY - 1)).toBe(false);
    expect(asks(MAKER, 'open', {}, EXPIRY)).toBe(true);
    expect(asks(MINER, 'open', {}, EXPIRY - 145)).toBe(false);
    expect(asks(MINER, 'open', {}, EXPIRY - 144)).toBe(true);
    expect(asks(MINER, 'open', { closesFrom: 'asking' }, EXPIRY - 289)).toBe(false);
    expect(asks(MINER, 'open', { closesFrom: 'asking' }, EXPIRY - 288)).toBe(true);
    for (const closesFrom of ['now', 'overdue'] as const)
      expect(asks(MINER, 'open', { closesFrom }, 1)).toBe(true);
    for (const status of ['closing', 'closed'] as const) expect(asks(MINER, status, {}, 1)).toBe(true);
  });

  it('by who takes back the coins of a late funding', () => {
    const late = { fundingByHeight: 102 };
    const view = { coinDepth: undefined };
    expect(asks({ ...MAKER, ...late }, 'funding', view, 99)).toBe(false);
    expect(asks({ ...MAKER, ...late }, 'funding', view, 100)).toBe(true);
    expect(asks({ ...MAKER, ...late }, 'opening', view, 100)).toBe(false);
    expect(asks({ ...MINER, ...late }, 'opening', view, 100)).toBe(true);
    expect(asks({ ...MINER, ...late }, 'open', view, 100)).toBe(false);
    expect(asks({ ...MAKER, ...late }, 'funding', { coinDepth: 1 }, 100)).toBe(false);
    expect(asks({ ...MAKER, ...late }, 'funding', { ...view, spendDepth: 0 }, 100)).toBe(false);
  });
});

describe('a funding whose coin is spent elsewhere', () => {
  it('is given up at the depth of an end, and watched to the depth of any', () => {
    const waits = { ...GONE, canResend: true };
    expect(look(MAKER, { status: 'funding' }, { ...waits, conflictDepth: 5 }, 10).types).toEqual([
      'send_funding',
    ]);
    const given = look(MAKER, { status: 'funding', fundingDepth: 2 }, { ...waits, conflictDepth: 6 }, 10);
    expect(given.effects).toEqual([{ type: 'status', status: 'closed', reason: SPENT_ELSEWHERE }]);
    expect(given.state).toMatchObject({ outputStatus: 'missing', fundingDepth: 0, isOver: false });
    const again = look(MAKER, given.state, { ...waits, conflictDepth: 99 }, 11);
    expect(again.types).toEqual([]);
    const over = look(MAKER, given.state, { ...waits, conflictDepth: 100 }, 12);
    expect(over.types).toEqual(['over']);
    expect(look(MAKER, over.state, COIN, 13)).toMatchObject({ state: over.state, effects: [] });
  });

  it('is none while the coin, or what spends it, is to be seen', () => {
    expect(look(MAKER, {}, { ...COIN, conflictDepth: 50 }, 10).types).toEqual(['funded']);
    expect(look(MAKER, {}, { ...GONE, spendDepth: 1, conflictDepth: 50 }, 10).types).toEqual(['status']);
  });
});

describe('a funding that is late', () => {
  const late = { fundingByHeight: 102 };
  const cancel = { vsize: 100, contributionSat: 50_000n, fundingFeeSat: 600n, fundingVsize: 300 };
  const waits: ChannelView = { ...GONE, canResend: true, satPerKvb: 5_000, cancel };

  it('is cancelled from the first block in which it cannot be deep in time', () => {
    const options = { ...MAKER, ...late };
    expect(look(options, { status: 'funding' }, waits, 99).types).toEqual(['send_funding']);
    const first = look(options, { status: 'funding' }, waits, 100);
    expect(first.effects).toEqual([{ type: 'cancel_funding', feeSat: 500n }]);
    expect(first.state).toMatchObject({ cancelFeeSat: 500n, outputStatus: 'missing', status: 'funding' });
    // Where the funding waits, the bid beats it; again half as much.
    const inMempool = { ...waits, coinDepth: 0 };
    const second = look(options, first.state, inMempool, 100);
    expect(second.effects).toEqual([{ type: 'cancel_funding', feeSat: 750n }]);
    const pushed = { ...first.state, pushFeeSat: 300n };
    expect(look(options, pushed, inMempool, 100).effects).toEqual([
      { type: 'cancel_funding', feeSat: 1_000n },
    ]);
  });

  it('has nothing to take back once a block spends a coin of it, or without own coins', () => {
    const options = { ...MAKER, ...late };
    expect(look(options, { status: 'funding' }, { ...waits, conflictDepth: 1 }, 100).types).toEqual([]);
    expect(look(options, { status: 'funding' }, { ...waits, conflictDepth: 0 }, 100).types).toEqual([
      'cancel_funding',
    ]);
    const { cancel: _cancel, ...without } = waits;
    expect(look(options, { status: 'funding' }, without, 100).types).toEqual([]);
  });

  it('is given up by the maker at the expiry, not while it waits, and never by the miner', () => {
    const status = 'funding';
    expect(look({ ...MAKER, ...late }, { status }, waits, EXPIRY - 1).types).toEqual(['cancel_funding']);
    const end = look({ ...MAKER, ...late }, { status }, waits, EXPIRY);
    expect(end.effects).toStrictEqual([
      { type: 'status', status: 'closed', reason: 'the funding never confirmed' },
    ]);
    const inMempool = { ...waits, coinDepth: 0 };
    expect(look({ ...MAKER, ...late }, { status }, inMempool, EXPIRY).types).toEqual(['cancel_funding']);
    expect(look({ ...MINER, ...late }, { status }, waits, EXPIRY).types).toEqual(['cancel_funding']);
  });

  it('that is in a block is not cancelled, and nor is a channel that was used', () => {
    const inBlock = { ...waits, coinDepth: 1 };
    expect(look({ ...MAKER, ...late }, { status: 'funding' }, inBlock, 200).types).toEqual(['funded']);
    expect(look({ ...MAKER, ...late }, { status: 'open' }, waits, 200).types).toEqual(['send_funding']);
  });
});

describe('a funding that waits', () => {
  const push = { feeSat: 600n, vsize: 300, childVsize: 100, availableSat: 5_000n };
  const waits: ChannelView = { ...COIN, coinDepth: 0, satPerKvb: 4_000, push };
  const since = (height: number, pushFeeSat = 0n): Partial<WatchState> => ({
    status: 'funding',
    waitsSince: height,
    pushFeeSat,
  });
  const pushed = (state: Partial<WatchState>, view: Partial<ChannelView>, height = 106) => {
    const effect = look(MAKER, state, { ...waits, ...view }, height).effects.find(
      ({ type }) => type === 'push_funding',
    );
    return effect?.type === 'push_funding' ? effect.feeSat : undefined;
  };

  it('has a child after its patience, in funding only', () => {
    expect(FUNDING_PATIENCE_BLOCKS).toBe(6);
    expect(pushed(since(100), {}, 105)).toBeUndefined();
    expect(pushed(since(100), {}, 106)).toBe(1_000n);
    expect(pushed({ ...since(100), status: 'open' }, {})).toBeUndefined();
    expect(pushed(since(100), { push: undefined as never })).toBeUndefined();
  });

  it('whose child pays what is missing, at least what nodes relay, and no more than there is', () => {
    // By what blocks ask for its own rate would be enough, 2 sat/vB: it waits all the same, and is stuck.
    expect(pushed(since(100), { satPerKvb: 2_000 })).toBe(600n);
    expect(pushed(since(100), { satPerKvb: 3_003 })).toBe(602n);
    expect(pushed(since(100), { satPerKvb: 50_000 })).toBe(5_000n);
    expect(pushed(since(100), { push: { ...push, availableSat: 100n } })).toBe(100n);
    expect(pushed(since(100), { push: { ...push, availableSat: 99n } })).toBeUndefined();
  });

  it('whose child is raised by what a replacement pays, else sent again as it was', () => {
    expect(pushed(since(100, 901n), {})).toBe(901n);
    expect(pushed(since(100, 900n), {})).toBe(1_000n);
  });

  it('whose child grows by half once it waited for two blocks, at each block, and no higher than it may', () => {
    const first = look(MAKER, since(100), waits, 106);
    expect(first.state).toMatchObject({ pushFeeSat: 1_000n, pushSince: 105 });
    const second = look(MAKER, first.state, waits, 107);
    // 1,600 sat for 400 vB, and half as much again.
    expect(second.state).toMatchObject({ pushFeeSat: 1_800n, pushSince: 106 });
    expect(pushed({ ...second.state, pushSince: 107 }, {}, 108)).toBe(1_800n);
    expect(pushed(second.state, { push: { ...push, availableSat: 2_000n } }, 108)).toBe(2_000n);
  });

  it('is forgotten with its child once it is in a block', () => {
    const { state } = look(MAKER, since(100, 900n), { ...waits, coinDepth: 1 }, 106);
    expect(state).toMatchObject({ waitsSince: undefined, pushFeeSat: 0n, fundingDepth: 1 });
    expect(look(MAKER, { status: 'funding' }, waits, 50).state).toMatchObject({ waitsSince: 50 });
    expect(look(MAKER, since(40), waits, 50).state).toMatchObject({ waitsSince: 40, fundingDepth: 0 });
  });
});

describe('the miner', () => {
  it('closes at its deadline, and sells nothing from before it', () => {
    expect(look(MINER, {}, COIN, EXPIRY - 325).types).toEqual(['funded']);
    expect(look(MINER, {}, COIN, EXPIRY - 324).types).toEqual(['funded', 'refuse_steps']);
    expect(look(MINER, {}, COIN, EXPIRY - 145).types).toEqual(['funded', 'refuse_steps']);
    expect(look(MINER, { status: 'funding' }, COIN, EXPIRY - 324).types).toEqual([
      'funded',
      'refuse_steps',
    ]);
    for (const status of ['open', 'funding'] as const)
      expect(look(MINER, { status }, COIN, EXPIRY - 144).types).toEqual(['funded', 'close_alone']);
  });

  it('closes from where something is wrong, and when it is told to', () => {
    const asking = { ...COIN, closesFrom: 'asking' as const };
    expect(look(MINER, {}, asking, EXPIRY - 289).types).toEqual(['funded', 'refuse_steps']);
    expect(look(MINER, {}, asking, EXPIRY - 288).types).toEqual(['funded', 'close_alone']);
    for (const closesFrom of ['now', 'overdue'] as const)
      expect(look(MINER, {}, { ...COIN, closesFrom }, 1).types).toEqual(['funded', 'close_alone']);
    expect(look(MINER, {}, COIN, 1, 'close_alone').types).toEqual(['funded', 'close_alone']);
  });

  it('has no channel to close before its funding is to be seen', () => {
    expect(look(MINER, { status: 'opening' }, GONE, EXPIRY)).toMatchObject({
      types: [],
      state: { outputStatus: 'missing' },
    });
    expect(look(MINER, { status: 'opening' }, COIN, 1).effects).toEqual([
      { type: 'funded', confirmations: 50 },
      { type: 'status', status: 'funding' },
    ]);
    expect(look(MINER, { status: 'closed' }, GONE, 1).state.outputStatus).toBe('spent_in_block');
  });

  it('leaves a close of both alone until the last deadline, unless that is overdue', () => {
    const closing = { status: 'closing', close: TOGETHER } as const;
    const ours = { ...GONE, spendDepth: 0, isOurs: true, satPerKvb: 5_000 };
    expect(look(MINER, closing, ours, EXPIRY - 145).types).toEqual([]);
    expect(look(MINER, closing, ours, EXPIRY - 144).types).toEqual(['close_alone']);
    for (const closesFrom of ['now', 'asking'] as const)
      expect(look(MINER, closing, { ...ours, closesFrom }, EXPIRY - 145).types).toEqual([]);
    expect(look(MINER, closing, { ...ours, closesFrom: 'overdue' }, 1).types).toEqual(['close_alone']);
    expect(look(MINER, closing, ours, 1, 'close_alone').types).toEqual(['close_alone']);
  });

  it('has a close of both that pays enough go on, also at the last deadline', () => {
    const ours = { ...GONE, spendDepth: 0, isOurs: true };
    const closing = { status: 'closing', close: TOGETHER, bidSince: 100 } as const;
    expect(look(MINER, closing, ours, EXPIRY - 144).types).toEqual(['close_alone']);
    const recent = { ...closing, bidSince: EXPIRY - 145 };
    expect(look(MINER, recent, ours, EXPIRY - 144).types).toEqual([]);
    // One that is lost was no bid: what comes in its place begins now.
    expect(look(MINER, closing, COIN, EXPIRY - 144).state.bidSince).toBe(EXPIRY - 144);
  });

  it('closes what lost its end without a close of its own, once it is due', () => {
    const closing = { status: 'closing' } as const;
    expect(look(MINER, closing, COIN, 1).types).toEqual(['funded']);
    expect(look(MINER, closing, { ...COIN, closesFrom: 'now' }, 1).types).toEqual([
      'funded',
      'close_alone',
    ]);
    expect(look(MINER, closing, COIN, EXPIRY - 144).types).toEqual(['funded', 'close_alone']);
  });

  it('bids within the caps, against what waits, and above what it sent', () => {
    const saved = { outputSat: 3_000n, dustSat: 294n };
    const dear = { ...COIN, satPerKvb: 5_000, saved };
    const bid = (options: WatchOptions) => look(options, {}, dear, EXPIRY - 144).effects.at(-1);
    expect(bid(MINER)).toEqual({ type: 'close_alone', rung: 1 });
    const thousand = { outputSat: 1_250n, dustSat: 294n };
    expect(look(MINER, {}, { ...dear, saved: thousand }, EXPIRY - 144).effects.at(-1)).toEqual({
      type: 'close_alone',
      rung: 0,
    });
    const rich = {
      ...dear,
      saved: { outputSat: 100_000n, dustSat: 294n },
      satPerKvb: 90_000,
      childVsize: 100,
    };
    expect(look(MINER, {}, rich, EXPIRY - 144).effects.at(-1)).toEqual({
      type: 'pay_child',
      feeSat: 9_000n,
      parentFeeSat: 1_000n,
    });
    const feeCaps = [{ blocksLeft: 0, ppm: 50_000 }];
    expect(look({ ...MINER, feeCaps }, {}, rich, EXPIRY - 144).effects.at(-1)).toEqual({
      type: 'pay_child',
      feeSat: 4_000n,
      parentFeeSat: 1_000n,
    });
    const rival = { ...GONE, spendDepth: 0, isRival: true };
    const low = { status: 'closing', close: stateClose() } as const;
    expect(look(MINER, low, rival, 1).effects).toEqual([{ type: 'close_alone', rung: 1 }]);
    const top = { status: 'closing', close: stateClose(1_000n) } as const;
    const cheap = { feeSat: 100n, vsize: 200, packageFeeSat: 100n, packageVsize: 200 };
    expect(look(MINER, top, { ...rival, waiting: cheap }, 1).types).toEqual(['send_close']);
    const child = { ...COIN, satPerKvb: 6_000, childVsize: 100 };
    expect(look(MINER, top, child, 1).effects.slice(1)).toEqual([
      { type: 'send_close' },
      { type: 'pay_child', feeSat: 800n, parentFeeSat: 1_000n },
    ]);
  });

  it('sends a close again where it is not to be seen, and a lost one of both gives way when it is due', () => {
    const closing = { status: 'closing', close: TOGETHER } as const;
    expect(look(MINER, closing, COIN, 1).types).toEqual(['funded', 'send_close']);
    expect(look(MINER, closing, COIN, EXPIRY - 144).types).toEqual(['funded', 'close_alone']);
    expect(look(MINER, { status: 'closing', close: stateClose() }, COIN, 1).types).toEqual([
      'funded',
      'send_close',
    ]);
    const others = { ...GONE, spendDepth: 0, isOurs: false };
    expect(look(MINER, { status: 'closing', close: stateClose() }, others, 1).types).toEqual([
      'send_close',
    ]);
    const ours = { ...others, isOurs: true };
    expect(look(MINER, { status: 'closing', close: stateClose() }, ours, 1).types).toEqual([]);
  });

  it('climbs once a bid waits for two blocks, and one a block from then on', () => {
    const ours = { ...GONE, spendDepth: 0, isOurs: true };
    const closing = { status: 'closing', close: stateClose(), bidSince: 100 } as const;
    expect(look(MINER, closing, ours, 101)).toMatchObject({ types: [], state: { bidSince: 100 } });
    const climbed = look(MINER, closing, ours, 102);
    expect(climbed.effects).toEqual([{ type: 'close_alone', rung: 1 }]);
    expect(climbed.state).toMatchObject({ bidSince: 101, close: stateClose(1_000n) });
    // A reorganisation takes no bid back: from a lower height it waits anew.
    expect(look(MINER, closing, ours, 90).state.bidSince).toBe(90);
    expect(look(MINER, { ...closing, bidSince: undefined }, ours, 90).state.bidSince).toBe(90);
    const asked = look(MINER, closing, { ...ours, satPerKvb: 5_000 }, 101);
    expect(asked).toMatchObject({ types: ['close_alone'], state: { bidSince: 101 } });
  });

  it('sends a child again with what it paid, and forgets it with its parent', () => {
    const ours = { ...GONE, spendDepth: 0, isOurs: true, childVsize: 100 };
    const closing = { status: 'closing', close: stateClose(), childFeeSat: 250n } as const;
    expect(look(MINER, closing, ours, 100).effects).toEqual([
      { type: 'pay_child', feeSat: 250n, parentFeeSat: stateClose().feeSat },
    ]);
    expect(look(MINER, { ...closing, childFeeSat: 0n }, ours, 100).types).toEqual([]);
    const { childVsize: _childVsize, ...cold } = ours;
    expect(look(MINER, closing, cold, 100).types).toEqual([]);
    expect(look(MINER, closing, { ...COIN, childVsize: 100 }, 100).state.childFeeSat).toBe(0n);
    expect(look(MINER, closing, { ...GONE, spendDepth: 1 }, 100).state.childFeeSat).toBe(0n);
  });

  it('takes a child that was bid for a close that is on no disk for none', () => {
    const closing = { status: 'closing', childFeeSat: 250n } as const;
    const foreign = { ...GONE, spendDepth: 0, childVsize: 100 };
    expect(look(MINER, closing, foreign, 100)).toMatchObject({ types: [], state: { childFeeSat: 0n } });
  });

  it('makes a close again that left the chain, and nothing of one that is in it', () => {
    const closed = { status: 'closed', close: stateClose() } as const;
    expect(look(MINER, closed, { ...GONE, spendDepth: 7 }, 100).types).toEqual([]);
    expect(look(MINER, closed, COIN, 100).types).toEqual(['funded', 'status', 'reopened', 'send_close']);
    expect(
      look(MINER, { status: 'closing', close: stateClose() }, { ...GONE, spendDepth: 1 }, 100).types,
    ).toEqual([]);
  });

  it('sees a spend it did not make', () => {
    for (const status of ['open', 'funding'] as const) {
      const spent = look(MINER, { status }, { ...GONE, spendDepth: 1 }, 100);
      expect(spent.effects).toEqual([
        { type: 'status', status: 'closing', reason: 'spent by the other side' },
      ]);
      expect(spent.state).toMatchObject({ outputStatus: 'spent_in_block', spentSince: 100 });
      const inMempool = look(MINER, { status }, { ...GONE, spendDepth: 0 }, 100);
      expect(inMempool.types).toEqual(['status']);
      expect(inMempool.state).toMatchObject({ outputStatus: 'spent_in_mempool', spentSince: undefined });
    }
  });
});

describe('the maker', () => {
  it('takes its refund at the expiry, and pays more for it by what a replacement pays', () => {
    const view = { ...COIN, satPerKvb: 3_000.5 };
    expect(look(MAKER, {}, view, EXPIRY - 1).types).toEqual(['funded']);
    const first = look(MAKER, {}, view, EXPIRY);
    expect(first.effects).toEqual([
      { type: 'funded', confirmations: 50 },
      { type: 'refund', satPerKvb: 3_001 },
    ]);
    expect(first.state.close).toEqual({ kind: 'refund', feeSat: 391n, vsize: 130 });
    const waits = { ...GONE, spendDepth: 0, isOurs: true };
    expect(look(MAKER, first.state, { ...waits, satPerKvb: 4_000 }, EXPIRY + 1).types).toEqual([]);
    expect(look(MAKER, first.state, { ...waits, satPerKvb: 4_001 }, EXPIRY + 1).types).toEqual(['refund']);
    // The first is no replacement: below one sat a vB it leaves as well.
    expect(look(MAKER, {}, { ...COIN, satPerKvb: 500 }, EXPIRY).types).toEqual(['funded', 'refund']);
    // Not to be seen, and the rate is no reason for another: it is sent again.
    expect(look(MAKER, first.state, COIN, EXPIRY + 1).types).toEqual(['funded', 'send_close']);
  });

  it('climbs once its refund waits for two blocks, by half, and no higher than it may', () => {
    const first = look(MAKER, {}, { ...COIN, satPerKvb: 3_000 }, EXPIRY);
    expect(first.state).toMatchObject({ close: { feeSat: 390n }, bidSince: EXPIRY });
    const waits = { ...GONE, spendDepth: 0, isOurs: true };
    const once = look(MAKER, first.state, waits, EXPIRY + 1);
    expect(once).toMatchObject({ types: [], state: { bidSince: EXPIRY } });
    const second = look(MAKER, once.state, waits, EXPIRY + 2);
    expect(second.effects).toEqual([{ type: 'refund', satPerKvb: 4_500 }]);
    expect(second.state).toMatchObject({ close: { feeSat: 585n }, bidSince: EXPIRY + 1 });
    const third = look(MAKER, second.state, waits, EXPIRY + 3);
    expect(third.effects).toEqual([{ type: 'refund', satPerKvb: 6_750 }]);
    const bounded = (refundMostSat: bigint) =>
      look(MAKER, second.state, { ...waits, refundMostSat }, EXPIRY + 3).effects;
    expect(bounded(715n)).toEqual([{ type: 'refund', satPerKvb: 5_500 }]);
    expect(bounded(714n)).toEqual([]);
    // Half as much again of little is less than what nodes want for a replacement.
    const small = { close: { kind: 'refund', feeSat: 130n, vsize: 130 }, bidSince: EXPIRY } as const;
    const raised = look(MAKER, { ...small, status: 'closing' }, waits, EXPIRY + 2);
    expect(raised.effects).toEqual([{ type: 'refund', satPerKvb: 2_001 }]);
    expect(look(MAKER, { ...small, status: 'closing' }, waits, EXPIRY - 1).types).toEqual([]);
  });

  it('leaves alone what waits and is not its own', () => {
    const waits = { ...GONE, spendDepth: 0, satPerKvb: 90_000 };
    expect(look(MAKER, { status: 'closing' }, waits, EXPIRY).types).toEqual([]);
    expect(look(MAKER, { status: 'closing', close: TOGETHER }, waits, EXPIRY).types).toEqual([]);
    expect(look(MAKER, {}, waits, 100).effects).toEqual([
      { type: 'status', status: 'closing', reason: 'spent by the miner' },
    ]);
  });

  it('gives a close of both that is lost its time to come back', () => {
    const closing = { status: 'closing', close: TOGETHER } as const;
    const first = look(MAKER, closing, COIN, EXPIRY);
    expect(first.types).toEqual(['funded', 'send_close']);
    expect(first.state.lostSince).toBe(EXPIRY);
    expect(look(MAKER, first.state, COIN, EXPIRY + 5).types).toEqual(['funded', 'send_close']);
    expect(look(MAKER, first.state, COIN, EXPIRY + 6).types).toEqual(['funded', 'refund']);
    const seen = look(MAKER, first.state, { ...GONE, spendDepth: 0, isOurs: true }, EXPIRY + 2);
    expect(seen.state.lostSince).toBeUndefined();
    expect(
      look(MAKER, { status: 'closing', close: stateClose() }, COIN, 100).state.lostSince,
    ).toBeUndefined();
  });

  it('does nothing for an opening, nor for what a block spends, and makes an end again that left the chain', () => {
    expect(look(MAKER, { status: 'opening' }, COIN, EXPIRY).types).toEqual(['funded']);
    expect(look(MAKER, { status: 'closing' }, { ...GONE, spendDepth: 1 }, EXPIRY).types).toEqual([]);
    expect(look(MAKER, { status: 'closed' }, COIN, 100).types).toEqual(['funded', 'status', 'reopened']);
    expect(look(MAKER, { status: 'funding' }, GONE, EXPIRY - 1).types).toEqual([]);
    expect(look(MAKER, { status: 'funding' }, GONE, EXPIRY).state.status).toBe('closed');
  });
});

describe('an end', () => {
  it.each([MINER, MAKER])('is final at its depth, and over at another: $role', (options) => {
    const at = (status: WatchState['status'], spendDepth: number) =>
      look(options, { status, close: stateClose() }, { ...GONE, spendDepth, isOurs: true }, 500).types;
    expect(at('closing', 5)).toEqual([]);
    expect(at('closing', 6)).toEqual(['status', 'final']);
    expect(at('closed', 99)).toEqual([]);
    expect(at('closed', 100)).toEqual(['over']);
    expect(at('closing', 100)).toEqual(['status', 'final', 'over']);
  });

  it('whose block is not known counts from when it was seen, and one that is known from its block', () => {
    const first = look(MAKER, { status: 'closing' }, GONE, 500);
    expect(first.state).toMatchObject({ outputStatus: 'spent_in_block', spentSince: 500 });
    expect(look(MAKER, first.state, GONE, 504).types).toEqual([]);
    expect(look(MAKER, first.state, GONE, 505).types).toEqual(['status', 'final']);
    // A reorganisation to below where it was seen makes nothing of it.
    expect(look(MAKER, first.state, GONE, 400).types).toEqual([]);
    const known = look(MAKER, { status: 'closing', bidSince: 5 }, { ...GONE, spendDepth: 3 }, 500);
    expect(known.state).toMatchObject({ spentSince: 498, bidSince: undefined });
    expect(look(MAKER, { status: 'closing', bidSince: 5 }, COIN, 500).state.bidSince).toBe(5);
    expect(look(MAKER, known.state, GONE, 503).types).toEqual(['status', 'final']);
    expect(look(MAKER, known.state, COIN, 503).state.spentSince).toBeUndefined();
  });

  it('has no depth while it waits, and an opening has no end', () => {
    const shallow = { ...MAKER, margins: { ...MARGINS, finalDepth: 1, watchDepth: 1 } };
    expect(look(shallow, { status: 'closing' }, COIN, 500).types).toEqual(['funded']);
    expect(look(shallow, { status: 'closing' }, { ...GONE, spendDepth: 0 }, 500).types).toEqual([]);
    expect(look(shallow, { status: 'closing' }, { ...GONE, spendDepth: 1 }, 500).types).toEqual([
      'status',
      'final',
      'over',
    ]);
    expect(look(shallow, { status: 'opening' }, { ...GONE, spendDepth: 5 }, 500).types).toEqual([]);
  });

  it('leaves the depth of the funding as it was, which one that is missing has not', () => {
    const was = { fundingDepth: 5 };
    expect(look(MAKER, was, { ...GONE, spendDepth: 1 }, 500).state.fundingDepth).toBe(5);
    expect(look(MAKER, { ...was, status: 'funding' }, GONE, 500).state.fundingDepth).toBe(0);
    expect(look(MAKER, was, COIN, 500).state.fundingDepth).toBe(50);
  });

  it('is watched for 100 blocks where nothing else is said', () => {
    const { watchDepth: _watchDepth, ...margins } = MARGINS;
    const options = { ...MAKER, margins };
    const at = (spendDepth: number) =>
      look(options, { status: 'closed' }, { ...GONE, spendDepth }, 500).types;
    expect([at(99), at(100)]).toEqual([[], ['over']]);
  });
});
