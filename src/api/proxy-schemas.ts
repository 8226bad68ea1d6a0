import { z } from 'zod';
import {
  count,
  counts,
  decimal,
  hashesPerSecond,
  hashrate,
  height,
  id,
  luck,
  outcomes,
  text,
  timeMs,
  whole,
} from './fields.ts';
import {
  auditor,
  bitcoinNode,
  chain,
  closingOnly,
  delivery,
  descriptors,
  leaving,
  metering,
  notices,
} from './shared-schemas.ts';

const workerCount = z.object({ solutions: count, expected: z.number() });

/** One connection of a miner. Names are the miner's to make up. */
export const miner = z.object({
  id: count,
  address: text,
  listener: count,
  user_agent_class: text,
  user_agent: text,
  destination: text,
  own_pool_reason: text.nullable().describe('why no contract can use it'),
  workers: z.array(
    z.object({
      name: text,
      accepted: count,
      rejected: count,
      accepted_difficulty: z.number(),
      hashes_per_second: hashesPerSecond,
      last_share_at_ms: timeMs.describe('0 before the first'),
      luck: z.object({ block: workerCount, upstream: workerCount }).nullable(),
    }),
  ),
  worker_count: count,
  difficulty: z.number(),
  hashes_per_second: hashesPerSecond,
  accepted: count,
  rejected: count,
  in_flight: count,
  version_rolling: z.boolean(),
  connected_at_ms: timeMs,
  connected_for_ms: z.number(),
  last_seen_ms: z.number(),
  last_share_at_ms: timeMs,
});

/** All connections of one worker together. */
export const workerRow = z.object({
  name: text.describe("the miner's to make up; empty before a connection authorised"),
  connections: count,
  hashes_per_second_1m: hashesPerSecond,
  hashes_per_second_5m: hashesPerSecond,
  hashes_per_second_1h: hashesPerSecond.describe('or since it connected'),
  accepted: count,
  rejected: count,
  reject_ratio: z.number(),
  difficulty: z.number().describe('of the first of its connections, as are user agent and destination'),
  user_agent: text,
  destination: text,
  last_share_at_ms: timeMs.describe('0 before the first'),
  connected_at_ms: timeMs,
});

/** Some of the workers, as one looks at them. */
export const workerTable = z.object({
  total: count,
  matched: count,
  hashes_per_second_5m: hashesPerSecond.describe('of those that matched'),
  offset: count,
  items: z.array(workerRow),
});

/** What a row of the timeline is about. */
export const timelineType = z.enum([
  ...(['start', 'block', 'switch', 'destination', 'contract', 'channel', 'peer'] as const),
  ...(['ledger', 'node', 'chain', 'came', 'went'] as const),
]);
export const timelineRow = z.object({
  number: count.describe('from 1, since the start'),
  at_ms: timeMs,
  type: timelineType,
  subject: text.describe('name of the destination, contract or node'),
  contract: id.nullable(),
  before: text.nullable().describe('null for what was not there; of what is counted the number'),
  after: text.nullable().describe('null for what is not there any more'),
  note: text.nullable().describe('of miners the newest: the name is its to make up'),
});

/** A pool or node that is mined to, or a contract's own jobs. */
export const destination = z.object({
  name: text,
  role: text,
  up: z.boolean(),
  tls: z.boolean(),
  job_age_ms: z.number().nullable(),
  reject_ratio: z.number(),
  rtt_ms: z.number().nullable(),
  shares: outcomes,
  combinations: counts.describe('shares by our verdict and theirs'),
  last_refusal: text.nullable(),
  last_failure: text.nullable(),
  redirects_refused: count,
  dropped_lines: count,
  version_reading: z.object({ option: text, guess: text, confirmed: z.boolean() }).nullable(),
  sessions: count,
  links: z.object({ attached: count, spare: count, refused: count }).nullable(),
  hashrate,
  credited: z.object({ shares: count, work_hashes: decimal }),
  split: z
    .object({
      weight: z.number().nullable(),
      rate_hashes_per_second: decimal.nullable(),
      wanted_hashes_per_second: decimal,
      assigned_hashes_per_second: decimal,
      missing_hashes: decimal,
    })
    .nullable(),
});

/** Settled, signed, accrued and unspent add up to the budget. */
const channel = z.object({
  state: text,
  state_number: count,
  signed_work_hashes: decimal,
  budget_sat: decimal,
  expiry_height: height,
  settled_sat: decimal.describe('on chain, final'),
  signed_sat: decimal.describe('in the newest state, which the miner can broadcast'),
  accrued_sat: decimal.describe('verified, in no state yet: at risk'),
  unspent_sat: decimal,
  paid_sat: decimal,
  funding_txid: id.nullable(),
  funding_tx_hex: text.nullable(),
  close_txid: id.nullable(),
  close_tx_hex: text.nullable(),
  close_confirmations: count,
});

/** A contract at the miner's side. */
export const proxyContract = z.object({
  id,
  name: text,
  state: text,
  connected: z.boolean(),
  live: z.boolean(),
  price_msat_per_eh: decimal,
  step_hashes: decimal,
  work_total_hashes: decimal,
  work_hashes: decimal,
  exposure_hashes: decimal,
  share_difficulty: z.number(),
  rate_hashes_per_second: decimal.nullable().describe('that is due; null where the terms name none'),
  closes_from_height: height.describe('from then on the own side closes by itself'),
  channel,
  delivery: delivery.nullable(),
  leaving: leaving.nullable(),
  auditor: auditor.nullable(),
  notices,
  work: z
    .object({
      up: z.boolean(),
      down_reason: text.nullable(),
      jobs: z.object({ taken: count, live: count, waiting: count }),
      refused_jobs: counts,
      last_refused_job: text.nullable(),
      solutions: outcomes,
      last_refused_solution: text.nullable(),
      solution_ms: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
    })
    .nullable(),
  unpaid_job: text.nullable(),
  disputed_commitment: z.object({ n: whole, why: text }).nullable(),
  blocks: outcomes.nullable(),
  ignored_edits: z.array(z.object({ term: text, running: text, configured: text })),
});

const braidpool = z.object({
  name: text,
  reachable: z.boolean(),
  error: text.nullable(),
  updated_at_ms: timeMs.nullable(),
  subscribed: z.boolean(),
  payout_address: text,
  shares: z.object({
    confirmed: count,
    wrong_payout: count,
    missing: count,
    unknown: count,
    pending: count,
  }),
  beads: count,
  cohorts: count,
  orphans: count,
  tips: z.array(text),
  total_work_hashes: decimal,
});

/** The newest of a braid, newest last. */
export const dag = z.array(
  braidpool.extend({
    newest_cohorts: z.array(z.object({ id: count, beads: z.array(text) })),
    newest_beads: z.array(
      z.object({
        hash: text,
        payout_address: text,
        time: z.number().describe('of its header, Unix seconds'),
        parents: z.array(text),
        ours: z.boolean(),
      }),
    ),
  }),
);

export const proxyStatus = z.object({
  role: z.literal('proxy'),
  version: text,
  node_id: id,
  network: text,
  bitcoin_node: bitcoinNode,
  sessions: count,
  destination: text,
  hashrate,
  shares: z.object({ submitted: count, accepted: count, rejected: counts }),
  blocks_found: count,
  luck: z.object({
    workers: count,
    unlikely: z.array(luck.extend({ worker: text, solution: z.enum(['block', 'upstream']) })),
  }),
  streams: z.array(z.object({ id: text, shares: count, work_hashes: decimal })),
  destinations: z.array(destination),
  braidpool: z.array(braidpool),
  miners: z.array(miner).describe('the first of them; all are at /miners'),
  contract: proxyContract.nullable().describe('the first of `contracts`'),
  contracts: z.array(proxyContract),
  metering: metering.extend({ own_work_hashes: decimal, last_error: text.optional() }).nullable(),
  finished_contracts: z.array(z.object({ name: text, contract_id: id, reason: text })),
  shared_contracts: z
    .array(
      z.object({
        ...{ name: text, contract_id: id.nullable(), resource: text },
        ...{ is_owner: z.boolean(), owner: text.nullable(), live: z.boolean() },
        ...{ granted_hashes: decimal, done_hashes: decimal },
      }),
    )
    .describe('contracts that other proxies on the same ledger serve too'),
  exposure_sat: decimal.describe('delivered and not signed for, over all contracts'),
  closing_only: closingOnly,
  durability: z.enum(['sound', 'held', 'lost']),
  descriptors,
  waiting: z.array(z.object({ part: text, code: text, detail: text, attempts: count })),
  chain: chain.nullable(),
  hash_value_msat_per_eh: decimal.nullable().describe('today, by the own node'),
  last_peer_error: text.nullable(),
});
