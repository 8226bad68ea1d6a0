import { owedSat } from '../../../src/base/units.ts';
import { bondsOf } from '../../../src/contract/bond-terms.ts';
import { AHEAD_BLOCKS } from '../../../src/contract/rate-limit.ts';
import type { TermsV3 } from '../../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../../src/contract/terms-access.ts';
import type { Books, Finding } from '../audit.ts';
import { SHARE } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import type { WorldOptions } from '../world-options.ts';
import { paid, paidForNothing, paidInFull, refusedNothing, silentOn } from './tools.ts';

/** Contracts that begin and end by blocks. */

/** Blocks until the first block of a contract, of which the funding takes some, and the last to begin in. */
const WAIT_BLOCKS = 8;
const BEGIN_BLOCKS = 6;
const DURATION_BLOCKS = 8;

const waiting = (height: number): Partial<TermsV3> => ({
  start: { notBeforeHeight: height + WAIT_BLOCKS, notAfterHeight: height + WAIT_BLOCKS + BEGIN_BLOCKS },
});
const lasting = (): Partial<TermsV3> => ({ durationBlocks: DURATION_BLOCKS });

/** 60 hashes a minute are due, in shares of four; half a day of them are bought. */
export const due = (): WorldOptions => ({
  terms: {
    ...{ priceMsatPerEh: 1_000n * 10n ** 18n, workTotalHashes: 40_000n, budgetSat: 40_000n },
    stepHashes: 32n * SHARE.workHashes,
  },
  termsV3: {
    // Each share is a block: those that a death keeps back are no sign of anything.
    latePpm: 1_000_000,
    rate: { committed: 1n, min: 1n, max: 3n },
    delivery: {
      ...{ windowMinutes: 60, tolerancePpm: 20_000, curtailmentBlocks: 0, cureBlocks: 3 },
      falseDefaultAlphaPpm: 1_000,
    },
  },
});

/** A hash a second at most, and more than half a day of them is bought. */
const slowly = (): WorldOptions => ({
  terms: {
    ...{ priceMsatPerEh: 1_000n * 10n ** 18n, workTotalHashes: 40_000n, budgetSat: 40_000n },
    stepHashes: 500n * SHARE.workHashes,
  },
  // What is sold so is shown to nobody before.
  termsV3: { rate: { committed: 1n, min: 1n, max: 1n }, overDelivery: 'refuse', latePpm: 1_000_000 },
});
const FAST_SHARES = 500;

/** By which the value of hashes is 400 sat a hash: of 500 that are allowed. */
const REWARD_SAT = 800n;
export const following = (oldBlocks = 150): WorldOptions => ({
  oldBlocks,
  termsV3: {
    price: {
      ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 36, premiumPpm: 0 },
      ...{ minMsatPerEh: 10n ** 21n, maxMsatPerEh: 500_000n * 10n ** 18n },
    },
  },
  policy: (usual) => ({ ...usual, maxIndexPremiumPpm: 0, maxPriceMsatPerEh: 500_000n * 10n ** 18n }),
});

const MINUTE_MS = 60_000;
const STEP_MS = 7_500;
export const DUE_SHARES = 15;
/** What a miner that is started anew now and then delivers beyond that. */
export const MADE_UP_SHARES = 5;
/** Each of five minutes: in as many as a cure has, it has made up for a few of them. */
const MAKING_UP_BLOCKS = 3;

/** So many minutes by the clock, with so many shares in each and a block in each fifth. */
export async function minutes(stage: Stage, count: number, shares: number): Promise<void> {
  const { time } = stage.world;
  const beginMs = time.clock.monotonicMs();
  for (let minute = 0; minute < count; minute += 1) {
    if (shares > 0) stage.world.work(shares);
    // In steps: whoever hears nothing for so long hangs up.
    for (let spentMs = STEP_MS; spentMs <= MINUTE_MS; spentMs += STEP_MS) {
      await stage.rounds(1);
      const leftMs = beginMs + minute * MINUTE_MS + spentMs - time.clock.monotonicMs();
      if (leftMs > 0) await time.advance(leftMs);
    }
    if (minute % 5 === 4) await stage.block();
  }
}

/** Where delivery stands at both, by what both signed. */
export const agreedAt = ({ world }: Stage): readonly (string | undefined)[] => [
  world.miner?.status.delivery?.agreed,
  world.maker?.status[0]?.delivery?.agreed,
];

async function toStart(stage: Stage): Promise<void> {
  await stage.open();
  while (stage.height < stage.world.startHeight + WAIT_BLOCKS) await stage.block();
}

/** What no state may pay for: all beyond so many shares. */
function paidAtMost({ world: { terms } }: Stage, { close }: Books, shares: number): readonly Finding[] {
  const gotSat = close === undefined ? 0n : close.minerSat + close.feeSat;
  const ownSat = bondsOf(terms).collateralSat;
  const dueSat = owedSat(BigInt(shares) * SHARE.workHashes, fixedPriceMsatPerEh(terms)) + ownSat;
  if (gotSat <= terms.minerReserveSat + dueSat) return [];
  const beyondSat = gotSat - terms.minerReserveSat - dueSat;
  return [{ rule: 'work outside of the contract is paid', seen: `${beyondSat} sat` }];
}

/** The close came before anybody was forced to it. */
export function closedEarly({ world: { terms } }: Stage, { close }: Books): readonly Finding[] {
  if (close !== undefined && close.height < terms.expiryHeight - 20) return [];
  return [{ rule: 'a contract that was over stayed open', seen: `closed at ${close?.height}` }];
}

export const BY_TERMS: Readonly<Record<string, Strategy>> = {
  'sells-before-start': {
    what: 'the miner sells on blocks before the first of the contract, and never after',
    row: 'terms: start',
    hostile: ['miner'],
    options: () => ({ termsV3At: waiting }),
    play: async (stage) => {
      await stage.open();
      while (stage.height < stage.world.startHeight + WAIT_BLOCKS - 1) {
        stage.world.sell(2);
        await stage.rounds(1);
        await stage.block();
      }
      stage.world.sell(4);
      await stage.rounds(2);
      await stage.liveOut();
    },
    judge: paidForNothing,
  },
  'sells-after-end': {
    what: 'the miner does not hear of the end of the contract, and goes on to sell',
    row: 'terms: duration',
    hostile: ['miner'],
    options: () => ({ termsV3At: lasting }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      world.nodes.miner.lagMs = 3_600_000;
      await stage.blocks(DURATION_BLOCKS);
      stage.marks.set('in time', world.farm.found.length);
      for (let time = 0; time < 4; time += 1) {
        world.sell(4);
        await stage.rounds(2);
      }
      world.nodes.miner.lagMs = 0;
      await stage.liveOut();
    },
    judge: (stage, books) => paidAtMost(stage, books, stage.marks.get('in time') ?? 0),
  },
  'starts-and-ends': {
    what: 'a contract begins and ends by blocks, of which each side hears a while after the other',
    row: 'terms: start, duration',
    hostile: [],
    options: () => ({ termsV3At: (height) => ({ ...waiting(height), ...lasting() }) }),
    play: async (stage) => {
      const { world, random } = stage;
      const late = (['miner', 'maker'] as const)[random.below(2)]!;
      await toStart(stage);
      world.nodes[late].lagMs = 400 * random.below(3);
      for (let block = 0; block < DURATION_BLOCKS + 4; block += 1) {
        world.work(1 + random.below(4));
        if (random.below(8) === 0) await world.kill(random.below(2) === 0 ? 'miner' : 'maker', 0);
        await stage.rounds(1);
        await stage.block();
      }
      await stage.rounds(8);
      // On a block that the farm hears of before the miner's node, which agrees to that once it does.
      refusedNothing(stage, 'duration_over');
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidInFull(stage, books), ...closedEarly(stage, books)],
  },
  'sells-too-fast': {
    what: 'the miner sells faster than the greatest rate of the contract, whatever its own rules say',
    row: 'terms: over_delivery',
    hostile: ['miner'],
    options: slowly,
    play: async (stage) => {
      const { world } = stage;
      await stage.open();
      for (let time = 0; time < 16; time += 1) {
        world.sell(FAST_SHARES);
        await stage.rounds(3);
      }
      stage.marks.set('height', stage.height);
      await stage.liveOut();
    },
    judge: (stage, books) => {
      const blocks = (stage.marks.get('height') ?? 0) - stage.world.startHeight + 1 + AHEAD_BLOCKS;
      return paidAtMost(stage, books, Math.ceil((600 * blocks) / Number(SHARE.workHashes)));
    },
  },
  'maker-reckons-otherwise': {
    what: 'the maker says another value of hashes than the chain does: nothing is sold to it',
    row: 'terms: price',
    hostile: ['maker'],
    options: () => following(),
    play: async (stage) => {
      const { miner, maker } = stage.world.nodes;
      Object.assign(miner, { rewardSat: REWARD_SAT });
      Object.assign(maker, { rewardSat: REWARD_SAT / 2n });
      await stage.open();
      await stage.block();
      await stage.pay(2);
      await stage.liveOut();
    },
    judge: paidForNothing,
  },
  'price-of-a-day': {
    what: 'both nodes say one value of hashes: all work is paid by it, whoever is killed',
    row: 'terms: price',
    hostile: [],
    options: () => following(),
    play: async (stage) => {
      const { world, random } = stage;
      for (const node of [world.nodes.miner, world.nodes.maker])
        Object.assign(node, { rewardSat: REWARD_SAT });
      await stage.open();
      // A price that a death took away is asked for anew at the next tip.
      for (let block = 0; block < 3 && world.miner?.status.live !== true; block += 1) await stage.block();
      await stage.pay(3);
      if (random.below(2) === 0) await world.kill(random.below(2) === 0 ? 'miner' : 'maker', 0);
      await stage.pay(3);
      await stage.liveOut();
    },
    judge: (stage, { close }) => {
      const gotSat = close === undefined ? 0n : close.minerSat + close.feeSat;
      const paySat = gotSat - stage.world.terms.minerReserveSat;
      const work = stage.world.rules.ackedN > 0 && paySat > 0n;
      return work ? [] : [{ rule: 'work at a price that both signed is paid', seen: `${paySat} sat` }];
    },
  },
  'never-begins': {
    what: 'nobody mines until the contract lapses',
    row: 'terms: start',
    hostile: [],
    options: (random) => ({ termsV3At: waiting, staked: random.below(2) === 0 }),
    play: async (stage) => {
      await toStart(stage);
      await stage.blocks(BEGIN_BLOCKS + 6);
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidAtMost(stage, books, 0), ...closedEarly(stage, books)],
  },
  'delivers-nothing': {
    what: 'the miner stops, says so, and is in default once the time to make it up is over',
    row: 'terms: delivery',
    hostile: [],
    options: due,
    play: async (stage) => {
      const { world, random } = stage;
      await stage.open();
      await minutes(stage, 6 + random.below(6), DUE_SHARES);
      if (random.below(2) === 0) await world.kill(random.below(2) === 0 ? 'miner' : 'maker', 0);
      await minutes(stage, 30, 0);
      await stage.rounds(6);
      // A maker that starts anew after the close keeps no log of a contract that is over.
      const isOver = stage.dies('maker') && stage.world.maker?.status[0]?.channel === 'closed';
      const seen = isOver ? agreedAt(stage).slice(0, 1) : agreedAt(stage);
      if (seen.some((status) => status !== 'default'))
        stage.find('a default that not both see', String(seen));
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidInFull(stage, books), ...closedEarly(stage, books)],
  },
  'gone-too-long': {
    what: 'the miner is down for longer than may be made up, and comes back: its own log says so',
    row: 'terms: delivery',
    hostile: [],
    options: due,
    play: async (stage) => {
      const { world, random } = stage;
      await stage.open();
      await minutes(stage, 6 + random.below(6), DUE_SHARES);
      await world.kill('miner', 0);
      stage.gone.add('miner');
      await minutes(stage, 30, 0);
      if (world.maker?.status[0]?.delivery?.own !== 'default')
        stage.find('a maker waits for ever', String(agreedAt(stage)));
      stage.gone.delete('miner');
      await minutes(stage, 5, 0);
      if (agreedAt(stage).some((status) => status !== 'default'))
        stage.find('a default that not both see', String(agreedAt(stage)));
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidInFull(stage, books), ...closedEarly(stage, books)],
  },
  'delivers-all': {
    what: 'the miner delivers what is due, whoever is killed meanwhile, and nobody is in default',
    row: 'terms: delivery',
    hostile: [],
    options: due,
    play: async (stage) => {
      const { world, random } = stage;
      await stage.open();
      for (let time = 0; time < 6; time += 1) {
        await minutes(stage, 5, DUE_SHARES + MADE_UP_SHARES);
        if (random.below(3) === 0) await world.kill(random.below(2) === 0 ? 'miner' : 'maker', 0);
      }
      await minutes(stage, 8, DUE_SHARES + MADE_UP_SHARES);
      // A process that was down for a while is a reason to doubt; what is missing by it is soon made up.
      const isWell = (): boolean => agreedAt(stage).every((at) => at === 'live' || at === 'suspect');
      for (let time = 0; time < MAKING_UP_BLOCKS && !isWell(); time += 1)
        await minutes(stage, 5, DUE_SHARES + MADE_UP_SHARES);
      if (!isWell()) stage.find('an honest miner is in default', String(agreedAt(stage)));
      await stage.liveOut();
    },
    judge: paidInFull,
  },
  'maker-hides-minutes': {
    what: 'the maker answers no minute and gives none: nothing is ruled against the miner',
    row: 'terms: delivery',
    hostile: ['maker'],
    options: due,
    play: async (stage) => {
      silentOn(stage, ['delivery.minutes']);
      await stage.open();
      await minutes(stage, 20, DUE_SHARES);
      const [miner] = agreedAt(stage);
      if (miner !== 'live') stage.find('ruled without the other log', String(miner));
      await stage.liveOut();
    },
    judge: paidInFull,
  },
};
