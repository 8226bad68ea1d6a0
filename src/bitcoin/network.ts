import { type Network, networks } from 'bitcoinjs-lib';

export type NetworkName = 'mainnet' | 'testnet' | 'testnet4' | 'signet' | 'regtest';

/** What of consensus differs between the networks, as far as a block's reward and difficulty go. */
export type Consensus = {
  /** Blocks between two halvings of the subsidy. */
  readonly halvingBlocks: number;
  /** False where every block has the difficulty of the one before. */
  readonly isRetargeted: boolean;
  /**
   * nBits that a block may have whose time is later than its parent's by more than
   * `MIN_DIFFICULTY_AFTER_SECONDS`, whatever the difficulty is else.
   */
  readonly minDifficultyBits?: number;
  /** A block is valid only with a signature in its coinbase that proof of work does not replace (BIP325). */
  readonly isSigned?: boolean;
};

type NetworkFacts = {
  readonly params: Network;
  readonly genesisHash: string;
  readonly consensus: Consensus;
};

const PUBLIC: Consensus = { halvingBlocks: 210_000, isRetargeted: true };
const TESTNET: Consensus = { ...PUBLIC, minDifficultyBits: 0x1d00ffff };

/**
 * The networks and what differs between them: address prefixes for bitcoinjs-lib, the genesis hash peers
 * compare, and consensus.
 */
export const NETWORKS: Readonly<Record<NetworkName, NetworkFacts>> = {
  mainnet: {
    params: networks.bitcoin,
    genesisHash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    consensus: PUBLIC,
  },
  testnet: {
    params: networks.testnet,
    genesisHash: '000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943',
    consensus: TESTNET,
  },
  /** BIP94. */
  testnet4: {
    params: networks.testnet,
    genesisHash: '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
    consensus: TESTNET,
  },
  signet: {
    params: networks.testnet,
    genesisHash: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
    consensus: { ...PUBLIC, isSigned: true },
  },
  regtest: {
    params: networks.regtest,
    genesisHash: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
    consensus: { halvingBlocks: 150, isRetargeted: false },
  },
};

/** Blocks of one difficulty. */
export const RETARGET_BLOCKS = 2016;

/** Testnets: a block so many seconds after its parent may have the least difficulty. */
export const MIN_DIFFICULTY_AFTER_SECONDS = 1200;

const FIRST_SUBSIDY_SAT = 5_000_000_000n;

/** The subsidy of a block in sats. */
export function subsidySat(network: NetworkName, height: number): bigint {
  return FIRST_SUBSIDY_SAT >> BigInt(Math.floor(height / NETWORKS[network].consensus.halvingBlocks));
}

/** True for the name of a network that this program knows. */
export function isNetworkName(value: unknown): value is NetworkName {
  return typeof value === 'string' && Object.hasOwn(NETWORKS, value);
}
