import { option, optional, section } from './options.ts';
import { AMOUNT, BOOLEAN, choice, FEE_RATE, hex, INTEGER, listOf } from './values.ts';

/** A key that nobody has, for samples. */
export const AUDITOR_KEY_EXAMPLE = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
const BOND_MODE = choice('none', 'auditor', 'hostage', 'forfeit_to_mm');

const PPM = {
  min: 0,
  max: 900_000,
} as const;
const RULE_OPTIONS = {
  collateralPpm: option(INTEGER, 0, {
    ...PPM,
    doc: 'Your bond as a part of what all the work earns, in millionths: 180000 is 18 %; `sharestream replay` says more. Version 3.',
  }),
  makerBondPpm: option(INTEGER, 0, { ...PPM, doc: "The market maker's, likewise." }),
} as const;

/** `[contract.bonds]`: what both sides stake on a contract. */
export const CONTRACT_BONDS = section(
  'Bonds that both stake on the contract, and that vest with the work. They decide who loses what by stopping.',
  {
    mode: option(BOND_MODE, 'none', {
      doc: 'Who decides on bonds not vested at an early close: two of three keys, both sides, nobody (the other side has them).',
    }),
    collateral: option(AMOUNT, '0 sat', {
      doc: 'Your own bond: sats that come back with the work you deliver. With collateral_ppm the least of it.',
    }),
    makerBond: option(AMOUNT, '0 sat', {
      doc: "The market maker's bond. Must be below what all the work earns. With maker_bond_ppm the least of it.",
    }),
    ...RULE_OPTIONS,
    auditorKey: optional(hex(33), AUDITOR_KEY_EXAMPLE, {
      doc: 'Compressed public key of the auditor, for mode auditor. Default: auditor.key.',
    }),
    csvBlocks: option(INTEGER, 2016, {
      min: 1,
      max: 65_535,
      doc: 'Mode auditor: blocks after the close from which each side has its own bond back alone.',
    }),
    release: option(BOOLEAN, false, {
      doc: 'Sign, when the market maker asks, that it has its bond back at once. Mode hostage has no other way.',
    }),
  },
);

/** `[contract.seal]`: the proof that the work was sold once. */
export const CONTRACT_SEAL = section(
  [
    'A single-use seal: the market maker can show on chain what work was sold to it under this contract.',
    'With binding payout your pool must put the tag of the contract into each coinbase (MARKET.md); with bead',
    'only in profile spec.',
  ].join(' '),
  {
    enabled: option(BOOLEAN, false, {
      doc: 'Fund a seal with the channel, and sign a claim for each state.',
    }),
    value: option(AMOUNT, '2000 sat', {
      min: '1000 sat',
      doc: 'Sats in the seal; they go to the market maker with the claim, or back to you 2016 blocks after the expiry.',
    }),
    claimFeeRate: option(FEE_RATE, '5 sat/vB', { doc: 'What every claim pays, out of the seal.' }),
  },
);

/** `[policy.bonds]`: the bonds a market maker takes. */
export const POLICY_BONDS = section('Which bonds a contract may have. By default it has none.', {
  modes: option(listOf(BOND_MODE), ['none'], { doc: 'The modes that are accepted.' }),
  maxMakerBond: option(AMOUNT, '0 sat', {
    doc: 'The most of your own that one contract may stake. It counts as budget in the limits above.',
  }),
  minCollateral: option(AMOUNT, '0 sat', { doc: 'The least a miner stakes where there are bonds.' }),
  auditors: option(listOf(hex(33)), [], {
    doc: 'Compressed public keys of the auditors whose rulings you accept. Default: auditor.key.',
  }),
  minCsvBlocks: option(INTEGER, 144, {
    min: 1,
    max: 65_535,
    doc: 'Mode auditor: the shortest delay, the time there is for a ruling.',
  }),
  maxCsvBlocks: option(INTEGER, 4320, {
    min: 1,
    max: 65_535,
    doc: 'Mode auditor: the longest delay, for which your own bond may be locked.',
  }),
  minCureBlocks: option(INTEGER, 6, {
    min: 0,
    max: 4032,
    doc: "Mode auditor: the least cure of delivery. So long you may be away, or not pay, before your bond is the miner's.",
  }),
  release: option(BOOLEAN, false, {
    doc: 'Sign, when a miner asks, that it has its collateral back at once. Mode hostage has no other way.',
  }),
  earlyClose: option(choice('refused', 'returned', 'miner_forfeits'), 'refused', {
    doc: 'A miner that asks to close while bonds are at stake: refuse (it closes alone), give both back, or keep both.',
  }),
});

/** `[policy.seal]`: the seals a market maker takes. */
export const POLICY_SEAL = section('Whether contracts may or must have a seal.', {
  mode: option(choice('never', 'allowed', 'required'), 'never', {
    doc: 'A proposal that differs is refused.',
  }),
  minClaimFeeRate: option(FEE_RATE, '2 sat/vB', {
    doc: 'The least that claims pay: they must confirm before the seal expires.',
  }),
});

/** `[sell.bonds]`: the bonds of what is asked for. */
export const SELL_BONDS = section(
  'Bonds that are asked for with a quote; the market maker has to take them.',
  {
    mode: option(BOND_MODE, 'none', { doc: 'As contract.bonds.mode.' }),
    collateral: option(AMOUNT, '0 sat', { doc: 'The least of your own bond.' }),
    makerBond: option(AMOUNT, '0 sat', { doc: "The least of the market maker's." }),
    ...RULE_OPTIONS,
    auditorKey: optional(hex(33), AUDITOR_KEY_EXAMPLE, { doc: 'As contract.bonds.auditor_key.' }),
    csvBlocks: option(INTEGER, 2016, { min: 1, max: 65_535, doc: 'As contract.bonds.csv_blocks.' }),
  },
);
