import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import type { AsicBehaviour, AsicSpec } from '../../src/devnet/asic/asic-spec.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';

export type FarmOptions = {
  readonly host: string;
  readonly port: number;
  readonly count: number;
  /** Fixes who does what, and what each searches. */
  readonly seed: number;
  /** The difficulty the shares will have: with the next it gives the hashrate of each. */
  readonly difficulty: number;
  /** Of each ASIC, in the mean. */
  readonly sharesPerMinute: number;
  /** How often each behaviour is among them, in proportion. Default `MIXED_FARM`. */
  readonly mix?: Partial<Record<AsicBehaviour, number>>;
  /** Before the dot of the user name. Default `farm`. */
  readonly user?: string;
};

/** Two in three are honest, the others have one fault each. */
export const MIXED_FARM: Readonly<Record<AsicBehaviour, number>> = {
  honest: 14,
  duplicate: 1,
  respelled: 1,
  stale: 1,
  low_difficulty: 1,
  flaky: 1,
  slow_reader: 1,
  garbage: 1,
};

/** ASICs of mixed behaviours, the same for the same seed. Every fifth does not roll versions. */
export function farmOf(options: FarmOptions): AsicSpec[] {
  const { host, port, count, seed, user = 'farm' } = options;
  const random = seededRandom(seed);
  const mix = Object.entries(options.mix ?? MIXED_FARM) as [AsicBehaviour, number][];
  const total = mix.reduce((sum, [, weight]) => sum + weight, 0);
  const hashesPerShare = Number(workOfTarget(targetOfDifficulty(options.difficulty)));
  const hashesPerSecond = (hashesPerShare * options.sharesPerMinute) / 60;
  return Array.from({ length: count }, (_, index) => {
    const behaviour = pick(mix, random() * total);
    return {
      host,
      port,
      worker: `${user}.${behaviour}${index}`,
      behaviour,
      hashesPerSecond,
      seed: Math.floor(random() * 2 ** 32),
      versionRolling: index % 5 !== 4,
    };
  });
}

function pick(mix: readonly (readonly [AsicBehaviour, number])[], at: number): AsicBehaviour {
  let below = 0;
  for (const [behaviour, weight] of mix) {
    below += weight;
    if (at < below) return behaviour;
  }
  return 'honest';
}
