import { option, optional, section } from './options.ts';
import { AMOUNT, choice, HTTP_URL, INTEGER, listOf, TEXT } from './values.ts';

const PROFILE = choice('spec', 'as_is', 'weak');
const ADDRESS_EXAMPLE = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';

/** `[contract.bead_binding]`: beads of the own Braidpool node that pay the market maker. */
export const BEAD_BINDING = section(
  'Binding bead: your own Braidpool node makes the jobs, and its beads pay the market maker. They need its address as your worker name.',
  {
    payoutAddress: optional(TEXT, ADDRESS_EXAMPLE, {
      doc: "The market maker's address in Braidpool. The destination of the contract must have it for its worker name.",
    }),
    profile: option(PROFILE, 'as_is', {
      doc: 'spec: jobs commit to the payee. as_is: a bead is a share at the difficulty of a block. weak: audit mode, each share is one.',
    }),
    stopPpb: option(INTEGER, 1000, {
      min: 1,
      max: 1_000_000,
      doc: 'Credit stops where so few beads are less likely than this in 10^9. A larger one stops honest work sooner.',
    }),
    maxLoss: option(AMOUNT, '10000 sat', {
      min: '1 sat',
      doc: 'The most that stolen beads may earn: the work of 51 at stop_ppb 1000. A market maker refuses what it is not ready to lose.',
    }),
  },
);

/** `[braidpool]` of the maker. */
export const MAKER_BRAIDPOOL = section(
  'Your own Braidpool node. With it contracts are taken whose work is paid to you in beads (binding bead).',
  {
    rpcUrl: optional(HTTP_URL, 'http://127.0.0.1:6682', {
      doc: 'Its JSON-RPC, which asks for no password: nobody else may reach it.',
    }),
    payoutAddress: optional(TEXT, ADDRESS_EXAMPLE, {
      doc: 'Your address there. Miners of such contracts have it for their worker name.',
    }),
    profiles: option(listOf(PROFILE), ['as_is'], {
      doc: 'What a contract may be. spec: jobs commit to the payee. as_is: beads at the difficulty of a block. weak: each share is one.',
    }),
    minStopPpb: option(INTEGER, 1000, {
      min: 1,
      max: 1_000_000,
      doc: 'The least chance, in 10^9, of so few beads at which credit stops. A smaller one stops theft later.',
    }),
    maxLoss: option(AMOUNT, '10000 sat', {
      min: '1 sat',
      doc: 'The most that stolen beads may earn: the work of 51 at stop_ppb 1000, of a thief in a hurry; else of 15.',
    }),
  },
);
