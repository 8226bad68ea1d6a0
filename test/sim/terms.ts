import { toHex } from '../../src/base/bytes.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import { beginBlocksOf } from '../../src/chain/watcher.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import type { ContractTerms, TermsV1or2, TermsV3 } from '../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { StatisticalBinding } from '../../src/maker/bead-binding.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { BOUND_SCRIPT_HEX, SHARE } from './farm.ts';
import { CachedSigner } from './signers.ts';

export const SIGNERS = {
  miner: new CachedSigner('miner'),
  maker: new CachedSigner('maker'),
  /** Knows the maker, and is allowed there. */
  stranger: new CachedSigner('stranger'),
  auditor: new CachedSigner('auditor'),
};

export const MARGINS = {
  ...{ askBlocks: 16, broadcastBlocks: 8, urgentBlocks: 3, finalDepth: 2, patienceBlocks: 3 },
  feeCaps: [
    { blocksLeft: 7, ppm: 100_000 },
    { blocksLeft: 4, ppm: 500_000 },
    { blocksLeft: 0, ppm: 1_000_000 },
  ],
};

/** Blocks before the expiry in which nothing more is sold. */
export const SALE_BLOCKS = beginBlocksOf(MARGINS);

const AUDITOR_KEY_HEX = toHex(SIGNERS.auditor.publicKey('auditor'));
export const BOND_CSV_BLOCKS = 10;

export function termsAt(height: number, staked: boolean): TermsV1or2 {
  return {
    network: 'regtest',
    minerNodeId: toHex(nodeIdBytes(SIGNERS.miner)),
    makerNodeId: toHex(nodeIdBytes(SIGNERS.maker)),
    // 500 sat a hash.
    priceMsatPerEh: 500_000n * 10n ** 18n,
    workTotalHashes: 40n * SHARE.workHashes,
    stepHashes: 4n * SHARE.workHashes,
    maxUnpaidSteps: 2,
    budgetSat: 100_000n,
    reserveSat: 1000n,
    minerReserveSat: 6000n,
    expiryHeight: height + 40,
    minDepth: 2,
    feeLadderSatPerKvb: [1_100, 20_000],
    maxTargetHex: targetToHex(SHARE.target),
    binding: { type: 'coinbase', scriptHex: BOUND_SCRIPT_HEX },
    staleGraceSeconds: 120,
    nonceHex: '00112233445566778899aabbccddeeff',
    ...(staked ? STAKES : {}),
  };
}

const STAKES: Pick<TermsV1or2, 'bonds' | 'seal'> = {
  bonds: {
    ...{ bondMode: 'auditor', makerBondSat: 30_000n, collateralSat: 40_000n },
    ...{ bondCsvBlocks: BOND_CSV_BLOCKS, auditorKeyHex: AUDITOR_KEY_HEX },
  },
  seal: { sealSat: 3_000n, claimFeeRateSatPerKvb: 2_000 },
};

/** What the 51 beads earn that a thief in a hurry may be paid for. */
const MOST_LOST_BY_BEADS_SAT = 102_000n;

/** By beads of which each share is one. */
export const BY_BEADS: StatisticalBinding = {
  ...{ type: 'bead', scriptHex: BOUND_SCRIPT_HEX, profile: 'weak' },
  ...{ stopPpb: 1_000, maxLossSat: MOST_LOST_BY_BEADS_SAT },
};

/** By what the coinbase pays, with no job looked at as a whole. */
export const BY_PAYOUT: Extract<TermsV3['binding'], { readonly type: 'payout' }> = {
  type: 'payout',
  outputs: [{ scriptHex: BOUND_SCRIPT_HEX, ppm: 1_000_000 }],
  ...{ minFeesPpm: 950_000, samplePpm: 0, sampleSeconds: 10 },
};

/** By jobs of the maker. */
export const BY_WORK: Extract<TermsV3['binding'], { readonly type: 'work' }> = {
  ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 20, solutionsPerMinute: 600 },
  foreignChain: false,
};

/** The same in version 3: bound by the whole coinbase, and with the caps of these blocks. */
export function termsV3Of(terms: TermsV1or2): TermsV3 {
  return { ...termsV3From(terms, terms.expiryHeight - SALE_BLOCKS - 1), feeCaps: MARGINS.feeCaps };
}

export function policyOf(terms: ContractTerms): MakerPolicy {
  return {
    network: 'regtest',
    maxPriceMsatPerEh: fixedPriceMsatPerEh(terms),
    maxBudgetSat: terms.budgetSat,
    maxTotalBudgetSat: 2n * terms.budgetSat,
    maxOpenContractsPerMiner: 1,
    minStepHashes: 1n,
    maxStepHashes: terms.stepHashes,
    maxUnpaidSteps: 2,
    minShareWorkHashes: 1n,
    minExpiryBlocks: 1,
    maxExpiryBlocks: 100,
    minDepth: 1,
    maxStaleGraceSeconds: 120,
    bindingScriptHex: BOUND_SCRIPT_HEX,
    bindings: ['none', 'coinbase', 'payout', 'bead', 'work'],
    bead: {
      scriptHex: BOUND_SCRIPT_HEX,
      profiles: ['weak'],
      minStopPpb: 1,
      maxLossSat: MOST_LOST_BY_BEADS_SAT,
    },
    stakes: {
      ...{ bondModes: ['none', 'auditor'], maxMakerBondSat: 30_000n, minCollateralSat: 40_000n },
      ...{ auditorKeysHex: [AUDITOR_KEY_HEX], minBondCsvBlocks: 1, maxBondCsvBlocks: 100 },
      ...{ seal: 'allowed', minClaimFeeRateSatPerKvb: 1_000, earlyClose: 'returned', returnsBonds: true },
    },
  };
}
