import { option, optional, section } from './options.ts';
import { BOOLEAN, INTEGER, POSITIVE } from './values.ts';

/** `[contract.work_binding]`: jobs of the market maker. */
export const WORK_BINDING = section(
  'Binding work: the market maker gives the jobs, from a pool or node of its own. No destination is needed for it here.',
  {
    hardestShare: optional(POSITIVE, 4_194_304, {
      doc: 'The market maker names the difficulty of shares with each job: share_difficulty to this. Default: 64 times that.',
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
