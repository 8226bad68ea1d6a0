import { larger } from '../base/bigints.ts';
import { MIN_BOND_OUTPUT_SAT } from './bond-terms.ts';

/**
 * The rule for the sizes of the bonds, as terms of version 3 state it: each is the larger of a part of the
 * notional, which is the pay of all the work at the highest price, and of an amount: what a replay of the
 * past says that leaving could have gained.
 */
export type BondSize = {
  readonly collateralPpm: number;
  readonly worstCaseSat: bigint;
  readonly makerBondPpm: number;
  readonly makerBondFloorSat: bigint;
};

export type SizedBonds = { readonly collateralSat: bigint; readonly makerBondSat: bigint };

/** The amounts that follow from the rule. */
export function sizedBonds(size: BondSize, notionalSat: bigint): SizedBonds {
  const part = (ppm: number): bigint => (notionalSat * BigInt(ppm)) / 1_000_000n;
  return {
    collateralSat: larger(part(size.collateralPpm), size.worstCaseSat),
    makerBondSat: larger(part(size.makerBondPpm), size.makerBondFloorSat),
  };
}

/**
 * A rule within what a channel allows: a bond is nothing or no less than its output may hold, and the maker's
 * is below what all the work pays.
 */
export function clampedSize(
  size: BondSize,
  { notionalSat, paysSat }: { readonly notionalSat: bigint; readonly paysSat: bigint },
): BondSize {
  const { collateralSat, makerBondSat } = sizedBonds(size, notionalSat);
  const least = (sat: bigint): bigint => (sat > 0n && sat < MIN_BOND_OUTPUT_SAT ? MIN_BOND_OUTPUT_SAT : 0n);
  const worstCaseSat = larger(size.worstCaseSat, least(collateralSat));
  const makerBondFloorSat = larger(size.makerBondFloorSat, least(makerBondSat));
  const raised = { ...size, worstCaseSat, makerBondFloorSat };
  if (sizedBonds(raised, notionalSat).makerBondSat < paysSat) return raised;
  const most = paysSat - 1n >= MIN_BOND_OUTPUT_SAT ? paysSat - 1n : 0n;
  return { ...raised, makerBondPpm: 0, makerBondFloorSat: most };
}
