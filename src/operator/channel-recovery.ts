import { existsSync } from 'node:fs';
import { type Clock, type Random, sleep, type Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { ChainSource } from '../chain/source.ts';
import { nodeIdOf } from '../contract/sides.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { MinerContract } from '../miner/miner-contract.ts';
import { MinerStore } from '../miner/miner-store.ts';
import { loadContract } from '../settlement/records.ts';
import { healFromMaker } from '../settlement/recovery.ts';
import {
  type ChannelAccess,
  type MakerAddress,
  openForWriting,
  requireChain,
  signerOf,
} from './channel-access.ts';
import { type CheckedExport, type CheckedTransaction, importRecords } from './channel-import.ts';
import { type FundedChannel, readOnChain, requireFunded, snapshotOf } from './channel-report.ts';
import { assertExpired, assertUnspent, type CloseResult, fallbackOf, forceClose } from './channel-tools.ts';

export type RecoveryDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
};

export type RecoveryOptions = {
  readonly urgent: boolean;
  /** How long the market maker is waited for; 0 leaves it out. */
  readonly peerTimeoutMs: number;
};

export type Recovery = CloseResult & {
  /** `together`: both signed; `alone`: broadcast what this side has; `file`: broadcast what an export has. */
  readonly way: 'together' | 'alone' | 'file';
  readonly state_number: number;
  /** Why the peer was left out, where it was. */
  readonly peer: string;
};

const POLL_MS = 100;

/**
 * Gets the money of a channel out of a ledger and its keys: the peer is asked for a newer state and to close
 * together; where it does not, what this side has is broadcast. Throws `ledger_locked` while a daemon runs,
 * and as `forceClose`.
 */
export async function recoverFromLedger(
  access: ChannelAccess,
  channel: FundedChannel,
  options: RecoveryOptions,
  deps: RecoveryDeps,
): Promise<Recovery> {
  const { contractId } = channel.stored;
  const outcome = await askPeer(access, channel, options, deps);
  const ledger = await openForWriting(access, deps.log);
  let newest: FundedChannel;
  try {
    newest = await reload(ledger, contractId);
  } finally {
    await ledger.close();
  }
  const closed = await forceCloseOrShow(access, newest, outcome.together, options, deps);
  return {
    ...closed,
    way: outcome.together ? 'together' : 'alone',
    state_number: newest.last.n,
    peer: outcome.peer,
  };
}

/** A close that both signed is in the ledger already: its broadcast is only made sure of. */
async function forceCloseOrShow(
  access: ChannelAccess,
  channel: FundedChannel,
  together: boolean,
  options: RecoveryOptions,
  deps: RecoveryDeps,
): Promise<CloseResult> {
  const { channel: record, contractId } = channel.stored;
  if (!together || !record?.closeTx) {
    return forceClose({ ...access, daemon: undefined }, channel, options, deps);
  }
  const chain = requireChain(access, channel.params.terms.network, deps.log);
  try {
    const txid = await chain.broadcast(record.closeTx);
    return {
      ...{ contract: contractId, by: 'command', close_txid: txid, close_tx: record.closeTx },
      ...{ fee_sat: record.closeFeeSat ?? null, confirmations: (await chain.confirmations(txid)) ?? 0 },
    };
  } finally {
    chain.close();
  }
}

async function reload(ledger: Ledger, contractId: string): Promise<FundedChannel> {
  const stored = await loadContract(ledger, contractId);
  if (stored === undefined) throw new CodedError('unknown_channel');
  return requireFunded(snapshotOf(stored));
}

type PeerOutcome = { readonly together: boolean; readonly peer: string };

/** Reestablishes with the market maker, which shows the newer state where one was lost, and closes it. */
async function askPeer(
  access: ChannelAccess,
  channel: FundedChannel,
  options: RecoveryOptions,
  deps: RecoveryDeps,
): Promise<PeerOutcome> {
  if (channel.role === 'maker') return { together: false, peer: 'a market maker waits for its miners' };
  if (options.peerTimeoutMs === 0) return { together: false, peer: 'not asked' };
  if (access.maker === undefined)
    return { together: false, peer: 'its address is not in the configuration' };
  const chain = requireChain(access, channel.params.terms.network, deps.log);
  const ledger = await openForWriting(access, deps.log);
  try {
    const { funding, spent_by: spentBy } = await readOnChain(chain, channel.params, fallbackOf(access));
    if (funding === 'spent') return { together: false, peer: `not asked: ${spentBy} spends the channel` };
    return await closeWithPeer({ ...deps, chain, ledger }, access, access.maker, channel, options);
  } finally {
    await ledger.close();
    chain.close();
  }
}

async function closeWithPeer(
  deps: RecoveryDeps & { readonly chain: ChainSource; readonly ledger: Ledger },
  access: ChannelAccess,
  { host, port }: MakerAddress,
  channel: FundedChannel,
  { peerTimeoutMs }: RecoveryOptions,
): Promise<PeerOutcome> {
  const { terms } = channel.params;
  const { contractId } = channel.stored;
  const payoutScript = channel.params.minerPayoutScript;
  const side = new MinerContract(
    { terms, host, port, payoutScript, reconnectMaxMs: 2_000 },
    { ...deps, signer: signerOf(access, terms.network) },
  );
  const endMs = deps.clock.monotonicMs() + peerTimeoutMs;
  const waitFor = async (isReached: () => boolean | Promise<boolean>): Promise<boolean> => {
    while (!(await isReached())) {
      if (deps.clock.monotonicMs() > endMs) return false;
      await sleep(deps.timers, POLL_MS);
    }
    return true;
  };
  const closeTx = async (): Promise<boolean> =>
    (await loadContract(deps.ledger, contractId))?.channel?.closeTx !== undefined;
  await side.start();
  try {
    if (!(await waitFor(() => side.status.connected))) {
      return { together: false, peer: `it did not answer (${side.status.lastError ?? 'no connection'})` };
    }
    void side.close();
    if (await waitFor(closeTx)) return { together: true, peer: 'it answered, and both signed the close' };
    return {
      together: false,
      peer: `it answered, and did not close (${side.status.lastError ?? 'no reason'})`,
    };
  } finally {
    await side.stop();
  }
}

/**
 * Broadcasts from an export alone: of the transactions that may go now the one whose fee is today's. Throws
 * `not_expired` where none may yet, `unknown_channel` where the channel is spent, `tx_refused`.
 */
export async function recoverFromFile(
  file: CheckedExport,
  access: ChannelAccess,
  options: { readonly urgent: boolean },
  deps: RecoveryDeps,
): Promise<Recovery> {
  const chain = requireChain(access, file.params.terms.network, deps.log);
  try {
    await sendFunding(chain, file);
    const onChain = await readOnChain(chain, file.params, fallbackOf(access));
    assertUnspent(onChain);
    if (file.role === 'maker') assertExpired(file, onChain);
    const targetSatPerKvb = options.urgent ? Number.POSITIVE_INFINITY : onChain.fee_rate_sat_per_kvb;
    const chosen = chooseTransaction(file, targetSatPerKvb);
    const txid = await chain.broadcast(chosen.hex);
    return {
      ...{ contract: file.contractId, by: 'command', close_txid: txid, close_tx: chosen.hex },
      ...{ fee_sat: chosen.feeSat, confirmations: (await chain.confirmations(txid)) ?? 0 },
      ...{ way: 'file', state_number: file.state.n, peer: 'not asked: the file has no keys' },
    };
  } finally {
    chain.close();
  }
}

/** A funding that left the mempool goes there again; anywhere else it is refused, which says nothing. */
async function sendFunding(chain: ChainSource, { fundingTx, params }: CheckedExport): Promise<void> {
  if (fundingTx === undefined) return;
  const { txid, vout } = params.funding;
  if ((await chain.txOut(txid, vout)) !== undefined) return;
  await chain.broadcast(fundingTx).catch((error: unknown) => {
    if (codeOf(error) !== 'tx_refused') throw error;
  });
}

/** The cheapest that pays this rate, else the dearest there is. Throws `bad_export` where there is none. */
export function chooseTransaction(
  { role, transactions }: CheckedExport,
  satPerKvb: number,
): CheckedTransaction {
  const kind = role === 'maker' ? 'refund' : 'state';
  const ladder = transactions
    .filter((transaction) => transaction.kind === kind)
    .sort((a, b) => a.targetSatPerKvb - b.targetSatPerKvb);
  const chosen = ladder.find(({ targetSatPerKvb }) => targetSatPerKvb >= satPerKvb) ?? ladder.at(-1);
  if (chosen === undefined) throw new CodedError('bad_export', `the file has no ${kind}`);
  return chosen;
}

/**
 * Takes a channel over into the data directory of a configuration: its keys where they are in the file and
 * none are there yet, its records where the ledger does not know it. Throws `bad_key_file` where the keys
 * there are others, and as `openForWriting`.
 */
export async function adoptChannel(
  file: CheckedExport,
  access: ChannelAccess,
  deps: RecoveryDeps,
): Promise<FundedChannel> {
  const { keyFile } = access;
  if (keyFile === undefined) throw new CodedError('usage', 'say where the keys are: --config or --keys');
  if (!existsSync(keyFile) && file.keyText !== undefined) writePrivateFile(keyFile, `${file.keyText}\n`);
  const { terms } = file.params;
  const nodeId = Buffer.from(signerOf(access, terms.network).publicKey('node')).toString('hex').slice(2);
  if (nodeId !== nodeIdOf(terms, file.role)) {
    throw new CodedError('bad_key_file', `${keyFile} does not hold the keys of this channel`);
  }
  const ledger = await openForWriting(access, deps.log);
  try {
    const stored = await loadContract(ledger, file.contractId);
    if (stored === undefined) await importRecords(ledger, file.records);
    else if (file.role === 'miner') await adoptNewer(file, { ...deps, ledger });
    return await reload(ledger, file.contractId);
  } finally {
    await ledger.close();
  }
}

/**
 * Where nothing is left but the keys: the market maker keeps a sealed copy of each contract for them, which
 * goes into a new ledger. Throws `unknown_channel` without the address of a market maker, and what ended the
 * connection.
 */
export async function restoreFromMaker(
  access: ChannelAccess,
  network: NetworkName,
  timeoutMs: number,
  deps: RecoveryDeps,
): Promise<void> {
  if (access.maker === undefined) {
    throw new CodedError(
      'unknown_channel',
      'the ledger has no contract, and no market maker is configured',
    );
  }
  const signer = signerOf(access, network);
  const chain = requireChain(access, network, deps.log);
  const ledger = await openForWriting(access, deps.log);
  try {
    await healFromMaker({ ...access.maker, timeoutMs }, { ...deps, ledger, chain, signer });
  } finally {
    await ledger.close();
    chain.close();
  }
}

/** A ledger that is older than the file gets its state. */
async function adoptNewer(
  { params, state }: CheckedExport,
  deps: RecoveryDeps & { readonly ledger: Ledger },
): Promise<void> {
  const store = await MinerStore.load({ terms: params.terms }, deps);
  if (store.last === undefined || store.last.n >= state.n) return;
  await store.adoptState(state);
}
