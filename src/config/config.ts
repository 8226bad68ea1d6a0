import type { HostPort } from './values.ts';

/** The same names as `bitcoin/network.ts`, which this folder does not know. */
export type ConfigNetwork = 'mainnet' | 'testnet' | 'testnet4' | 'signet' | 'regtest';

export type Role = 'proxy' | 'maker';

type CommonConfig = {
  readonly network: ConfigNetwork;
  /** Absolute. */
  readonly dataDir: string;
  readonly ledger: { readonly keepMs: number };
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly metrics: { readonly listen: HostPort; readonly allowedHosts: readonly string[] };
  /** Absolute; the file may not exist yet. Named: the configuration says where it is. */
  readonly keys: { readonly seedFile: string; readonly isNamed: boolean };
};

export type ProxyConfig = CommonConfig & {
  /** Absolute. Ladder files, one for each channel. */
  readonly closeDir: string;
  readonly stratum: StratumConfig;
  /** At least one. The contract destination first, then the fallbacks by priority. */
  readonly destinations: readonly DestinationConfig[];
  readonly failover: FailoverConfig;
  readonly split: SplitConfig;
  /** Undefined unless `contract.enabled`. */
  readonly contract: ContractConfig | undefined;
  /** Always there when `contract` is. */
  readonly chain: ChainConfig | undefined;
};

export type MakerConfig = CommonConfig & {
  /** Absolute. Files of the refunds, one for each channel. */
  readonly closeDir: string;
  readonly peer: { readonly listen: HostPort };
  /** x-only keys, 64 lower-case hex digits. */
  readonly peers: { readonly allow: readonly string[] };
  readonly policy: PolicyConfig;
  /** Undefined where no beads are bought. */
  readonly braidpool: BraidpoolConfig | undefined;
  /** Best first. */
  readonly pools: readonly UpstreamConfig[];
  readonly chain: ChainConfig;
  readonly wallet: WalletConfig;
};

/** The own Braidpool node of a maker, and what it takes of contracts that are bound by beads. */
export type BraidpoolConfig = {
  readonly rpcUrl: string;
  readonly scriptHex: string;
  readonly profiles: readonly BeadProfileName[];
  readonly minStopPpb: number;
  readonly maxLossSat: bigint;
};

export type BeadProfileName = 'as_is' | 'weak';

export type StratumConfig = {
  readonly listen: HostPort;
  /** Ports beside `listen`. */
  readonly listeners: readonly ListenerConfig[];
  readonly reusePort: boolean;
  readonly reconnectAtClose: boolean;
  /** 32 bits; 0 turns version rolling off. */
  readonly versionMask: number;
  /** See `ListenerConfig`; on `listen`. */
  readonly unaskedVersions: boolean;
  readonly maxSessions: number;
  readonly limits: StratumLimits;
  readonly difficulty: DifficultyConfig;
};

export type ListenerConfig = {
  readonly listen: HostPort;
  /** To be read with `readTextFile` and `readSecretFile`. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Addresses and ranges of balancers that speak the PROXY protocol. */
  readonly proxies: readonly string[];
  /** Floor and start instead of those of `stratum.difficulty`. */
  readonly difficulty: number | undefined;
  /** Version bits are taken from machines that did not ask to roll them. */
  readonly unaskedVersions: boolean;
};

export type StratumLimits = {
  readonly maxSessionsPerAddress: number;
  readonly acceptsPerSecond: number;
  readonly acceptsPerSecondPerAddress: number;
  readonly linesPerSecond: number;
  readonly subscribeTimeoutMs: number;
  readonly authorizeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly keepAliveMs: number;
  /** 0: sessions cannot be resumed. */
  readonly resumeForMs: number;
  readonly resendAfter: number;
  readonly reconnectAfter: number;
  readonly banAfter: number;
  readonly banForMs: number;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
};

export type FailoverConfig = {
  readonly returnAfterMs: number;
  /** 0 to 1. */
  readonly maxRejectRatio: number;
  readonly maxRoundTripMs: number;
};

export type SplitConfig = {
  readonly minStayMs: number;
  readonly sliceMs: number;
  /** 0 to 1. */
  readonly tolerance: number;
};

export type DifficultyConfig = {
  readonly mode: 'vardiff' | 'fixed';
  readonly start: number;
  readonly min: number;
  /** Of machines that say they are slow; not above `min`. */
  readonly smallMin: number;
  readonly max: number;
  readonly sharesPerMinute: number;
};

/** A pool or node that this program is a client of. */
export type UpstreamConfig = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly worker: string;
  /** Read with `readSecretFile` where it is a file. */
  readonly password: SecretSource;
  readonly profile: 'generic' | 'braidpool';
  readonly priority: number;
  /** Undefined: plain TCP. */
  readonly tls: UpstreamTlsConfig | undefined;
  readonly versionReading: 'auto' | 'replace' | 'xor' | 'or';
  /** 32 bits; 0 leaves `mining.configure` out. */
  readonly versionMask: number;
  /** Undefined: as the profile says. */
  readonly resume: boolean | undefined;
  readonly extranonceSubscribe: boolean;
  readonly suggestDifficulty: number | undefined;
  /** For each answer to configure, subscribe and authorize. */
  readonly handshakeTimeoutMs: number;
  readonly allowRedirect: boolean;
};

export type DestinationConfig = UpstreamConfig & {
  readonly role: 'contract' | 'fallback';
  /** Its part of the hashrate; undefined unless `split` is wished for. */
  readonly quota: QuotaConfig | undefined;
  /** JSON-RPC of a Braidpool node. */
  readonly rpcUrl: string | undefined;
  readonly payoutMode: 'normal' | 'audit';
  /** Where each miner gets a connection of its own. */
  readonly links: {
    readonly max: number;
    readonly spare: number;
    readonly extranonce1: 'auto' | 'upstream' | 'empty';
  };
};

export type QuotaConfig =
  | { readonly type: 'rate'; readonly hashesPerSecond: bigint }
  | { readonly type: 'weight'; readonly weight: number };

export type UpstreamTlsConfig = {
  /** To be read with `readTextFile`. */
  readonly caFile: string | undefined;
  readonly serverName: string | undefined;
  readonly verify: boolean;
};

export type SecretSource =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'file'; readonly file: string };

export type ContractConfig = {
  /** One name stands for one contract: it is not proposed again once it is over. */
  readonly name: string;
  readonly maker: HostPort;
  readonly makerNodeId: string;
  readonly priceMsatPerEh: bigint;
  readonly workTotalHashes: bigint;
  readonly stepHashes: bigint;
  readonly maxUnpaidSteps: number;
  /** Over all contracts of the proxy. */
  readonly maxUnpaidTotalSat: bigint | undefined;
  readonly budgetSat: bigint;
  readonly reserveSat: bigint;
  readonly minerReserveSat: bigint;
  /** Counted from the tip at the proposal. */
  readonly expiryBlocks: number;
  readonly minDepth: number;
  /** Of every share of the contract. */
  readonly shareDifficulty: number;
  readonly binding: BindingConfig;
  readonly staleGraceSeconds: number;
  /** 2 stands for 1 too, where there are neither bonds nor a seal. */
  readonly termsVersion: 2 | 3;
  readonly bonds: BondsConfig | undefined;
  /** Signs, when the maker asks, that it has its bond back after a close alone. */
  readonly returnsBonds: boolean;
  readonly seal: SealConfig | undefined;
  readonly payout: PayoutConfig;
};

/** What ties the work of a contract to its buyer. */
export type BindingConfig =
  | {
      readonly type: 'work';
      readonly hardestShare: number;
      readonly extranonce2Bytes: number;
      readonly withdrawalsPerBlock: number;
      readonly solutionsPerMinute: number;
      readonly foreignChain: boolean;
    }
  | {
      readonly type: 'payout';
      readonly scriptHex: string;
      readonly minFeesPpm: number;
      readonly samplePpm: number;
      readonly sampleSeconds: number;
    }
  | {
      readonly type: 'bead';
      readonly scriptHex: string;
      readonly profile: BeadProfileName;
      readonly stopPpb: number;
      readonly maxLossSat: bigint;
    }
  | { readonly type: 'none' };

export type BondsConfig = { readonly makerBondSat: bigint; readonly collateralSat: bigint } & (
  | { readonly bondMode: 'auditor'; readonly bondCsvBlocks: number; readonly auditorKeyHex: string }
  | { readonly bondMode: 'hostage' | 'forfeit_to_mm' }
);

export type SealConfig = { readonly sealSat: bigint; readonly claimFeeRateSatPerKvb: number };

export type PayoutConfig =
  | { readonly type: 'address'; readonly address: string }
  | { readonly type: 'script'; readonly scriptHex: string };

export type PolicyConfig = {
  readonly maxPriceMsatPerEh: bigint;
  readonly maxBudgetSat: bigint;
  readonly maxTotalBudgetSat: bigint;
  readonly maxContractsPerMiner: number;
  readonly minStepHashes: bigint;
  readonly maxStepHashes: bigint;
  readonly maxUnpaidSteps: number;
  readonly minShareDifficulty: number;
  readonly minExpiryBlocks: number;
  readonly maxExpiryBlocks: number;
  readonly minDepth: number;
  readonly maxStaleGraceSeconds: number;
  readonly bindingScriptHex: string | undefined;
  readonly payout: {
    readonly minOwnPpm: number;
    readonly minFeesPpm: number;
    readonly minSamplePpm: number;
    readonly maxSampleSeconds: number;
  };
  readonly bindings: readonly ('work' | 'payout' | 'bead')[];
  readonly stakes: StakesConfig;
};

/** What a maker takes of bonds and seals. */
export type StakesConfig = {
  readonly bondModes: readonly (BondsConfig['bondMode'] | 'none')[];
  readonly maxMakerBondSat: bigint;
  readonly minCollateralSat: bigint;
  readonly auditorKeysHex: readonly string[];
  readonly minBondCsvBlocks: number;
  readonly maxBondCsvBlocks: number;
  readonly seal: 'never' | 'allowed' | 'required';
  readonly minClaimFeeRateSatPerKvb: number;
  readonly earlyClose: 'refused' | 'returned' | 'miner_forfeits';
  readonly returnsBonds: boolean;
};

export type ChainNodeConfig = { readonly rpcUrl: string; readonly auth: ChainAuth };

/** The first node, which has the wallet where a node has it, and how all are used. */
export type ChainConfig = ChainNodeConfig & {
  readonly otherNodes: readonly ChainNodeConfig[];
  readonly pollMs: number;
  /** Where no node has an estimate. */
  readonly feeRateSatPerKvb: number;
  /** 0: heights are never projected. */
  readonly blockIntervalMs: number;
};

export type WalletConfig =
  | { readonly type: 'key' }
  | { readonly type: 'node'; readonly name: string }
  | {
      readonly type: 'file';
      readonly account: { readonly xpub: string; readonly fingerprintHex: string; readonly path: string };
      /** Absolute. */
      readonly folder: string;
    };

export type ChainAuth =
  | { readonly type: 'none' }
  | { readonly type: 'password'; readonly user: string; readonly passwordFile: string }
  | { readonly type: 'cookie'; readonly cookieFile: string };
