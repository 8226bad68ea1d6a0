import { Transaction } from 'bitcoinjs-lib';
import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { CloseSettlement } from './amounts.ts';
import {
  type BondCoin,
  type BondSpend,
  bondKeyOf,
  buildBondReturn,
  buildBondSpend,
  exitKeyOf,
} from './bonds.ts';
import { buildClose } from './close.ts';
import { type Funding, fundingInputScript } from './funding.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { buildRefund } from './refund.ts';
import { witnessScriptHashOutput } from './scripts.ts';
import { buildSealClaim, buildSealRefund, type SealClaim } from './seal.ts';
import type { KeyRole } from './signer.ts';
import { buildState, type SignedState } from './states.ts';

/** A key that may sign an input, and the role by which a signer knows it. */
export type SigningKey = {
  readonly role: KeyRole;
  readonly publicKey: Uint8Array;
  /**
   * True for the key of the maker's states: rules that a PSBT cannot keep leave them to `StateSigner`
   * alone.
   */
  readonly isGuarded?: true;
};

/** An input of a signing request: the coin and what signing it takes. */
export type SigningInput = {
  readonly valueSat: bigint;
  readonly outputScript: Uint8Array;
  /** Witness script; left out for P2WPKH. */
  readonly witnessScript?: Uint8Array;
  readonly keys: readonly SigningKey[];
  /** The transaction the coin is an output of, in hex; some hardware wants to see it. */
  readonly previousHex?: string;
};

/**
 * A signing request: an unsigned transaction with all that signing it takes. SIGHASH_ALL on segwit v0
 * inputs only.
 */
export type SigningRequest = {
  readonly kind:
    | 'funding'
    | 'state'
    | 'close'
    | 'refund'
    | 'bond_spend'
    | 'bond_return'
    | 'seal_claim'
    | 'seal_refund';
  readonly network: NetworkName;
  readonly transaction: Transaction;
  readonly inputs: readonly SigningInput[];
};

/**
 * The BIP143 digest, SIGHASH_ALL, of an input of a request.
 * @param index of the input
 */
export function requestDigest(request: SigningRequest, index: number): Uint8Array {
  const input = request.inputs[index]!;
  const scriptCode = input.witnessScript ?? keyHashScriptCode(input.outputScript);
  return request.transaction.hashForWitnessV0(index, scriptCode, input.valueSat, Transaction.SIGHASH_ALL);
}

/** BIP143: a P2WPKH input is signed as if it were P2PKH. */
function keyHashScriptCode(outputScript: Uint8Array): Uint8Array {
  return Uint8Array.of(0x76, 0xa9, 0x14, ...outputScript.subarray(2), 0x88, 0xac);
}

/**
 * The signing request of the funding, for the wallets of both sides.
 * @param previous transactions of the coins in hex, by txid, as far as they are known
 */
export function fundingRequest(
  funding: Funding,
  network: NetworkName,
  previous: ReadonlyMap<string, string> = new Map(),
): SigningRequest {
  const inputs = funding.inputs.map((input): SigningInput => {
    const previousHex = previous.get(input.txid);
    return {
      valueSat: input.valueSat,
      outputScript: fromHex(fundingInputScript(input)),
      keys: [{ role: 'wallet', publicKey: fromHex(input.publicKeyHex, 33) }],
      ...(previousHex === undefined ? {} : { previousHex }),
    };
  });
  return { kind: 'funding', network, transaction: Transaction.fromHex(funding.hex), inputs };
}

type Kind = SigningRequest['kind'];

/** A request with one P2WSH input; keys that a channel does not have are left out. */
function requestOf(
  kind: Kind,
  params: ChannelParams,
  transaction: Transaction,
  coin: {
    readonly valueSat: bigint;
    readonly script: Uint8Array;
    readonly keys: readonly (readonly [KeyRole, Uint8Array | undefined])[];
  },
): SigningRequest {
  const keys = coin.keys.flatMap(([role, publicKey]) =>
    publicKey === undefined ? [] : [{ role, publicKey }],
  );
  const input: SigningInput = {
    valueSat: coin.valueSat,
    outputScript: witnessScriptHashOutput(coin.script),
    witnessScript: coin.script,
    keys,
  };
  return { kind, network: params.terms.network, transaction, inputs: [input] };
}

function channelRequest(
  kind: Kind,
  params: ChannelParams,
  transaction: Transaction,
  keys: readonly (readonly [KeyRole, Uint8Array | undefined])[],
): SigningRequest {
  const { script, capacitySat: valueSat } = channelFacts(params);
  return requestOf(kind, params, transaction, { valueSat, script, keys });
}

const jointKeys = ({ keys }: ChannelParams) =>
  [
    ['channel', keys.minerChannel],
    ['channel', keys.makerChannel],
  ] as const;

/**
 * The signing request of a rung of a state, for the miner; the maker signs states by `StateSigner`. Throws
 * as `buildState`.
 */
export function stateRequest(params: ChannelParams, workHashes: bigint, rung: number): SigningRequest {
  const transaction = buildState(params, workHashes, rung);
  const request = channelRequest('state', params, transaction, jointKeys(params));
  const inputs = request.inputs.map((input) => ({
    ...input,
    keys: input.keys.map((key) =>
      key.publicKey === params.keys.makerChannel ? { ...key, isGuarded: true as const } : key,
    ),
  }));
  return { ...request, inputs };
}

/** The signing request of the cooperative close of the last state. Throws as `buildClose`. */
export function closeRequest(
  params: ChannelParams,
  last: SignedState,
  feeSat: bigint,
  settlement?: CloseSettlement,
): SigningRequest {
  const transaction = buildClose(params, last.workHashes, feeSat, settlement);
  return channelRequest('close', params, transaction, jointKeys(params));
}

/** The signing request of the maker's refund. Throws as `buildRefund`. */
export function refundRequest(params: ChannelParams, feeRateSatPerKvb: number): SigningRequest {
  const keys = [['refund', params.keys.makerRefund]] as const;
  return channelRequest('refund', params, buildRefund(params, feeRateSatPerKvb), keys);
}

/** The signing request of a bond spend by two keys. Throws as `buildBondSpend`. */
export function bondSpendRequest(params: ChannelParams, spend: BondSpend): SigningRequest {
  return requestOf('bond_spend', params, buildBondSpend(params, spend), {
    ...spend.coin,
    keys: [
      ['bond', bondKeyOf(params, 'miner')],
      ['bond', bondKeyOf(params, 'maker')],
      ['auditor', bondKeyOf(params, 'auditor')],
    ],
  });
}

/** The signing request of the return of a bond to its owner. Throws as `buildBondReturn`. */
export function bondReturnRequest(
  params: ChannelParams,
  coin: BondCoin,
  feeRateSatPerKvb: number,
): SigningRequest {
  return requestOf('bond_return', params, buildBondReturn(params, coin, feeRateSatPerKvb), {
    ...coin,
    keys: [['exit', exitKeyOf(params, coin)]],
  });
}

/** The signing request of a claim of the seal. Throws as `buildSealClaim`. */
export function sealClaimRequest(params: ChannelParams, claim: SealClaim): SigningRequest {
  return sealRequest('seal_claim', params, buildSealClaim(params, claim), [
    ['seal', params.keys.minerSeal],
    ['seal', params.keys.makerSeal],
  ]);
}

/** The signing request of the refund of the seal. Throws as `buildSealRefund`. */
export function sealRefundRequest(params: ChannelParams, feeRateSatPerKvb: number): SigningRequest {
  const transaction = buildSealRefund(params, feeRateSatPerKvb);
  return sealRequest('seal_refund', params, transaction, [['sealExit', params.keys.minerSealExit]]);
}

function sealRequest(
  kind: Kind,
  params: ChannelParams,
  transaction: Transaction,
  keys: readonly (readonly [KeyRole, Uint8Array | undefined])[],
): SigningRequest {
  const { seal } = channelFacts(params);
  const { seal: terms } = params.terms;
  if (seal === undefined || terms === undefined)
    throw new CodedError('bad_terms', 'this channel has no seal');
  return requestOf(kind, params, transaction, { valueSat: terms.sealSat, script: seal.script, keys });
}
