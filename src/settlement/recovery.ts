import type { Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { contractIdOf } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import { DEFAULT_RPC, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import { assembleChannel, identityOfSigner, type SignerTree } from './opening.ts';
import { isForgotten, openBlob, type PeerBlob } from './peer-blob.ts';
import {
  type ChannelRecord,
  channelEntry,
  contractEntry,
  type DeliveryRecord,
  deliveryEntry,
  fundingEntry,
  openingEntry,
  stateEntry,
} from './records.ts';

export type RecoveryDeps = { readonly ledger: Ledger; readonly signer: SignerTree; readonly log: Logger };

/**
 * Restores lost contracts from a maker as `healFromPeer`, over a separate connection. Throws what ends the
 * connection.
 */
export async function healFromMaker(
  target: {
    readonly host: string;
    readonly port: number;
    readonly nodeId: string;
    readonly timeoutMs: number;
  },
  deps: RecoveryDeps & { readonly chain: ChainSource; readonly random: Random; readonly timers: Timers },
): Promise<readonly ContractTerms[]> {
  const { host, port, timeoutMs } = target;
  const genesisHash = await deps.chain.genesisHash();
  const connection = await connectPeer(
    { ...DEFAULT_TRANSPORT, host, port, connectTimeoutMs: timeoutMs },
    deps,
  );
  const peer = new RpcPeer(connection, DEFAULT_RPC, deps);
  try {
    await authenticate(peer, 'client', {
      ...{ genesisHash, timeoutMs, random: deps.random, timers: deps.timers, features: OFFERED_FEATURES },
      identity: identityOfSigner(deps.signer),
      isKnown: (nodeId) => nodeId === target.nodeId,
    });
    peer.serve({ ping: async () => ({}) }, 'unknown_method');
    return await healFromPeer(peer, deps);
  } finally {
    peer.close();
  }
}

/**
 * Restores contracts that the own ledger lost from the blobs that the maker keeps for this seed: records as
 * they were, with an old state that the next reestablish replaces. Blobs that do not open are left out and
 * logged. Returns the terms of the restored contracts.
 */
export async function healFromPeer(peer: RpcPeer, deps: RecoveryDeps): Promise<readonly ContractTerms[]> {
  const { ledger, signer, log } = deps;
  const { blobs } = await call(peer, 'peer_storage.get', {});
  const healed: ContractTerms[] = [];
  for (const { contractId, blob } of blobs) {
    if (!(await isForgotten(ledger, contractId))) continue;
    try {
      const opened = openBlob(contractId, 'miner', blob, signer);
      await ledger.appendNow(entriesOf(contractId, opened, undefined));
      healed.push(opened.contract.terms);
      log.warn({ contract: contractId }, 'a lost contract came back from the maker');
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      log.error({ contract: contractId, code: error.code }, 'what the maker keeps cannot be used');
    }
  }
  return healed;
}

/**
 * The ledger entries of a blob. Throws `bad_blob` for one of another contract, and as `assembleChannel`.
 * @param delivery record of the maker, where it goes on from the position that the miner reports
 */
export function entriesOf(
  contractId: string,
  { contract, opening, state, fundingTx, role }: PeerBlob,
  delivery: DeliveryRecord | undefined,
): LedgerEntry[] {
  const { terms } = contract;
  if (contractIdOf(terms) !== contractId || opening.accept === undefined || contract.role !== role)
    throw new CodedError('bad_blob', 'it is of another contract');
  const { funding } = assembleChannel(terms, opening.open, opening.accept);
  const channel: ChannelRecord = {
    version: 1,
    role,
    status: fundingTx === undefined ? 'opening' : 'funding',
    reason: '',
    fundingTxid: funding.txid,
    fundingVout: funding.vout,
    n: state.n,
    workHashes: state.workHashes,
    paidSat: state.paidSat,
    closeTx: undefined,
    closeFeeSat: undefined,
  };
  return [
    contractEntry(contractId, contract),
    openingEntry(contractId, opening),
    ...(fundingTx === undefined ? [] : [fundingEntry(contractId, fundingTx)]),
    stateEntry(contractId, state),
    channelEntry(contractId, channel),
    ...(delivery === undefined ? [] : [deliveryEntry(contractId, delivery)]),
  ];
}
