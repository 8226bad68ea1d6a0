import { owedSat } from '../base/units.ts';
import type { BindingV3 } from './binding.ts';
import { type BondSize, clampedSize, sizedBonds } from './bond-size.ts';
import type { BondTerms } from './bond-terms.ts';
import { refuseTerm } from './fields.ts';
import { highestMsatPerEh, lowestMsatPerEh } from './price.ts';
import { TERMS_DEFAULTS } from './terms-defaults.ts';
import type { TermsV1or2 } from './terms-v1.ts';
import type { TermsV3 } from './terms-v3.ts';

/**
 * The version 3 equivalent of older terms, with `TERMS_DEFAULTS` for what those cannot say. Throws
 * `bad_terms` for terms without a binding, for which version 3 has no price.
 * @param fundingByHeight block height by which the funding must be deep
 * @param binding instead of that of the older terms
 */
export function termsV3From(
  terms: TermsV1or2,
  fundingByHeight: number,
  binding: BindingV3 = payoutFrom(terms.binding),
): TermsV3 {
  const { version: _none, priceMsatPerEh, maxTargetHex, binding: _older, bonds, ...common } = terms;
  const { fundingByBlocks: _blocks, ...defaults } = TERMS_DEFAULTS;
  return {
    ...defaults,
    ...common,
    version: 3,
    price: { type: 'fixed', msatPerEh: priceMsatPerEh },
    fundingByHeight,
    target: { easiestHex: maxTargetHex, hardestHex: maxTargetHex },
    binding,
    overDelivery: 'credit',
    makerFault: { type: 'pause' },
    end: { cancelFeePpm: 0, noticeBlocks: 0 },
    renew: 'none',
    ...(bonds === undefined ? {} : { bonds: statedBonds(bonds) }),
  };
}

function payoutFrom(binding: TermsV1or2['binding']): BindingV3 {
  if (binding.type !== 'coinbase') return refuseTerm('binding', 'must be to a script');
  return {
    type: 'payout',
    outputs: [{ scriptHex: binding.scriptHex, ppm: 1_000_000 }],
    minFeesPpm: 0,
    samplePpm: 0,
    sampleSeconds: 10,
  };
}

/** The bond terms with stated sizes. */
function statedBonds(bonds: BondTerms): NonNullable<TermsV3['bonds']> {
  const size = {
    collateralPpm: 0,
    worstCaseSat: bonds.collateralSat,
    makerBondPpm: 0,
    makerBondFloorSat: bonds.makerBondSat,
  };
  return { ...bonds, size };
}

/**
 * Terms whose bonds follow from a rule, within what a channel of theirs allows: the amounts that they state
 * are the least.
 */
export function withBondRule(
  terms: TermsV3,
  { collateralPpm, makerBondPpm }: Pick<BondSize, 'collateralPpm' | 'makerBondPpm'>,
): TermsV3 {
  const { bonds, workTotalHashes, price } = terms;
  if (bonds === undefined) return terms;
  const notionalSat = owedSat(workTotalHashes, highestMsatPerEh(price));
  const paysSat = owedSat(workTotalHashes, lowestMsatPerEh(price));
  const size = clampedSize({ ...bonds.size, collateralPpm, makerBondPpm }, { notionalSat, paysSat });
  return { ...terms, bonds: { ...bonds, size, ...sizedBonds(size, notionalSat) } };
}
