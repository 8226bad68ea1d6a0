import { option, optional, required, section, tables } from './options.ts';
import { SELL_BONDS } from './stake-options.ts';
import { SELL_DELIVERY } from './term-options.ts';
import {
  AMOUNT,
  choice,
  ENDPOINT,
  HASHRATE,
  hex,
  INTEGER,
  listOf,
  POSITIVE,
  PRICE,
  TEXT,
  WORK,
} from './values.ts';

/** `[[maker]]` of the proxy. */
export const MAKER = tables('A market maker to ask for quotes. Write one [[maker]] for each.', 0, {
  name: required(TEXT, 'desk', { doc: 'A short name, unique.' }),
  url: required(ENDPOINT, 'maker.example:7333', { doc: 'Address of the market maker.' }),
  nodeId: required(hex(32), 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5', {
    doc: 'Its node id (x-only public key), as it publishes it.',
  }),
});

/** `[sell]` of the proxy. */
export const SELL = section(
  'What is asked for with `sharestream contract quote` and taken with `contract take`, and the least that is taken for it.',
  {
    floorPrice: optional(PRICE, '44000 sat/PH/day', {
      doc: 'Nothing is sold below this. Without it nothing is asked for.',
    }),
    work: optional(WORK, '100 EH', {
      min: '1 H',
      doc: 'Work of a contract. Default: rate for duration_blocks, where both are said, else 100 EH.',
    }),
    rate: optional(HASHRATE, '5 PH/s', {
      min: '1 H/s',
      doc: 'Hashrate that is promised: the contract gets it before others do.',
    }),
    maxRate: optional(HASHRATE, '6 PH/s', {
      min: '1 H/s',
      doc: 'Hashrate at which what was missing is made up for. Default: a quarter above rate.',
    }),
    durationBlocks: optional(INTEGER, 1008, {
      min: 1,
      max: 52_560,
      doc: 'Blocks after its start at which a contract ends, where its work is not complete before. expiry_blocks is raised to fit.',
    }),
    startAfterBlocks: optional(INTEGER, 144, {
      min: 1,
      max: 52_560,
      doc: 'Nothing is delivered before this many blocks after the quote. Default: from when the funding is deep.',
    }),
    startWithinBlocks: option(INTEGER, 144, {
      min: 1,
      max: 52_560,
      doc: 'Blocks after start_after_blocks within which work has to begin; else the contract is void.',
    }),
    step: option(WORK, '1 EH', {
      min: '1 H',
      doc: 'Work after which the market maker signs the next state.',
    }),
    maxUnpaidSteps: option(INTEGER, 3, {
      min: 1,
      max: 1000,
      doc: 'Steps of delivered and unpaid work at which the hashrate goes elsewhere.',
    }),
    maxExposure: optional(AMOUNT, '5000 sat', {
      min: '1 sat',
      doc: 'The most that may be delivered and unpaid over all contracts: none is taken, and no update signed, beyond it.',
    }),
    keep: option(INTEGER, 0, {
      min: 0,
      max: 100,
      doc: 'Contracts, of [contract] too, that are kept running: the best quote within [sell] is taken. 0: none but by hand.',
    }),
    expiryBlocks: option(INTEGER, 1548, {
      min: 330,
      max: 52_560,
      doc: 'Blocks until the market maker may take back what is not closed; work ends 324 before.',
    }),
    shareDifficulty: option(POSITIVE, 65_536, { doc: 'The easiest share of a contract.' }),
    prices: option(listOf(choice('fixed', 'moving')), ['fixed'], {
      doc: 'Kinds of prices that are asked for. moving: it follows the value of hashes, and is never below floor_price.',
    }),
    minCap: optional(PRICE, '60000 sat/PH/day', {
      doc: 'A price that moves may not be capped below this. Default: wherever the market maker caps it.',
    }),
    offMarket: optional(POSITIVE, 1.5, {
      min: 1,
      doc: 'A price so many times off the value of hashes is named; so far below it has to be meant. Default: 1.5 on mainnet, else none.',
    }),
    bindings: option(listOf(choice('work', 'payout', 'bead')), ['work'], {
      doc: 'What may tie work to its buyer, the best first. payout and bead need a [[destination]] with role = "contract".',
    }),
    maxDepth: option(INTEGER, 6, {
      min: 1,
      max: 144,
      doc: 'The most confirmations of the funding that you wait for.',
    }),
    bonds: SELL_BONDS,
    delivery: SELL_DELIVERY,
  },
);
