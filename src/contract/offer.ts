import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { bech32m } from 'bech32';
import * as ecc from 'tiny-secp256k1';
import { concat, fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import {
  amount,
  type Field,
  type FieldValue,
  group,
  hexBytes,
  integer,
  label,
  listOf,
  oneOf,
} from './fields.ts';
import { priceField } from './price.ts';

/** Seconds since 1970, up to the year 2106. */
const time = integer(0, 0xffff_ffff);

const range = <T>(item: Field<T>): Field<{ readonly min: T; readonly max: T }> =>
  group({ min: ['min', item], max: ['max', item] });

const offerMembers = {
  version: ['version', integer(1, 1) as Field<1>],
  network: ['network', oneOf(...(Object.keys(NETWORKS) as NetworkName[]))],
  makerNodeId: ['maker_node_id', hexBytes(32)],
  /** Where the maker listens, host:port each. */
  endpoints: ['endpoints', listOf(label(261), 1, 8)],
  issuedAt: ['issued_at', time],
  validUntil: ['valid_until', time],
  /** What verified work earns, msat per EH. */
  priceMsatPerEh: ['price_msat_per_eh', amount],
  bindings: ['bindings', listOf(oneOf('work', 'payout', 'bead'), 1, 3)],
  /** Greatest budget of a contract. */
  budgetSat: ['budget_sat', amount],
  stepHashes: ['step_hashes', range(amount)],
  maxUnpaidSteps: ['max_unpaid_steps', integer(1, 1000)],
  /** Least expected hashes of a share. */
  shareHashes: ['share_hashes', amount],
  /** Blocks from the proposal to the expiry. */
  expiryBlocks: ['expiry_blocks', range(integer(1, 65_535))],
  minDepth: ['min_depth', integer(1, 144)],
  bondModes: ['bond_modes', listOf(oneOf('none', 'auditor', 'hostage', 'forfeit_to_mm'), 1, 4)],
} as const;

/** What lines may say besides: only those that do cannot be read by an older version. */
const furtherMembers = {
  /** The rule of prices that move, where they are taken. */
  moving: ['moving_price', priceField],
  /** Whose rulings are accepted and who is told the log, for bonds of mode auditor. */
  auditor: [
    'auditor',
    group({
      /** What terms name, compressed. */
      keyHex: ['key', hexBytes(33)],
      nodeId: ['node_id', hexBytes(32)],
      endpoint: ['endpoint', label(261)],
      /** Blocks after the close from which each has its own bond back. */
      csvBlocks: ['csv_blocks', range(integer(1, 65_535))],
      /** Least blocks of a cure of delivery. */
      cureBlocks: ['cure_blocks', integer(0, 4032)],
    }),
  ],
} as const;

const offerField = group(offerMembers, furtherMembers);

/** What a maker offers to buy, for a time: the limits within which it takes a proposal. */
export type Offer = FieldValue<typeof offerField>;

const PREFIX = 'shst';
const SIGNATURE_BYTES = 64;
/** The longest text in a line: what people paste is short. */
const MOST_TEXT = 8192;

/** The digest that the maker's node key signs. */
function offerDigest(text: string): Uint8Array {
  return taggedHash('shct/offer/1', new TextEncoder().encode(text));
}

/**
 * An offer as one line to paste: bech32m of the BIP340 signature of the maker's node key and the deflated
 * canonical JSON. @param sign of a digest
 */
export function printOffer(offer: Offer, sign: (digest: Uint8Array) => Uint8Array): string {
  const text = canonicalJson(offerField.print(offer));
  const payload = concat(sign(offerDigest(text)), deflateRawSync(text, { level: 9 }));
  return bech32m.encode(PREFIX, bech32m.toWords(payload), LIMITS.offerChars);
}

/** The offer of a line, its signature verified; whether it holds now is not asked. Throws `bad_offer`. */
export function parseOffer(line: string): Offer {
  const payload = payloadOf(line.trim());
  const signature = payload.subarray(0, SIGNATURE_BYTES);
  const text = textOf(payload.subarray(SIGNATURE_BYTES));
  const offer = offerOf(text);
  const isSigned =
    ecc.isXOnlyPoint(fromHex(offer.makerNodeId, 32)) &&
    ecc.verifySchnorr(offerDigest(text), fromHex(offer.makerNodeId, 32), signature);
  if (!isSigned) throw new CodedError('bad_offer', 'the signature is not that of the maker it names');
  return offer;
}

function payloadOf(line: string): Uint8Array {
  try {
    const { prefix, words } = bech32m.decode(line, LIMITS.offerChars);
    if (prefix !== PREFIX) throw new CodedError('bad_offer', `it begins with ${prefix}, not ${PREFIX}`);
    const payload = Uint8Array.from(bech32m.fromWords(words));
    if (payload.length > SIGNATURE_BYTES) return payload;
  } catch (error) {
    if (error instanceof CodedError) throw error;
  }
  throw new CodedError('bad_offer', 'it is cut short, or mistyped: paste the whole line');
}

function textOf(deflated: Uint8Array): string {
  try {
    const bytes = inflateRawSync(deflated, { maxOutputLength: MOST_TEXT });
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CodedError('bad_offer', 'what it holds cannot be unpacked');
  }
}

function offerOf(text: string): Offer {
  const offer = parsedOffer(text);
  // What is signed has one spelling, so that whatever is shown is what was signed.
  if (canonicalJson(offerField.print(offer)) !== text)
    throw new CodedError('bad_offer', 'it is not spelled as offers are');
  const { stepHashes, expiryBlocks, auditor } = offer;
  if (
    offer.validUntil <= offer.issuedAt ||
    stepHashes.min > stepHashes.max ||
    expiryBlocks.min > expiryBlocks.max ||
    (auditor !== undefined && auditor.csvBlocks.min > auditor.csvBlocks.max)
  )
    throw new CodedError('bad_offer', 'its limits exclude each other');
  const isEndpoint = (endpoint: string): boolean =>
    /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/.test(endpoint);
  const endpoints = [...offer.endpoints, ...(auditor === undefined ? [] : [auditor.endpoint])];
  if (!endpoints.every(isEndpoint)) throw new CodedError('bad_offer', 'an endpoint is no host:port');
  return offer;
}

function parsedOffer(text: string): Offer {
  try {
    return offerField.parse(JSON.parse(text), 'offer');
  } catch (error) {
    throw new CodedError('bad_offer', error instanceof CodedError ? error.message : 'it holds no JSON');
  }
}
