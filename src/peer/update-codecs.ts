import { LIMITS } from '../base/limits.ts';
import { agreedUpdateField, updateField } from '../contract/update.ts';
import { hexOf, listOf, object } from './codec.ts';
import { fieldCodec } from './market-codecs.ts';

/** Codec of an update on the wire and on disk. Throws `protocol`. */
export const updateCodec = fieldCodec(updateField, 'update');
/** Codec of the updates that both signed, in their order. */
export const agreedUpdatesCodec = listOf(
  fieldCodec(agreedUpdateField, 'update'),
  LIMITS.contractUpdates,
  1,
);

const contractId = hexOf(32);
const signature = hexOf(64);
const signedUpdate = object({
  contractId: ['contract_id', contractId],
  update: ['update', updateCodec],
  signature: ['signature', signature],
});

/** The methods by which the terms of a running contract change (`MARKET.md`, Updates); either side asks. */
export const updateMethods = {
  /** An update with the first signature: it waits for the second. */
  'contract.update': { params: signedUpdate, result: object({}) },
  /** The second signature: from here on both are bound. */
  'contract.confirm': { params: signedUpdate, result: object({}) },
  /** It is taken back, or not wanted; the answer signs that too. */
  'contract.revoke': {
    params: object({
      contractId: ['contract_id', contractId],
      hash: ['hash', hexOf(32)],
      signature: ['signature', signature],
    }),
    result: object({ signature: ['signature', signature] }),
  },
} as const;
