import type { Clock, Random, Timers } from '../base/clock.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import type { ChainSource } from '../chain/source.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { RpcOptions } from '../peer/rpc-peer.ts';
import type {
  PeerListener,
  PeerServerDeps,
  PeerServerOptions,
  TransportOptions,
} from '../peer/transport.ts';
import type { AuditorLink } from '../settlement/auditor-link.ts';
import type { ExternalSigning } from '../settlement/external-signing.ts';
import type { FundingWallet } from '../settlement/funding-wallet.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import type { SignerTree } from '../settlement/opening.ts';
import type { BlobFiles } from '../settlement/peer-blobs.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { BatchVerifierOptions } from './batch-verifier.ts';
import type { BeadSource } from './bead-binding.ts';
import type { MakerOpeningOptions } from './maker-opening.ts';
import type { OpenStateSigner } from './maker-store.ts';
import type { MakerPolicy } from './policy.ts';
import type { PolicySettings } from './policy-book.ts';
import type { PositionFile } from './restored-ledger.ts';
import type { ObserveBatch } from './verification.ts';
import type { OwnWork } from './work-binding.ts';

export type MakerOptions = {
  readonly host: string;
  /** TCP port; 0 lets the system choose. */
  readonly port: number;
  /** Node ids that may connect; undefined admits everyone who proves a key. */
  readonly allowedNodeIds?: ReadonlySet<string>;
  readonly maxConnections?: number;
  /** That of the file; what is set at run time goes over it. */
  readonly policy: MakerPolicy;
  readonly opening?: Partial<MakerOpeningOptions>;
  /** Time in ms after which a proposal that is not opened holds no budget. */
  readonly proposalTimeoutMs?: number;
  /** Time in ms after which an opening that does not go on frees its coins: see `OpeningBudget`. */
  readonly openingTimeoutMs?: number;
  readonly verification?: Partial<BatchVerifierOptions>;
  /** Confirmations at which a close is final. */
  readonly finalDepth?: number;
  readonly authTimeoutMs?: number;
  readonly transport?: TransportOptions;
  readonly rpc?: RpcOptions;
  /** Feature bits to announce: see `FEATURE_TABLE`. */
  readonly features?: readonly number[];
  /** False without a bitcoin node: then there is metering without money alone. Default: true. */
  readonly hasChain?: boolean;
};

export type MakerDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  /** Tells when no node hears of blocks: no work is taken then, and nothing opened. */
  readonly chainClock?: ChainClock;
  readonly signer: SignerTree;
  /** See `StakeSettlementDeps`. */
  readonly externalSigning?: ExternalSigning;
  /** The auditor's program, which is told both minute logs. Default: none. */
  readonly auditor?: Pick<AuditorLink, 'follow' | 'viewOf' | 'assertNamed' | 'place'>;
  /** See `MakerStoreDeps`. */
  readonly openStateSigner?: OpenStateSigner;
  /** Wallet for fundings. Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
  /** The own Braidpool node, for contracts that are bound by its beads. */
  readonly beads?: BeadSource;
  readonly kernel: ShareKernel;
  readonly observeBatch?: ObserveBatch;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** See `PolicyBookDeps`. Default: the policy cannot be set at run time. */
  readonly applyPolicy?: (settings: PolicySettings) => MakerPolicy;
  /** The line that `market.offer` answers with. Default: none is served. */
  readonly offer?: (policy: MakerPolicy) => string;
  readonly log: Logger;
  /** Positions beside the ledger, which show one that was restored: see `RestoredLedger`. */
  readonly positions?: PositionFile;
  /** Pools for contracts whose jobs are the maker's own. Default: none, and their jobs are in memory. */
  readonly ownWork?: OwnWork;
  /** Writes the refund of each channel to a file. */
  readonly ladders?: LadderWriter;
  /** Files for the miners' blobs. Default: in memory. */
  readonly blobFiles?: BlobFiles;
  /** Called after every possible change of the status. */
  readonly onStatus?: () => void;
  /** Opens a listener on another network than TLS over TCP. */
  readonly openServer?: (options: PeerServerOptions, deps: PeerServerDeps) => PeerListener;
};
