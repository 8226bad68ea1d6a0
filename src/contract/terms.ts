import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, isRecord, type Json } from '../base/json.ts';
import { checkTermsV1, parseTermsV1, type TermsV1or2, termsV1ToJson, versionOfV1 } from './terms-v1.ts';
import { checkTermsV3, parseTermsV3, type TermsV3, termsV3ToJson } from './terms-v3.ts';

export { DEFAULT_FEE_LADDER_SAT_PER_KVB } from './common-terms.ts';
export type { Binding, TermsV1or2 } from './terms-v1.ts';
export type { TermsV3 } from './terms-v3.ts';

/**
 * The signed terms of a contract. Read what the versions spell differently by `terms-access.ts`; `version`
 * is undefined for 1 and 2.
 */
export type ContractTerms = TermsV1or2 | TermsV3;

/** The version of terms. Each version has one spelling, and any terms have one version. */
export function termsVersion(terms: ContractTerms): 1 | 2 | 3 {
  return terms.version === 3 ? 3 : versionOfV1(terms);
}

/** The terms as JSON, in the one spelling that both parties sign. */
export function termsToJson(terms: ContractTerms): { readonly [key: string]: Json } {
  return terms.version === 3
    ? (termsV3ToJson(terms) as { readonly [key: string]: Json })
    : termsV1ToJson(terms);
}

/** The hash of the canonical terms, 32 bytes. */
export function termsHash(terms: ContractTerms): Uint8Array {
  return taggedHash('sharestream/contract/1', new TextEncoder().encode(canonicalJson(termsToJson(terms))));
}

/** The contract id: the terms hash as 64 hex digits. The same terms give the same id (I1). */
export function contractIdOf(terms: ContractTerms): string {
  return toHex(termsHash(terms));
}

/** Parses terms from a peer or a file, of any version. Throws `bad_terms`; for version 3 with the path. */
export function parseTerms(value: unknown): ContractTerms {
  if (!isRecord(value)) throw new CodedError('bad_terms', 'terms must be an object');
  return value['version'] === 3 ? parseTermsV3(value) : parseTermsV1(value);
}

/** Checks the relations between the terms that make a contract safe. Throws `bad_terms`. */
export function checkTerms(terms: ContractTerms): void {
  if (terms.version === 3) checkTermsV3(terms);
  else checkTermsV1(terms);
}
