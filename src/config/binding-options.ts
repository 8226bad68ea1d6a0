import { option, optional, required, section, tables } from './options.ts';
import { BOOLEAN, hex, INTEGER, POSITIVE, TEXT } from './values.ts';

/** `[contract.work_binding]`: jobs of the market maker. */
export const WORK_BINDING = section(
  'Binding work: the market maker gives the jobs, from a pool or node of its own. No destination is needed for it here.',
  {
    hardestShare: optional(POSITIVE, 4_194_304, {
      doc: 'The market maker names the difficulty of shares with each job: share_difficulty to this. Default: 64 times that, or a step.',
    }),
    extranonce2Bytes: option(INTEGER, 8, {
      min: 8,
      max: 16,
      doc: 'The least extranonce2 that a job leaves to this proxy, in bytes.',
    }),
    withdrawalsPerBlock: option(INTEGER, 480, {
      min: 0,
      max: 100_000,
      doc: 'Jobs that the market maker may withdraw between two blocks. A withdrawn job costs work that was begun.',
    }),
    solutionsPerMinute: option(INTEGER, 1200, {
      min: 1,
      max: 1_000_000,
      doc: "Shares per minute that are passed on at once where they meet the target of the market maker's pool. Blocks always are.",
    }),
    foreignChain: option(BOOLEAN, false, {
      doc: 'Take jobs on blocks that your own bitcoin node does not know, as of another chain.',
    }),
  },
);

/** `[contract.payout_binding]`: jobs of the own node or a solo pool. */
export const PAYOUT_BINDING = section(
  'Binding payout: the jobs are of your own node or a solo pool, and their reward is for binding_script.',
  {
    minFeesPpm: option(INTEGER, 950_000, {
      min: 0,
      max: 1_000_000,
      doc: "The least part of the fees of the market maker's own template that a coinbase claims, in ppm.",
    }),
    samplePpm: option(INTEGER, 0, {
      min: 0,
      max: 1_000_000,
      doc: 'Part of the jobs, in ppm, whose block is shown whole. Above 0 the jobs must be templates of the node of [chain].',
    }),
    sampleSeconds: option(INTEGER, 10, {
      min: 1,
      max: 600,
      doc: 'Seconds within which such a block is shown.',
    }),
    outputs: tables(
      'Payees of the coinbase, each with its part; all of it together. Default: the binding_script alone.',
      0,
      {
        address: optional(TEXT, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', {
          doc: 'Address of the payee.',
        }),
        script: optional(hex(), '0014751e76e8199196d454941c45d1b3a323f1433bd6', {
          doc: 'Its output script in hex, instead of an address.',
        }),
        ppm: required(INTEGER, 1_000_000, {
          min: 1,
          max: 1_000_000,
          doc: 'Its part of the coinbase, in ppm; rounded down to a sat.',
        }),
      },
    ),
  },
);

/** `[policy.payout]`: what a maker asks of binding payout. */
export const POLICY_PAYOUT = section('Contracts with binding payout.', {
  minOwnPpm: option(INTEGER, 1_000_000, {
    min: 1,
    max: 1_000_000,
    doc: 'The least part of the coinbase, in ppm, that goes to binding_script; the rest may go to others, as a pool.',
  }),
  minFeesPpm: option(INTEGER, 900_000, {
    min: 0,
    max: 1_000_000,
    doc: 'The least part of the fees, in ppm, that terms may make the coinbase claim.',
  }),
  minSamplePpm: option(INTEGER, 0, {
    min: 0,
    max: 1_000_000,
    doc: 'The least part of the jobs, in ppm, that are validated whole. 0 takes it on trust that blocks are valid.',
  }),
  maxSampleSeconds: option(INTEGER, 30, {
    min: 1,
    max: 600,
    doc: 'The most seconds that a miner may have to show a block.',
  }),
});
