import { z } from 'zod';
import { count, decimal, hashesPerSecond, text } from './fields.ts';

const lease = z.object({
  ...{ resource: text, token: count, left_ms: z.int() },
  handed_to: text.nullable().describe('the instance that it is to be handed to'),
});

const slice = z.object({
  ...{ name: text, resource: text, is_owner: z.boolean() },
  granted_hashes: decimal.describe('what it may have delivered in all'),
  done_hashes: decimal,
});

const ifDead = z.object({
  name: text,
  taken_within_ms: count.nullable().describe('of the channel, where it has it: by the next owner'),
  takers: z.array(text).describe('instances that may have it then'),
  at_risk_hashes: decimal.describe(
    'the most work that is lost, and that is kept from others until it is back',
  ),
});

/** The instances that share a ledger. */
export const fleet = z.object({
  instance: text.describe('whom was asked'),
  instances: z.array(
    z.object({
      instance: text,
      state: z
        .enum(['here', 'drained', 'gone', 'silent'])
        .describe('`gone` told nothing for ten seconds, `silent` never did; after a day neither is shown'),
      ago_ms: count.describe('since it told of itself, or else since its last commit'),
      ...{ site: text.nullable(), version: text.nullable(), sessions: count.nullable() },
      hashes_per_second: hashesPerSecond.nullable(),
      queued_writes: count.nullable(),
      lag_ms: count.nullable().describe('since its last commit, while any write waits'),
      own_contracts: count.nullable().describe('contracts that nobody takes over'),
      extranonce_range: count.nullable(),
      ...{ leases: z.array(lease), slices: z.array(slice), if_dead: z.array(ifDead) },
    }),
  ),
});
