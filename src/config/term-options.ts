import { option, optional, section } from './options.ts';
import { BOOLEAN, choice, INTEGER, PRICE } from './values.ts';

/** The most blocks of a duration that terms may have: two years. */
const MOST_BLOCKS = 52_560;

/** Of a contract that begins and ends by blocks. */
export const CONTRACT_TERM = section(
  'When a contract begins and ends, in blocks. Without these: when its funding is deep, and with its work.',
  {
    startAfterBlocks: optional(INTEGER, 144, {
      min: 1,
      max: MOST_BLOCKS,
      doc: 'Nothing is delivered before this many blocks after the proposal.',
    }),
    startWithinBlocks: option(INTEGER, 144, {
      min: 1,
      max: MOST_BLOCKS,
      doc: 'Blocks after start_after_blocks within which work has to begin; else the contract is void.',
    }),
    durationBlocks: optional(INTEGER, 1008, {
      min: 1,
      max: MOST_BLOCKS,
      doc: 'Blocks after the start at which the contract ends, where its work is not complete before.',
    }),
    noticeBlocks: option(INTEGER, 0, {
      min: 0,
      max: MOST_BLOCKS,
      doc: 'Blocks after which either side may end the contract by notice (`contract end`), each with its bonds back; 0: no notice.',
    }),
  },
);

/** A price that follows the value of hashes. */
export const CONTRACT_INDEX = section(
  'A price that follows the value of hashes, from the headers and fees of your own node; contract.price is the most it may be.',
  {
    enabled: option(BOOLEAN, false, { doc: 'Agree on a price that follows the value of hashes.' }),
    premium: option(INTEGER, 0, {
      min: -1_000_000,
      max: 1_000_000,
      doc: 'What is added to the value of hashes, in millionths of it; below 0 it is less.',
    }),
    minPrice: optional(PRICE, '30000 sat/PH/day', {
      doc: 'The least price. Default: 1 msat per EH.',
    }),
    epoch: option(choice('difficulty', 'day'), 'difficulty', {
      doc: 'When the price is set anew: at the first block of each difficulty period, or of each 144 blocks.',
    }),
    ttlBlocks: option(INTEGER, 36, {
      min: 1,
      max: 4032,
      doc: 'Blocks for which the price before is used while there is no new one; then the contract pauses.',
    }),
  },
);

const DELIVERY_RULES = {
  windowMinutes: option(INTEGER, 1440, {
    min: 1,
    max: 44_640,
    doc: 'The chance of a false default is spent in equal parts on windows of so many minutes.',
  }),
  tolerancePpm: option(INTEGER, 20_000, {
    min: 0,
    max: 500_000,
    doc: 'Part of the promised work, in millionths, that may be missing besides what chance explains.',
  }),
  cureBlocks: option(INTEGER, 24, {
    min: 0,
    max: 4032,
    doc: 'Blocks in which a shortfall may be made up before it is a default.',
  }),
  curtailmentBlocks: option(INTEGER, 0, {
    min: 0,
    max: 52_560,
    doc: 'Blocks for which you may stop by notice.',
  }),
  falseDefaultAlphaPpm: option(INTEGER, 1000, {
    min: 1,
    max: 500_000,
    doc: 'Chance, in millionths, that an honest miner is ever found short in the whole contract.',
  }),
} as const;

/** The rules by which delivery is judged. */
export const CONTRACT_DELIVERY = section(
  'Rules of delivery: contract.rate is promised, and what is not made up in time ends the contract.',
  {
    enabled: option(BOOLEAN, false, {
      doc: 'Agree on rules of delivery. Both sides then sign a report of each minute.',
    }),
    ...DELIVERY_RULES,
    overDelivery: option(choice('credit', 'refuse'), 'credit', {
      doc: 'Work beyond max_rate, 36 blocks ahead of it: paid as any, or not sold.',
    }),
  },
);

/** `[sell.delivery]`: the same, of what is asked for. */
export const SELL_DELIVERY = section(
  'Rules of delivery that are asked for with a quote: sell.rate is promised. With bonds of mode auditor, what the auditor rules by.',
  {
    enabled: option(BOOLEAN, false, { doc: 'As contract.delivery.enabled.' }),
    ...DELIVERY_RULES,
  },
);
