import { script as bitcoinScript, Psbt, Transaction } from 'bitcoinjs-lib';
import { concat, equal, fromHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { Funding, FundingRole } from './funding.ts';
import { derSignature, publicKeyHashOutput } from './scripts.ts';
import { coinTypeOf, isEcdsaSignature, type Signer } from './signer.ts';
import {
  fundingRequest,
  requestDigest,
  type SigningInput,
  type SigningRequest,
} from './signing-requests.ts';

/** The public keys of a signer and their origins; private keys are not needed. */
export type KeyHolder = Pick<Signer, 'publicKey' | 'origin'>;

/** Signatures (64 bytes in hex) by public key (hex), for each input. */
export type PsbtSignatures = readonly ReadonlyMap<string, string>[];

type PsbtInput = Psbt['data']['inputs'][number];

/** BIP174 proprietary field of the global map: the network, by the hash of its genesis block. */
const NETWORK_KEY = concat(
  Uint8Array.of(0xfc, 11),
  new TextEncoder().encode('sharestream'),
  Uint8Array.of(0x00),
);

function genesisHash(network: NetworkName): Uint8Array {
  return reversed(fromHex(NETWORKS[network].genesisHash, 32));
}

function refuse(why: string, meta: Record<string, unknown> = {}): never {
  throw new CodedError('bad_psbt', why, meta);
}

/**
 * A signing request as a PSBT (BIP174 version 0, base64): coins, scripts, hash type, and the origin of
 * every input and change key that one of the holders has. For hardware, and for any wallet that signs P2WSH
 * by key origin.
 */
export function exportPsbt(request: SigningRequest, holders: readonly KeyHolder[]): string {
  const { transaction, network } = request;
  const psbt = new Psbt({ network: NETWORKS[network].params });
  psbt.setVersion(transaction.version).setLocktime(transaction.locktime);
  transaction.ins.forEach(({ hash, index: vout, sequence }, index) => {
    const input = request.inputs[index]!;
    psbt.addInput({
      hash,
      index: vout,
      sequence,
      witnessUtxo: { script: input.outputScript, value: input.valueSat },
      sighashType: Transaction.SIGHASH_ALL,
      ...(input.witnessScript === undefined ? {} : { witnessScript: input.witnessScript }),
      ...(input.previousHex === undefined ? {} : { nonWitnessUtxo: fromHex(input.previousHex) }),
    });
    const bip32Derivation = input.keys.flatMap((key) => originsOf(key.role, key.publicKey, holders));
    if (bip32Derivation.length > 0) psbt.updateInput(index, { bip32Derivation });
  });
  transaction.outs.forEach(({ script, value }, index) => {
    psbt.addOutput({ script, value });
    const owners = holders.filter((holder) =>
      equal(publicKeyHashOutput(holder.publicKey('wallet')), script),
    );
    const bip32Derivation = owners.flatMap((holder) =>
      originsOf('wallet', holder.publicKey('wallet'), [holder]),
    );
    if (bip32Derivation.length > 0) psbt.updateOutput(index, { bip32Derivation });
  });
  psbt.addUnknownKeyValToGlobal({ key: NETWORK_KEY, value: genesisHash(network) });
  return psbt.toBase64();
}

function originsOf(
  role: SigningInput['keys'][number]['role'],
  pubkey: Uint8Array,
  holders: readonly KeyHolder[],
) {
  return holders.flatMap((holder) => {
    if (!equal(holder.publicKey(role), pubkey)) return [];
    const origin = holder.origin?.(role);
    if (origin === undefined) return [];
    return [{ pubkey, masterFingerprint: fromHex(origin.fingerprintHex, 4), path: origin.path }];
  });
}

/**
 * Reads the signatures of a PSBT that answers a request. It must be what was asked for: version, locktime,
 * every input with its sequence and coin, every output, native segwit only, SIGHASH_ALL only. Throws
 * `bad_psbt`, `wrong_chain`, and `bad_signature` for a signature that does not verify.
 */
export function readPsbt(request: SigningRequest, text: string): PsbtSignatures {
  const psbt = parseChecked(request, text);
  return psbt.data.inputs.map((input, index) => signaturesOf(request, input, index));
}

/**
 * The signature of one key over the only input of a request, 64 bytes in hex. Throws as `readPsbt`, and
 * `bad_signature` where it is missing.
 */
export function psbtSignature(
  request: SigningRequest,
  text: string,
  publicKey: Uint8Array | undefined,
): string {
  const [signatures, ...others] = readPsbt(request, text);
  if (signatures === undefined || others.length > 0) refuse('the request has more than one input');
  const signature = publicKey === undefined ? undefined : signatures.get(toHex(publicKey));
  if (signature === undefined) throw new CodedError('bad_signature', 'the PSBT is not signed by this key');
  return signature;
}

/** One side's signatures of a funding, as `finalizeFunding` takes them. Throws as `psbtSignature`. */
export function psbtFundingSignatures(
  funding: Funding,
  role: FundingRole,
  network: NetworkName,
  text: string,
): string[] {
  const signatures = readPsbt(fundingRequest(funding, network), text);
  return funding.inputs.flatMap((input, index) => {
    if (input.role !== role) return [];
    const signature = signatures[index]!.get(input.publicKeyHex);
    if (signature === undefined)
      throw new CodedError('bad_signature', `the PSBT lacks the signature of input ${index}`);
    return [signature];
  });
}

/**
 * The funding as a PSBT with the signatures of one side, 64 bytes in hex in the order of the transaction.
 * @param holder of the keys of that side
 */
export function fundingPsbt(
  funding: Funding,
  network: NetworkName,
  role: FundingRole,
  signatures: readonly string[],
  holder: KeyHolder,
): string {
  const psbt = Psbt.fromBase64(exportPsbt(fundingRequest(funding, network), [holder]));
  const own = funding.inputs.flatMap((input, index) => (input.role === role ? [{ input, index }] : []));
  own.forEach(({ input, index }, position) => {
    const pubkey = fromHex(input.publicKeyHex, 33);
    const signature = derSignature(fromHex(signatures[position]!, 64));
    psbt.updateInput(index, { partialSig: [{ pubkey, signature }] });
  });
  return psbt.toBase64();
}

/**
 * Adds every signature a signer can give to a PSBT that matches `request`, which the caller built from its
 * own records. Nothing is signed unless all of it agrees; the maker's states are never signed. Throws as
 * `readPsbt`, `bad_key_file` where the signer has no key of it, `cold_key`.
 */
export function signPsbt(request: SigningRequest, text: string, signer: Signer): string {
  const psbt = parseChecked(request, text);
  const known = psbt.data.inputs.map((input, index) => signaturesOf(request, input, index));
  let held = 0;
  request.inputs.forEach((input, index) => {
    for (const { role, publicKey: pubkey, isGuarded } of input.keys) {
      if (isGuarded === true || !equal(signer.publicKey(role), pubkey)) continue;
      held += 1;
      if (known[index]!.has(toHex(pubkey))) continue;
      const signature = derSignature(signer.signEcdsa(role, requestDigest(request, index)));
      psbt.updateInput(index, { partialSig: [{ pubkey, signature }] });
    }
  });
  if (held === 0) throw new CodedError('bad_key_file', 'the seed holds no key that signs this request');
  return psbt.toBase64();
}

function parseChecked(request: SigningRequest, text: string): Psbt {
  const psbt = parsePsbt(text);
  checkNetwork(request.network, psbt);
  checkTransaction(request, Transaction.fromBuffer(psbt.data.globalMap.unsignedTx.toBuffer()));
  for (const [index, input] of psbt.data.inputs.entries()) checkInput(request, input, index);
  return psbt;
}

function parsePsbt(text: string): Psbt {
  const trimmed = text.trim();
  if (trimmed.length > LIMITS.psbtChars) refuse(`a PSBT has at most ${LIMITS.psbtChars} characters`);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(trimmed)) refuse('not base64');
  try {
    return Psbt.fromBase64(trimmed);
  } catch (cause) {
    throw new CodedError('bad_psbt', `not a PSBT of version 0: ${(cause as Error).message}`, {}, { cause });
  }
}

/** The only coin that a PSBT spends, as it says. Throws `bad_psbt`. */
export function psbtCoin(text: string): {
  readonly txid: string;
  readonly vout: number;
  readonly valueSat: bigint;
} {
  const { txInputs, data } = parsePsbt(text);
  const [input, ...others] = txInputs;
  const coin = data.inputs[0]?.witnessUtxo;
  if (input === undefined || coin === undefined || others.length > 0) refuse('not of one coin');
  return { txid: toHex(reversed(input.hash)), vout: input.index, valueSat: coin.value };
}

/** A PSBT names no network; what in it belongs to one must be of ours. Throws `wrong_chain`. */
function checkNetwork(network: NetworkName, psbt: Psbt): void {
  const { unknownKeyVals = [], globalXpub = [] } = psbt.data.globalMap;
  const named = unknownKeyVals.find(({ key }) => equal(key, NETWORK_KEY));
  if (named !== undefined && !equal(named.value, genesisHash(network)))
    throw new CodedError('wrong_chain', `the PSBT is not for ${network}`);
  const foreign = NETWORKS[network === 'mainnet' ? 'testnet' : 'mainnet'].params.bip32.public;
  for (const { extendedPubkey } of globalXpub) {
    if (new DataView(extendedPubkey.slice().buffer).getUint32(0) === foreign)
      throw new CodedError('wrong_chain', `an extended key of the PSBT is not of ${network}`);
  }
  const origins = [...psbt.data.inputs, ...psbt.data.outputs].flatMap((map) => map.bip32Derivation ?? []);
  for (const { path } of [...origins, ...globalXpub]) {
    const [, coin] = /^m\/(?:44|48|49|84|86|87)'\/(\d+)'/.exec(path) ?? [];
    if (coin !== undefined && coin !== String(coinTypeOf(network)))
      throw new CodedError('wrong_chain', `the path ${path} is not of ${network}`);
  }
}

function checkTransaction(request: SigningRequest, theirs: Transaction): void {
  const ours = request.transaction;
  if (theirs.version !== ours.version) refuse(`version ${theirs.version}, not ${ours.version}`);
  if (theirs.locktime !== ours.locktime) refuse(`locktime ${theirs.locktime}, not ${ours.locktime}`);
  if (theirs.ins.length !== ours.ins.length) refuse(`${theirs.ins.length} inputs, not ${ours.ins.length}`);
  ours.ins.forEach(({ hash, index: vout, sequence }, index) => {
    const input = theirs.ins[index]!;
    if (!equal(input.hash, hash) || input.index !== vout)
      refuse(`input ${index} is another coin`, { index });
    if (input.sequence !== sequence)
      refuse(`the sequence of input ${index} is ${input.sequence}, not ${sequence}`, { index });
  });
  if (theirs.outs.length !== ours.outs.length)
    refuse(`${theirs.outs.length} outputs, not ${ours.outs.length}`);
  ours.outs.forEach(({ script, value }, index) => {
    const output = theirs.outs[index]!;
    if (output.value !== value)
      refuse(`output ${index} is of ${output.value} sat, not ${value}`, { index });
    if (!equal(output.script, script)) refuse(`output ${index} pays another script`, { index });
  });
  if (theirs.getId() !== ours.getId()) refuse('the txid is another one');
}

function checkInput(request: SigningRequest, input: PsbtInput, index: number): void {
  const wanted = request.inputs[index]!;
  const isTaproot = Object.keys(input).some((key) => key.startsWith('tap'));
  if (input.finalScriptSig !== undefined || input.redeemScript !== undefined || isTaproot)
    refuse(`input ${index} is not a native segwit input of version 0`, { index });
  if (input.sighashType !== undefined && input.sighashType !== Transaction.SIGHASH_ALL)
    refuse(`input ${index} asks for hash type ${input.sighashType}, not SIGHASH_ALL`, { index });
  if (input.witnessUtxo !== undefined) checkCoin(wanted, input.witnessUtxo, index);
  if (input.nonWitnessUtxo !== undefined) checkPrevious(request, input.nonWitnessUtxo, index);
  const { witnessScript } = input;
  if (witnessScript !== undefined && !equal(witnessScript, wanted.witnessScript ?? new Uint8Array(0)))
    refuse(`input ${index} has another witness script`, { index });
}

function checkCoin(
  wanted: SigningInput,
  coin: { readonly script: Uint8Array; readonly value: bigint },
  index: number,
): void {
  if (coin.value !== wanted.valueSat)
    refuse(`the coin of input ${index} is of ${wanted.valueSat} sat, not ${coin.value}`, { index });
  if (!equal(coin.script, wanted.outputScript)) {
    const isSegwit = coin.script[0] === 0x00 && (coin.script.length === 22 || coin.script.length === 34);
    refuse(isSegwit ? `input ${index} has another script` : `input ${index} is not a native segwit input`, {
      index,
    });
  }
}

function checkPrevious(request: SigningRequest, bytes: Uint8Array, index: number): void {
  const { hash, index: vout } = request.transaction.ins[index]!;
  let previous: Transaction;
  try {
    previous = Transaction.fromBuffer(bytes);
  } catch (cause) {
    throw new CodedError('bad_psbt', `input ${index} has no previous transaction`, { index }, { cause });
  }
  const output = previous.outs[vout];
  if (!equal(previous.getHash(), hash) || output === undefined)
    refuse(`the previous transaction of input ${index} is another one`, { index });
  checkCoin(request.inputs[index]!, output, index);
}

function signaturesOf(
  request: SigningRequest,
  input: PsbtInput,
  index: number,
): ReadonlyMap<string, string> {
  const digest = requestDigest(request, index);
  const { keys } = request.inputs[index]!;
  const found = new Map<string, string>();
  for (const { pubkey, signature } of input.partialSig ?? []) {
    const compact = compactOf(signature);
    const isAsked = keys.some(({ publicKey }) => equal(publicKey, pubkey));
    if (!isAsked || compact === undefined || !isEcdsaSignature(digest, pubkey, compact)) {
      const key = toHex(pubkey);
      throw new CodedError('bad_signature', `the signature by ${key} of input ${index} does not verify`);
    }
    found.set(toHex(pubkey), toHex(compact));
  }
  for (const item of witnessItems(input.finalScriptWitness, index)) {
    const compact = compactOf(item);
    if (compact === undefined) continue;
    const key = keys.find(({ publicKey }) => isEcdsaSignature(digest, publicKey, compact));
    if (key === undefined)
      throw new CodedError('bad_signature', `a signature of input ${index} does not verify`);
    found.set(toHex(key.publicKey), toHex(compact));
  }
  return found;
}

/** The 64 bytes of a DER signature with SIGHASH_ALL, undefined for anything else. */
function compactOf(der: Uint8Array): Uint8Array | undefined {
  try {
    const { signature, hashType } = bitcoinScript.signature.decode(der);
    return hashType === Transaction.SIGHASH_ALL ? signature : undefined;
  } catch {
    return undefined;
  }
}

/** The items of a finished witness, as some wallets send it back. Throws `bad_psbt`. */
function witnessItems(bytes: Uint8Array | undefined, index: number): Uint8Array[] {
  if (bytes === undefined) return [];
  const items: Uint8Array[] = [];
  let at = 1;
  for (let left = bytes[0] ?? 0; left > 0; left -= 1) {
    let size = bytes[at] ?? 0xff;
    at += 1;
    if (size === 0xfd) {
      size = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
      at += 2;
    } else if (size > 0xfd) refuse(`the witness of input ${index} cannot be read`, { index });
    items.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at !== bytes.length) refuse(`the witness of input ${index} cannot be read`, { index });
  return items;
}
