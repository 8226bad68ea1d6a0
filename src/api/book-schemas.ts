import { z } from 'zod';
import { count, decimal, height, id, text } from './fields.ts';

const priced = {
  price_msat_per_eh: decimal,
  off_market: z.object({ side: z.enum(['above', 'below']), of_value_ppm: decimal }).nullable(),
  leaving_pays: z.enum(['miner', 'maker']).nullable(),
};

const bookedContract = z.object({
  ...{ contract: id, miner: id, listed: z.boolean(), channel: text, binding: text },
  locked_sat: decimal.describe('the budget and the own bond'),
  paid_sat: decimal,
  bonds: z.object({ mode: text, maker_sat: decimal, collateral_sat: decimal }),
  open_hashes: decimal.describe('bought and not delivered'),
  unpaid_hashes: decimal.describe('delivered and not signed for'),
  ...priced,
  expiry_height: height,
  rate_hps: decimal.describe('that is bought, hashes per second'),
  ...{ rate_from_height: height, rate_end_height: height },
});

const quoted = z.object({
  ...{ quote: z.string().regex(/^[0-9a-f]{32}$/), miner: id, listed: z.boolean(), budget_sat: decimal },
  ...priced,
});

const bookedMiner = z.object({
  ...{ miner: id, contracts: count, locked_sat: decimal, of_max_sat: decimal, paid_sat: decimal },
});

const bookedPool = z.object({
  ...{ pool: text, credited_hashes: decimal, paid_hashes: decimal, unpaid_hashes: decimal },
  of_max_hashes: decimal.optional(),
});

const refused = z.object({
  ...{ at: text, node_id: id, what: z.enum(['quote', 'proposal', 'update']), code: text, reason: text },
  ...{ path: text.optional(), got: text.optional(), allowed: text.optional() },
});

/** What a market maker bought, for whom, against which limits; `makerBook` makes it. */
export const book = z.object({
  halted: z.boolean(),
  exposure: z.object({
    ...{ locked_sat: decimal, of_max_sat: decimal },
    ...{ strangers_locked_sat: decimal, of_strangers_max_sat: decimal },
    miners: z.array(bookedMiner),
  }),
  inventory_hashes: decimal.describe('bought and not delivered'),
  target_inventory_hashes: decimal.optional(),
  rate: z.object({
    ...{
      now_hps: decimal,
      peak_hps: decimal,
      target_hps: decimal.nullable(),
      of_max_hps: decimal.nullable(),
    },
  }),
  pools: z.array(bookedPool),
  hash_value_msat_per_eh: decimal.nullable().describe('what hashes are worth today'),
  contracts: z.array(bookedContract),
  quotes: z.array(quoted),
  refused: z.array(refused).describe('the newest last'),
});
