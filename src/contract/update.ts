import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { amount, type FieldValue, group, height, hexBytes, integer } from './fields.ts';

/** What an update may change; what is left out stays. */
const changes = {
  /** The price of all work above `fromHashes`, msat per EH. */
  priceMsatPerEh: ['price_msat_per_eh', amount],
  /** The work of a state. */
  stepHashes: ['step_hashes', amount],
  /** The block behind the last whose work is credited. */
  stopHeight: ['stop_height', height],
} as const;

/** Codec of an update: a change of the terms of one running contract, which holds once both signed it. */
export const updateField = group(
  {
    contractIdHex: ['contract_id', hexBytes(32)],
    /** The hash of the update before; of the first, the contract id. */
    previousHex: ['previous', hexBytes(32)],
    /** 1, 2, 3, ... */
    number: ['number', integer(1, 1000)],
    /** Cumulative work of the contract up to which the price before it holds. */
    fromHashes: ['from_hashes', amount],
    /** Makes one that says the same another: what was taken back may be proposed again. */
    nonceHex: ['nonce', hexBytes(16)],
  },
  changes,
);
/** A change of the terms of one running contract. */
export type Update = FieldValue<typeof updateField>;
/** What an update changes. */
export type UpdateChange = Pick<Update, keyof typeof changes>;

/** Codec of an update that both signed. */
export const agreedUpdateField = group({
  update: ['update', updateField],
  minerSignature: ['miner_signature', hexBytes(64)],
  makerSignature: ['maker_signature', hexBytes(64)],
});
/** An update with both signatures of its hash (BIP340, node keys). */
export type AgreedUpdate = FieldValue<typeof agreedUpdateField>;

/** The hash that both sign, 32 bytes. */
export function updateHash(update: Update): Uint8Array {
  return taggedHash('sharestream/update/1', jsonBytes(updateField.print(update)));
}

/** The hash that is signed by whoever takes part in taking an update back, 32 bytes. */
export function revocationHash(hash: Uint8Array): Uint8Array {
  return taggedHash('sharestream/update-revoked/1', hash);
}

function jsonBytes(value: Json): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}
