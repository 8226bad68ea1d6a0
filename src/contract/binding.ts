import {
  amount,
  type FieldValue,
  flag,
  group,
  integer,
  listOf,
  oneOf,
  outputScript,
  ppm,
  refuseTerm,
  tagged,
} from './fields.ts';

/** A payee of the coinbase and its part of the value in ppm. */
const payee = group({ scriptHex: ['script', outputScript], ppm: ['ppm', ppm] });

/** The binding: how a share is tied to this buyer (`MARKET.md`). */
export const bindingField = tagged(['type', 'type'], {
  /** No binding, for audits: nothing is paid. */
  none: group({}),
  /** Jobs of the maker, from an upstream of its own. */
  work: group({
    /** The least extranonce2 that a job leaves to the proxy, bytes. */
    extranonce2Bytes: ['extranonce2_bytes', integer(2, 16)],
    /** Jobs the maker may withdraw between two blocks. */
    withdrawalsPerBlock: ['withdrawals_per_block', integer(0, 100_000)],
    /** Shares per minute that may meet the upstream's target; the maker need not pass on more. */
    solutionsPerMinute: ['solutions_per_minute', integer(1, 1_000_000)],
    /** Whether a job may build on a block that the miner's node does not know. */
    foreignChain: ['foreign_chain', flag],
  }),
  /**
   * Jobs of the miner's own node or solo pool, whose coinbase pays these scripts, and zero to anything
   * else.
   */
  payout: group({
    outputs: ['outputs', listOf(payee, 1, 64)],
    /** The least part of the own template's fees that a coinbase claims above the subsidy, ppm. */
    minFeesPpm: ['min_fees_ppm', ppm],
    /** Part of the jobs that are validated in full, ppm. */
    samplePpm: ['sample_ppm', ppm],
    /** Seconds within which the template of a sampled job must be shown. */
    sampleSeconds: ['sample_seconds', integer(1, 600)],
  }),
  /** Beads of the miner's Braidpool node that pay this script. */
  bead: group({
    scriptHex: ['script', outputScript],
    /** `spec`: the payee is in the proof of work; `as_is`, `weak`: statistics of beads or weak beads. */
    profile: ['profile', oneOf('spec', 'as_is', 'weak')],
    /** Credit stops where so few beads are less likely than this, parts per billion. */
    stopPpb: ['stop_ppb', integer(1, 1_000_000)],
    /** The most that the pay of stolen beads may be where statistics judge, sats. */
    maxLossSat: ['bead_max_loss_sat', amount],
  }),
});
/** The binding of terms of version 3. */
export type BindingV3 = FieldValue<typeof bindingField>;

/** Checks the relations within a binding. Throws `bad_terms`. */
export function checkBinding(binding: BindingV3): void {
  if (binding.type === 'bead' && binding.profile !== 'spec' && binding.maxLossSat === 0n)
    refuseTerm('binding.bead_max_loss_sat', 'must be positive where beads are judged by statistics');
  if (binding.type !== 'payout') return;
  const { outputs } = binding;
  const total = outputs.reduce((sum, each) => sum + each.ppm, 0);
  if (total !== 1_000_000) refuseTerm('binding.outputs', 'must be 1000000 ppm in all');
  const scripts = new Set(outputs.map(({ scriptHex }) => scriptHex));
  if (scripts.size !== outputs.length) refuseTerm('binding.outputs', 'must be of different scripts');
  outputs.forEach((each, index) => {
    if (each.ppm === 0) refuseTerm(`binding.outputs.${index}.ppm`, 'must be positive');
  });
}
