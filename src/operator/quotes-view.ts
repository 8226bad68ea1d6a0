import { minerContributionSat } from '../channel/params.ts';
import { offMarketJson, offMarketOf } from '../contract/off-market.ts';
import type { RankedQuote } from '../contract/quote-rank.ts';
import { type ContractTerms, termsToJson } from '../contract/terms.ts';
import type { AskedMakers, MakerQuote } from './market-tools.ts';

/** What makers answered, best first, and why others gave none: for the page, programs and `--json`. */
export function quotesView(asked: AskedMakers) {
  const { ranked, refused, feesSat, valueMsatPerEh } = asked;
  return {
    quotes: ranked.map((each) => quoteView(each, asked)),
    hash_value_msat_per_eh: valueMsatPerEh ?? null,
    fees_sat: feesSat,
    refused: refused.map(({ maker, error: { code, message, meta } }) => ({
      ...{ maker, code: code as string, reason: message, path: meta['path'] ?? null },
      ...{ got: meta['got'] ?? null, allowed: meta['allowed'] ?? null },
    })),
  };
}

function quoteView(ranked: RankedQuote<MakerQuote>, { valueMsatPerEh, offMarketPpm }: AskedMakers) {
  const off = offMarketOf(ranked.priceMsatPerEh, valueMsatPerEh, offMarketPpm);
  const { quote, priceMsatPerEh, netMsatPerEh, why, makerBondSat, collateralSat } = ranked;
  const { terms } = quote;
  return {
    ...{ maker: quote.maker, maker_node_id: terms.makerNodeId, quote: quote.quoteId },
    ...{ price_msat_per_eh: priceMsatPerEh, net_msat_per_eh: netMsatPerEh, why },
    price: termsToJson(terms)['price'] ?? null,
    ...{
      binding: terms.binding.type as string,
      work_hashes: terms.workTotalHashes,
      budget_sat: terms.budgetSat,
    },
    ...{ deposit_sat: minerContributionSat(terms), collateral_sat: collateralSat },
    ...{ maker_bond_sat: makerBondSat, min_depth: terms.minDepth, expiry_height: terms.expiryHeight },
    ...timesView(terms),
    off_market: offMarketJson(off),
    valid_for_ms: quote.validForMs,
  };
}

/** What a quote says of rate, start and duration; null where it says nothing. */
function timesView(terms: ContractTerms) {
  const { rate, start, durationBlocks } = terms.version === 3 ? terms : {};
  return {
    rate_hps: rate?.committed ?? null,
    start_height: start?.notBeforeHeight ?? null,
    duration_blocks: durationBlocks ?? null,
  };
}
