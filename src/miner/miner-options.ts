import type { Clock, Random, Timers } from '../base/clock.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { ChannelBalance } from '../channel/amounts.ts';
import type { Fault } from '../channel/lifecycle-state.ts';
import type { StreamStatus } from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { DEFAULT_RPC, type RpcOptions } from '../peer/rpc-peer.ts';
import { type connectPeer, DEFAULT_TRANSPORT, type TransportOptions } from '../peer/transport.ts';
import type { AuditorLink, AuditorView } from '../settlement/auditor-link.ts';
import type { ExternalSigning } from '../settlement/external-signing.ts';
import type { HashValues } from '../settlement/hash-values.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import type { DeliveryView } from '../settlement/minute-keeper.ts';
import type { NoticesView } from '../settlement/notice-board.ts';
import type { BlobFiles } from '../settlement/peer-blobs.ts';
import type { ChannelStatus } from '../settlement/records.ts';
import type { SealStatus } from '../settlement/stake-settlement.ts';
import type { ExposureTotal } from './exposure-total.ts';
import { type CloseMargins, DEFAULT_CLOSE_MARGINS } from './miner-chain.ts';
import type { OpeningDeps } from './miner-opening.ts';
import type { SaleUpdate } from './sale-limits.ts';
import type { WorkDestination } from './work-destination.ts';

/** Options of one contract at the miner. */
export type MinerContractOptions = {
  readonly terms: ContractTerms;
  readonly host: string;
  readonly port: number;
  /** Output script of the miner's payouts. Default: the wallet's own. */
  readonly payoutScript?: Uint8Array;
  readonly maxFeeRateSatPerKvb?: number;
  readonly batchWindow?: number;
  readonly batchIntervalMs?: number;
  readonly reconnectMinMs?: number;
  readonly reconnectMaxMs?: number;
  readonly connectTimeoutMs?: number;
  /** Time in ms that the maker has after a start to show a newer state, before a close that can wait. */
  readonly askPeerMs?: number;
  readonly unpaidTimeoutMs?: number;
  /** See `BondSide`. */
  readonly returnsBonds?: boolean;
  readonly margins?: CloseMargins;
  readonly transport?: TransportOptions;
  readonly rpc?: RpcOptions;
  /** Feature bits to announce: see `FEATURE_TABLE`. */
  readonly features?: readonly number[];
};

/** The options with defaults filled in. */
export type MinerSettings = MinerContractOptions &
  Required<Omit<MinerContractOptions, 'payoutScript' | 'unpaidTimeoutMs' | 'terms' | 'host' | 'port'>>;

/** Default options of a contract. */
export const DEFAULT_SETTINGS: Omit<MinerSettings, 'terms' | 'host' | 'port'> = {
  maxFeeRateSatPerKvb: 200_000,
  batchWindow: 2,
  batchIntervalMs: 250,
  reconnectMinMs: 1_000,
  reconnectMaxMs: 60_000,
  connectTimeoutMs: 10_000,
  askPeerMs: 600_000,
  returnsBonds: false,
  margins: DEFAULT_CLOSE_MARGINS,
  transport: DEFAULT_TRANSPORT,
  rpc: DEFAULT_RPC,
  features: OFFERED_FEATURES,
};

export type MinerContractDeps = OpeningDeps & {
  /** See `MinerStoreDeps`. */
  readonly exposureTotal?: ExposureTotal;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** See `StakeSettlementDeps`. */
  readonly externalSigning?: ExternalSigning;
  /** The auditor's program, which is told both minute logs. Default: none. */
  readonly auditor?: Pick<AuditorLink, 'follow' | 'viewOf' | 'assertNamed'>;
  /** The value of hashes, shared by all contracts. Default: of this one alone. */
  readonly values?: HashValues;
  /** See `WorkDestinationDeps`. */
  readonly observeSolution?: (seconds: number) => void;
  /** Where the maker's jobs are mined, over another connection than that of the channel. Default: over it. */
  readonly sharedWork?: WorkDestination;
  /** Holds an update to what may be sold: see `judgeSale`. */
  readonly judgeUpdate?: (asked: SaleUpdate) => void;
  /** Called after every possible change of the status. */
  readonly onStatus?: (status: MinerStatus) => void;
  readonly connect?: typeof connectPeer;
  /** Templates of the own node, where the jobs are made of them: see `TemplateAnswerDeps`. */
  readonly templates?: Pick<TemplateWatch, 'transactionsOf' | 'lookSoon'>;
  readonly onUnshown?: (jobId: number) => void;
  /** Files for the maker's blobs. Default: in memory. */
  readonly blobFiles?: BlobFiles;
  /** Writer of the newest state for a closer without ledger and keys. */
  readonly ladders?: Pick<LadderWriter, 'write' | 'remove'>;
  /** Tells when the chain is stalled; without it heights come only from nodes. */
  readonly chainClock?: ChainClock;
};

/** The status of one contract at the miner. */
export type MinerStatus = {
  readonly contractId: string;
  /** True while authenticated and reestablished. */
  readonly connected: boolean;
  /** True while hashrate may go to this contract; the maker need not be connected. */
  readonly live: boolean;
  readonly channel: ChannelStatus | 'none';
  readonly stream: StreamStatus;
  readonly signed:
    | { readonly n: number; readonly workHashes: bigint; readonly paidSat: bigint }
    | undefined;
  readonly ownWorkHashes: bigint;
  readonly judgedWorkHashes: bigint;
  readonly refusedWorkHashes: bigint;
  /** The part of it that counts as unpaid: see `MinerStore.unexplainedWorkHashes`. */
  readonly unexplainedWorkHashes: bigint;
  /** Work delivered or in flight that no state pays, less what was refused for a reason. */
  readonly exposureHashes: bigint;
  readonly exposureSat: bigint;
  readonly fundingTxid: string | undefined;
  readonly fundingDepth: number;
  /** Status of the seal; `none` where the terms have none. */
  readonly seal: SealStatus;
  /** The course of delivery; undefined where the terms have no rules for it. */
  readonly delivery: DeliveryView | undefined;
  /** What the auditor says; undefined where none is told. */
  readonly auditor: AuditorView | undefined;
  readonly notices: NoticesView;
  readonly frozen: string | undefined;
  /** Which side's fault that is: `suspended` by an own one, `broken` by the maker. */
  readonly fault: Fault['type'] | undefined;
  /** True while nothing more is delivered because too much is unpaid. */
  readonly isExposureLimited: boolean;
  readonly expiryHeight: number;
  /** What each side has of the channel by the newest signed state. */
  readonly balance: ChannelBalance;
  /** What the own log says against a commitment that the maker signed; the proof is on disk. */
  readonly disputed: { readonly n: number; readonly why: string } | undefined;
  /** Reason for which the last connection ended or was refused. */
  readonly lastError: string | undefined;
};
