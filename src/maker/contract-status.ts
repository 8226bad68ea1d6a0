import { type StreamStatus, unsignedWork } from '../contract/stream.ts';
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
  readonly unsignedWorkHashes: bigint;
  readonly n: number;
  readonly ackedN: number;
  readonly paidSat: bigint;
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
  return {
    contractId: store.contractId,
    minerNodeId: store.terms.minerNodeId,
    connected: channel.connected,
    channel: store.channel?.status ?? 'none',
    stream: store.stream.status,
    verifiedWorkHashes: store.delivery.verifiedWorkHashes,
    unsignedWorkHashes: unsignedWork(store.stream),
    n: store.last?.n ?? -1,
    ackedN: store.ackedN,
    paidSat: store.last?.paidSat ?? 0n,
    sharesCredited: batchVerifier.stats.sharesCredited,
    refused: batchVerifier.stats.refused,
    work: channel.work,
    blocks: channel.blocks,
    fundingTxid: store.channel?.fundingTxid,
    fundingDepth: store.stream.fundingDepth,
    seal: channel.seal,
    beads: channel.beads,
    frozen: store.frozen?.message,
    luck: store.luck,
    delivery: channel.delivery,
    auditor: channel.auditor,
    notices: noticesView(store.state.notices),
  };
}
