import { divideUp, larger } from '../base/bigints.ts';
import { HASHES_PER_EH } from '../base/units.ts';
import type { ContractTerms } from './terms.ts';
import { paySatOf } from './updated-terms.ts';
import { vestingOf } from './vesting.ts';

/**
 * What leaving a contract would gain against what it would forfeit. Leaving, a miner sells the rest of its
 * work at today's value of hashes instead of the contract's price, a maker buys it there. Bonds are released
 * with the work, so both shrink alike as the contract goes on: a bond that is large enough at one moment for
 * some difference of price and value is so at every other.
 */

const PPM = 1_000_000n;

/** The sides of a contract, as `leavingPays` names them. */
export type Side = 'miner' | 'maker';

/** A running contract, as far as leaving it is concerned. */
export type Commitment = {
  readonly priceMsatPerEh: bigint;
  readonly totalHashes: bigint;
  readonly remainingHashes: bigint;
  /** The bonds for the whole contract, sats; what of them is locked follows the rest of the work. */
  readonly collateralSat: bigint;
  readonly makerBondSat: bigint;
};

/** What a side would gain and forfeit by leaving now, sats. */
export type LeavingOutcome = { readonly gainSat: bigint; readonly forfeitSat: bigint };

const SAT = HASHES_PER_EH * 1000n;

/** What leaving now is to each side, at a value of hashes; gains are rounded up, forfeits down. */
export function leavingNow(
  commitment: Commitment,
  valueMsatPerEh: bigint,
): Readonly<Record<Side, LeavingOutcome>> {
  const { priceMsatPerEh, totalHashes, remainingHashes } = commitment;
  const gain = (msatPerEh: bigint): bigint =>
    msatPerEh <= 0n ? 0n : divideUp(msatPerEh * remainingHashes, SAT);
  const locked = (bondSat: bigint): bigint => (bondSat * remainingHashes) / totalHashes;
  return {
    miner: {
      gainSat: gain(valueMsatPerEh - priceMsatPerEh),
      forfeitSat: locked(commitment.collateralSat),
    },
    maker: {
      gainSat: gain(priceMsatPerEh - valueMsatPerEh),
      forfeitSat: locked(commitment.makerBondSat),
    },
  };
}

/** What leaving a running contract is to a side, and the bond that would hold it, sats. */
export type LeavingSide = LeavingOutcome & {
  /** What would have to be locked of its bond now for nothing to be gained; more than `forfeitSat` pays. */
  readonly bondNeededSat: bigint;
};

/** Both sides of a running contract at today's value of hashes. */
export type LeavingView = {
  readonly valueMsatPerEh: bigint;
  readonly miner: LeavingSide;
  readonly maker: LeavingSide;
  /** The side that would gain by leaving now; null where none would. */
  readonly pays: Side | null;
};

/**
 * What leaving a contract is now, by its terms with all updates. The maker keeps what is delivered and not
 * signed for, and the miner gives it up; of the bonds what has not vested is forfeited.
 * @param work hashes: credited or delivered, and those of the newest state
 */
export function leavingOf(
  terms: ContractTerms,
  work: { readonly deliveredHashes: bigint; readonly signedHashes: bigint },
  valueMsatPerEh: bigint,
): LeavingView {
  const total = terms.workTotalHashes;
  const deliveredHashes = work.deliveredHashes < total ? work.deliveredHashes : total;
  const deliveredSat = paySatOf(terms, deliveredHashes);
  const unpaidSat = larger(0n, deliveredSat - paySatOf(terms, work.signedHashes));
  const restPaySat = paySatOf(terms, total) - deliveredSat;
  const restValue = valueMsatPerEh * (total - deliveredHashes);
  const { unvestedCollateralSat, unvestedMakerBondSat } = vestingOf(terms, work.signedHashes);
  const minerGainSat = larger(0n, divideUp(restValue, SAT) - restPaySat);
  const makerGainSat = larger(0n, restPaySat - restValue / SAT + unpaidSat);
  const miner = {
    gainSat: minerGainSat,
    forfeitSat: unvestedCollateralSat + unpaidSat,
    bondNeededSat: larger(0n, minerGainSat - unpaidSat),
  };
  const maker = { gainSat: makerGainSat, forfeitSat: unvestedMakerBondSat, bondNeededSat: makerGainSat };
  const gains = ({ gainSat, forfeitSat }: LeavingSide): boolean => gainSat > forfeitSat;
  return { valueMsatPerEh, miner, maker, pays: gains(miner) ? 'miner' : gains(maker) ? 'maker' : null };
}

/** The side that would gain by leaving now, if one would. */
export function leavingPays(commitment: Commitment, valueMsatPerEh: bigint): Side | undefined {
  const outcomes = leavingNow(commitment, valueMsatPerEh);
  return (['miner', 'maker'] as const).find((side) => outcomes[side].gainSat > outcomes[side].forfeitSat);
}

/**
 * The least bond with which a side gains nothing by leaving at this value, as a part of what the whole work
 * pays, ppm, rounded up.
 */
export function bondNeededPpm(side: Side, priceMsatPerEh: bigint, valueMsatPerEh: bigint): bigint {
  const gain = side === 'miner' ? valueMsatPerEh - priceMsatPerEh : priceMsatPerEh - valueMsatPerEh;
  return gain <= 0n ? 0n : divideUp(gain * PPM, priceMsatPerEh);
}
