import { MAKER_BRAIDPOOL } from './bead-options.ts';
import { POLICY_PAYOUT } from './binding-options.ts';
import {
  CHAIN_ACCESS,
  closeDir,
  dataDir,
  KEYS,
  LEDGER,
  LOG,
  metricsSection,
  NETWORK,
  RPC_URL,
} from './common-options.ts';
import { POOL } from './destination-options.ts';
import { option, optional, required, section } from './options.ts';
import { POLICY_BONDS, POLICY_SEAL } from './stake-options.ts';
import { AMOUNT, choice, DURATION, hex, INTEGER, LISTEN, listOf, POSITIVE, PRICE, WORK } from './values.ts';
import { WALLET } from './wallet-options.ts';

const POLICY = section('Which contracts are accepted. A proposal outside of any of these is refused.', {
  maxPrice: required(PRICE, '46000 sat/PH/day', { doc: 'The most that is paid for verified work.' }),
  maxBudget: option(AMOUNT, '1000000 sat', {
    min: '1 sat',
    doc: 'The most that is locked up for one contract.',
  }),
  maxTotalBudget: option(AMOUNT, '10000000 sat', {
    min: '1 sat',
    doc: 'The most that is locked up for all open contracts together.',
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
  bindingScript: optional(hex(), '0014751e76e8199196d454941c45d1b3a323f1433bd6', {
    doc: 'Script (hex) the coinbase of every job must pay. Default: a contract may leave work unbound.',
  }),
  bindings: optional(listOf(choice('work', 'payout', 'bead')), ['work'], {
    doc: 'What ties work to you in the contracts that are taken. work: jobs of a [[pool]]. Default: all that is configured for.',
  }),
  payout: POLICY_PAYOUT,
  bonds: POLICY_BONDS,
  seal: POLICY_SEAL,
});

/** Every option of `sharestream maker`, in the order of the example file. */
export const MAKER_OPTIONS = {
  network: NETWORK,
  dataDir: dataDir('maker'),
  closeDir: closeDir('the refund'),
  ledger: LEDGER,
  log: LOG,
  peer: section('Where the miners of contracts connect.', {
    listen: option(LISTEN, '127.0.0.1:7333', { doc: 'Address and port for peers; always encrypted.' }),
  }),
  peers: section('Who may connect.', {
    allow: option(listOf(hex(32)), [], {
      doc: 'Node ids of the miners, printed by `sharestream keys show`. An empty list admits nobody.',
    }),
  }),
  policy: POLICY,
  pool: POOL,
  chain: section('The bitcoin full node.', {
    rpcUrl: option(RPC_URL.url, 'http://127.0.0.1:8332', { doc: RPC_URL.doc }),
    ...CHAIN_ACCESS,
  }),
  braidpool: MAKER_BRAIDPOOL,
  wallet: WALLET,
  metrics: metricsSection('127.0.0.1:9333'),
  keys: KEYS,
} as const;
