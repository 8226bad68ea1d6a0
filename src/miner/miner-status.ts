import { balanceOf } from '../channel/amounts.ts';
import { exposedWork, exposureSat } from '../contract/stream.ts';
import { noticesView } from '../settlement/notice-board.ts';
import type { StakeSettlement } from '../settlement/stake-settlement.ts';
import type { MinerStatus } from './miner-options.ts';
import type { MinerStore } from './miner-store.ts';

/** The status of a contract by what its store knows. */
export function minerStatus(
  store: MinerStore,
  { seal }: Pick<StakeSettlement, 'seal'>,
  {
    connected,
    lastError,
    delivery,
    auditor,
    isLapsed,
  }: Pick<MinerStatus, 'connected' | 'lastError' | 'delivery' | 'auditor'> & { readonly isLapsed: boolean },
): MinerStatus {
  const { disputed } = store.commitments;
  return {
    contractId: store.contractId,
    connected,
    live: store.live,
    channel: isLapsed ? 'failed' : (store.channel?.status ?? 'none'),
    stream: store.stream.status,
    signed: store.stream.signed,
    ownWorkHashes: store.own.workHashes,
    judgedWorkHashes: store.delivery.verifiedWorkHashes,
    refusedWorkHashes: store.refusedWorkHashes,
    unexplainedWorkHashes: store.unexplainedWorkHashes,
    exposureHashes: exposedWork(store.stream),
    exposureSat: exposureSat(store.terms, store.stream),
    fundingTxid: store.channel?.fundingTxid,
    fundingDepth: store.stream.fundingDepth,
    seal,
    delivery,
    auditor,
    notices: noticesView(store.state.notices),
    frozen: store.frozen?.message,
    fault: store.fault?.type,
    isExposureLimited: store.stream.exposureLimited,
    expiryHeight: store.terms.expiryHeight,
    balance: balanceOf(store.terms, store.stream.signed?.paidSat ?? 0n),
    disputed: disputed === undefined ? undefined : { n: disputed.n, why: disputed.why },
    lastError,
  };
}
