import type { TermsV1or2, TermsV3 } from '../../src/contract/terms.ts';
import type { MakerOptions } from '../../src/maker/maker-options.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import type { SaleLimits } from '../../src/miner/sale-limits.ts';
import type { DiskNature } from './disk.ts';
import type { FarmNature } from './farm.ts';
import type { Side } from './network.ts';

/** What is special about a world. */
export type WorldOptions = {
  readonly disks?: Partial<Record<Side, DiskNature>>;
  /** The maker's states are signed by one that remembers by itself, as in the daemon. */
  readonly signerRemembers?: boolean;
  /** With bonds that an auditor rules on, and with a seal. */
  readonly staked?: boolean;
  /** The program of the auditor that the terms name runs, and both tell it their logs. */
  readonly audited?: boolean;
  /** See `StreamOptions`. */
  readonly unpaidTimeoutMs?: number;
  /** Sides that follow no rules: they are held to none. */
  readonly hostile?: readonly Side[];
  /** Sides that start from a backup: what they said before is not on their disk. */
  readonly forgets?: readonly Side[];
  readonly terms?: Partial<TermsV1or2>;
  /** Of version 3, where something else is agreed than follows from the others. */
  readonly termsV3?: Partial<TermsV3>;
  /** The same, by the height at which the world begins. */
  readonly termsV3At?: (height: number) => Partial<TermsV3>;
  /** Terms of versions 1 and 2, by which any output to the buyer is enough. */
  readonly isOld?: boolean;
  readonly policy?: (usual: MakerPolicy) => MakerPolicy;
  /** Unpaid pay of all of the miner's contracts together, sats. Default: no such bound. */
  readonly exposureTotal?: bigint;
  /** What the miner holds updates to. Default: nothing. */
  readonly sale?: SaleLimits;
  /** Other settings of the maker. */
  readonly maker?: Pick<
    MakerOptions,
    'opening' | 'proposalTimeoutMs' | 'allowedNodeIds' | 'openingTimeoutMs' | 'verification'
  >;
  readonly farm?: FarmNature;
  /** Blocks that are there before it begins. Default: none. */
  readonly oldBlocks?: number;
  /** Coins from which transactions of others can be made, that pay fees. Default: 0. */
  readonly othersCoins?: number;
  /** Nodes as the daemon asks them; `nodes.miner` is the first. Default: that one, asked directly. */
  readonly minerNodes?: number;
  /** The keys by which the maker takes back lie in a vault, which signs when a strategy says so. */
  readonly vault?: boolean;
  /** `sharestream watch` runs elsewhere, on the ladder files of this side. */
  readonly watched?: Side;
  /** Sides that project heights by their clock. */
  readonly blockIntervalMs?: Partial<Record<Side, number>>;
  /** The miner is one of two proxies on one ledger, of which one at a time owns the channel. */
  readonly fleet?: boolean;
  /** This side starts anew by itself once its disk takes writes again, as the daemon does. */
  readonly renews?: Side | undefined;
};
