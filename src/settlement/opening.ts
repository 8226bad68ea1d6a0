import { fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource, Utxo } from '../chain/source.ts';
import { listUtxos, selectCoins } from '../chain/wallet.ts';
import type { ChannelIndex } from '../channel/channel-index.ts';
import { buildFunding, type Funding, type FundingSide, fundingInputScript } from '../channel/funding.ts';
import { type ChannelParams, checkChannelParams } from '../channel/params.ts';
import { publicKeyHashOutput } from '../channel/scripts.ts';
import { isSchnorrSignature, nodeIdBytes, type Signer } from '../channel/signer.ts';
import { type ContractTerms, contractIdOf, termsHash } from '../contract/terms.ts';
import type { NodeIdentity } from '../peer/handshake.ts';
import type { Params, Result } from '../peer/messages.ts';

/**
 * A signer with the keys of one seed: node and wallet keys, and `forChannel` for the keys of each channel.
 * `SeedSigner` is one.
 */
export type SignerTree = Signer & { forChannel(channelIndex: ChannelIndex): Signer };

/** The node identity of a signer, for the handshake. */
export function identityOfSigner(signer: Signer): NodeIdentity {
  return {
    nodeId: toHex(nodeIdBytes(signer)),
    sign: (digest) => signer.signSchnorr('node', digest),
  };
}

/**
 * Signs the terms hash with the node key: BIP340, 64 bytes in hex. Both signatures make terms a contract.
 */
export function signTerms(terms: ContractTerms, signer: Signer): string {
  return toHex(signer.signSchnorr('node', termsHash(terms)));
}

/** Checks a signature of terms. Throws `bad_signature` unless this node signed exactly these. */
export function verifyTermsSignature(terms: ContractTerms, nodeId: string, signature: string): void {
  if (!isSchnorrSignature(termsHash(terms), fromHex(nodeId, 32), fromHex(signature, 64))) {
    throw new CodedError('bad_signature', 'the signature of the terms does not verify');
  }
}

/** A channel's parameters and funding, which follow from the two halves of its opening. */
export type AssembledChannel = { readonly params: ChannelParams; readonly funding: Funding };

/**
 * Assembles a channel from its opening; both sides do so alike, before anything of the funding is signed.
 * Throws as `buildFunding` and `checkChannelParams`.
 */
export function assembleChannel(
  terms: ContractTerms,
  open: Params<'channel.open'>,
  accept: Omit<Result<'channel.open'>, 'state0'>,
): AssembledChannel {
  const keys = { ...open.keys, ...accept.keys };
  const funding = buildFunding({
    terms,
    keys,
    maker: accept.funding,
    miner: open.funding,
    feeRateSatPerKvb: accept.feeRateSatPerKvb,
  });
  const { sealVout } = funding;
  const { nextSealScript: nextScript } = accept;
  if ((sealVout === undefined) !== (nextScript === undefined)) {
    throw new CodedError('bad_terms', 'the maker names its next seal exactly where the terms have one');
  }
  const params: ChannelParams = {
    terms,
    contractId: contractIdOf(terms),
    keys,
    minerPayoutScript: open.payoutScript,
    makerPayoutScript: accept.payoutScript,
    funding: { txid: funding.txid, vout: funding.vout },
    ...(sealVout === undefined || nextScript === undefined ? {} : { seal: { vout: sealVout, nextScript } }),
  };
  checkChannelParams(params);
  return { params, funding };
}

/** The P2WPKH output script of the wallet key, for coins and change. */
export function walletScript(signer: Signer): Uint8Array {
  return publicKeyHashOutput(signer.publicKey('wallet'));
}

/**
 * Chooses coins of the P2WPKH script of a key for a contribution, largest first; change goes back to it.
 * Throws `insufficient_funds`.
 * @param reserved outpoints `txid:vout` reserved for other channels
 */
export async function chooseCoins(
  request: {
    readonly contributionSat: bigint;
    readonly feeRateSatPerKvb: number;
    readonly reserved: ReadonlySet<string>;
  },
  publicKey: Uint8Array,
  chain: ChainSource,
): Promise<FundingSide> {
  const coins = await listUtxos(chain, publicKey);
  const free = coins.filter((coin) => !request.reserved.has(outpointName(coin)));
  const { inputs } = selectCoins(free, request.contributionSat, request.feeRateSatPerKvb);
  const publicKeyHex = toHex(publicKey);
  return {
    inputs: inputs.map(({ txid, vout, valueSat }) => ({ txid, vout, valueSat, publicKeyHex })),
    changeScript: publicKeyHashOutput(publicKey),
  };
}

/** Chooses coins of the seed's wallet key. Throws `insufficient_funds`. */
export function chooseFundingSide(
  request: Parameters<typeof chooseCoins>[0],
  deps: { readonly chain: ChainSource; readonly signer: Signer },
): Promise<FundingSide> {
  return chooseCoins(request, deps.signer.publicKey('wallet'), deps.chain);
}

/** An outpoint as `txid:vout`. */
export function outpointName(coin: Pick<Utxo, 'txid' | 'vout'>): string {
  return `${coin.txid}:${coin.vout}`;
}

/** Checks that the other side brings no coin of the own wallet. Throws `bad_funding`. */
export function checkForeign(side: FundingSide, signer: Signer): void {
  const own = toHex(signer.publicKey('wallet'));
  const taken = side.inputs.find(({ publicKeyHex }) => publicKeyHex === own);
  if (taken !== undefined)
    throw new CodedError('bad_funding', `the coin ${outpointName(taken)} is of the own wallet`);
}

/**
 * Checks the other side's coins: the chain must show each one confirmed, with the stated value and script,
 * else the funding can never confirm. Throws `bad_funding`.
 */
export async function checkCoins(side: FundingSide, chain: ChainSource): Promise<void> {
  for (const input of side.inputs) {
    const coin = await chain.txOut(input.txid, input.vout);
    const matches =
      coin !== undefined &&
      coin.confirmations > 0 &&
      coin.valueSat === input.valueSat &&
      coin.scriptHex === fundingInputScript(input);
    if (!matches) {
      throw new CodedError('bad_funding', `the coin ${outpointName(input)} is not there as described`);
    }
  }
}
