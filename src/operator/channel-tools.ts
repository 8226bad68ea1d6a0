import { Transaction } from 'bitcoinjs-lib';
import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { type ChainSource, FALLBACK_SAT_PER_KVB, optional } from '../chain/source.ts';
import { channelFacts } from '../channel/params.ts';
import { signAndFinalizeRefund } from '../channel/refund.ts';
import type { SeedSigner } from '../channel/signer.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import { rungForFeeRate, signAndFinalizeState } from '../channel/states.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { MakerChain } from '../maker/maker-chain.ts';
import { MakerStore } from '../maker/maker-store.ts';
import { MinerChain } from '../miner/miner-chain.ts';
import { txidOf } from '../miner/miner-opening.ts';
import { MinerStore } from '../miner/miner-store.ts';
import { loadContract } from '../settlement/records.ts';
import {
  type ChannelAccess,
  openForReading,
  openForWriting,
  requireChain,
  signerOf,
} from './channel-access.ts';
import { type FundedChannel, type OnChain, readOnChain, SPENDER_BLOCKS } from './channel-report.ts';
import { requestAction } from './daemon-action.ts';
import { readExternalSignature } from './external-signature.ts';

export type ToolDeps = { readonly clock: Clock; readonly timers: Timers; readonly log: Logger };

/** What became of a request to close. */
export type CloseResult = {
  readonly contract: string;
  /** Who broadcast: the running daemon, or this program in its place. */
  readonly by: 'daemon' | 'command';
  /** Null while the two sides have not signed a close yet. */
  readonly close_txid: string | null;
  readonly close_tx: string | null;
  readonly fee_sat: bigint | null;
  /** 0 in the mempool; null where the node was not asked. */
  readonly confirmations: number | null;
};

const POLL_MS = 250;

/** Throws `unknown_channel` where something spent the channel, or its funding is nowhere. */
export function assertUnspent(onChain: OnChain): void {
  if (onChain.funding === 'unspent') return;
  const detail =
    onChain.funding === 'spent'
      ? `the channel is spent by ${onChain.spent_by}`
      : 'the node does not know the funding of this channel';
  throw new CodedError('unknown_channel', detail);
}

/** Throws `not_expired` while the maker has no way out of its own. */
export function assertExpired({ params }: Pick<FundedChannel, 'params'>, onChain: OnChain): void {
  const { expiryHeight } = params.terms;
  if (onChain.tip_height >= expiryHeight) return;
  const remainingBlocks = expiryHeight - onChain.tip_height;
  throw new CodedError(
    'not_expired',
    `the tip is at ${onChain.tip_height}, ${remainingBlocks} blocks before ${expiryHeight}`,
  );
}

/** Asks the running daemon to close together. Throws `daemon_unreachable`, and what it refuses with. */
export async function requestClose(access: ChannelAccess, channel: FundedChannel): Promise<void> {
  const { daemon } = access;
  if (daemon === undefined) throw new CodedError('usage', 'say which daemon: --config FILE');
  await requestAction(daemon.url, daemon.dataDir, 'channel/close', { contract: channel.stored.contractId });
}

/**
 * Broadcasts what this side may alone: by the running daemon, which then watches it; else in its place, with
 * the same records in the ledger. Throws `not_expired`, `unknown_channel`, `tx_refused`, `chain_unreachable`.
 */
export async function forceClose(
  access: ChannelAccess,
  channel: FundedChannel,
  options: { readonly urgent: boolean },
  deps: ToolDeps,
): Promise<CloseResult> {
  const chain = requireChain(access, channel.params.terms.network, deps.log);
  try {
    const onChain = await readOnChain(chain, channel.params, fallbackOf(access));
    const finished = finishedClose(channel, onChain);
    if (finished !== undefined) return finished;
    if (channel.role === 'maker') assertExpired(channel, onChain);
    const all = { ...deps, chain };
    const by = await closeByWhoOwns(access, channel, options, all);
    if (by !== 'unable' && !options.urgent) return await broadcastStored(by, access, channel, all);
    return await broadcastBest(access, channel, options, all);
  } finally {
    chain.close();
  }
}

/**
 * The own close where it needs no more help; undefined while there is something to do. What waits in the
 * mempool the miner can replace. Throws `unknown_channel` where another transaction spends the channel.
 */
function finishedClose({ stored, role }: FundedChannel, onChain: OnChain): CloseResult | undefined {
  const { channel, contractId } = stored;
  if (onChain.funding !== 'spent') return undefined;
  const hex = channel?.closeTx;
  const isOwn = hex !== undefined && txidOf(hex) === onChain.spent_by;
  if (role === 'miner' && onChain.spent_confirmations === 0) return undefined;
  if (!isOwn) assertUnspent(onChain);
  return {
    ...{ contract: contractId, by: 'command', close_txid: onChain.spent_by, close_tx: hex ?? null },
    ...{ fee_sat: channel?.closeFeeSat ?? null, confirmations: onChain.spent_confirmations },
  };
}

type ChainDeps = ToolDeps & { readonly chain: ChainSource };

/**
 * `unable`: the daemon does not answer, or nothing can be recorded. What would be broadcast is then made from
 * what the ledger has.
 */
type Closer = CloseResult['by'] | 'unable';

async function closeByWhoOwns(
  access: ChannelAccess,
  channel: FundedChannel,
  options: { readonly urgent: boolean },
  deps: ChainDeps,
): Promise<Closer> {
  let ledger: Ledger;
  try {
    ledger = await openForWriting(access, deps.log);
  } catch (error) {
    const code = codeOf(error);
    // A disk that takes no record is no reason not to close.
    if (code === 'ledger_io' || code === 'ledger_settings') return 'unable';
    if (code !== 'ledger_locked' || access.daemon === undefined) throw error;
    return await closeByDaemon(access.daemon, channel, options);
  }
  try {
    return await closeInPlace(ledger, access, channel, deps);
  } finally {
    await ledger.close();
  }
}

async function closeByDaemon(
  daemon: NonNullable<ChannelAccess['daemon']>,
  channel: FundedChannel,
  { urgent }: { readonly urgent: boolean },
): Promise<Closer> {
  try {
    const answer = await requestAction(daemon.url, daemon.dataDir, 'channel/force-close', {
      contract: channel.stored.contractId,
    });
    if (isRecord(answer) && answer['asks_peer'] === true) {
      if (urgent) return 'unable';
      const why =
        'the other side is asked for a newer state first, for ten minutes at most; then it is closed';
      throw new CodedError('wrong_status', `${why} (--urgent does not wait)`);
    }
    return 'daemon';
  } catch (error) {
    if (codeOf(error) !== 'daemon_unreachable') throw error;
    return 'unable';
  }
}

async function closeInPlace(
  ledger: Ledger,
  access: ChannelAccess,
  channel: FundedChannel,
  deps: ChainDeps,
): Promise<Closer> {
  const { stored, params, role } = channel;
  const signer = signerOf(access, params.terms.network);
  const all = { ...deps, ledger, signer };
  if (role === 'maker') {
    const store = await MakerStore.load(stored.contractId, all);
    if (store === undefined) return 'unable';
    await new MakerChain(store, all).closeAlone();
    return store.state.fault?.type === 'suspended' ? 'unable' : 'command';
  }
  const store = await MinerStore.load({ terms: params.terms }, all);
  const onChain = new MinerChain(store, all);
  await onChain.broadcastFunding();
  await onChain.closeAlone();
  return store.state.fault?.type === 'suspended' ? 'unable' : 'command';
}

/**
 * Broadcasts what was signed where the keys are, after all checks. Throws as `readExternalSignature`, and as
 * `forceClose`.
 */
export async function broadcastSigned(
  access: ChannelAccess,
  channel: FundedChannel,
  psbt: string,
  deps: ToolDeps,
): Promise<CloseResult> {
  const signed = readExternalSignature(channel, psbt);
  const chain = requireChain(access, channel.params.terms.network, deps.log);
  try {
    const onChain = await readOnChain(chain, channel.params, fallbackOf(access));
    const finished = finishedClose(channel, onChain);
    if (finished !== undefined) return finished;
    if (channel.role === 'maker') assertExpired(channel, onChain);
    return await broadcastOne(chain, channel, signed);
  } finally {
    chain.close();
  }
}

/** The newest state, or the refund, at today's fee or the highest, from what the ledger holds. */
async function broadcastBest(
  access: ChannelAccess,
  channel: FundedChannel,
  options: { readonly urgent: boolean },
  { chain }: ChainDeps,
): Promise<CloseResult> {
  const { params, last, role, stored } = channel;
  const { feeLadderSatPerKvb, network } = params.terms;
  const signer = signerOf(access, network).forChannel(stored.contract.channelIndex);
  const estimate = Math.ceil(await chain.feeRateSatPerKvb(6, fallbackOf(access)));
  const rate = options.urgent ? feeLadderSatPerKvb.at(-1)! : estimate;
  const signed =
    role === 'maker'
      ? signAndFinalizeRefund(params, rate, signer)
      : signAndFinalizeState(params, last, rungForFeeRate(params, last, rate), signer);
  return broadcastOne(chain, channel, signed);
}

async function broadcastOne(
  chain: ChainSource,
  { stored }: FundedChannel,
  { hex, txid, feeSat }: SignedTransaction,
): Promise<CloseResult> {
  const confirmations = await broadcastOrFind(chain, hex, txid);
  return {
    ...{ contract: stored.contractId, by: 'command', close_txid: txid, close_tx: hex },
    ...{ fee_sat: feeSat, confirmations },
  };
}

/** The node's own word on what was broadcast: a transaction it already has is not an error. */
async function broadcastStored(
  by: CloseResult['by'],
  access: ChannelAccess,
  channel: FundedChannel,
  deps: ChainDeps,
): Promise<CloseResult> {
  const { contractId } = channel.stored;
  const found = await storedClose(access, contractId, deps);
  if (found === undefined) return await closeOnChain(by, channel, deps);
  const { hex, txid, feeSat } = found;
  const confirmations = await broadcastOrFind(deps.chain, hex, txid);
  return {
    ...{ contract: contractId, by, close_txid: txid, close_tx: hex },
    ...{ fee_sat: feeSat ?? null, confirmations },
  };
}

/** What the node shows of a close that was not recorded. Throws `unknown_channel` where it shows none. */
async function closeOnChain(
  by: CloseResult['by'],
  { stored, params }: FundedChannel,
  { chain }: ChainDeps,
): Promise<CloseResult> {
  const { txid, vout } = params.funding;
  const spender = await chain.spender(txid, vout, SPENDER_BLOCKS);
  if (spender === undefined)
    throw new CodedError('unknown_channel', 'nothing was broadcast: see `channel show`');
  return {
    ...{ contract: stored.contractId, by, close_txid: spender.txid, close_tx: spender.hex },
    ...{ fee_sat: null, confirmations: spender.confirmations },
  };
}

async function broadcastOrFind(chain: ChainSource, hex: string, txid: string): Promise<number> {
  const ask = (): Promise<number | undefined> =>
    optional(
      () => chain.confirmations(txid),
      () => {},
    );
  const before = await ask();
  if (before !== undefined) return before;
  await chain.broadcast(hex);
  return (await ask()) ?? 0;
}

/** The transaction that closes the channel, as the ledger has it by now. */
async function storedClose(
  access: ChannelAccess,
  contractId: string,
  deps: ToolDeps,
): Promise<
  { readonly hex: string; readonly txid: string; readonly feeSat: bigint | undefined } | undefined
> {
  const ledger = await openForReading(access, deps.log);
  try {
    const stored = await loadContract(ledger, contractId);
    const hex = stored?.channel?.closeTx;
    if (hex === undefined) return undefined;
    return { hex, txid: txidOf(hex), feeSat: stored?.channel?.closeFeeSat };
  } finally {
    await ledger.close();
  }
}

/** Waits until a block holds what spends the channel. Throws `peer_timeout`, saying how far it came. */
export async function waitForClose(
  access: ChannelAccess,
  channel: FundedChannel,
  options: { readonly timeoutMs: number; readonly by: CloseResult['by'] },
  deps: ToolDeps,
): Promise<CloseResult> {
  const { params, stored } = channel;
  const { txid, vout } = params.funding;
  const chain = requireChain(access, params.terms.network, deps.log);
  const endMs = deps.clock.monotonicMs() + options.timeoutMs;
  try {
    for (;;) {
      const isThere = (await chain.txOut(txid, vout)) !== undefined;
      const spender = isThere ? undefined : await chain.spender(txid, vout, SPENDER_BLOCKS);
      if (spender !== undefined && spender.confirmations > 0) {
        return {
          ...{ contract: stored.contractId, by: options.by },
          ...{ close_txid: spender.txid, close_tx: spender.hex, confirmations: spender.confirmations },
          fee_sat: channelFacts(params).capacitySat - paidBy(spender.hex),
        };
      }
      if (deps.clock.monotonicMs() > endMs) {
        const state = spender === undefined ? 'nothing spends it' : `${spender.txid} is not confirmed`;
        throw new CodedError('peer_timeout', `the channel is not closed yet: ${state}`);
      }
      await sleep(deps.timers, POLL_MS);
    }
  } finally {
    chain.close();
  }
}

function paidBy(hex: string): bigint {
  return Transaction.fromHex(hex).outs.reduce((total, output) => total + output.value, 0n);
}

export function fallbackOf(access: ChannelAccess): number {
  return access.chain?.feeRateSatPerKvb ?? FALLBACK_SAT_PER_KVB;
}

/** The signer of a channel, or undefined where no keys are named. Throws `bad_key_file`. */
export function channelSigner(access: ChannelAccess, channel: FundedChannel): SeedSigner | undefined {
  if (access.keyFile === undefined) return undefined;
  const { network } = channel.params.terms;
  return signerOf(access, network).forChannel(channel.stored.contract.channelIndex);
}
