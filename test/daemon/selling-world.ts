import { toHex } from '../../src/base/bytes.ts';
import { difficultyOfTarget } from '../../src/bitcoin/target.ts';
import type { ContractConfig } from '../../src/config/config.ts';
import type { BondTerms } from '../../src/contract/bond-terms.ts';
import type { MakerPolicy, StakesPolicy } from '../../src/maker/policy.ts';
import { walletScript } from '../../src/settlement/opening.ts';
import { MAKER_SCRIPT_HEX, SHARE, World } from '../maker/world.ts';

export const auditorKeyHex = `02${'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'}`;
export const bonds: BondTerms = {
  ...{ bondMode: 'auditor', bondCsvBlocks: 20, auditorKeyHex },
  ...{ makerBondSat: 40_000n, collateralSat: 60_000n },
};
export const seal = { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 };
export const stakes: StakesPolicy = {
  ...{ bondModes: ['auditor'], maxMakerBondSat: 40_000n, minCollateralSat: 1000n },
  ...{ auditorKeysHex: [auditorKeyHex], minBondCsvBlocks: 1, maxBondCsvBlocks: 2016 },
  ...{ seal: 'required', minClaimFeeRateSatPerKvb: 100, earlyClose: 'returned' },
};

export function worldOf(policy: Partial<MakerPolicy> = {}): World {
  return new World({ policy: { stakes, bindingScriptHex: MAKER_SCRIPT_HEX, ...policy } });
}

export function configOf(world: World, change: Partial<ContractConfig> = {}): ContractConfig {
  const { terms, minerSigner } = world;
  return {
    ...terms,
    name: 'first',
    maker: { host: '127.0.0.1', port: world.port },
    expiryBlocks: 600,
    shareDifficulty: difficultyOfTarget(SHARE.target),
    binding: {
      ...{ type: 'payout', outputs: [{ scriptHex: MAKER_SCRIPT_HEX, ppm: 1_000_000 }] },
      ...{ minFeesPpm: 950_000, samplePpm: 0, sampleSeconds: 10 },
    },
    termsVersion: 2,
    term: undefined,
    bonds,
    returnsBonds: false,
    seal,
    maxUnpaidTotalSat: undefined,
    payout: { type: 'script', scriptHex: toHex(walletScript(minerSigner)) },
    ...change,
  };
}
