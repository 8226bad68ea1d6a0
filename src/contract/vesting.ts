import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { bondsOf, hasBondOutputs, MIN_BOND_OUTPUT_SAT } from './bond-terms.ts';
import type { ContractTerms } from './terms.ts';

/** The vested and the unvested part of each bond in sats. */
export type Vesting = {
  /** `vC_n`, and the rest of C. */
  readonly vestedCollateralSat: bigint;
  readonly unvestedCollateralSat: bigint;
  /** `vD_n`, and the rest of D. */
  readonly vestedMakerBondSat: bigint;
  readonly unvestedMakerBondSat: bigint;
};

/**
 * Vesting at this much work in hashes (`PROTOCOL.md`): `floor(bond * min(w, W) / W)`, floored once over the
 * whole. A rest below 1000 sats has vested where it would need an output of its own; where bonds are
 * forfeited there is no such output, and early release would reduce the miner's part.
 */
export function vestingOf(terms: ContractTerms, workHashes: bigint): Vesting {
  assert(workHashes >= 0n, 'vesting_of_work');
  const { collateralSat, makerBondSat } = bondsOf(terms);
  const least = hasBondOutputs(terms) ? MIN_BOND_OUTPUT_SAT : 0n;
  const total = terms.workTotalHashes;
  const work = smaller(workHashes, total);
  const vested = (bondSat: bigint): bigint => {
    const sat = (bondSat * work) / total;
    return bondSat - sat < least ? bondSat : sat;
  };
  const vestedCollateralSat = vested(collateralSat);
  const vestedMakerBondSat = vested(makerBondSat);
  return {
    vestedCollateralSat,
    unvestedCollateralSat: collateralSat - vestedCollateralSat,
    vestedMakerBondSat,
    unvestedMakerBondSat: makerBondSat - vestedMakerBondSat,
  };
}

/** True where a close at this much work forfeits the miner's bond, for lack of an output of its own. */
export function forfeitsBond(terms: ContractTerms, workHashes: bigint): boolean {
  return !hasBondOutputs(terms) && vestingOf(terms, workHashes).unvestedCollateralSat > 0n;
}

/** True while some bond has not vested. */
export function isAtStake(terms: ContractTerms, workHashes: bigint): boolean {
  const { unvestedCollateralSat, unvestedMakerBondSat } = vestingOf(terms, workHashes);
  return unvestedCollateralSat + unvestedMakerBondSat > 0n;
}
