import { fromHex } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { type ChainSource, optional } from '../chain/source.ts';
import { type ChannelParams, channelFacts } from '../channel/params.ts';
import { type SignedState, stateAmounts } from '../channel/states.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { nodeIdOf, otherSide } from '../contract/sides.ts';
import { splitsOf } from '../contract/splits.ts';
import { newestPriceMsatPerEh, stepHashesOf } from '../contract/updated-terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { assembleChannel } from '../settlement/opening.ts';
import { CONTRACT_KIND, loadContract, type StoredContract } from '../settlement/records.ts';
import { addressOf, deadlinesOf, type Party } from './transaction-view.ts';

/** A contract of a ledger, with its channel as far as it was opened. */
export type ChannelSnapshot = {
  readonly stored: StoredContract;
  readonly role: Party;
  /** Undefined until both halves of the opening are there. */
  readonly params: ChannelParams | undefined;
  /** The newest state on disk. */
  readonly last: SignedState | undefined;
};

/** Every contract of a ledger. Throws `ledger_corrupt`. */
export async function readChannels(ledger: Ledger): Promise<readonly ChannelSnapshot[]> {
  const ids = (await ledger.list(CONTRACT_KIND)).map(({ id }) => id);
  const found = await Promise.all(ids.map((id) => loadContract(ledger, id)));
  return found.flatMap((stored) => (stored === undefined ? [] : [snapshotOf(stored)]));
}

export function snapshotOf(stored: StoredContract): ChannelSnapshot {
  const { contract, opening, last } = stored;
  const params = opening?.accept
    ? assembleChannel(contract.terms, opening.open, opening.accept).params
    : undefined;
  return { stored, role: contract.role, params, last };
}

/**
 * The contract whose id begins so; without a word the only one that is not over. Throws `unknown_channel`,
 * `usage` where more than one fits.
 */
export function pickChannel(
  channels: readonly ChannelSnapshot[],
  prefix: string | undefined,
): ChannelSnapshot {
  return pickContract(channels.map(listedChannel), prefix).snapshot;
}

/** A contract among others. */
export type ListedContract = { readonly contractId: string; readonly isOver: boolean };

export function listedChannel(
  snapshot: ChannelSnapshot,
): ListedContract & { readonly snapshot: ChannelSnapshot } {
  const { contractId, channel } = snapshot.stored;
  const isOver = channel?.status === 'closed' || channel?.status === 'failed';
  return { contractId, isOver, snapshot };
}

/** As `pickChannel`, of whatever contracts. */
export function pickContract<T extends ListedContract>(
  contracts: readonly T[],
  prefix: string | undefined,
): T {
  const named = contracts.filter(({ contractId }) => contractId.startsWith(prefix ?? ''));
  const running = named.filter(({ isOver }) => !isOver);
  const candidates = prefix === undefined && running.length > 0 ? running : named;
  if (candidates.length > 1) {
    const ids = candidates.map(({ contractId }) => contractId.slice(0, 16)).join(', ');
    throw new CodedError('usage', `say which contract; these fit: ${ids}`);
  }
  const [only] = candidates;
  if (only === undefined) {
    const which = prefix === undefined ? 'the ledger has no contract' : `no contract begins with ${prefix}`;
    throw new CodedError('unknown_channel', which);
  }
  return only;
}

export type FundedChannel = ChannelSnapshot & {
  readonly params: ChannelParams;
  readonly last: SignedState;
};

/** Throws `unknown_channel` for a contract whose channel was never opened. */
export function requireFunded(snapshot: ChannelSnapshot): FundedChannel {
  const { params, last, stored } = snapshot;
  if (params === undefined || last === undefined || stored.channel?.status === 'failed') {
    throw new CodedError('unknown_channel', 'this contract has no channel: there is nothing to close');
  }
  return { ...snapshot, params, last };
}

/** One line of `channel list`. */
export type ChannelRow = {
  readonly contract: string;
  readonly role: Party;
  readonly network: string;
  readonly peer_node_id: string;
  readonly status: string;
  readonly reason: string;
  readonly state_number: number | null;
  readonly paid_sat: bigint;
  readonly budget_sat: bigint;
  readonly expiry_height: number;
  readonly funding_txid: string | null;
  readonly funding_vout: number | null;
};

export function channelRow({ stored, role }: ChannelSnapshot): ChannelRow {
  const { contract, channel } = stored;
  const { terms } = contract;
  return {
    contract: stored.contractId,
    role,
    network: terms.network,
    peer_node_id: nodeIdOf(terms, otherSide(role)),
    status: channel?.status ?? 'none',
    // Proof against the other side is shown with whatever the channel does since.
    reason: [...(stored.isBroken ? ['two contents for one state'] : []), channel?.reason ?? '']
      .filter((part) => part !== '')
      .join(', '),
    state_number: channel?.n ?? null,
    paid_sat: channel?.paidSat ?? 0n,
    budget_sat: terms.budgetSat,
    expiry_height: terms.expiryHeight,
    funding_txid: channel?.fundingTxid ?? null,
    funding_vout: channel?.fundingVout ?? null,
  };
}

/** Everything `channel show` says; what the node said where it was asked. */
export function channelDetail(snapshot: ChannelSnapshot, onChain: OnChain | undefined): object {
  const { stored, params, last } = snapshot;
  const { terms } = stored.contract;
  const bonds = bondsOf(terms);
  return {
    ...channelRow(snapshot),
    terms: {
      price_msat_per_eh: newestPriceMsatPerEh(terms),
      work_total_hashes: terms.workTotalHashes,
      step_hashes: stepHashesOf(terms),
      max_unpaid_steps: terms.maxUnpaidSteps,
      reserve_sat: terms.reserveSat,
      miner_reserve_sat: terms.minerReserveSat,
      min_depth: terms.minDepth,
      fee_ladder_sat_per_kvb: terms.feeLadderSatPerKvb,
      bond_mode: bonds.bondMode,
      collateral_sat: bonds.collateralSat,
      maker_bond_sat: bonds.makerBondSat,
      has_seal: terms.seal !== undefined,
    },
    work: {
      signed_hashes: last?.workHashes ?? 0n,
      verified_hashes: stored.delivery?.verifiedWorkHashes ?? 0n,
      acked_state: stored.ackedN < 0 ? null : stored.ackedN,
    },
    channel_index: stored.contract.channelIndex,
    capacity_sat: params === undefined ? null : channelFacts(params).capacitySat,
    payouts: params === undefined ? null : payoutsOf(params),
    split: params === undefined || last === undefined ? null : splitOf(params, last),
    deadlines: params === undefined ? null : deadlinesOf(params),
    close_tx: stored.channel?.closeTx ?? null,
    close_fee_sat: stored.channel?.closeFeeSat ?? null,
    funding_tx: stored.fundingTx ?? null,
    chain: onChain ?? null,
  };
}

function payoutsOf(params: ChannelParams): { readonly miner: string; readonly maker: string } {
  const { network } = params.terms;
  return {
    miner: addressOf(params.minerPayoutScript, network),
    maker: addressOf(params.makerPayoutScript, network),
  };
}

/** Who has what in the newest state, before the miner's fee. */
function splitOf(params: ChannelParams, last: SignedState): object {
  const amounts = stateAmounts(params.terms, last.workHashes);
  return {
    miner_sat: amounts.minerSat,
    maker_sat: amounts.makerSat,
    miner_bond_sat: amounts.minerBondOutputSat,
    maker_bond_sat: amounts.makerBondOutputSat,
    ...payeesIn(params, amounts.payeesSat),
  };
}

/** What each payee has, where the pay is split: with what its output held from the first state on. */
function payeesIn({ terms }: ChannelParams, payeesSat: readonly bigint[]): object {
  const { network } = terms;
  const payees = splitsOf(terms).map(({ label, scriptHex }, index) => ({
    ...{ label, address: addressOf(fromHex(scriptHex), network), sat: payeesSat[index]! },
  }));
  return payees.length === 0 ? {} : { payees };
}

/** What a node says of a channel. */
export type OnChain = {
  readonly tip_height: number;
  readonly blocks_to_expiry: number;
  /** `unspent` in the chain or the mempool; `spent` by a transaction in either; `missing` without a trace. */
  readonly funding: 'unspent' | 'spent' | 'missing';
  readonly funding_confirmations: number;
  readonly spent_by: string | null;
  readonly spent_confirmations: number | null;
  readonly fee_rate_sat_per_kvb: number;
};

/** Blocks searched for what spent a channel. */
export const SPENDER_BLOCKS = 300;

/** Throws `chain_unreachable` and the like. */
export async function readOnChain(
  chain: ChainSource,
  params: Pick<ChannelParams, 'funding' | 'terms'>,
  fallbackSatPerKvb: number,
): Promise<OnChain> {
  const tip = await chain.tip();
  const { txid, vout } = params.funding;
  const coin = await chain.txOut(txid, vout);
  // Unknown where the node does not tell: what is broadcast then is its own question.
  const ask = (): ReturnType<ChainSource['spender']> => chain.spender(txid, vout, SPENDER_BLOCKS);
  const spender = coin === undefined ? await optional(ask, () => {}) : undefined;
  return {
    tip_height: tip.height,
    blocks_to_expiry: params.terms.expiryHeight - tip.height,
    funding: coin !== undefined ? 'unspent' : spender !== undefined ? 'spent' : 'missing',
    funding_confirmations: coin?.confirmations ?? 0,
    spent_by: spender?.txid ?? null,
    spent_confirmations: spender?.confirmations ?? null,
    fee_rate_sat_per_kvb: Math.ceil(await chain.feeRateSatPerKvb(6, fallbackSatPerKvb)),
  };
}

/** The same, or undefined and why: for what can be shown without a node too. */
export async function readOnChainIfPossible(
  chain: ChainSource | undefined,
  params: ChannelParams | undefined,
  fallbackSatPerKvb: number,
): Promise<{ readonly onChain: OnChain | undefined; readonly problem: string | undefined }> {
  if (chain === undefined || params === undefined) return { onChain: undefined, problem: undefined };
  try {
    return { onChain: await readOnChain(chain, params, fallbackSatPerKvb), problem: undefined };
  } catch (error) {
    if (codeOf(error) === 'internal') throw error;
    return { onChain: undefined, problem: (error as Error).message };
  }
}
