import { address as addresses, type Transaction } from 'bitcoinjs-lib';
import { toHex } from '../base/bytes.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { rateOf } from '../chain/fee-rate.ts';
import { type BondCoin, buildBondReturn, signAndFinalizeBondReturn } from '../channel/bonds.ts';
import { buildClose } from '../channel/close.ts';
import { type ChannelParams, channelFacts, payeeScripts } from '../channel/params.ts';
import { buildRefund, signAndFinalizeRefund } from '../channel/refund.ts';
import {
  buildSealClaim,
  buildSealRefund,
  type SignedSealClaim,
  signAndFinalizeSealClaim,
  signAndFinalizeSealRefund,
} from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import { jointSpendVsize, ownerVsize, refundVsize } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import { buildState, type SignedState, signAndFinalizeState, stateOutputs } from '../channel/states.ts';
import { bondsOf, sealExpiryHeight } from '../contract/bond-terms.ts';
import { DEFAULT_CLOSE_MARGINS } from '../miner/miner-chain.ts';

export type Party = 'miner' | 'maker';
/** `commitment`: data that nobody can spend; `maker_seal`: the next seal of the market maker. */
export type OutputOwner = Party | 'payee' | 'miner_bond' | 'maker_bond' | 'commitment' | 'maker_seal';

/** Who can spend a bond: two of the named at once, the owner alone later, where it says when. */
export type BondLock = {
  readonly two_of: readonly (Party | 'auditor')[];
  readonly owner: Party;
  /** Blocks after the confirmation; null where the owner never can alone. */
  readonly owner_alone_after_blocks: number | null;
};

export type OutputView = {
  readonly to: OutputOwner;
  readonly address: string;
  readonly script: string;
  readonly value_sat: bigint;
  /** Null: the payee can spend it as soon as the transaction confirmed. */
  readonly lock: BondLock | null;
};

/** A transaction of a channel, as a person or another program must see it before it is broadcast. */
export type TransactionView = {
  readonly kind: 'state' | 'close' | 'refund' | 'bond_return' | 'seal_claim' | 'seal_refund';
  /** Its place on the fee ladder, for states. */
  readonly rung: number | null;
  readonly txid: string;
  readonly hex: string;
  /** False: signatures are missing, and `hex` cannot be broadcast. */
  readonly signed: boolean;
  readonly spends: { readonly txid: string; readonly vout: number; readonly value_sat: bigint };
  readonly vsize: number;
  readonly fee_sat: bigint;
  readonly fee_rate_sat_per_kvb: number;
  /** No block below this height plus one may hold it: what nodes take once their tip is at this height. */
  readonly valid_from_height: number | null;
  /** Blocks the spent output must have (BIP68). */
  readonly valid_after_blocks: number | null;
  readonly outputs: readonly OutputView[];
};

/** A state at one fee level; signed where a signer is given. Throws as `signAndFinalizeState`. */
export function viewState(
  params: ChannelParams,
  state: SignedState,
  rung: number,
  signer?: Signer,
): TransactionView {
  const built = buildState(params, state.workHashes, rung);
  const owners = stateOutputs(params, state.workHashes).map(({ name }) => ownerOf(name));
  const signed = signer === undefined ? undefined : signAndFinalizeState(params, state, rung, signer);
  return viewOfChannelSpend('state', params, { built, signed, owners, rung });
}

/** The cooperative close of the newest state, unsigned: both sign it when it is asked for. */
export function viewClose(params: ChannelParams, state: SignedState, feeSat: bigint): TransactionView {
  const built = buildClose(params, state.workHashes, feeSat, 'returned');
  const payees = payeeScripts(params.terms).map(() => 'payee' as const);
  return viewOfChannelSpend('close', params, { built, owners: ['miner', 'maker', ...payees] });
}

/** The maker's refund; signed where a signer is given. Throws as `signAndFinalizeRefund`. */
export function viewRefund(params: ChannelParams, satPerKvb: number, signer?: Signer): TransactionView {
  const { script } = channelFacts(params);
  const signed = signer === undefined ? undefined : signAndFinalizeRefund(params, satPerKvb, signer);
  return viewOfChannelSpend('refund', params, {
    built: buildRefund(params, satPerKvb),
    signed,
    owners: ['maker'],
    vsize: refundVsize(script, params.makerPayoutScript),
  });
}

/** A bond back to its owner after its delay; signed where a signer is given. Throws as `signBondReturn`. */
export function viewBondReturn(
  params: ChannelParams,
  coin: BondCoin,
  satPerKvb: number,
  signer?: Signer,
): TransactionView {
  const signed =
    signer === undefined ? undefined : signAndFinalizeBondReturn(params, coin, satPerKvb, signer);
  const payout = coin.owner === 'miner' ? params.minerPayoutScript : params.makerPayoutScript;
  const bonds = bondsOf(params.terms);
  return viewOf('bond_return', params, {
    built: buildBondReturn(params, coin, satPerKvb),
    signed,
    owners: [coin.owner],
    vsize: ownerVsize(coin.script, payout),
    spends: { txid: coin.txid, vout: coin.vout, value_sat: coin.valueSat },
    afterBlocks: bonds.bondMode === 'auditor' ? bonds.bondCsvBlocks : undefined,
  });
}

/** The seal back to the miner; signed where a signer is given. Throws as `signSealRefund`. */
export function viewSealRefund(params: ChannelParams, satPerKvb: number, signer?: Signer): TransactionView {
  const { seal } = channelFacts(params);
  const signed = signer === undefined ? undefined : signAndFinalizeSealRefund(params, satPerKvb, signer);
  return viewOf('seal_refund', params, {
    built: buildSealRefund(params, satPerKvb),
    signed,
    owners: ['miner'],
    vsize: refundVsize(seal!.script, params.minerPayoutScript),
    spends: sealCoin(params),
  });
}

/**
 * The newest claim of the seal, by the maker; signed where a signer is given. Throws as `finalizeSealClaim`.
 */
export function viewSealClaim(
  params: ChannelParams,
  claim: SignedSealClaim,
  signer?: Signer,
): TransactionView {
  const built = buildSealClaim(params, claim);
  const { seal } = channelFacts(params);
  const outputs = built.outs.map((output) => output.script);
  return viewOf('seal_claim', params, {
    built,
    signed: signer === undefined ? undefined : signAndFinalizeSealClaim(params, claim, signer),
    owners: ['commitment', 'maker_seal'],
    vsize: jointSpendVsize(seal!.script, outputs),
    spends: sealCoin(params),
  });
}

function sealCoin(params: ChannelParams): TransactionView['spends'] {
  const { funding, seal, terms } = params;
  return { txid: funding.txid, vout: seal!.vout, value_sat: terms.seal!.sealSat };
}

/** The view of a transaction that is signed elsewhere: size and fee rate are those of the signed one. */
export function signedView(
  view: TransactionView,
  { hex, vsize }: Pick<SignedTransaction, 'hex' | 'vsize'>,
): TransactionView {
  return { ...view, hex, vsize, signed: true, fee_rate_sat_per_kvb: rateOf(view.fee_sat, vsize) };
}

/** What a transaction pays to each side, and what it locks. */
export function sharesOf(view: TransactionView): {
  readonly miner_sat: bigint;
  readonly maker_sat: bigint;
  readonly miner_bond_sat: bigint;
  readonly maker_bond_sat: bigint;
} {
  const sum = (to: OutputOwner): bigint =>
    view.outputs.reduce((total, output) => total + (output.to === to ? output.value_sat : 0n), 0n);
  return {
    miner_sat: sum('miner'),
    maker_sat: sum('maker'),
    miner_bond_sat: sum('miner_bond'),
    maker_bond_sat: sum('maker_bond'),
  };
}

/** The address of an output script, or its hex where it has none. */
export function addressOf(script: Uint8Array, network: NetworkName): string {
  try {
    return addresses.fromOutputScript(script, NETWORKS[network].params);
  } catch {
    return toHex(script);
  }
}

type Parts = {
  readonly built: Transaction;
  readonly signed?: SignedTransaction | undefined;
  readonly owners: readonly OutputOwner[];
  readonly rung?: number;
  /** Most virtual bytes once signed; that of a joint spend unless given. */
  readonly vsize?: number;
};

function viewOfChannelSpend(
  kind: TransactionView['kind'],
  params: ChannelParams,
  parts: Parts,
): TransactionView {
  const { capacitySat, script } = channelFacts(params);
  const outputs = parts.built.outs.map((output) => output.script);
  return viewOf(kind, params, {
    vsize: jointSpendVsize(script, outputs),
    ...parts,
    spends: { ...params.funding, value_sat: capacitySat },
  });
}

function viewOf(
  kind: TransactionView['kind'],
  params: ChannelParams,
  parts: Parts & {
    readonly spends: TransactionView['spends'];
    readonly vsize: number;
    readonly afterBlocks?: number | undefined;
  },
): TransactionView {
  const { built, signed, spends } = parts;
  const paidSat = built.outs.reduce((total, output) => total + output.value, 0n);
  const feeSat = spends.value_sat - paidSat;
  const vsize = signed?.vsize ?? parts.vsize;
  return {
    kind,
    rung: parts.rung ?? null,
    txid: built.getId(),
    hex: signed?.hex ?? built.toHex(),
    signed: signed !== undefined,
    spends,
    vsize,
    fee_sat: feeSat,
    fee_rate_sat_per_kvb: rateOf(feeSat, vsize),
    valid_from_height: built.locktime === 0 ? null : built.locktime,
    valid_after_blocks: parts.afterBlocks ?? null,
    outputs: built.outs.map((output, index) => {
      const to = parts.owners[index]!;
      return {
        to,
        address: addressOf(output.script, params.terms.network),
        script: toHex(output.script),
        value_sat: output.value,
        lock: lockOf(params, to) ?? null,
      };
    }),
  };
}

function ownerOf(name: ReturnType<typeof stateOutputs>[number]['name']): OutputOwner {
  return name === 'minerBond' ? 'miner_bond' : name === 'makerBond' ? 'maker_bond' : name;
}

function lockOf(params: ChannelParams, to: OutputOwner): BondLock | undefined {
  if (to !== 'miner_bond' && to !== 'maker_bond') return undefined;
  const bonds = bondsOf(params.terms);
  const owner = to === 'miner_bond' ? 'miner' : 'maker';
  return bonds.bondMode === 'auditor'
    ? { two_of: ['miner', 'maker', 'auditor'], owner, owner_alone_after_blocks: bonds.bondCsvBlocks }
    : { two_of: ['miner', 'maker'], owner, owner_alone_after_blocks: null };
}

/** The heights that matter to a channel. */
export function deadlinesOf(params: ChannelParams): Readonly<Record<string, number>> {
  const { expiryHeight } = params.terms;
  const { askBlocks, broadcastBlocks } = DEFAULT_CLOSE_MARGINS;
  return {
    ask_for_close_from_height: expiryHeight - askBlocks,
    broadcast_state_from_height: expiryHeight - broadcastBlocks,
    maker_refund_from_height: expiryHeight,
    ...(params.seal === undefined ? {} : { seal_refund_from_height: sealExpiryHeight(params.terms) }),
  };
}
