import { POLICY_PAYOUT } from './binding-options.ts';
import { live, option, optional, required, section } from './options.ts';
import { POLICY_BONDS, POLICY_SEAL } from './stake-options.ts';
import {
  AMOUNT,
  BOOLEAN,
  choice,
  DURATION,
  HASHRATE,
  hex,
  INTEGER,
  listOf,
  POSITIVE,
  PRICE,
  WORK,
} from './values.ts';

const SPREAD = { min: 0, max: 1_000_000 } as const;

/** `[policy.pricing]` */
const POLICY_PRICING = section(
  'What is paid, never more than max_price. Spreads are parts of the price, in ppm.',
  {
    rule: option(choice('fixed', 'index', 'collar'), 'fixed', {
      doc: 'fixed: max_price. index: the value of hashes and premium. collar: strike, and a part of how far the value is from it.',
    }),
    premium: option(INTEGER, 0, {
      min: -1_000_000,
      max: 1_000_000,
      doc: 'Rule index: what is added to the value of hashes, in ppm of it; below 0 it is less.',
    }),
    strike: optional(PRICE, '44000 sat/PH/day', { doc: 'Rule collar: the price around which it moves.' }),
    share: option(INTEGER, 500_000, {
      ...SPREAD,
      doc: 'Rule collar: the part, in ppm, of the difference between the value of hashes and strike.',
    }),
    minPrice: optional(PRICE, '30000 sat/PH/day', {
      doc: 'Rules index and collar: the price does not follow the value below this. Default: 1 msat per EH.',
    }),
    epoch: option(choice('difficulty', 'day'), 'day', {
      doc: 'When the value of hashes is taken anew: each 144 blocks, or at the first block of a difficulty period.',
    }),
    inventorySpread: option(INTEGER, 0, {
      ...SPREAD,
      doc: 'Paid less where target_inventory, or target_rate, is bought; in proportion below it, and up to twice as much beyond.',
    }),
    volatilitySpread: option(INTEGER, 0, {
      ...SPREAD,
      doc: 'Paid less by this part of how far the values of hashes of a week are apart.',
    }),
    sizeSpread: option(INTEGER, 0, {
      ...SPREAD,
      doc: 'Paid less for a contract of max_budget; in proportion below.',
    }),
    durationSpread: option(INTEGER, 0, {
      ...SPREAD,
      doc: 'Paid less for a contract of max_expiry_blocks; in proportion below.',
    }),
  },
);

/** `[policy.strangers]` */
const POLICY_STRANGERS = section(
  'Miners that are not in peers.allow. They are not let in unless max_contracts is above 0.',
  {
    maxBudget: option(AMOUNT, '0 sat', { doc: 'The most that is locked up for all of them together.' }),
    maxContracts: option(INTEGER, 0, {
      min: 0,
      max: 10_000,
      doc: 'The most open contracts of all of them together.',
    }),
    requireCollateral: option(BOOLEAN, true, {
      doc: 'They have to bring a collateral, at least bonds.min_collateral.',
    }),
  },
);

const ROWS = {
  maxPrice: required(PRICE, '46000 sat/PH/day', { doc: 'The most that is paid for verified work.' }),
  maxBudget: option(AMOUNT, '1000000 sat', {
    min: '1 sat',
    doc: 'The most that is locked up for one contract.',
  }),
  maxTotalBudget: option(AMOUNT, '10000000 sat', {
    min: '1 sat',
    doc: 'The most that is locked up for all open contracts together.',
  }),
  maxBudgetPerMiner: optional(AMOUNT, '2000000 sat', {
    min: '1 sat',
    doc: 'The most that is locked up for one miner. Default: max_total_budget.',
  }),
  maxContractsPerMiner: option(INTEGER, 4, {
    min: 1,
    max: 1000,
    doc: 'The most open contracts of one miner.',
  }),
  minStep: option(WORK, '100 TH', {
    min: '1 H',
    doc: 'The smallest step: each costs a signature and a durable write.',
  }),
  maxStep: option(WORK, '10 EH', { min: '1 H', doc: 'The largest step.' }),
  maxUnpaidSteps: option(INTEGER, 10, {
    min: 1,
    max: 1000,
    doc: 'The most steps a miner may ask to leave unpaid.',
  }),
  minShareDifficulty: option(POSITIVE, 512, {
    doc: 'No contract may allow easier shares: it bounds how many there are to verify.',
  }),
  minExpiryBlocks: option(INTEGER, 432, {
    min: 330,
    max: 52_560,
    doc: 'The shortest contract, in blocks from the proposal to the refund. In the last 324 of them nothing is bought.',
  }),
  maxExpiryBlocks: option(INTEGER, 4320, {
    min: 144,
    max: 52_560,
    doc: 'The longest contract: for so long a miner that vanishes can keep the budget locked.',
  }),
  minDepth: option(INTEGER, 3, {
    min: 1,
    max: 144,
    doc: 'The least confirmations of the funding before work is paid.',
  }),
  maxStaleGrace: option(DURATION, '1m', {
    min: '0s',
    max: '1h',
    doc: 'How long after its block was replaced a share may arrive, at most.',
  }),
  maxIndexPremium: optional(INTEGER, 0, {
    min: -1_000_000,
    max: 1_000_000,
    doc: 'Take prices that follow the value of hashes, up to max_price, with a premium of so many millionths at most. Default: none.',
  }),
  minNoticeBlocks: optional(INTEGER, 144, {
    min: 1,
    max: 52_560,
    doc: 'Take terms by which either side may end early, its bonds back, by notice of so many blocks or more. Default: none.',
  }),
  bindingScript: optional(hex(), '0014751e76e8199196d454941c45d1b3a323f1433bd6', {
    doc: 'Script (hex) the coinbase of every job must pay. Default: a contract may leave work unbound.',
  }),
  bindings: optional(listOf(choice('work', 'payout', 'bead', 'none')), ['work'], {
    doc: 'What ties work to you in the contracts that are taken. none: metering without money. Default: all that is configured for.',
  }),
  halt: option(BOOLEAN, false, { doc: 'Take nothing new: no quote, no contract. What runs goes on.' }),
  targetInventory: option(WORK, '1000 EH', {
    min: '1 H',
    doc: 'Work that you want to have bought and not yet received, in all: pricing.inventory_spread is measured by it.',
  }),
  maxRate: optional(HASHRATE, '50 PH/s', {
    min: '1 H/s',
    doc: 'The most hashrate that is bought at any time: what your pools have a use for. Default: no bound.',
  }),
  maxPoolUnpaid: optional(WORK, '1000 EH', {
    min: '1 H',
    doc: 'The most work that one [[pool]] may owe you for, by `maker paid`: no contract on its jobs is taken beyond. Default: any.',
  }),
  offMarket: optional(POSITIVE, 1.5, {
    min: 1,
    doc: 'No price so many times above the value of hashes is quoted or taken. Default: 1.5 on mainnet, elsewhere none.',
  }),
  targetRate: optional(HASHRATE, '30 PH/s', {
    min: '1 H/s',
    doc: 'Hashrate that you want to have bought: pricing.inventory_spread is then measured by it, in the time of the contract.',
  }),
  pricing: POLICY_PRICING,
  strangers: POLICY_STRANGERS,
  payout: POLICY_PAYOUT,
  bonds: POLICY_BONDS,
  seal: POLICY_SEAL,
} as const;

const { minExpiryBlocks, bindingScript, bindings, payout, bonds, seal } = ROWS;

/** `[policy]` of the maker. What other parts took at the start, or contracts in force go by, stays. */
export const POLICY = section(
  'Which contracts are accepted. A proposal outside of any of these is refused.',
  { ...live(ROWS), minExpiryBlocks, bindingScript, bindings, payout, bonds, seal },
);
