import { z } from 'zod';
import { count, counts, decimal, height, id, luck, outcomes, text, timeMs, whole } from './fields.ts';
import {
  auditor,
  bitcoinNode,
  chain,
  closingOnly,
  delivery,
  deliveryState,
  descriptors,
  leaving,
  metering,
  notices,
  streamState,
  verdict,
  watchedChannel,
} from './shared-schemas.ts';

const solved = z.object({ solutions: count, late_solutions: count, is_paused: z.boolean() });

/** A contract at the market maker's side. */
export const makerContract = z.object({
  contract_id: id,
  miner_node_id: id,
  connected: z.boolean(),
  channel: z.enum(['none', 'opening', 'funding', 'open', 'closing', 'closed', 'frozen', 'failed']),
  stream: streamState,
  verified_work_hashes: decimal,
  work_total_hashes: decimal,
  unsigned_work_hashes: decimal,
  unsigned_sat: decimal,
  n: whole.describe('number of the newest signed state, -1 before the first'),
  acked_n: whole,
  paid_sat: decimal,
  balance: z.object({ miner_sat: decimal, maker_sat: decimal }),
  expiry_height: height,
  shares_credited: count,
  refused: counts,
  work: solved
    .extend({
      jobs_live: count,
      jobs_kept: count,
      jobs_given: count,
      not_given: counts,
      is_down: z.boolean(),
    })
    .optional(),
  blocks: solved.extend({ verdicts: outcomes, last_fault: text.optional() }).optional(),
  funding_txid: id.optional(),
  funding_depth: count,
  seal: z.enum(['none', 'intact', 'claimed', 'lost']),
  beads: z
    .object({ worth: z.number(), paid: count, missing: count, open: count, stolen: text.optional() })
    .optional(),
  frozen: text.optional(),
  fault: z.enum(['suspended', 'broken']).optional(),
  luck: z.object({ block: luck, upstream: luck }),
  delivery: delivery.optional(),
  auditor: auditor.optional(),
  notices,
  leaving: leaving.nullable(),
});

/** What one pool of the maker did, over all contracts, since the start. */
export const pool = z.object({
  name: text,
  connections: count,
  solutions: outcomes,
  late_solutions: count,
  accepted_work_hashes: decimal,
  credited_work_hashes: decimal,
  verdicts: z.object({
    we_accepted_they_accepted: count,
    we_accepted_they_rejected: count,
    we_accepted_they_silent: count,
    we_rejected_they_accepted: count,
    we_rejected_they_rejected: count,
    we_rejected_they_silent: count,
    incomplete: count,
  }),
  last_refusal: text.optional(),
});

export const makerStatus = z.object({
  role: z.literal('maker'),
  version: text,
  node_id: id,
  network: text,
  bitcoin_node: bitcoinNode,
  connections: count,
  refused_connections: counts,
  contracts: z.array(makerContract),
  metering: z.array(metering.extend({ miner_node_id: id, shares_credited: count })),
  closing_only: closingOnly,
  chain: chain.nullable(),
  pools: z.array(pool),
  descriptors,
});

const side = z.enum(['miner', 'maker']);

/** A contract that the auditor is told of. */
export const auditedContract = z.object({
  contract_id: id,
  verdict,
  words: text,
  minutes: counts.describe('by ruling'),
  last_minute: whole,
  judged_minute: whole.optional(),
  ...{ miner_node_id: id, maker_node_id: id },
  channel: z.enum(['none', 'alone', 'differs', 'shared']).describe('that the sides showed'),
  logs: z.array(z.object({ teller: side, side, last_minute: whole, signed: count, told: count })),
  delivery: z
    .object({ status: deliveryState, missing_hashes: decimal, cure_by_height: height.optional() })
    .optional()
    .describe('by the rulings'),
  height: height.describe('the highest that both have said'),
  expiry_height: height,
  bonds: z.object({
    ...{ miner_sat: decimal, maker_sat: decimal, csv_blocks: count },
    given_to: side.optional(),
  }),
});

const report = z.object({
  ...{ height, work_hashes: decimal, paid_hashes: decimal, heard: whole, says: text },
});

/** What both sides said of a minute, as far as it is known. */
export const auditedMinute = z.object({
  ...{ minute: whole, at_ms: timeMs },
  ruling: text.optional().describe('whose fault it was; none where nothing is missing'),
  ...{ miner: report.optional(), maker: report.optional() },
});

export const auditorStatus = z.object({
  role: z.literal('auditor'),
  version: text,
  node_id: id,
  auditor_key: text,
  network: text,
  connections: count,
  stats: z.object({ minutes: count, signed: count, refused: count }),
  contracts: z.array(auditedContract),
});

export const watchStatus = z.object({
  role: z.literal('watch'),
  version: text,
  network: text,
  channels: z.array(watchedChannel),
  problems: z.array(z.object({ file: text, why: text })),
  last_error: z.object({ code: text, detail: text }).nullable(),
  chain,
});
