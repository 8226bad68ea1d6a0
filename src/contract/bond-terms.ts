import { isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { owedSat, parseDecimal } from '../base/units.ts';

/**
 * The rule for unvested bonds when a channel closes early (`PROTOCOL.md`): two of miner, maker and auditor
 * decide, and the owner receives them after a delay (`auditor`); both sides must agree (`hostage`); the
 * other side receives them at once (`forfeit_to_mm`); there are none (`none`).
 */
export type BondMode = 'auditor' | 'hostage' | 'forfeit_to_mm' | 'none';

type BondAmounts = {
  /** The maker's bond D, its stake on signing states. Vests to the maker with the work. */
  readonly makerBondSat: bigint;
  /** The collateral C, the miner's stake on delivery. Vests to the miner with the work. */
  readonly collateralSat: bigint;
};

/** The terms about bonds; left out where there are none. */
export type BondTerms = BondAmounts &
  (
    | {
        readonly bondMode: 'auditor';
        /** Blocks after the close from which the owner alone can take a bond (BIP68): 1 to 65535. */
        readonly bondCsvBlocks: number;
        /** The auditor's public key `A_b`, compressed, 66 lower-case hex digits. */
        readonly auditorKeyHex: string;
      }
    | { readonly bondMode: 'hostage' | 'forfeit_to_mm' }
  );

/** The terms about the seal channel (`PROTOCOL.md`, F1); left out where there is none. */
export type SealTerms = {
  /** Value of F1, the miner's money; comes back with the claim or the refund, less fees. */
  readonly sealSat: bigint;
  /** Fee rate of every claim `Q_n`. */
  readonly claimFeeRateSatPerKvb: number;
};

/** The terms of a contract that bonds and seal depend on. */
export type StakedTerms = {
  readonly bonds?: BondTerms;
  readonly seal?: SealTerms;
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  readonly priceMsatPerEh: bigint;
  readonly workTotalHashes: bigint;
  readonly expiryHeight: number;
};

/** Blocks from the expiry of the channel to that of the seal: `T_seal = T_exp + 2016`. */
export const SEAL_EXTRA_BLOCKS = 2016;

/** Least value of a bond output in sats; a smaller rest has vested (`PROTOCOL.md`). */
export const MIN_BOND_OUTPUT_SAT = 1000n;

const NO_BONDS = { bondMode: 'none', makerBondSat: 0n, collateralSat: 0n } as const;

/** The bond terms, with mode `none` and amounts of 0 where they are left out. */
export function bondsOf(terms: Pick<StakedTerms, 'bonds'>): BondTerms | typeof NO_BONDS {
  return terms.bonds ?? NO_BONDS;
}

/** True where states have bond outputs. */
export function hasBondOutputs(terms: Pick<StakedTerms, 'bonds'>): boolean {
  const { bondMode } = bondsOf(terms);
  return bondMode === 'auditor' || bondMode === 'hostage';
}

/** The expiry height of the seal, from which the miner alone can take it back. */
export function sealExpiryHeight(terms: Pick<StakedTerms, 'expiryHeight'>): number {
  return terms.expiryHeight + SEAL_EXTRA_BLOCKS;
}

/** The bond terms as JSON, in one spelling. */
export function bondTermsToJson(bonds: BondTerms): { readonly [key: string]: Json } {
  const amounts = {
    bond_mode: bonds.bondMode,
    maker_bond_sat: bonds.makerBondSat.toString(),
    collateral_sat: bonds.collateralSat.toString(),
  };
  return bonds.bondMode === 'auditor'
    ? { ...amounts, bond_csv_blocks: bonds.bondCsvBlocks, auditor_key: bonds.auditorKeyHex }
    : amounts;
}

/** The seal terms as JSON, in one spelling. */
export function sealTermsToJson(seal: SealTerms): { readonly [key: string]: Json } {
  return { seal_sat: seal.sealSat.toString(), claim_fee_sat_per_kvb: seal.claimFeeRateSatPerKvb };
}

/** Parses bond terms: their shape only, `checkBondTerms` judges the amounts. Throws `bad_terms`. */
export function parseBondTerms(value: unknown): BondTerms {
  const mode = isRecord(value) ? value['bond_mode'] : undefined;
  if (mode !== 'auditor' && mode !== 'hostage' && mode !== 'forfeit_to_mm') {
    throw new CodedError('bad_terms', 'bonds.bond_mode must be auditor, hostage or forfeit_to_mm');
  }
  const amounts = ['bond_mode', 'maker_bond_sat', 'collateral_sat'];
  const fields = mode === 'auditor' ? [...amounts, 'bond_csv_blocks', 'auditor_key'] : amounts;
  const record = readGroup(value, 'bonds', fields);
  const makerBondSat = readAmount(record, 'bonds', 'maker_bond_sat');
  const collateralSat = readAmount(record, 'bonds', 'collateral_sat');
  if (mode !== 'auditor') return { bondMode: mode, makerBondSat, collateralSat };
  const bondCsvBlocks = record['bond_csv_blocks'];
  const auditorKeyHex = record['auditor_key'];
  if (typeof bondCsvBlocks !== 'number')
    throw new CodedError('bad_terms', 'bonds.bond_csv_blocks is a number');
  if (typeof auditorKeyHex !== 'string') throw new CodedError('bad_terms', 'bonds.auditor_key is a string');
  return { bondMode: mode, makerBondSat, collateralSat, bondCsvBlocks, auditorKeyHex };
}

/** Parses seal terms: their shape only, `checkSealTerms` judges the amounts. Throws `bad_terms`. */
export function parseSealTerms(value: unknown): SealTerms {
  const record = readGroup(value, 'seal', ['seal_sat', 'claim_fee_sat_per_kvb']);
  const claimFeeRateSatPerKvb = record['claim_fee_sat_per_kvb'];
  if (typeof claimFeeRateSatPerKvb !== 'number')
    throw new CodedError('bad_terms', 'seal.claim_fee_sat_per_kvb is a number');
  return { sealSat: readAmount(record, 'seal', 'seal_sat'), claimFeeRateSatPerKvb };
}

function readGroup(value: unknown, name: string, fields: readonly string[]): Record<string, unknown> {
  const isGroup =
    isRecord(value) &&
    fields.every((field) => Object.hasOwn(value, field)) &&
    Object.keys(value).length === fields.length;
  if (!isGroup)
    throw new CodedError('bad_terms', `${name} must be an object with exactly ${fields.join(', ')}`);
  return value;
}

function readAmount(record: Record<string, unknown>, group: string, key: string): bigint {
  try {
    return parseDecimal(record[key], `${group}.${key}`);
  } catch (error) {
    throw new CodedError('bad_terms', (error as Error).message);
  }
}

/**
 * Checks the relations that make bonds safe. D must be below the pay of all the work, at most B (`D < B` in
 * `PROTOCOL.md`): else an older state, with more of the maker's bond unvested, could be worth more to the
 * miner than a newer one. Where bonds are forfeited to the other side at once D may not exceed C, else the
 * miner would gain by closing at state 0. Throws `bad_terms`.
 */
export function checkBondTerms(terms: StakedTerms): void {
  const { bonds } = terms;
  if (bonds === undefined) return;
  const refuse = (why: string): never => {
    throw new CodedError('bad_terms', why, { path: 'bonds' });
  };
  const { makerBondSat, collateralSat } = bonds;
  for (const [name, sat] of [
    ['maker_bond', makerBondSat],
    ['collateral', collateralSat],
  ] as const) {
    if (sat !== 0n && sat < MIN_BOND_OUTPUT_SAT) refuse(`${name} must be 0 or at least 1000 sat`);
  }
  if (makerBondSat === 0n && collateralSat === 0n) refuse('bonds of nothing: leave the group out');
  if (makerBondSat > 0n && makerBondSat >= owedSat(terms.workTotalHashes, terms.priceMsatPerEh))
    refuse('maker_bond must be below what all the work pays');
  if (bonds.bondMode === 'forfeit_to_mm' && makerBondSat > collateralSat)
    refuse('maker_bond may not exceed the collateral where bonds are forfeited');
  if (bonds.bondMode !== 'auditor') return;
  const { bondCsvBlocks, auditorKeyHex } = bonds;
  if (!Number.isInteger(bondCsvBlocks) || bondCsvBlocks < 1 || bondCsvBlocks > 65_535)
    refuse('bond_csv_blocks must be an integer from 1 to 65535');
  if (!isHex(auditorKeyHex, 33) || !/^0[23][0-9a-f]+$/.test(auditorKeyHex))
    refuse('auditor_key must be a compressed public key in lower-case hex');
  const auditor = auditorKeyHex.slice(2);
  if (auditor === terms.minerNodeId || auditor === terms.makerNodeId)
    refuse('the auditor must be neither the miner nor the maker');
}

/**
 * Checks the seal terms. Throws `bad_terms`. `checkChannelParams` checks that the value pays for a claim,
 * which depends on its scripts.
 */
export function checkSealTerms(terms: StakedTerms): void {
  const { seal } = terms;
  if (seal === undefined) return;
  if (seal.sealSat < 1000n)
    throw new CodedError('bad_terms', 'seal must be at least 1000 sat', { path: 'seal' });
  const rate = seal.claimFeeRateSatPerKvb;
  if (!Number.isInteger(rate) || rate < 100 || rate > 1_000_000)
    throw new CodedError(
      'bad_terms',
      'claim_fee_sat_per_kvb must be an integer between 100 and 1000000 sat per kvB',
      { path: 'seal' },
    );
  if (sealExpiryHeight(terms) > 499_999_999)
    throw new CodedError('bad_terms', 'the expiry of the seal must be a block height', { path: 'seal' });
}
