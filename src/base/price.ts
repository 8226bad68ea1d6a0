import { HASHES_PER_EH } from './units.ts';

const SECONDS_PER_DAY = 86_400n;
const HASHES_PER_PH_DAY = 10n ** 15n * SECONDS_PER_DAY;
const HASHES_PER_TH_DAY = 10n ** 12n * SECONDS_PER_DAY;

/** One price of work in each unit that people use, exact decimals. */
export type PriceUnits = {
  readonly msat_per_eh: string;
  readonly sat_per_eh: string;
  readonly sat_per_th_day: string;
  readonly sat_per_ph_day: string;
  readonly btc_per_ph_day: string;
  readonly btc_per_eh_day: string;
};

/** `value / 10^scale` as a decimal without needless zeros, exactly. @param value not negative */
export function decimalText(value: bigint, scale: number): string {
  const digits = value.toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

/** A price in msat per EH in all units. */
export function priceUnits(priceMsatPerEh: bigint): PriceUnits {
  const per = (hashes: bigint): bigint => priceMsatPerEh * hashes;
  // Products of 10^18 more than the pay; 3 more digits from msat to sat, 8 more to BTC.
  return {
    msat_per_eh: priceMsatPerEh.toString(),
    sat_per_eh: decimalText(priceMsatPerEh, 3),
    sat_per_th_day: decimalText(per(HASHES_PER_TH_DAY), 21),
    sat_per_ph_day: decimalText(per(HASHES_PER_PH_DAY), 21),
    btc_per_ph_day: decimalText(per(HASHES_PER_PH_DAY), 29),
    btc_per_eh_day: decimalText(per(HASHES_PER_PH_DAY * 1000n), 29),
  };
}

/** The same on a line. */
export function priceText(priceMsatPerEh: bigint): string {
  const units = priceUnits(priceMsatPerEh);
  return [
    `${units.sat_per_eh} sat/EH`,
    `${units.sat_per_ph_day} sat/PH/day`,
    `${units.sat_per_th_day} sat/TH/day`,
    `${units.btc_per_ph_day} BTC/PH/day`,
  ].join(' = ');
}

/** What work earns, in sats, rounded up. */
export function earnsSatRoundedUp(workHashes: bigint, priceMsatPerEh: bigint): bigint {
  const sat = HASHES_PER_EH * 1000n;
  return (workHashes * priceMsatPerEh + sat - 1n) / sat;
}

/**
 * The value of an EH on a chain, msat: what its part of the blocks it finds on average pays.
 * @param hashesPerBlock of the network's target
 * @param rewardSat subsidy and fees of a block
 */
export function hashValueMsatPerEh(hashesPerBlock: bigint, rewardSat: bigint): bigint {
  return (rewardSat * 1000n * HASHES_PER_EH) / hashesPerBlock;
}
