import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Field } from '../contract/fields.ts';
import { quoteRequestField } from '../contract/quote.ts';
import { type ContractTerms, parseTerms, termsToJson } from '../contract/terms.ts';
import { type Codec, decimal, hexOf, integer, object, text } from './codec.ts';

const contractId = hexOf(32);
const signature = hexOf(64);
const quoteId = hexOf(16);

/** Terms of any version. Throws `bad_terms`. */
export const termsCodec: Codec<ContractTerms> = { parse: parseTerms, print: termsToJson };

/** The codec of a term. Throws `protocol`. */
export function fieldCodec<T>(field: Field<T>, name: string): Codec<T> {
  return {
    parse: (value) => {
      try {
        return field.parse(value, name);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        throw new CodedError('protocol', error.message);
      }
    },
    print: field.print,
  };
}

const auditorAtCodec = object({ nodeId: ['node_id', hexOf(32)], endpoint: ['endpoint', text(261)] });

/** The methods by which strangers come to a contract (`MARKET.md`). */
export const marketMethods = {
  'market.offer': {
    params: object({}),
    /** The signed line, as it is pasted. */
    result: object({ offer: ['offer', text(LIMITS.offerChars, /^shst1[02-9ac-hj-np-z]+$/)] }),
  },
  'market.quote': {
    params: object({ request: ['request', fieldCodec(quoteRequestField, 'request')] }),
    result: object(
      {
        quoteId: ['quote_id', quoteId],
        terms: ['terms', termsCodec],
        /** Time in ms from the answer: the clocks of two nodes differ. */
        validForMs: ['valid_for_ms', integer(1, 86_400_000)],
        /** What the miner brings into the channel, sats. */
        depositSat: ['deposit_sat', decimal],
      },
      /** Where the maker tells its log, of terms with an auditor and delivery. */
      { auditor: ['auditor', auditorAtCodec] },
    ),
  },
  'contract.propose': {
    params: object(
      { terms: ['terms', termsCodec], signature: ['signature', signature] },
      { quoteId: ['quote_id', quoteId] },
    ),
    result: object({ contractId: ['contract_id', contractId], signature: ['signature', signature] }),
  },
} as const;
