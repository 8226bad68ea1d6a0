import { toHex } from '../../../src/base/bytes.ts';
import { sha256 } from '../../../src/base/hash.ts';
import type { TermsV3 } from '../../../src/contract/terms.ts';
import type { Strategy } from '../strategy.ts';
import { paid, silentOn } from './tools.ts';

/** Contracts whose pay is split. */

const payee = (label: string, ppm: number): NonNullable<TermsV3['splits']>[number] => ({
  ...{ label, ppm, seedSat: 600n },
  scriptHex: `0014${toHex(sha256(new TextEncoder().encode(label)).subarray(0, 20))}`,
});
const SPLIT: Partial<TermsV3> = {
  splits: [payee('host', 120_000), payee('land', 24_300), payee('tax', 5_700), payee('owner', 333_333)],
};

export const BY_SPLITS: Readonly<Record<string, Strategy>> = {
  'splits-honestly': {
    what: 'the pay is split among five, and both are honest',
    row: 'terms: splits',
    hostile: [],
    options: () => ({ termsV3: SPLIT }),
  },
  'splits-alone': {
    what: 'the pay is split among five, and the maker signs no more: the miner closes by itself',
    row: 'terms: splits',
    hostile: ['maker'],
    options: () => ({ termsV3: SPLIT }),
    begin: (stage) => {
      const from = 1 + stage.random.below(4);
      silentOn(stage, ['state.sign', 'channel.reestablish'], () => stage.world.rules.ackedN >= from);
    },
    play: async (stage) => {
      await paid(stage, 4 + stage.random.below(5));
      await stage.noise(stage.random.below(20));
      await stage.liveOut();
    },
  },
};
