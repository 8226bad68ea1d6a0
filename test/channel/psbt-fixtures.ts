import { Transaction as ScureTransaction } from '@scure/btc-signer';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { Psbt, type Transaction } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { bondCoins } from '../../src/channel/bonds.ts';
import {
  buildFunding,
  type Funding,
  type FundingInput,
  type FundingRole,
} from '../../src/channel/funding.ts';
import type { KeyRole, SeedSigner, Signer } from '../../src/channel/signer.ts';
import {
  bondReturnRequest,
  bondSpendRequest,
  closeRequest,
  fundingRequest,
  refundRequest,
  type SigningRequest,
  sealClaimRequest,
  sealRefundRequest,
  stateRequest,
} from '../../src/channel/signing-requests.ts';
import { signState } from '../../src/channel/states.ts';
import {
  auditorSigner,
  EH,
  keysOf,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
  seedOf,
} from './fixtures.ts';

export const terms = makeTerms({ bonds: makeBonds('auditor'), seal: SEAL });
export const params = makeParams({}, terms);
export const HALF = 500n * EH;
export const last = signState(params, 4, HALF, makerSigner);
export const coin = bondCoins(params, HALF, 0)[0]!;
export const claim = { n: 4, workHashes: HALF, shareRoot: seedOf('root') };
export const bondSpend = { coin, payee: 'maker', feeRateSatPerKvb: 5000 } as const;

function coinOf(role: FundingRole, name: string, valueSat: bigint, vout = 0): FundingInput {
  const signer = role === 'maker' ? makerSigner : minerSigner;
  return { txid: toHex(seedOf(name)), vout, valueSat, publicKeyHex: toHex(signer.publicKey('wallet')) };
}

export const funding: Funding = buildFunding({
  terms,
  keys: keysOf(terms),
  maker: {
    inputs: [coinOf('maker', 'a', 600_000n), coinOf('maker', 'c', 5000n)],
    changeScript: PAYOUTS.p2wpkh('maker'),
  },
  miner: { inputs: [coinOf('miner', 'b', 80_000n)], changeScript: PAYOUTS.p2tr('miner change') },
  feeRateSatPerKvb: 5000,
});

export type Party = { readonly name: string; readonly signer: SeedSigner };
const MINER: Party = { name: 'miner', signer: minerSigner };
const MAKER: Party = { name: 'maker', signer: makerSigner };
const AUDITOR: Party = { name: 'auditor', signer: auditorSigner };

/** Every request of a channel, and who signs it with what. */
export const REQUESTS: readonly {
  readonly request: SigningRequest;
  readonly signers: readonly (readonly [Party, KeyRole])[];
}[] = [
  { request: stateRequest(params, HALF, 1), signers: [[MINER, 'channel']] },
  {
    request: closeRequest(params, last, 700n, 'returned'),
    signers: [
      [MINER, 'channel'],
      [MAKER, 'channel'],
    ],
  },
  { request: refundRequest(params, 5000), signers: [[MAKER, 'refund']] },
  {
    request: bondSpendRequest(params, bondSpend),
    signers: [
      [MINER, 'bond'],
      [MAKER, 'bond'],
      [AUDITOR, 'auditor'],
    ],
  },
  { request: bondReturnRequest(params, coin, 5000), signers: [[MINER, 'exit']] },
  {
    request: sealClaimRequest(params, claim),
    signers: [
      [MINER, 'seal'],
      [MAKER, 'seal'],
    ],
  },
  { request: sealRefundRequest(params, 1000), signers: [[MINER, 'sealExit']] },
];

export const fundingAsked = fundingRequest(funding, 'regtest');

/** The master key of a party, as a hardware wallet has it. */
export function rootOf({ name }: Party): BIP32Interface {
  return BIP32Factory(ecc).fromSeed(seedOf(name));
}

/** A wallet of the first library: signs every input it finds an origin of its own in. */
export function walletSign(text: string, root: BIP32Interface): string {
  return Psbt.fromBase64(text).signAllInputsHD(root).toBase64();
}

/** A wallet of the second library. */
export function secondWalletSign(text: string, privateKey: Uint8Array): string {
  const options = { allowUnknown: true, allowUnknownInputs: true, allowUnknownOutputs: true };
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  const transaction = ScureTransaction.fromPSBT(bytes, { ...options, allowUnknownVersion: true } as object);
  transaction.sign(privateKey);
  return Buffer.from(transaction.toPSBT(0)).toString('base64');
}

/** A PSBT with its transaction changed; its maps stay, but for the outputs', whose number may differ. */
export function withTransaction(text: string, change: (transaction: Transaction) => void): string {
  const psbt = Psbt.fromBase64(text);
  const unsigned = psbt.data.globalMap.unsignedTx as unknown as { tx: Transaction };
  change(unsigned.tx);
  psbt.data.outputs.length = 0;
  for (const _ of unsigned.tx.outs) psbt.data.outputs.push({ unknownKeyVals: [] });
  while (psbt.data.inputs.length < unsigned.tx.ins.length) psbt.data.inputs.push({ unknownKeyVals: [] });
  psbt.data.inputs.length = unsigned.tx.ins.length;
  return psbt.data.toBase64();
}

/** A PSBT with the map of its first input changed. */
export function withInput(text: string, change: (input: Psbt['data']['inputs'][number]) => void): string {
  const psbt = Psbt.fromBase64(text);
  change(psbt.data.inputs[0]!);
  return psbt.data.toBase64();
}

/** A signer that counts what it signs. */
export class CountingSigner implements Signer {
  readonly #inner: Signer;
  signed = 0;

  constructor(inner: Signer) {
    this.#inner = inner;
  }

  publicKey(role: KeyRole): Uint8Array {
    return this.#inner.publicKey(role);
  }

  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array {
    this.signed += 1;
    return this.#inner.signEcdsa(role, digest);
  }

  secretOf(label: Uint8Array): Uint8Array {
    return this.#inner.secretOf(label);
  }

  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array {
    this.signed += 1;
    return this.#inner.signSchnorr(role, digest);
  }
}

export function privateKeyOf(party: Party, role: KeyRole): Uint8Array {
  return rootOf(party).derivePath(party.signer.origin(role).path).privateKey!;
}

export const genesisOf = (hash: string): Uint8Array => fromHex(hash, 32).reverse();
