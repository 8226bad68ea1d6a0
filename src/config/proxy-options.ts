import { AUDITOR_PLACE } from './auditor-options.ts';
import { BEAD_BINDING } from './bead-options.ts';
import { PAYOUT_BINDING, WORK_BINDING } from './binding-options.ts';
import {
  CHAIN_ACCESS,
  closeDir,
  dataDir,
  KEYS,
  LOG,
  metricsSection,
  NETWORK,
  RPC_URL,
  SEALED_LEDGER,
} from './common-options.ts';
import { DESTINATION, FAILOVER, SPLIT } from './destination-options.ts';
import { live, option, optional, section, tables } from './options.ts';
import { MAKER, SELL } from './sell-options.ts';
import { CONTRACT_BONDS, CONTRACT_SEAL } from './stake-options.ts';
import { STRATUM } from './stratum-options.ts';
import { CONTRACT_DELIVERY, CONTRACT_INDEX, CONTRACT_TERM } from './term-options.ts';
import {
  AMOUNT,
  BOOLEAN,
  choice,
  DURATION,
  ENDPOINT,
  HASHRATE,
  hex,
  INTEGER,
  listOf,
  PAYEE,
  POSITIVE,
  PRICE,
  TEXT,
  WORK,
} from './values.ts';

const CONTRACT = section('Sale of hashrate to a market maker. Nothing here is used unless enabled.', {
  enabled: option(BOOLEAN, false, { doc: 'Propose this contract to the market maker and serve it.' }),
  name: option(TEXT, 'first', {
    doc: 'One name stands for one contract. Once that is over it is not proposed again: the next one needs another name.',
  }),
  lease: optional(DURATION, '10s', {
    min: '2s',
    max: '10m',
    doc: 'Several proxies on one PostgreSQL serve this contract: one has its channel for so long, and again.',
  }),
  makerUrl: optional(ENDPOINT, 'maker.example:7333', { doc: 'Address of the market maker.' }),
  makerNodeId: optional(hex(32), 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5', {
    doc: 'Node id of the market maker (x-only public key), as it publishes it.',
  }),
  price: optional(PRICE, '46000 sat/PH/day', {
    doc: 'What verified work earns: per hashrate and day, or per EH such as "532 sat/EH". Floored to a msat per EH.',
  }),
  workTotal: optional(WORK, '100 EH', {
    doc: 'Work after which the contract is complete; nothing beyond it is credited.',
  }),
  step: option(WORK, '1 EH', {
    min: '1 H',
    doc: 'Work after which the market maker signs the next state. Smaller steps risk less and cost more messages.',
  }),
  maxUnpaidSteps: option(INTEGER, 3, {
    min: 1,
    max: 1000,
    doc: 'Steps of delivered and unpaid work at which the hashrate goes to the fallback.',
  }),
  maxUnpaidTotal: optional(AMOUNT, '5000 sat', {
    min: '1 sat',
    doc: 'Pay of delivered and unpaid work over all contracts, also of earlier ones, at which no contract is served.',
  }),
  budget: optional(AMOUNT, '60000 sat', {
    doc: 'What the market maker locks up. Default: what work_total earns at this price, rounded up.',
  }),
  reserve: option(AMOUNT, '1000 sat', {
    min: '1000 sat',
    doc: "The market maker's reserve, which keeps its output above dust.",
  }),
  minerReserve: option(AMOUNT, '6000 sat', {
    min: '1000 sat',
    doc: 'Your own sats in the channel, for the fees of closing it.',
  }),
  expiryBlocks: option(INTEGER, 1548, {
    min: 330,
    max: 52_560,
    doc: "Blocks until the market maker may take back what is not closed; work ends 324 before. Default: more than a week's.",
  }),
  minDepth: option(INTEGER, 3, {
    min: 1,
    max: 144,
    doc: 'Confirmations of the funding before work is delivered.',
  }),
  shareDifficulty: option(POSITIVE, 65_536, {
    doc: 'Difficulty of every share of the contract, for all miners: fixed beforehand, or it could be chosen by the hash.',
  }),
  binding: optional(choice('work', 'payout', 'bead', 'none'), 'work', {
    doc: 'What ties work to its buyer; none: metering without money. Default: payout with binding_script, else work.',
  }),
  bindingScript: optional(hex(), '0014751e76e8199196d454941c45d1b3a323f1433bd6', {
    doc: 'Binding payout: the script (hex) that the coinbase of every job must pay.',
  }),
  staleGrace: option(DURATION, '30s', {
    min: '0s',
    max: '1h',
    doc: 'A share may arrive this long after its block was replaced.',
  }),
  termsVersion: option(INTEGER, 3, {
    min: 2,
    max: 3,
    doc: 'Version of the proposed terms. 2 is for a market maker that does not know 3, and only for binding payout.',
  }),
  destination: optional(TEXT, 'buyers-pool', {
    doc: 'The destination with role = "contract" that is mined for it, where there are several. Not for binding work.',
  }),
  rate: optional(HASHRATE, '5 PH/s', {
    min: '1 H/s',
    doc: 'The hashrate it gets, held on average and made up for. Without a rate it shares, by weight, what rates leave.',
  }),
  maxRate: optional(HASHRATE, '6 PH/s', {
    min: '1 H/s',
    doc: 'The most it gets to make up for what is missing. Default: a quarter above the rate.',
  }),
  renew: option(BOOLEAN, false, {
    doc: 'Opens the next contract on the same terms while this one runs; that takes over without a gap.',
  }),
  weight: optional(POSITIVE, 1, {
    doc: 'Its part of what rates leave, against other contracts without a rate. Default: 1.',
  }),
  payees: option(listOf(PAYEE), [], {
    doc: 'Others who have a part of the pay in every state: "hosting 15% ADDRESS", "tax 19% of hosting ADDRESS".',
  }),
  payeeSeed: option(AMOUNT, '600 sat', {
    min: '546 sat',
    doc: "What each payee's output holds from the first state on, so that it relays: out of your miner_reserve.",
  }),
  workBinding: WORK_BINDING,
  payoutBinding: PAYOUT_BINDING,
  beadBinding: BEAD_BINDING,
  term: CONTRACT_TERM,
  delivery: CONTRACT_DELIVERY,
  index: CONTRACT_INDEX,
  bonds: CONTRACT_BONDS,
  seal: CONTRACT_SEAL,
});

const { enabled: _enabled, maxUnpaidTotal: _ofAll, ...OF_ONE_CONTRACT } = CONTRACT.rows;

const FURTHER_CONTRACT = tables(
  'One more contract at the same time. What it leaves out is as in [contract].',
  0,
  {
    ...OF_ONE_CONTRACT,
    name: optional(TEXT, 'second', {
      doc: 'Its name, unlike that of any other contract, earlier ones too.',
    }),
  },
  { section: 'contract', own: ['name'] },
);

const PAYOUT = section('Where the sats of a closed channel go. A contract needs one of the two.', {
  address: optional(TEXT, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', {
    doc: 'Address on the network above.',
  }),
  script: optional(hex(), '0014751e76e8199196d454941c45d1b3a323f1433bd6', {
    doc: 'Output script in hex, instead of an address.',
  }),
});

const CHAIN = section('The bitcoin full node. Only a contract needs it.', {
  rpcUrl: optional(RPC_URL.url, 'http://127.0.0.1:8332', { doc: RPC_URL.doc }),
  ...CHAIN_ACCESS,
});

/** Every option of `sharestream proxy`, in the order of the example file. */
export const PROXY_OPTIONS = {
  network: NETWORK,
  dataDir: dataDir('proxy'),
  closeDir: closeDir('the newest state'),
  ledger: SEALED_LEDGER,
  log: LOG,
  stratum: STRATUM,
  ...live({ destination: DESTINATION, failover: FAILOVER, split: SPLIT }),
  contract: CONTRACT,
  furtherContract: FURTHER_CONTRACT,
  ...live({ maker: MAKER, sell: SELL }),
  payout: PAYOUT,
  chain: CHAIN,
  auditor: AUDITOR_PLACE,
  metrics: metricsSection('127.0.0.1:9332'),
  http: section('Who sees what of the page.', {
    public: option(choice('off', 'status'), 'off', {
      doc: 'status: anybody who reaches metrics.listen sees hashrate, miners and shares as numbers; no names, amounts or addresses.',
    }),
  }),
  keys: KEYS,
} as const;
