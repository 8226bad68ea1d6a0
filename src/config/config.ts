import type { HostPort } from './values.ts';

/** The same names as `bitcoin/network.ts`, which this folder does not know. */
export type ConfigNetwork = 'mainnet' | 'testnet' | 'signet' | 'regtest';

export type Role = 'proxy' | 'maker';

type CommonConfig = {
  readonly network: ConfigNetwork;
  /** Absolute. */
  readonly dataDir: string;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly metrics: { readonly listen: HostPort; readonly allowedHosts: readonly string[] };
  /** Absolute; the file may not exist yet. */
  readonly keys: { readonly seedFile: string };
};

export type ProxyConfig = CommonConfig & {
  readonly stratum: {
    readonly listen: HostPort;
    readonly reusePort: boolean;
    /** 32 bits; 0 turns version rolling off. */
    readonly versionMask: number;
    readonly maxSessions: number;
    readonly difficulty: DifficultyConfig;
  };
  /** At least one. The contract destination first, then the fallbacks by priority. */
  readonly destinations: readonly DestinationConfig[];
  /** Undefined unless `contract.enabled`. */
  readonly contract: ContractConfig | undefined;
  /** Always there when `contract` is. */
  readonly chain: ChainConfig | undefined;
};

export type MakerConfig = CommonConfig & {
  readonly peer: { readonly listen: HostPort };
  /** x-only keys, 64 lower-case hex digits. */
  readonly peers: { readonly allow: readonly string[] };
  readonly policy: PolicyConfig;
  readonly chain: ChainConfig;
};

export type DifficultyConfig = {
  readonly mode: 'vardiff' | 'fixed';
  readonly start: number;
  readonly min: number;
  readonly max: number;
  readonly sharesPerMinute: number;
};

export type DestinationConfig = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly worker: string;
  /** Read with `readSecretFile` where it is a file. */
  readonly password: SecretSource;
  readonly profile: 'generic' | 'braidpool';
  readonly role: 'contract' | 'fallback';
  readonly priority: number;
};

export type SecretSource =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'file'; readonly file: string };

export type ContractConfig = {
  readonly maker: HostPort;
  readonly makerNodeId: string;
  readonly priceMsatPerEh: bigint;
  readonly workTotalHashes: bigint;
  readonly stepHashes: bigint;
  readonly maxUnpaidSteps: number;
  readonly budgetSat: bigint;
  readonly reserveSat: bigint;
  readonly minerReserveSat: bigint;
  /** Counted from the tip at the proposal. */
  readonly expiryBlocks: number;
  readonly minDepth: number;
  /** Of every share of the contract. */
  readonly shareDifficulty: number;
  readonly bindingScriptHex: string | undefined;
  readonly staleGraceSeconds: number;
  readonly payout: PayoutConfig;
};

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
};

export type ChainConfig = {
  readonly rpcUrl: string;
  readonly auth: ChainAuth;
  readonly pollMs: number;
  /** Where the node has no estimate. */
  readonly feeRateSatPerKvb: number;
};

export type ChainAuth =
  | { readonly type: 'none' }
  | { readonly type: 'password'; readonly user: string; readonly passwordFile: string }
  | { readonly type: 'cookie'; readonly cookieFile: string };
