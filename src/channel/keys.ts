import { fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { readHex, readRecord } from './fields.ts';
import { type ChannelKeys, checkChannelKeys } from './scripts.ts';
import type { KeyRole, Signer } from './signer.ts';

/** A side of a channel. */
export type ChannelRole = 'miner' | 'maker';

type KeyName = keyof ChannelKeys;

/** Every key of a channel: how it is written, whose it is, and the role a signer knows it by. */
const KEYS: Readonly<
  Record<KeyName, { readonly field: string; readonly side: ChannelRole; readonly role: KeyRole }>
> = {
  minerChannel: { field: 'miner_channel', side: 'miner', role: 'channel' },
  makerChannel: { field: 'maker_channel', side: 'maker', role: 'channel' },
  makerRefund: { field: 'maker_refund', side: 'maker', role: 'refund' },
  minerBond: { field: 'miner_bond', side: 'miner', role: 'bond' },
  makerBond: { field: 'maker_bond', side: 'maker', role: 'bond' },
  minerExit: { field: 'miner_exit', side: 'miner', role: 'exit' },
  makerExit: { field: 'maker_exit', side: 'maker', role: 'exit' },
  minerSeal: { field: 'miner_seal', side: 'miner', role: 'seal' },
  makerSeal: { field: 'maker_seal', side: 'maker', role: 'seal' },
  minerSealExit: { field: 'miner_seal_exit', side: 'miner', role: 'sealExit' },
};

const NAMES = Object.keys(KEYS) as KeyName[];
const BASE: readonly KeyName[] = ['minerChannel', 'makerChannel', 'makerRefund'];
const BOND: readonly KeyName[] = ['minerBond', 'makerBond'];
const EXIT: readonly KeyName[] = ['minerExit', 'makerExit'];
const SEAL: readonly KeyName[] = ['minerSeal', 'makerSeal', 'minerSealExit'];

/** The keys that the scripts of these terms have, no more and no fewer. */
function keyNames(terms: ContractTerms): KeyName[] {
  const { bondMode } = bondsOf(terms);
  const names = [...BASE];
  if (bondMode === 'auditor' || bondMode === 'hostage') names.push(...BOND);
  if (bondMode === 'auditor') names.push(...EXIT);
  if (terms.seal !== undefined) names.push(...SEAL);
  return names;
}

type MinerKeyName = Extract<KeyName, `miner${string}`>;
type MakerKeyName = Extract<KeyName, `maker${string}`>;

/** The miner's keys of a channel. */
export type MinerKeys = Pick<ChannelKeys, MinerKeyName>;
/** The maker's keys of a channel. */
export type MakerKeys = Pick<ChannelKeys, MakerKeyName>;

/** The keys the miner brings to a channel of these terms. @param signer that of the channel's index */
export function minerKeysOf(signer: Signer, terms: ContractTerms): MinerKeys {
  return keysOfSide('miner', signer, terms) as MinerKeys;
}

/** The keys the maker brings to a channel of these terms. @param signer that of the channel's index */
export function makerKeysOf(signer: Signer, terms: ContractTerms): MakerKeys {
  return keysOfSide('maker', signer, terms) as MakerKeys;
}

function keysOfSide(
  side: ChannelRole,
  signer: Signer,
  terms: ContractTerms,
): Partial<Record<KeyName, Uint8Array>> {
  const names = keyNames(terms).filter((name) => KEYS[name].side === side);
  return Object.fromEntries(names.map((name) => [name, signer.publicKey(KEYS[name].role)]));
}

/** The auditor's public key `A_b`, 33 bytes; undefined for terms without an auditor. */
export function auditorKeyOf(terms: ContractTerms): Uint8Array | undefined {
  const bonds = bondsOf(terms);
  return bonds.bondMode === 'auditor' ? fromHex(bonds.auditorKeyHex, 33) : undefined;
}

/**
 * Checks the keys of a channel against its terms. Throws `bad_terms` unless they are exactly those that the
 * terms ask for, all valid and different, the auditor's among them.
 */
export function checkKeysForTerms(keys: ChannelKeys, terms: ContractTerms): void {
  const wanted = new Set<string>(keyNames(terms));
  for (const name of wanted) {
    if (keys[name as KeyName] === undefined)
      throw new CodedError('bad_terms', `the key ${name} is missing`);
  }
  for (const name of Object.keys(keys)) {
    if (!wanted.has(name)) throw new CodedError('bad_terms', `these terms have no key ${name}`);
  }
  const auditor = auditorKeyOf(terms);
  checkChannelKeys(keys, auditor === undefined ? [] : [auditor]);
}

/** The keys of a channel as JSON, in one spelling. */
export function channelKeysToJson(keys: ChannelKeys): { readonly [key: string]: Json } {
  const entries = NAMES.flatMap((name) => {
    const key = keys[name];
    return key === undefined ? [] : [[KEYS[name].field, toHex(key)] as const];
  });
  return Object.fromEntries(entries);
}

/**
 * Parses the keys of a channel. Throws `protocol` for the shape, `bad_terms` unless the keys are valid and
 * differ; `checkKeysForTerms` checks that they are those of the terms.
 */
export function parseChannelKeys(value: unknown): ChannelKeys {
  const fields = BASE.map((name) => KEYS[name].field);
  const record = readRecord(
    value,
    'keys',
    fields,
    NAMES.map((name) => KEYS[name].field),
  );
  const present = NAMES.filter((name) => Object.hasOwn(record, KEYS[name].field));
  const entries = present.map((name) => {
    const { field } = KEYS[name];
    return [name, readHex(record[field], `keys.${field}`, 33)] as const;
  });
  const keys = Object.fromEntries(entries) as Record<(typeof BASE)[number], Uint8Array> as ChannelKeys;
  checkChannelKeys(keys);
  return keys;
}
