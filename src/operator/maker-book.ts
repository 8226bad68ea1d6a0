import { sum } from '../base/bigints.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { leavingOf } from '../contract/incentive.ts';
import { movingPriceOf, signedPriceMsatPerEh } from '../contract/index-price.ts';
import { priceToday } from '../contract/quote-rank.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { newestPriceMsatPerEh } from '../contract/updated-terms.ts';
import type { Maker } from '../maker/maker.ts';
import { lockedSat } from '../maker/policy.ts';
import type { Booking } from '../maker/rate-book.ts';

/** What of a maker its book is made of. */
export type BookedMaker = Pick<
  Maker,
  'status' | 'policy' | 'market' | 'termsOf' | 'height' | 'poolAccounts'
>;

/**
 * The book of a market maker: what is bought and not delivered, what is locked up, for whom, against which
 * limits; quotes that are not over; and what was refused, and why.
 */
export function makerBook(maker: BookedMaker) {
  const { policy, market, height = 0 } = maker;
  const contracts = maker.status.flatMap((row) => {
    const terms = maker.termsOf(row.contractId);
    if (terms === undefined || row.channel === 'closed' || row.channel === 'failed') return [];
    const openHashes = terms.workTotalHashes - row.verifiedWorkHashes;
    return [
      {
        ...{ contract: row.contractId, miner: row.minerNodeId, listed: market.isListed(row.minerNodeId) },
        ...{ channel: row.channel, binding: terms.binding.type },
        ...{ locked_sat: lockedSat(terms), paid_sat: row.paidSat, bonds: bondsIn(terms) },
        ...{ open_hashes: openHashes > 0n ? openHashes : 0n, unpaid_hashes: row.unsignedWorkHashes },
        ...marketOf(market, terms, {
          ...{ height, deliveredHashes: row.verifiedWorkHashes },
          signedHashes: row.verifiedWorkHashes - row.unsignedWorkHashes,
        }),
        ...{ expiry_height: terms.expiryHeight, ...rateOf(market.bookingOf(terms, openHashes, height)) },
      },
    ];
  });
  const quotes = market.quotes.all;
  const rates = market.rates(height);
  return {
    halted: policy.isHalted ?? false,
    exposure: {
      locked_sat: sum(contracts.map((row) => row.locked_sat)),
      of_max_sat: policy.maxTotalBudgetSat,
      strangers_locked_sat: sum(contracts.filter((row) => !row.listed).map((row) => row.locked_sat)),
      of_strangers_max_sat: policy.strangers?.maxBudgetSat ?? 0n,
      miners: byMiner(contracts, policy.maxBudgetOfMinerSat ?? policy.maxTotalBudgetSat),
    },
    inventory_hashes: market.inventoryHashes,
    target_inventory_hashes: policy.pricing?.targetInventoryHashes,
    rate: {
      ...{ now_hps: rates.nowHps, peak_hps: rates.peakHps },
      ...{ target_hps: policy.pricing?.targetRateHps ?? null, of_max_hps: policy.maxRateHps ?? null },
    },
    pools: maker.poolAccounts.all.map((pool) => ({
      ...{ pool: pool.name, credited_hashes: pool.creditedHashes, paid_hashes: pool.paidHashes },
      ...{ unpaid_hashes: pool.unpaidHashes, of_max_hashes: policy.maxPoolUnpaidHashes },
    })),
    hash_value_msat_per_eh: market.valueMsatPerEh(height) ?? null,
    contracts,
    quotes: quotes.map(({ quoteId, nodeId, isListed, terms }) => ({
      ...{ quote: quoteId, miner: nodeId, listed: isListed, budget_sat: terms.budgetSat },
      ...marketOf(market, terms, { height, deliveredHashes: 0n, signedHashes: 0n }),
    })),
    refused: market.refused,
  };
}

type At = { readonly height: number; readonly deliveredHashes: bigint; readonly signedHashes: bigint };

/** The price of a contract or quote beside today's value of hashes, and whom leaving it would pay. */
function marketOf(market: BookedMaker['market'], terms: ContractTerms, { height, ...work }: At) {
  const value = market.valueMsatPerEh(height);
  const today = pricedToday(terms, value);
  const priceMsatPerEh = newestPriceMsatPerEh(today);
  const off = market.offMarket(priceMsatPerEh, height);
  return {
    price_msat_per_eh: priceMsatPerEh,
    off_market: off === undefined ? null : { side: off.side, of_value_ppm: off.ofValuePpm },
    leaving_pays: value === undefined ? null : leavingOf(today, work, value).pays,
  };
}

/** The terms in force; a price that moves, and that nobody signed yet, is that of today. */
function pricedToday(terms: ContractTerms, value: bigint | undefined): ContractTerms {
  const isSigned = movingPriceOf(terms) === undefined || signedPriceMsatPerEh(terms) !== undefined;
  if (isSigned || terms.version !== 3) return terms;
  const price = { type: 'fixed', msatPerEh: priceToday(terms, value) } as const;
  return { ...terms, price };
}

function bondsIn(terms: ContractTerms) {
  const { bondMode: mode, makerBondSat: maker_sat, collateralSat: collateral_sat } = bondsOf(terms);
  return { mode, maker_sat, collateral_sat };
}

/** The hashrate of a contract, and until when. */
function rateOf({ hashesPerSecond, fromHeight, endHeight }: Booking) {
  return { rate_hps: hashesPerSecond, rate_from_height: fromHeight, rate_end_height: endHeight };
}

type Booked = { readonly miner: string; readonly locked_sat: bigint; readonly paid_sat: bigint };

function byMiner(contracts: readonly Booked[], ofMaxSat: bigint) {
  return [...new Set(contracts.map(({ miner }) => miner))].map((miner) => {
    const own = contracts.filter((row) => row.miner === miner);
    return {
      ...{ miner, contracts: own.length, locked_sat: sum(own.map((row) => row.locked_sat)) },
      ...{ of_max_sat: ofMaxSat, paid_sat: sum(own.map((row) => row.paid_sat)) },
    };
  });
}
