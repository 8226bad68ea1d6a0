import { balanceOf, type ChannelBalance } from '../channel/amounts.ts';
import type { Fault } from '../channel/lifecycle-state.ts';
import { type StreamStatus, unsignedSat, unsignedWork } from '../contract/stream.ts';
import type { AuditorView } from '../settlement/auditor-link.ts';
import type { DeliveryView } from '../settlement/minute-keeper.ts';
import { type NoticesView, noticesView } from '../settlement/notice-board.ts';
import type { ChannelStatus } from '../settlement/records.ts';
import type { SealStatus } from '../settlement/stake-settlement.ts';
import type { ContractLuck } from './contract-luck.ts';
import type { FoundBlocksStatus } from './found-blocks.ts';
import type { BeadStatus } from './job-binding.ts';
import type { MakerChannel } from './maker-channel.ts';
import type { WorkStatus } from './work-status.ts';

/** The status of one contract at the maker. */
export type MakerContractStatus = {
  readonly contractId: string;
  readonly minerNodeId: string;
  readonly connected: boolean;
  readonly channel: ChannelStatus | 'none';
  readonly stream: StreamStatus;
  readonly verifiedWorkHashes: bigint;
  readonly workTotalHashes: bigint;
  readonly unsignedWorkHashes: bigint;
  /** Its pay. */
  readonly unsignedSat: bigint;
  readonly n: number;
  readonly ackedN: number;
  readonly paidSat: bigint;
  /** What each side has of the channel by the newest signed state. */
  readonly balance: ChannelBalance;
  readonly expiryHeight: number;
  readonly sharesCredited: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Of a contract whose jobs are the maker's own. */
  readonly work: WorkStatus | undefined;
  /** Blocks of the miner's own jobs, where they pay this maker. */
  readonly blocks: FoundBlocksStatus | undefined;
  readonly fundingTxid: string | undefined;
  readonly fundingDepth: number;
  /** Status of the seal; `none` where the terms have none. */
  readonly seal: SealStatus;
  /** Undefined where no beads bind the work. */
  readonly beads: BeadStatus | undefined;
  readonly frozen: string | undefined;
  /** Which side's fault that is: `suspended` by an own one, `broken` by the miner. */
  readonly fault: Fault['type'] | undefined;
  readonly luck: ContractLuck;
  /** The course of delivery; undefined where the terms have no rules for it. */
  readonly delivery: DeliveryView | undefined;
  /** What the auditor says; undefined where none is told. */
  readonly auditor: AuditorView | undefined;
  readonly notices: NoticesView;
};

/** The status of a contract. */
export function contractStatusOf(channel: MakerChannel): MakerContractStatus {
  const { store, batchVerifier } = channel;
  const { terms, last } = store;
  return {
    contractId: store.contractId,
    minerNodeId: terms.minerNodeId,
    connected: channel.connected,
    channel: store.channel?.status ?? 'none',
    stream: store.stream.status,
    verifiedWorkHashes: store.delivery.verifiedWorkHashes,
    workTotalHashes: terms.workTotalHashes,
    unsignedWorkHashes: unsignedWork(store.stream),
    unsignedSat: unsignedSat(terms, store.stream),
    n: last?.n ?? -1,
    ackedN: store.ackedN,
    paidSat: last?.paidSat ?? 0n,
    balance: balanceOf(terms, last?.paidSat ?? 0n),
    expiryHeight: terms.expiryHeight,
    sharesCredited: batchVerifier.stats.sharesCredited,
    refused: batchVerifier.stats.refused,
    work: channel.work,
    blocks: channel.blocks,
    fundingTxid: store.channel?.fundingTxid,
    fundingDepth: store.stream.fundingDepth,
    seal: channel.seal,
    beads: channel.beads,
    frozen: store.frozen?.message,
    fault: store.fault?.type,
    luck: store.luck,
    delivery: channel.delivery,
    auditor: channel.auditor,
    notices: noticesView(store.state.notices),
  };
}
