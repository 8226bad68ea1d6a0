import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { seedsSat, splitPay, splitsOf } from '../contract/splits.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { paySatOf } from '../contract/updated-terms.ts';
import { vestingOf } from '../contract/vesting.ts';

/**
 * The amounts of one split of the channel in sats, before the miner's fee. The parts add up to its value.
 */
export type StateAmounts = {
  /** Cumulative pay `a_n`: not a part of its own, the miner's holds it. */
  readonly paidSat: bigint;
  /** `r0 + a_n + vC_n`, without the payees' parts, and the maker's unvested bond where it is forfeited. */
  readonly minerSat: bigint;
  /** For each payee of the terms its seed and its part of the pay. */
  readonly payeesSat: readonly bigint[];
  /** `R + B - a_n + vD_n`, and the unvested collateral where it is forfeited. */
  readonly makerSat: bigint;
  /** Unvested collateral in an output of its own: 0, or at least 1000. */
  readonly minerBondOutputSat: bigint;
  /** Unvested bond of the maker in an output of its own: 0, or at least 1000. */
  readonly makerBondOutputSat: bigint;
};

/** Who receives the unvested bonds in a cooperative close. */
export type CloseSettlement =
  /** Each side gets its own bond back. */
  | 'returned'
  /** The maker receives both bonds. */
  | 'miner_forfeits'
  /** The miner receives both bonds. */
  | 'maker_forfeits';

/** The value of the channel's output in sats: `V = B + R + D + C + r0`. */
export function capacitySat(terms: ContractTerms): bigint {
  const { makerBondSat, collateralSat } = bondsOf(terms);
  return terms.budgetSat + terms.reserveSat + makerBondSat + collateralSat + terms.minerReserveSat;
}

/** The maker's contribution to the funding in sats, before fees: `B + R + D`. */
export function makerContributionSat(terms: ContractTerms): bigint {
  return terms.budgetSat + terms.reserveSat + bondsOf(terms).makerBondSat;
}

/** The miner's contribution to the funding in sats, before fees: `C + r0`, and the value of the seal. */
export function minerContributionSat(terms: ContractTerms): bigint {
  return bondsOf(terms).collateralSat + terms.minerReserveSat + (terms.seal?.sealSat ?? 0n);
}

/** What each side has of the channel once so much is paid, its bonds left out: `r0 + a` and `R + B - a`. */
export function balanceOf(terms: ContractTerms, paidSat: bigint): ChannelBalance {
  return {
    minerSat: terms.minerReserveSat + paidSat,
    makerSat: terms.reserveSat + terms.budgetSat - paidSat,
  };
}

export type ChannelBalance = { readonly minerSat: bigint; readonly makerSat: bigint };

/** `a_n`. Throws `over_budget` for more work or pay than the contract has. */
function paidOf(terms: ContractTerms, workHashes: bigint): bigint {
  assert(workHashes >= 0n, 'work_is_not_negative', workHashes);
  const paidSat = paySatOf(terms, workHashes);
  if (workHashes > terms.workTotalHashes || paidSat > terms.budgetSat) {
    throw new CodedError('over_budget', `${workHashes} hashes are more than the contract has`);
  }
  return paidSat;
}

/** The miner's reserve and the pay: what of them is its own, and what the payees'. */
function earningsOf(
  terms: ContractTerms,
  paidSat: bigint,
): { readonly ownSat: bigint; readonly payeesSat: readonly bigint[] } {
  const splits = splitsOf(terms);
  const pay = splitPay(terms, paidSat);
  const payeesSat = pay.payeesSat.map((sat, index) => splits[index]!.seedSat + sat);
  return { ownSat: terms.minerReserveSat - seedsSat(terms) + pay.minerSat, payeesSat };
}

/**
 * The amounts of a state with this much cumulative work in hashes (`PROTOCOL.md`): floored once over the
 * whole, never sums of rounded steps. Throws `over_budget` for more work or pay than the contract has.
 */
export function stateAmounts(terms: ContractTerms, workHashes: bigint): StateAmounts {
  const paidSat = paidOf(terms, workHashes);
  const vesting = vestingOf(terms, workHashes);
  const { unvestedCollateralSat, unvestedMakerBondSat } = vesting;
  const isForfeited = bondsOf(terms).bondMode === 'forfeit_to_mm';
  const { ownSat, payeesSat } = earningsOf(terms, paidSat);
  const amounts: StateAmounts = {
    ...{ paidSat, payeesSat },
    minerSat: ownSat + vesting.vestedCollateralSat + (isForfeited ? unvestedMakerBondSat : 0n),
    makerSat:
      terms.reserveSat +
      terms.budgetSat -
      paidSat +
      vesting.vestedMakerBondSat +
      (isForfeited ? unvestedCollateralSat : 0n),
    minerBondOutputSat: isForfeited ? 0n : unvestedCollateralSat,
    makerBondOutputSat: isForfeited ? 0n : unvestedMakerBondSat,
  };
  const { minerSat, makerSat, minerBondOutputSat, makerBondOutputSat } = amounts;
  const parts = [minerSat, makerSat, minerBondOutputSat, makerBondOutputSat, ...payeesSat];
  const sumSat = parts.reduce((sum, sat) => sum + sat, 0n);
  assert(sumSat === capacitySat(terms), 'amounts_conserved');
  return amounts;
}

/**
 * The parts of a cooperative close at this much work, before the miner's fee: a close has no bond
 * outputs, and `settlement` says who receives the unvested bonds. Throws `over_budget`, and `bad_amount`
 * for unvested bonds without a settlement.
 */
export function closeAmounts(
  terms: ContractTerms,
  workHashes: bigint,
  settlement?: CloseSettlement,
): Pick<StateAmounts, 'minerSat' | 'makerSat' | 'payeesSat'> {
  const paidSat = paidOf(terms, workHashes);
  const { collateralSat, makerBondSat } = bondsOf(terms);
  const { unvestedCollateralSat, unvestedMakerBondSat } = vestingOf(terms, workHashes);
  if (settlement === undefined && unvestedCollateralSat + unvestedMakerBondSat > 0n) {
    throw new CodedError('bad_amount', 'a close before all bonds vested must say who has the rest');
  }
  const toMakerSat =
    settlement === 'miner_forfeits'
      ? unvestedCollateralSat
      : settlement === 'maker_forfeits'
        ? -unvestedMakerBondSat
        : 0n;
  const { ownSat, payeesSat } = earningsOf(terms, paidSat);
  return {
    payeesSat,
    minerSat: ownSat + collateralSat - toMakerSat,
    makerSat: terms.reserveSat + terms.budgetSat - paidSat + makerBondSat + toMakerSat,
  };
}
