import { z } from 'zod';
import { count, text, timeMs } from './fields.ts';

/** Work as its pool or node sent it last. */
const job = z.object({
  destination: text,
  height: count.nullable().describe('from the coinbase; null where it does not say'),
  previous_block: text,
  version: text,
  bits: text,
  time: count.describe('Unix seconds'),
  difficulty: z.number().describe('of a block'),
  upstream_difficulty: z.number().describe('of what its pool or node wants'),
  coinbase_hex: text.describe('with zeros in the place of the extranonces'),
  branches: z.array(text),
  clean: z.boolean(),
  age_ms: z.number(),
});

/** What a daemon runs on and with, and how it is. */
export const system = z.object({
  version: text,
  commit: text,
  node: text,
  started_at_ms: timeMs,
  checks: z.array(z.object({ name: text, ok: z.boolean(), says: text.nullable() })).describe('as /readyz'),
  listeners: z.array(z.object({ name: text, at: text })),
  config: z
    .array(z.object({ option: text, value: text.nullable(), source: text }))
    .describe('secrets are hidden; empty where it was not read from a file'),
  ledger: z.object({
    engine: text,
    failed: z.boolean(),
    commits: count,
    rows: count,
    queued_writes: count,
    last_commit_at_ms: timeMs.nullable(),
    disk_free_bytes: z.number().nullable(),
    disk_full_in_seconds: z.number().nullable(),
    backup_at_ms: timeMs.nullable().describe('of one without a backup, when it was made'),
  }),
  job: job.nullable(),
  warnings: z
    .array(
      z.object({ at_ms: timeMs, level: z.enum(['warn', 'error']), code: text.nullable(), message: text }),
    )
    .describe('the last of the log, newest first; nothing of what strangers send'),
});

/** What anybody may know, where the configuration says so: no names, amounts or addresses. */
export const publicStatus = z.object({
  version: text,
  hashes_per_second_5m: z.number(),
  hashes_per_second_1h: z.number(),
  hashes_per_second_24h: z.number(),
  sessions: count,
  shares_accepted: count,
  shares_submitted: count,
  blocks_found: count,
  chain_height: count.nullable(),
  is_serving: z.boolean(),
});
