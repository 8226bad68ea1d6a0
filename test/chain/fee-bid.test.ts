import { describe, expect, it } from 'vitest';
import {
  type Bid,
  type BidOptions,
  type InTheWay,
  nextBid,
  type Waiting,
} from '../../src/chain/fee-bid.ts';
import { FREE_FEE_SAT, mostFeeSat } from '../../src/chain/fee-caps.ts';
import { feeAt, rateOf } from '../../src/chain/fee-rate.ts';
import { cancelBid, isFundingLate } from '../../src/chain/funding-watch.ts';

/** Rungs of 1, 5, 20 and 80 sat/vB of a close of 200 vB; its child has 100 vB. */
const LADDER = [1_000, 5_000, 20_000, 80_000].map((satPerKvb) => ({
  satPerKvb,
  feeSat: BigInt(satPerKvb / 5),
  vsize: 200,
}));
const CALM: BidOptions = {
  ladder: LADDER,
  childVsize: 100,
  mostSat: undefined,
  satPerKvb: 5_000,
  isStuck: false,
  floorSat: 0n,
};
/** Such a close on its second rung. */
const SECOND: Bid = { feeSat: 1_000n, vsize: 200, childFeeSat: 0n };
const THIRD: Bid = { ...SECOND, feeSat: 4_000n };

function bid(
  options: Partial<BidOptions>,
  present?: Bid,
  inTheWay?: InTheWay,
): [number | undefined, bigint] | undefined {
  const next = nextBid({ ...CALM, ...options }, present, inTheWay);
  return next && [next.rung, next.childFeeSat];
}

const waiting = (feeSat: bigint, childSat = 0n, childVsize = 0): Waiting => ({
  feeSat,
  vsize: 200,
  packageFeeSat: feeSat + childSat,
  packageVsize: 200 + childVsize,
});
const own = (what?: Waiting): InTheWay => ({ isOwn: true, isRival: false, waiting: what });
const others = (what?: Waiting): InTheWay => ({ isOwn: false, isRival: false, waiting: what });
const rival = (what?: Waiting): InTheWay => ({ isOwn: false, isRival: true, waiting: what });

describe('the first bid', () => {
  it('is the lowest rung that pays what blocks ask for, to the satoshi', () => {
    expect(bid({})).toEqual([1, 0n]);
    expect(bid({ satPerKvb: 1_000 })).toEqual([0, 0n]);
    expect(bid({ satPerKvb: 20_000 })).toEqual([2, 0n]);
    expect(bid({ satPerKvb: 0 })).toEqual([0, 0n]);
  });

  it('takes a dearer rung up to twice that, or up to what no bound is worth waiting for', () => {
    // 5,001 sat/vB by 200 are 1,001 sats: the next rung pays 4,000.
    expect(bid({ satPerKvb: 5_001 })).toEqual([1, 501n]);
    // 16,000 for 200 vB: once half of that is asked for.
    expect(bid({ satPerKvb: 40_000 })).toEqual([3, 0n]);
    expect(bid({ satPerKvb: 39_995 })).toEqual([2, feeAt(300, 39_995) - 4_000n]);
    const cheap = [{ satPerKvb: 7_500, feeSat: FREE_FEE_SAT, vsize: 200 }];
    expect(bid({ ladder: cheap, satPerKvb: 1_000 })).toEqual([0, 0n]);
    const dear = [{ satPerKvb: 7_505, feeSat: FREE_FEE_SAT + 1n, vsize: 200 }];
    expect(bid({ ladder: [LADDER[0]!, ...dear], satPerKvb: 1_500 })).toEqual([0, 250n]);
  });

  it('has a child beyond the ladder, which pays for both', () => {
    expect(bid({ satPerKvb: 100_000 })).toEqual([3, 30_000n - 16_000n]);
    expect(bid({ satPerKvb: 100_000, childVsize: undefined })).toEqual([3, 0n]);
  });

  it('stays within what may be paid: the dearest rung that fits, and the rest for its child', () => {
    expect(bid({ satPerKvb: 20_000, mostSat: 4_000n })).toEqual([2, 0n]);
    expect(bid({ satPerKvb: 20_000, mostSat: 3_999n })).toEqual([1, 2_999n]);
    expect(bid({ satPerKvb: 20_000, mostSat: 1_100n })).toEqual([1, 100n]);
    // One satoshi less buys no child.
    expect(bid({ satPerKvb: 20_000, mostSat: 1_099n })).toEqual([1, 0n]);
    expect(bid({ satPerKvb: 20_000, mostSat: 1_000n, childVsize: undefined })).toEqual([1, 0n]);
    expect(bid({ satPerKvb: 20_000, mostSat: 999n, childVsize: undefined })).toEqual([0, 0n]);
  });

  it('is the lowest rung where even that is too much, and none without a ladder', () => {
    expect(bid({ satPerKvb: 20_000, mostSat: 10n })).toEqual([0, 0n]);
    expect(bid({ satPerKvb: 20_000, mostSat: 0n, childVsize: undefined })).toEqual([0, 0n]);
    expect(bid({ ladder: [] })).toBeUndefined();
  });

  it('is above the floor: what was sent once is replaced by better paid ones only', () => {
    expect(bid({ satPerKvb: 1_000, floorSat: 200n })).toEqual([1, 0n]);
    expect(bid({ satPerKvb: 1_000, floorSat: 199n })).toEqual([0, 0n]);
    expect(bid({ satPerKvb: 40_000, floorSat: 4_000n }, THIRD)).toEqual([3, 0n]);
    expect(bid({ satPerKvb: 20_001, floorSat: 4_000n, childVsize: undefined }, THIRD)).toBeUndefined();
  });
});

describe('a bid that stands', () => {
  it('is enough while it pays what blocks ask for', () => {
    expect(bid({ satPerKvb: 5_000 }, SECOND)).toBeUndefined();
    expect(bid({ satPerKvb: 5_000 }, SECOND, own(waiting(1_000n)))).toBeUndefined();
    expect(bid({ satPerKvb: 2_500 }, { ...SECOND, feeSat: 200n, childFeeSat: 550n })).toBeUndefined();
    expect(bid({ satPerKvb: 2_501 }, { ...SECOND, feeSat: 200n, childFeeSat: 550n })).not.toBeUndefined();
  });

  it('gives way to a rung that is not too dear, else has a child', () => {
    const floorSat = 1_000n;
    expect(bid({ satPerKvb: 10_000, floorSat }, SECOND)).toEqual([2, 0n]);
    expect(bid({ satPerKvb: 9_000, floorSat }, SECOND)).toEqual([undefined, 1_700n]);
    // A node that knows it wants more than it pays and one sat a vB.
    expect(bid({ satPerKvb: 9_000, floorSat }, SECOND, own())).toEqual([undefined, 1_700n]);
    expect(bid({ satPerKvb: 9_000, floorSat, ladder: [] }, SECOND)).toEqual([undefined, 1_700n]);
    expect(bid({ satPerKvb: 9_000, ladder: [], childVsize: undefined }, SECOND)).toBeUndefined();
  });

  it('raises the child by what nodes want for a replacement, or leaves it', () => {
    const with500 = { ...SECOND, childFeeSat: 500n };
    const ladder: BidOptions['ladder'] = [];
    // 300 vB at 5,334 are 1,601: the child would grow by 101.
    expect(bid({ ladder, satPerKvb: 5_331 }, with500)).toEqual([undefined, 600n]);
    expect(bid({ ladder, satPerKvb: 5_330 }, with500)).toBeUndefined();
    expect(bid({ ladder, satPerKvb: 5_331, mostSat: 1_600n }, with500)).toEqual([undefined, 600n]);
    expect(bid({ ladder, satPerKvb: 5_331, mostSat: 1_599n }, with500)).toBeUndefined();
    expect(bid({ ladder, satPerKvb: 9_000, mostSat: 1_650n }, with500)).toEqual([undefined, 650n]);
  });

  it('climbs a rung where it is stuck, and beyond the ladder by half', () => {
    const isStuck = true;
    const floorSat = 1_000n;
    // The rung above is four times what blocks ask for, and that is what they are taken to ask.
    expect(bid({ isStuck, floorSat, satPerKvb: 1_000 }, SECOND)).toEqual([2, 0n]);
    expect(bid({ isStuck, floorSat, satPerKvb: 60_000, childVsize: undefined }, SECOND)).toEqual([3, 0n]);
    const top: Bid = { feeSat: 16_000n, vsize: 200, childFeeSat: 0n };
    expect(bid({ isStuck, floorSat: 16_000n, satPerKvb: 1_000 }, top)).toEqual([undefined, 20_000n]);
    // Half as much again for all of it, the child included.
    const more: Bid = { ...top, childFeeSat: 20_000n };
    expect(bid({ isStuck, floorSat: 16_000n, satPerKvb: 1_000 }, more)).toEqual([undefined, 38_000n]);
    expect(
      bid({ isStuck, floorSat: 16_000n, satPerKvb: 1_000, childVsize: undefined }, top),
    ).toBeUndefined();
    expect(bid({ isStuck, satPerKvb: 1_000 })).toEqual([0, 0n]);
  });

  it('takes a rung however dear where it is stuck and has no child', () => {
    const ladder = [LADDER[1]!, { satPerKvb: 30_000, feeSat: 60_000n, vsize: 2_000 }];
    expect(bid({ ladder, isStuck: true, floorSat: 1_000n, childVsize: undefined }, SECOND)).toEqual([
      1,
      0n,
    ]);
  });
});

describe('what is in the way', () => {
  it('may confirm where it gives as much as the own close and pays enough, also with its child', () => {
    expect(bid({}, SECOND, others(waiting(1_000n)))).toBeUndefined();
    expect(bid({}, SECOND, others(waiting(200n, 1_300n, 100)))).toBeUndefined();
    expect(bid({}, SECOND, others(waiting(200n, 1_299n, 100)))).not.toBeUndefined();
    // A child that makes the whole of it worse does not count: its parent goes alone.
    expect(bid({}, SECOND, others(waiting(1_000n, 10n, 1_000)))).toBeUndefined();
    expect(bid({}, undefined, others(waiting(1_000n)))).toEqual([1, 0n]);
  });

  it('is outbid, with all that spends from it, by its fees and by its rate', () => {
    // 3,800 and 200 for the own size: a rung of 4,000 is enough, to the satoshi.
    expect(bid({}, undefined, rival(waiting(1_000n, 2_800n, 900)))).toEqual([2, 0n]);
    expect(bid({}, undefined, rival(waiting(1_000n, 2_801n, 900)))).toEqual([2, 101n]);
    // By its rate: 19.995 sat/vB and one for the increment are less than 20.
    const small: Waiting = { feeSat: 1_999n, vsize: 100, packageFeeSat: 1_999n, packageVsize: 100 };
    expect(bid({}, undefined, rival(small))).toEqual([2, 0n]);
    expect(bid({ childVsize: undefined }, undefined, rival({ ...small, feeSat: 2_000n }))).toEqual([3, 0n]);
  });

  it('is a rival whatever it pays: the own close must come before it', () => {
    expect(bid({ floorSat: 1_000n }, SECOND, rival(waiting(1_500n)))).toEqual([2, 0n]);
    expect(bid({ satPerKvb: 0, floorSat: 1_000n }, SECOND, rival(waiting(1_500n)))).toEqual([2, 0n]);
    expect(bid({ childVsize: undefined }, SECOND, rival(waiting(1_500n)))).toEqual([2, 0n]);
  });

  it('is outbid blindly where no node tells: more than what was bid last', () => {
    // 1,000 and 200: the second rung is not enough, the third is.
    expect(bid({ floorSat: 1_000n }, SECOND, rival())).toEqual([2, 0n]);
    const pair: Bid = { ...SECOND, childFeeSat: 2_800n };
    expect(bid({ floorSat: 1_000n, childVsize: undefined }, pair, rival())).toEqual([2, 0n]);
    const pair2: Bid = { ...SECOND, childFeeSat: 2_801n };
    expect(bid({ floorSat: 1_000n, childVsize: undefined }, pair2, rival())).toEqual([3, 0n]);
    expect(bid({}, undefined, rival())).toEqual([1, 0n]);
  });

  it('that nothing affordable beats is left, but for a first bid', () => {
    const cold = { satPerKvb: 9_000, childVsize: undefined };
    expect(bid(cold, undefined, others(waiting(800n)))).toEqual([1, 0n]);
    expect(bid(cold, undefined, others(waiting(801n)))).toEqual([0, 0n]);
    expect(bid({ mostSat: 2_000n }, undefined, rival(waiting(3_000n)))).toEqual([0, 0n]);
    // By its rate, 15.001 sat/vB, a close with its child pays 4,501.
    const two = { ladder: LADDER.slice(0, 2) };
    expect(bid({ ...two, mostSat: 4_501n }, undefined, rival(waiting(3_000n)))).toEqual([1, 3_501n]);
    expect(bid({ ...two, mostSat: 4_500n }, undefined, rival(waiting(3_000n)))).toEqual([0, 0n]);
    expect(bid({ mostSat: 2_000n, floorSat: 1_000n }, SECOND, rival(waiting(3_000n)))).toBeUndefined();
  });

  it('of the own close is put out by another child of it, which pays more', () => {
    const pinned = own(waiting(1_000n, 900n, 900));
    const options = { ladder: [], satPerKvb: 5_001 };
    expect(bid(options, SECOND, pinned)).toEqual([undefined, 1_000n]);
    expect(bid({ ...options, mostSat: 2_000n }, SECOND, pinned)).toEqual([undefined, 1_000n]);
    expect(bid({ ...options, mostSat: 1_999n }, SECOND, pinned)).toBeUndefined();
    expect(bid({ ...options, childVsize: undefined }, SECOND, pinned)).toBeUndefined();
    // The own child is raised; it is not what must be put out.
    const raised: Bid = { ...SECOND, childFeeSat: 900n };
    expect(bid({ ...options, satPerKvb: 6_334 }, raised, own(waiting(1_000n, 900n, 100)))).toBeUndefined();
    expect(bid({ ...options, satPerKvb: 6_666 }, raised, own(waiting(1_000n, 900n, 100)))).toEqual([
      undefined,
      1_000n,
    ]);
  });

  it('was not enough with a child of another either, once it is stuck', () => {
    const stuck = { isStuck: true, satPerKvb: 1_000 };
    // 22.5 sat/vB with the child: above the next rung, and a block took neither.
    const pinned = own(waiting(1_000n, 23_750n, 900));
    expect(bid({ ...stuck, satPerKvb: 1_000, isStuck: false }, SECOND, pinned)).toBeUndefined();
    expect(bid(stuck, SECOND, pinned)).toEqual([undefined, 23_850n]);
    const low = own(waiting(1_000n, 100n, 900));
    expect(bid(stuck, SECOND, low)).toEqual([2, 0n]);
    expect(bid({ ...stuck, ladder: [] }, SECOND, own(waiting(1_000n, 6_700n, 900)))).toEqual([
      undefined,
      6_800n,
    ]);
  });

  it('is no reason for a child of a close that another one stands in the place of', () => {
    expect(bid({ ladder: [] }, SECOND, rival(waiting(1_500n)))).toBeUndefined();
  });
});

describe('the parts of a fee', () => {
  it('fees are rounded up, rates down', () => {
    expect([feeAt(100, 1_000), feeAt(100, 1_001), feeAt(1, 1), feeAt(0, 5), feeAt(10, 99.1)]).toEqual([
      100n,
      101n,
      1n,
      0n,
      1n,
    ]);
    expect([rateOf(1_000n, 200), rateOf(1_001n, 200), rateOf(2n, 3)]).toEqual([5_000, 5_005, 666]);
  });

  it('without caps all but dust may be paid, and never less than nothing', () => {
    expect(mostFeeSat([], 5, { outputSat: 10_000n, dustSat: 294n })).toBe(9_706n);
    expect(mostFeeSat([], 5, { outputSat: 294n, dustSat: 294n })).toBe(0n);
    expect(mostFeeSat([], 5, { outputSat: 295n, dustSat: 294n })).toBe(1n);
  });

  it('a funding is late once it cannot be deep by its last height', () => {
    const deadline = { minDepth: 3, fundingByHeight: 100 };
    // In the block after 96 it has one confirmation at 97, and three at 99.
    expect([96, 97, 98].map((height) => isFundingLate(deadline, 0, height))).toEqual([false, false, true]);
    expect(isFundingLate(deadline, 1, 98)).toBe(false);
    expect(isFundingLate(deadline, 2, 200)).toBe(true);
    expect(isFundingLate({ minDepth: 3 }, 0, 1_000_000)).toBe(false);
  });

  const COINS = { vsize: 100, contributionSat: 50_000n, fundingFeeSat: 600n, fundingVsize: 300 };
  const FIRST = { paidSat: 0n, since: undefined, pushFeeSat: 0n, isFundingWaiting: false };
  it.each([
    ['what blocks ask for', {}, {}, 5_000, 500n],
    ['one sat a vB at the least', {}, {}, 0, 100n],
    ['what it paid before, at the least', {}, { paidSat: 777n }, 5_000, 777n],
    ['more than the funding, where that waits', {}, { isFundingWaiting: true }, 0, 700n],
    ['and than its child', {}, { isFundingWaiting: true, pushFeeSat: 50n }, 0, 750n],
    [
      'and than its rate',
      { fundingFeeSat: 600n, fundingVsize: 50 },
      { isFundingWaiting: true },
      0,
      600n * 2n + 100n,
    ],
    [
      'half as much again where that was not enough',
      {},
      { isFundingWaiting: true, paidSat: 700n },
      0,
      1_050n,
    ],
    [
      'half as much again where no block took it for two blocks',
      {},
      { paidSat: 500n, since: 98 },
      5_000,
      750n,
    ],
    ['what it paid, for one block', {}, { paidSat: 500n, since: 99 }, 5_000, 500n],
    [
      'no more than half of what comes back',
      { contributionSat: 1_399n },
      { isFundingWaiting: true },
      0,
      699n,
    ],
  ])('taking coins back costs %s', (_what, coins, bidSoFar, satPerKvb, feeSat) => {
    const next = cancelBid({ ...COINS, ...coins }, { ...FIRST, ...bidSoFar }, { satPerKvb, height: 100 });
    expect(next.paidSat).toBe(feeSat);
  });
});
