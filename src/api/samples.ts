import { z } from 'zod';
import { count, decimal, hashesPerSecond, height, text } from './fields.ts';

const ledger = z.enum(['sound', 'held', 'lost']);

/** What is asked of each daemon first, as it is now and as it was. */
export const SAMPLES = {
  proxy: z.object({
    sessions: count,
    destination: text,
    destinations_up: count,
    hashes_per_second_1m: hashesPerSecond,
    hashes_per_second_5m: hashesPerSecond,
    hashes_per_second_1h: hashesPerSecond,
    hashes_per_second_24h: hashesPerSecond,
    shares_submitted: count,
    shares_accepted: count,
    blocks_found: count,
    contracts_live: count,
    peers_connected: count,
    contracts_without_peer: count.describe('that need it'),
    signed_sat: decimal.describe('of the contracts that run'),
    exposure_sat: decimal.describe('delivered and not signed for'),
    durability: ledger,
    chain_height: height.nullable(),
  }),
  maker: z.object({
    contracts_live: count,
    peers_connected: count,
    contracts_without_peer: count.describe('that need it'),
    shares_credited: count,
    verified_work_hashes: decimal,
    paid_sat: decimal.describe('signed'),
    unsigned_sat: decimal.describe('owed'),
    durability: ledger,
    chain_height: height.nullable(),
  }),
  auditor: z.object({
    ...{ contracts: count, minutes: count, connections: count },
    in_default: count.describe('contracts of which a side is'),
  }),
} as const;
