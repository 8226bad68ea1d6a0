import { MAX_SATS, owedSat } from '../base/units.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { type BondTerms, bondsOf, checkBondTerms, checkSealTerms, type SealTerms } from './bond-terms.ts';
import { refuseTerm } from './fields.ts';

/** The terms that every version has. Names give the units of amounts. */
export type CommonTerms = {
  readonly network: NetworkName;
  /** Node ids of both sides: x-only keys, 64 hex digits. */
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  /** Total work in hashes: the contract ends when it was delivered; nothing beyond it is credited. */
  readonly workTotalHashes: bigint;
  /** Step in hashes: work after which the maker signs the next state. */
  readonly stepHashes: bigint;
  /** Steps of verified but unsigned work at which the miner stops delivering. */
  readonly maxUnpaidSteps: number;
  readonly budgetSat: bigint;
  /** The maker's reserve: keeps its output above dust. */
  readonly reserveSat: bigint;
  /** The miner's own money in the channel, for fees. */
  readonly minerReserveSat: bigint;
  readonly expiryHeight: number;
  readonly minDepth: number;
  readonly feeLadderSatPerKvb: readonly number[];
  /** Seconds after its block was replaced within which a share is accepted. */
  readonly staleGraceSeconds: number;
  /** Nonce that tells contracts with equal terms apart, 32 hex digits. */
  readonly nonceHex: string;
  /** Bonds; left out for none (mode `none`, C = D = 0). */
  readonly bonds?: BondTerms;
  /** Seal channel; left out for none. */
  readonly seal?: SealTerms;
};

/** The default fee ladder of `PROTOCOL.md`: 1.1, 5, 20, 80 and 320 sat/vB. */
export const DEFAULT_FEE_LADDER_SAT_PER_KVB: readonly number[] = [1100, 5000, 20_000, 80_000, 320_000];

/**
 * Checks the relations between the terms that make a channel safe (`PROTOCOL.md`), at the least and the
 * highest price the terms allow, msat per EH. Throws `bad_terms`.
 */
export function checkCommonTerms(
  terms: CommonTerms,
  prices: { readonly lowest: bigint; readonly highest: bigint },
): void {
  if (prices.lowest <= 0n) refuseTerm('price', 'must be positive');
  if (terms.stepHashes <= 0n) refuseTerm('step_hashes', 'must be positive');
  if (terms.workTotalHashes < terms.stepHashes)
    refuseTerm('work_total_hashes', 'must be at least one step');
  if (terms.reserveSat < 1000n)
    refuseTerm('reserve_sat', 'must be at least 1000, to keep the output of the maker above dust');
  if (terms.minerReserveSat < 1000n)
    refuseTerm('miner_reserve_sat', 'must be at least 1000, to pay the fee of state 0');
  if (owedSat(terms.workTotalHashes, prices.highest) > terms.budgetSat)
    refuseTerm('budget_sat', 'does not cover work_total_hashes at this price');
  const { makerBondSat, collateralSat } = bondsOf(terms);
  const sealSat = terms.seal?.sealSat ?? 0n;
  const own = terms.budgetSat + terms.reserveSat + terms.minerReserveSat;
  if (own + makerBondSat + collateralSat + sealSat > MAX_SATS)
    refuseTerm('budget_sat', 'and the other amounts exceed the supply of bitcoin');
  checkBondTerms({ ...terms, priceMsatPerEh: prices.lowest });
  checkSealTerms({ ...terms, priceMsatPerEh: prices.lowest });
  if (terms.minerNodeId === terms.makerNodeId)
    refuseTerm('maker_node_id', 'must be another node than the miner');
  const ladder = terms.feeLadderSatPerKvb;
  if (ladder.length < 1 || ladder.length > 8) refuseTerm('fee_ladder_sat_per_kvb', 'has 1 to 8 rungs');
  ladder.forEach((rate, rung) => {
    if (rate < 100 || rate > 1_000_000 || (rung > 0 && rate <= ladder[rung - 1]!))
      refuseTerm('fee_ladder_sat_per_kvb', 'must rise, between 100 and 1000000 sat per kvB');
  });
}
