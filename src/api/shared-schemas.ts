import { z } from 'zod';
import { coded, count, counts, decimal, height, id, text, whole } from './fields.ts';

export const chain = z.object({
  height: height.nullable(),
  projected_height: height.nullable(),
  stalled: z.boolean(),
  nodes: z.array(
    z.object({ name: text, state: text, height: height.nullable(), last_error: coded.nullable() }),
  ),
});

export const bitcoinNode = z.object({ truc: z.enum(['enforced', 'ignored', 'refused', 'unknown']) });

/** A channel that is watched by its file alone. */
export const watchedChannel = z.object({
  contract: text,
  channel: text,
  state: z.enum(['waiting', 'closing', 'closed', 'missing']),
  n: whole,
  expiry_height: height,
  blocks_left: whole.nullable(),
  age_seconds: z.number(),
  is_old: z.boolean(),
  is_refund: z.boolean(),
  last_broadcast: z
    .object({
      txid: id,
      fee_sat: decimal,
      result: z.enum(['taken', 'refused', 'unreachable']),
      detail: text,
    })
    .nullable(),
});

export const closingOnly = z.object({
  reason: coded.nullable().describe('why no contract is served'),
  channels: z.array(watchedChannel),
});

export const descriptors = z.object({ open: count, limit: count }).nullable();

const side = z.object({ gain_sat: decimal, forfeit_sat: decimal, bond_needed_sat: decimal });

/** What leaving a contract now would gain and lose each side. */
export const leaving = z.object({
  value_msat_per_eh: decimal,
  miner: side,
  maker: side,
  pays: z.enum(['miner', 'maker']).nullable(),
});

export const deliveryState = z.enum(['live', 'suspect', 'cure', 'default']);

/** The course of delivery, by what both have signed and in the own view. */
export const delivery = z.object({
  agreed: deliveryState,
  own: deliveryState,
  missing_hashes: decimal,
  cure_by_height: height.optional(),
  curtailed_blocks: count,
  minutes: counts.describe('by whose fault they were'),
  heard_minute: count.optional(),
});

export const verdict = z.enum(['miner', 'maker', 'none', 'undecided']);

/** What the auditor of a contract says. */
export const auditor = z.object({
  is_connected: z.boolean(),
  channel: z.enum(['alone', 'differs', 'shared']).optional(),
  told_minute: count.optional(),
  verdict: verdict.optional(),
  words: text.optional(),
  last_error: text.optional(),
});

const pause = z.object({ reason: text, from_height: height, until_height: height.optional() });
const end = z.object({ height, is_taken: z.boolean() });

/** What either side said beyond the terms. */
export const notices = z.object({
  pauses: z.object({ miner: pause.optional(), maker: pause.optional() }),
  curtailed_blocks: count,
  written_off_sat: decimal.optional(),
  ends: z.object({ miner: end.optional(), maker: end.optional() }),
});

/** A contract without money. */
export const metering = z.object({
  contract_id: id,
  connected: z.boolean(),
  status: z.enum(['live', 'ending', 'ended']),
  end_reason: text.optional(),
  work_total_hashes: decimal,
  verified_work_hashes: decimal,
  totals: count,
  signed_work_hashes: decimal,
  refused: counts,
});

export const streamState = z.enum(['pending', 'live', 'paused', 'ending', 'ended']);

/** A contract in the words of ERC-1620 (`MARKET.md`). */
export const moneyStream = z.object({
  stream: id,
  sender: id,
  recipient: id,
  token: z.literal('sat'),
  deposit_sat: decimal,
  balance_sat: decimal,
  timeframe: z.object({
    start_height: height.nullable(),
    stop_height: height.nullable(),
    duration_blocks: height.nullable(),
    expiry_height: height,
  }),
  rate: z.object({ payment_msat_per_eh: decimal, interval_hashes: decimal, work_total_hashes: decimal }),
  updates: count,
  state: count,
  work_hashes: decimal,
  balances: z.object({ recipient_sat: decimal, sender_sat: decimal }),
});
