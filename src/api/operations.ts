import { z } from 'zod';
import { book } from './book-schemas.ts';
import { count, decimal, height, id, text, timeMs } from './fields.ts';
import { fleet } from './fleet-schemas.ts';
import {
  auditedContract,
  auditedMinute,
  auditorStatus,
  makerContract,
  makerStatus,
  pool,
  watchStatus,
} from './maker-schemas.ts';
import { type Operation, pageQuery } from './operation.ts';
import {
  dag,
  destination,
  miner,
  proxyContract,
  proxyStatus,
  timelineRow,
  workerRow,
  workerTable,
} from './proxy-schemas.ts';
import { SAMPLES } from './samples.ts';
import { moneyStream } from './shared-schemas.ts';
import { publicStatus, system } from './system-schemas.ts';

const read = { method: 'get', role: 'watch', kind: 'value' } as const;
const list = { method: 'get', role: 'watch', kind: 'page', query: pageQuery } as const;
const byContract = {
  ...read,
  path: '/contracts/{contract_id}',
  params: z.object({ contract_id: id }),
} as const;

const getStatus = {
  ...read,
  name: 'getStatus',
  path: '/status',
  summary: 'all of it, at a glance',
} as const;
const statusQuery = z.object({
  miners: z.coerce.number().int().min(0).max(500).default(500).describe('the most that are listed'),
});
const getSystem = {
  ...{ ...read, name: 'getSystem', path: '/system', answer: system },
  summary: 'what it runs on and with: readiness, configuration, ledger, job, warnings',
} as const satisfies Operation;
const getContract = { ...byContract, name: 'getContract', summary: 'one contract' } as const;
const TIMELINE_MOST = 500;
/** Rows of workers that are looked at together. */
const WORKERS_MOST = 300;
const listContracts = { ...list, name: 'listContracts', path: '/contracts', summary: 'contracts' } as const;
const listStreams = {
  ...{ ...list, name: 'listStreams', path: '/streams', summary: 'contracts as money streams' },
  answer: moneyStream,
} as const satisfies Operation;

const sampled = z.object({ sequence: count, at_ms: timeMs });
const historyQuery = pageQuery.extend({
  since_ms: z.coerce.number().min(0).optional().describe('rows from this time on'),
  step: z.enum(['ten_seconds', 'hour']).default('ten_seconds').describe('the time between two rows'),
  every: z.coerce.number().int().min(1).max(360).default(1).describe('each so manieth row'),
});
const listHistory = {
  ...{ ...list, name: 'listHistory', path: '/history', query: historyQuery },
  summary: 'the last six hours by ten seconds, or ninety days by the hour, from the ledger; oldest first',
} as const;
const followEvents = {
  ...read,
  kind: 'events',
  name: 'followEvents',
  path: '/events',
  summary: 'a snapshot of what is in the history, then each change of it; goes on after Last-Event-ID',
} as const;
const minutesQuery = pageQuery.extend({
  since: z.coerce.number().int().min(0).default(0).describe('minutes from this one on'),
});
export type HistoryQuery = z.output<typeof historyQuery>;
const historyOf = <S extends z.ZodRawShape>(sample: z.ZodObject<S>) => ({
  listHistory: { ...listHistory, answer: sampled.extend(sample.shape) },
  followEvents: { ...followEvents, answer: sample },
});

/** Of a worker's name that is asked for, or of words to look for. */
const WORKER_CHARS = 400;
const workersQuery = z.object({
  q: z.string().max(WORKER_CHARS).default('').describe('words in a name, address, agent or destination'),
  sort: workerRow.keyof().default('hashes_per_second_5m'),
  order: z.enum(['ascending', 'descending']).default('descending'),
  offset: z.coerce.number().int().min(0).default(0).describe('rows before the first'),
  limit: z.coerce.number().int().min(0).max(WORKERS_MOST).default(100),
});

const listWrites = {
  ...{ ...list, name: 'listWrites', path: '/writes' },
  summary: 'what was asked of the daemon by this API, by whom, and what came of it; oldest first',
  answer: z.object({
    number: count,
    at_ms: timeMs,
    ...{ operation: text, role: text, address: text, contract: text.nullable() },
    outcome: text.describe('`done`, the code of why not, or `asked` where the daemon ended meanwhile'),
  }),
} as const satisfies Operation;

/** What is only read, by daemon. */
export const READS = {
  proxy: {
    getStatus: { ...getStatus, query: statusQuery, answer: proxyStatus },
    getSystem,
    getPublic: {
      ...{ ...read, role: 'none', name: 'getPublic', path: '/public', answer: publicStatus },
      summary: 'what anybody may know, where `http.public` says so',
    },
    listMiners: {
      ...list,
      name: 'listMiners',
      path: '/miners',
      query: pageQuery.extend({
        worker: z.string().max(WORKER_CHARS).optional().describe('connections of this worker alone'),
      }),
      summary: 'connections of miners',
      answer: miner,
    },
    findWorkers: {
      ...{ ...read, name: 'findWorkers', path: '/workers', query: workersQuery, answer: workerTable },
      summary: 'workers of miners, sorted, filtered and cut to what is looked at',
    },
    listDestinations: {
      ...{ ...list, name: 'listDestinations', path: '/destinations', summary: 'where work comes from' },
      answer: destination,
    },
    listContracts: { ...listContracts, answer: proxyContract },
    getContract: { ...getContract, answer: proxyContract },
    listStreams,
    listWrites,
    listTimeline: {
      ...{ ...list, name: 'listTimeline', path: '/timeline', answer: timelineRow },
      query: pageQuery.extend({
        newest: z.coerce
          .number()
          .int()
          .min(1)
          .max(TIMELINE_MOST)
          .default(TIMELINE_MOST)
          .describe('at most'),
      }),
      summary:
        'what happened since the start: blocks, switches, states, miners that come and go; oldest first',
    },
    ...historyOf(SAMPLES.proxy),
    getFleet: {
      ...{ ...read, name: 'getFleet', path: '/fleet', answer: fleet },
      summary: 'the instances that share its ledger, and what would be if one died',
    },
    getDag: { ...read, name: 'getDag', path: '/dag', summary: 'the newest of each braid', answer: dag },
  },
  maker: {
    getStatus: { ...getStatus, answer: makerStatus },
    getSystem,
    listContracts: { ...listContracts, answer: makerContract },
    getContract: { ...getContract, answer: makerContract },
    listStreams,
    listWrites,
    ...historyOf(SAMPLES.maker),
    listPools: { ...list, name: 'listPools', path: '/pools', summary: 'pools of the maker', answer: pool },
    getBook: {
      ...{ ...read, name: 'getBook', path: '/book' },
      ...{ summary: 'what is bought, locked up, quoted and refused', answer: book },
    },
  },
  auditor: {
    getStatus: { ...getStatus, answer: auditorStatus },
    getSystem,
    listContracts: { ...listContracts, answer: auditedContract },
    getContract: { ...getContract, answer: auditedContract },
    listWrites,
    listMinutes: {
      ...{ ...list, name: 'listMinutes', path: '/contracts/{contract_id}/minutes' },
      ...{ params: byContract.params, query: minutesQuery, answer: auditedMinute },
      summary: 'what both sides said of each minute, and the ruling on it, oldest first',
    },
    ...historyOf(SAMPLES.auditor),
  },
  watch: { getStatus: { ...getStatus, answer: watchStatus } },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Operation>>>>;

const contract = { contract: id.optional().describe('a proxy with one contract needs none') };
const dryRun = { dry_run: z.boolean().optional().describe('says what it would do, and does nothing') };
const write = { method: 'post', kind: 'value' } as const;
const done = z.looseObject({ contract: text });
/** A daemon of 0.1.0 says less of a close. */
const closed = done.extend({
  closing: z.boolean(),
  dry_run: z.boolean().optional(),
  paid_sat: decimal.optional(),
  unspent_sat: decimal.optional(),
});
const noted = z.looseObject({ contract: text, dry_run: z.boolean() });
const successor = z
  .object({
    contract: id,
    work_total_hashes: decimal,
    budget_sat: decimal,
    deposit_sat: decimal,
    price_msat_per_eh: decimal,
    expiry_height: height,
    funding_by_height: height,
  })
  .nullable();
const split = noted.extend({ paid_sat: decimal, unspent_sat: decimal, closing: z.boolean(), successor });
const updates = noted.extend({
  agreed: z.array(z.looseObject({ hash: id })),
  pending: z.looseObject({ by: text, hash: id }).nullable(),
  revoked: z.array(z.looseObject({ hash: id })),
  price_msat_per_eh: decimal,
  step_hashes: decimal,
  stop_height: height.nullable(),
});
const clock = z.object({
  contract: text,
  ...{ height: height.nullable(), from_height: height.nullable(), duration_blocks: height.nullable() },
  stop_height: height.nullable(),
  drift_seconds: z.int().nullable(),
  block_interval_seconds: count.nullable(),
  timed_stop_height: height.nullable(),
});
const offMarket = z.object({ side: z.enum(['above', 'below']), of_value_ppm: decimal, warning: text });
const goesOn = { ...contract, ...dryRun, go_on: z.boolean().optional(), work_hashes: decimal.optional() };
const policy = z.looseObject({ halted: z.boolean(), policy: z.array(z.looseObject({ name: text })) });

export type Write = Omit<Operation, 'name' | 'path' | 'method' | 'kind'>;

/** What either daemon of a contract does when asked, by the path of it. */
export const CONTRACT_WRITES = {
  'channel/close': {
    ...{ role: 'money', summary: 'closes a channel together with the other side' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: closed },
  },
  'channel/force-close': {
    ...{ role: 'money', summary: 'closes a channel alone, by the newest state' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: closed },
  },
  'metering/end': {
    ...{ role: 'operate', summary: 'ends a contract without money' },
    ...{ body: z.object(contract), answer: done.extend({ ending: z.boolean() }) },
  },
  'contract/stream': {
    ...{ role: 'watch', summary: 'a contract as a money stream, or the balance of one party of it' },
    body: z.object({ ...contract, party: text.optional(), ask_peer: z.boolean().optional() }),
    answer: z.looseObject({ stream: id }),
  },
  'contract/pause': {
    ...{ role: 'operate', summary: 'gives notice of a pause' },
    body: z.object({
      ...{ ...contract, ...dryRun, reason: z.enum(['curtailment', 'maintenance', 'pool_down', 'other']) },
      ...{ from_height: height.optional(), blocks: count.optional() },
    }),
    answer: noted,
  },
  'contract/resume': {
    ...{ role: 'operate', summary: 'ends a pause' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: noted },
  },
  'contract/end': {
    ...{ role: 'money', summary: 'gives notice of the end' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: noted },
  },
  'contract/void': {
    ...{ role: 'money', summary: 'gives up what is not signed for' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: noted },
  },
  'contract/topup': {
    ...{ role: 'money', summary: 'opens the next contract, for when this one is used up' },
    body: z.object({ ...contract, ...dryRun, work_hashes: decimal.optional() }),
    answer: noted.extend({ successor }),
  },
  'contract/withdraw': {
    ...{ role: 'money', summary: 'takes what is earned: closes, or goes on with the next contract' },
    ...{ body: z.object(goesOn), answer: split },
  },
  'contract/refund': {
    ...{ role: 'money', summary: 'gives back what is unspent: closes, or goes on with the next contract' },
    ...{ body: z.object(goesOn), answer: split },
  },
  'contract/update': {
    ...{ role: 'money', summary: 'proposes other terms' },
    body: z.object({
      ...{ ...contract, ...dryRun, price_msat_per_eh: decimal.optional(), step_hashes: decimal.optional() },
      ...{ from_hashes: decimal.optional(), stop_height: height.optional() },
    }),
    answer: updates,
  },
  'contract/confirm': {
    ...{ role: 'money', summary: 'signs the terms that the other side proposed' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: updates },
  },
  'contract/revoke': {
    ...{ role: 'money', summary: 'takes proposed terms back' },
    ...{ body: z.object({ ...contract, ...dryRun }), answer: updates },
  },
  'contract/clock': {
    ...{ role: 'watch', summary: 'how far its blocks are from the time that they were meant to take' },
    ...{ body: z.object(contract), answer: clock },
  },
  'contract/updates': {
    ...{ role: 'watch', summary: 'terms that were changed, and what is proposed' },
    ...{ body: z.object(contract), answer: updates },
  },
} as const satisfies Readonly<Record<string, Write>>;

const optionChanges = z.array(
  z
    .object({ option: text, before: text.nullable(), after: text.nullable() })
    .describe('secrets are hidden'),
);
const DAEMON_WRITES = {
  'config/reload': {
    ...{ role: 'operate', summary: 'reads the configuration anew; what is wrong with it changes nothing' },
    body: z.object(dryRun),
    answer: z.object({
      dry_run: z.boolean(),
      changed: optionChanges,
      needs_restart: optionChanges,
      unchanged: count.describe('options that are as they were'),
    }),
  },
} as const satisfies Readonly<Record<string, Write>>;
const quote = z.object({
  ...{ maker: text, quote: text, binding: text, why: text },
  ...{ price_msat_per_eh: decimal, net_msat_per_eh: decimal, work_hashes: decimal, budget_sat: decimal },
  ...{ deposit_sat: decimal, collateral_sat: decimal, maker_bond_sat: decimal },
  ...{ min_depth: count, expiry_height: height, rate_hps: decimal.nullable() },
  ...{ duration_blocks: count.nullable(), off_market: offMarket.nullable(), valid_for_ms: z.number() },
});

/** What is quoted for what `[sell]` offers, best first. */
const quotes = z.object({
  quotes: z.array(quote),
  hash_value_msat_per_eh: decimal.nullable(),
  fees_sat: decimal.describe('of opening and closing, as they are reckoned'),
  refused: z.array(z.object({ maker: text, code: text, reason: text })),
});

/** What a daemon does when asked, by the path of it. */
export const WRITES = {
  auditor: DAEMON_WRITES,
  proxy: {
    ...DAEMON_WRITES,
    ...CONTRACT_WRITES,
    'fleet/drain': {
      ...{
        role: 'operate',
        summary: 'has an instance let go of its miners and channels, until it is started anew',
      },
      ...{ body: z.object({ ...dryRun, instance: text }) },
      answer: z.object({ instance: text, drains: z.boolean() }),
    },
    'fleet/move': {
      ...{ role: 'operate', summary: 'hands the channel of a contract to an instance' },
      ...{ body: z.object({ ...dryRun, name: text, instance: text }) },
      answer: z.object({ name: text, resource: text, from: text, to: text, moves: z.boolean() }),
    },
    'market/ask': {
      ...{ role: 'operate', summary: 'asks the makers of the configuration what they pay' },
      ...{ body: z.object({}), answer: quotes },
    },
    'market/take': {
      ...{
        role: 'money',
        summary: 'takes a quote that was asked for: its maker signs it, and it is served',
      },
      body: z.object({ ...dryRun, quote: text, off_market: z.boolean().optional() }),
      answer: done.extend({ taken: z.boolean(), off_market: offMarket.nullable() }),
    },
    'contract/take': {
      ...{ role: 'money', summary: 'serves a contract whose maker signed its quote' },
      body: z.object({
        ...{ ...dryRun, terms: z.record(text, z.unknown()), maker: text, name: text },
        off_market: z
          .boolean()
          .optional()
          .describe('the price is meant, however far from what hashes are worth'),
      }),
      answer: done.extend({ taken: z.boolean(), off_market: offMarket.nullable() }),
    },
  },
  maker: {
    ...DAEMON_WRITES,
    ...CONTRACT_WRITES,
    'pool/paid': {
      ...{ role: 'money', summary: 'work that a pool has paid for' },
      body: z.object({ pool: text, hashes: decimal }),
      answer: z.object({ pool: text, paid_hashes: decimal, unpaid_hashes: decimal }),
    },
    'policy/show': {
      ...{ role: 'watch', summary: 'the policy, and where each value is from' },
      ...{ body: z.object({}), answer: policy },
    },
    'policy/set': {
      ...{ role: 'money', summary: 'changes the policy; null takes a change back' },
      ...{ body: z.object({ ...dryRun, changes: z.record(text, text.nullable()) }), answer: policy },
    },
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Write>>>>;

/** The operation of a write. */
export function writeOperation(path: string, row: Write): Operation {
  const name = path.replaceAll(/[/-](\w)/g, (_all, letter: string) => letter.toUpperCase());
  return { ...write, ...row, name, path: `/${path}` };
}
