import { type Mutations, without } from './mutation.ts';

const market = without('maker/market.ts');
const policy = without('maker/policy.ts');
const quote = without('contract/quote.ts');

/** Each check between strangers, undone. */
export const OF_MARKET: Mutations = {
  'quote-not-to-the-letter': market(
    'what is proposed under a quote need not be what was quoted',
    'proposes-other-terms',
    'if (quote !== undefined) assertQuoted(quote.terms, terms);',
  ),
  'quote-believed': quote(
    'a quote need not be of the terms that were asked for',
    'quotes-other-terms',
    "if (path !== undefined) refuseTerm(path, 'is not what was asked for');",
  ),
  'moving-price-believed': quote(
    'the price of a quote may move from next to nothing on, whatever was asked for',
    'quotes-other-terms',
    "if (moving === undefined) refuseTerm('price.type', 'of a quote must be fixed');",
    'if (moving === undefined) return;',
  ),
  'strangers-unbounded': policy(
    'quotes of strangers hold as much as they like',
    'asks-and-asks',
    "room(maxBudgetSat, budgetSat, 'the budgets of miners that are not listed are in use'),",
  ),
};
