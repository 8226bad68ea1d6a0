import type { SaidTimes, SaleTimes } from './sale-terms.ts';
import type { HostPort } from './values.ts';

/** The same names as `bitcoin/network.ts`, which this folder does not know. */
export type ConfigNetwork = 'mainnet' | 'testnet' | 'testnet4' | 'signet' | 'regtest';

export type Role = 'proxy' | 'maker' | 'auditor';

/** Where the ledger is, and for how long evidence is kept in it. */
export type LedgerConfig = {
  readonly keepMs: number;
  /** Undefined for the file in the data directory. Files are absolute. */
  readonly postgres:
    | {
        readonly url: string;
        readonly instance: string;
        /** Where it stands, in the operator's words. */
        readonly site: string;
        readonly passwordFile: string | undefined;
        readonly tlsCaFile: string | undefined;
        readonly singleServer: boolean;
        /** Another program of this instance takes over from one that is silent for so long. */
        readonly standbyMs: number | undefined;
      }
    | undefined;
};

type CommonConfig = {
  readonly network: ConfigNetwork;
  /** Absolute. */
  readonly dataDir: string;
  readonly ledger: LedgerConfig;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly metrics: { readonly listen: HostPort; readonly allowedHosts: readonly string[] };
  /** Absolute; the file may not exist yet. Named: the configuration says where it is. */
  readonly keys: { readonly seedFile: string; readonly isNamed: boolean; readonly nodeNumber: number };
};

/** The program of an auditor, as both sides of contracts reach it. */
export type AuditorPlaceConfig = HostPort & {
  readonly nodeId: string;
  /** Compressed, in hex: what terms name. */
  readonly keyHex: string | undefined;
};

export type AuditorConfig = CommonConfig & {
  readonly peer: { readonly listen: HostPort };
  /** x-only keys, 64 lower-case hex digits. */
  readonly peers: { readonly allow: readonly string[] };
};

export type ProxyConfig = CommonConfig & {
  /** What anybody may see of the page. */
  readonly http: { readonly public: 'off' | 'status' };
  /** Absolute. Ladder files, one for each channel. */
  readonly closeDir: string;
  readonly stratum: StratumConfig;
  /** At least one. The contract destination first, then the fallbacks by priority. */
  readonly destinations: readonly DestinationConfig[];
  readonly failover: FailoverConfig;
  readonly split: SplitConfig;
  /** Undefined unless `contract.enabled`. */
  readonly contract: ContractConfig | undefined;
  /** Beside `contract`, each by a name of its own. */
  readonly furtherContracts: readonly ContractConfig[];
  /** Instead of `contract`, where `contract.binding` is `none`. */
  readonly metering: MeteringConfig | undefined;
  /** Whom to ask for quotes. */
  readonly makers: readonly MakerPlace[];
  /** Undefined where nothing is asked for. */
  readonly sell: SellConfig | undefined;
  /** Always there when `contract` is. */
  readonly chain: ChainConfig | undefined;
  readonly auditor: AuditorPlaceConfig | undefined;
};

export type MakerConfig = CommonConfig & {
  /** Absolute. Files of the refunds, one for each channel. */
  readonly closeDir: string;
  readonly peer: { readonly listen: HostPort; readonly endpoints: readonly HostPort[] };
  /** x-only keys, 64 lower-case hex digits. */
  readonly peers: { readonly allow: readonly string[] };
  readonly policy: PolicyConfig;
  /** Undefined where no beads are bought. */
  readonly braidpool: BraidpoolConfig | undefined;
  /** Best first. */
  readonly pools: readonly UpstreamConfig[];
  /** Undefined only where no contract has a channel. */
  readonly chain: ChainConfig | undefined;
  readonly wallet: WalletConfig;
  readonly auditor: AuditorPlaceConfig | undefined;
};

/** The own Braidpool node of a maker, and what it takes of contracts that are bound by beads. */
export type BraidpoolConfig = {
  readonly rpcUrl: string;
  readonly scriptHex: string;
  readonly profiles: readonly BeadProfileName[];
  readonly minStopPpb: number;
  readonly maxLossSat: bigint;
};

export type BeadProfileName = 'spec' | 'as_is' | 'weak';

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
  | {
      readonly type: 'rate';
      readonly hashesPerSecond: bigint;
      /** See `SplitQuota`. */
      readonly maxHashesPerSecond?: bigint;
    }
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

/** A market maker that is asked for quotes. */
export type MakerPlace = {
  readonly name: string;
  readonly maker: HostPort;
  readonly makerNodeId: string;
};

/** What makers are asked for, and the least that is taken for it. */
export type SellConfig = SaleTimes & {
  readonly floorMsatPerEh: bigint;
  /** What the work, rate and times were made of. */
  readonly said: SaidTimes;
  readonly stepHashes: bigint;
  readonly maxUnpaidSteps: number;
  readonly maxExposureSat: bigint | undefined;
  /** Contracts that are kept running by rule; 0 or undefined: none. */
  readonly keepContracts?: number;
  readonly shareDifficulty: number;
  /** Under binding `work`, of every share of a job. */
  readonly hardestShare: number;
  /** The best first. */
  readonly bindings: readonly ('work' | 'payout' | 'bead')[];
  readonly maxDepth: number;
  readonly prices: readonly ('fixed' | 'moving')[];
  /** How many times off the value of hashes a price is far; undefined: none is. */
  readonly offMarket: number | undefined;
  /** The least cap of a price that moves; undefined: any. */
  readonly leastCapMsatPerEh: bigint | undefined;
  /** Undefined where none are asked for. */
  readonly bonds: (BondsConfig & BondRuleConfig) | undefined;
  /** By what it is judged whether the rate is kept; undefined: by nothing. */
  readonly delivery?: DeliveryConfig['rules'] | undefined;
  readonly payout: PayoutConfig;
};

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
  /** When it begins and ends; undefined where nothing of the kind is asked for. */
  readonly term: TermConfig | undefined;
  /** Undefined where no delivery is promised. */
  readonly delivery?: DeliveryConfig | undefined;
  /** Undefined where the price is fixed. */
  readonly index?: IndexConfig | undefined;
  readonly bonds: BondsConfig | undefined;
  /** Undefined where the amounts are all that is said. */
  readonly bondRule?: BondRuleConfig | undefined;
  /** Signs, when the maker asks, that it has its bond back after a close alone. */
  readonly returnsBonds: boolean;
  readonly seal: SealConfig | undefined;
  readonly payout: PayoutConfig;
  /** The destination that is mined for it; undefined: the only one for contracts, or its maker's jobs. */
  readonly destination?: string | undefined;
  /** Its part of the hashrate; undefined: as much as any other without one. */
  readonly quota?: QuotaConfig | undefined;
  /** How long its channel is leased, in ms, where several proxies serve it; undefined where this one does. */
  readonly leaseMs?: number | undefined;
  /** The next contract on the same terms is opened before this one is used up. */
  readonly renews?: boolean | undefined;
  /** Who has a part of the pay in every state; undefined: the miner alone. */
  readonly payees?: readonly PayeeConfig[] | undefined;
};

export type PayeeConfig = {
  readonly label: string;
  /** Of the pay: what it keeps, without what it passes on. */
  readonly ppm: number;
  readonly address: string;
  /** What its output holds from the first state on, out of the miner's reserve. */
  readonly seedSat: bigint;
};

/** A price that follows the value of hashes, up to the price of the contract. */
export type IndexConfig = {
  readonly premiumPpm: number;
  readonly minMsatPerEh: bigint;
  readonly epoch: 'difficulty' | 'day';
  readonly ttlBlocks: number;
};

/** When a contract begins and ends, in blocks from the proposal and from the start. */
export type TermConfig = {
  readonly start: { readonly afterBlocks: number; readonly withinBlocks: number } | undefined;
  readonly durationBlocks: number | undefined;
  /** Of a notice of the end by either side; 0 for none. */
  readonly noticeBlocks: number;
};

/** What is promised, and the rules by which it is judged. */
export type DeliveryConfig = {
  readonly rateHps: bigint;
  readonly maxRateHps: bigint;
  /** What becomes of work beyond the greatest rate. */
  readonly overDelivery: 'credit' | 'refuse';
  readonly rules: {
    readonly windowMinutes: number;
    readonly tolerancePpm: number;
    readonly cureBlocks: number;
    readonly curtailmentBlocks: number;
    readonly falseDefaultAlphaPpm: number;
  };
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
      /** Of whom the maker is one; in ppm all of the coinbase together. */
      readonly outputs: readonly { readonly scriptHex: string; readonly ppm: number }[];
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

/** Metering without money: binding `none`. */
export type MeteringConfig = Pick<
  ContractConfig,
  | 'name'
  | 'maker'
  | 'makerNodeId'
  | 'workTotalHashes'
  | 'stepHashes'
  | 'expiryBlocks'
  | 'shareDifficulty'
  | 'staleGraceSeconds'
  | 'destination'
  | 'quota'
>;

/** By rule: the amounts are the least. */
export type BondRuleConfig = { readonly collateralPpm: number; readonly makerBondPpm: number };

export type BondsConfig = { readonly makerBondSat: bigint; readonly collateralSat: bigint } & (
  | { readonly bondMode: 'auditor'; readonly bondCsvBlocks: number; readonly auditorKeyHex: string }
  | { readonly bondMode: 'hostage' | 'forfeit_to_mm' }
);

export type SealConfig = { readonly sealSat: bigint; readonly claimFeeRateSatPerKvb: number };

export type PayoutConfig =
  | { readonly type: 'address'; readonly address: string }
  | { readonly type: 'script'; readonly scriptHex: string };

/** How a maker comes to its price. */
export type PricingConfig = {
  readonly rule:
    | { readonly type: 'fixed'; readonly msatPerEh: bigint }
    | (PriceFollowing & { readonly type: 'index'; readonly premiumPpm: number })
    | (PriceFollowing & {
        readonly type: 'collar';
        readonly strikeMsatPerEh: bigint;
        readonly sharePpm: number;
      });
  readonly spread: {
    readonly inventoryPpm: number;
    readonly volatilityPpm: number;
    readonly sizePpm: number;
    readonly durationPpm: number;
  };
  readonly targetInventoryHashes: bigint;
  readonly targetRateHps: bigint | undefined;
};

type PriceFollowing = {
  readonly formula: 'hash_value_144';
  readonly epoch: 'difficulty' | 'day';
  readonly ttlBlocks: number;
  readonly minMsatPerEh: bigint;
  readonly maxMsatPerEh: bigint;
};

/** What a maker takes from miners that are not listed, together. */
export type StrangersConfig = {
  readonly maxBudgetSat: bigint;
  readonly maxContracts: number;
  readonly requireCollateral: boolean;
};

export type PolicyConfig = {
  readonly maxPriceMsatPerEh: bigint;
  readonly maxBudgetSat: bigint;
  readonly maxTotalBudgetSat: bigint;
  /** Undefined: as of all. */
  readonly maxBudgetPerMinerSat: bigint | undefined;
  readonly maxContractsPerMiner: number;
  readonly isHalted: boolean;
  readonly pricing: PricingConfig;
  /** Undefined where none of them is let in. */
  readonly strangers: StrangersConfig | undefined;
  readonly minStepHashes: bigint;
  readonly maxStepHashes: bigint;
  readonly maxUnpaidSteps: number;
  readonly minShareDifficulty: number;
  readonly minExpiryBlocks: number;
  readonly maxExpiryBlocks: number;
  readonly minDepth: number;
  readonly maxStaleGraceSeconds: number;
  /** Undefined where no terms with notice of the end are taken. */
  readonly minNoticeBlocks: number | undefined;
  /** Undefined where no price that moves is taken. */
  readonly maxIndexPremiumPpm: number | undefined;
  /** Undefined: any. */
  readonly maxPoolUnpaidHashes: bigint | undefined;
  /** How many times above the value of hashes nothing is paid; undefined: no bound. */
  readonly offMarket: number | undefined;
  /** Undefined: no bound. */
  readonly maxRateHps: bigint | undefined;
  readonly bindingScriptHex: string | undefined;
  readonly payout: {
    readonly minOwnPpm: number;
    readonly minFeesPpm: number;
    readonly minSamplePpm: number;
    readonly maxSampleSeconds: number;
  };
  /** `none` is metering without money. */
  readonly bindings: readonly ('work' | 'payout' | 'bead' | 'none')[];
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
  readonly minCureBlocks: number;
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
