import { fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { listOf } from '../contract/fields.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import {
  type AgreedUpdate,
  agreedUpdateField,
  revocationHash,
  type Update,
  updateHash,
} from '../contract/update.ts';
import { checkUpdate, updatesOf, withUpdates } from '../contract/updated-terms.ts';
import { isSchnorrSignature, type Signer } from './signer.ts';
import { signatureBytes } from './spend.ts';

/** Codec of the updates of a contract, in their order. */
export const updatesField = listOf(agreedUpdateField, 1, LIMITS.contractUpdates);

/** The updates that both signed as a member of a document; nothing where there are none. */
export function updatesToJson(terms: ContractTerms): { readonly updates?: Json } {
  const updates = updatesOf(terms);
  return updates.length === 0 ? {} : { updates: updatesField.print(updates) };
}

/** Signs an update with the node key: BIP340, 64 bytes in hex. */
export function signUpdate(update: Update, signer: Signer): string {
  return toHex(signer.signSchnorr('node', updateHash(update)));
}

/** Signs that an update is taken back. */
export function signRevocation(hashHex: string, signer: Signer): string {
  return toHex(signer.signSchnorr('node', revocationHash(fromHex(hashHex, 32))));
}

/** Checks a signature of an update. Throws `bad_signature` unless this node signed exactly this one. */
export function verifyUpdate(update: Update, nodeId: string, signature: string): void {
  verify(updateHash(update), nodeId, signature, `update ${update.number}`);
}

/** Checks a signature of that an update is taken back. Throws `bad_signature`. */
export function verifyRevocation(hashHex: string, nodeId: string, signature: string): void {
  verify(revocationHash(fromHex(hashHex, 32)), nodeId, signature, 'that an update is taken back');
}

function verify(digest: Uint8Array, nodeId: string, signature: string, what: string): void {
  const bytes = signatureBytes(signature);
  if (bytes === undefined || !isSchnorrSignature(digest, fromHex(nodeId, 32), bytes))
    throw new CodedError('bad_signature', `${what} is not signed by ${nodeId.slice(0, 8)}`);
}

/** Checks both signatures of an update. Throws `bad_signature`. */
export function verifyAgreed(terms: ContractTerms, { update, ...signatures }: AgreedUpdate): void {
  verifyUpdate(update, terms.minerNodeId, signatures.minerSignature);
  verifyUpdate(update, terms.makerNodeId, signatures.makerSignature);
}

/**
 * Terms with updates from a file or the ledger: each follows the one before, holds, and is signed by both.
 * Throws `bad_terms`, `update_conflict`, `bad_signature`.
 */
export function withSignedUpdates(terms: ContractTerms, updates: readonly AgreedUpdate[]): ContractTerms {
  const contractId = contractIdOf(terms);
  return updates.reduce(
    (before, each) => {
      checkUpdate(contractId, before, each.update);
      verifyAgreed(terms, each);
      return withUpdates(before, [...updatesOf(before), each]);
    },
    withUpdates(terms, []),
  );
}
