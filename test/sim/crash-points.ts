import { CRASH_MOMENTS, type CrashPoint } from './disk.ts';
import type { Side } from './network.ts';
import { SeededRandom } from './random.ts';
import { type Run, simulate } from './simulate.ts';
import { STRATEGIES } from './strategies/strategies.ts';
import type { WorldOptions } from './world-options.ts';

export type CrashOptions = {
  readonly seed: number;
  /** Only that one; undefined for all. */
  readonly strategy: string | undefined;
  /** So many of each strategy's points, by chance; undefined for all. */
  readonly sample: number | undefined;
  /** Of so many parts of the strategies, this one. */
  readonly parts: number;
  readonly part: number;
  /** What a mutation changes about the world. */
  readonly world: WorldOptions;
};

export type CrashRun = Run & { readonly point: string };

/** The name of a point, as `--crash` reads it. */
export const nameOf = ({ side, write, moment }: CrashPoint & { readonly side: Side }): string =>
  `${side}:${write}:${moment}`;

/** Reads the name of a point; undefined where it is none. */
export function pointOf(name: string): (CrashPoint & { readonly side: Side }) | undefined {
  const [side, write, moment] = name.split(':');
  const known = CRASH_MOMENTS.find((each) => each === moment);
  if ((side !== 'miner' && side !== 'maker') || known === undefined) return undefined;
  return { side, write: Number(write), moment: known };
}

/**
 * Plays each strategy once to the end, and once more for each write of each honest side, at which that side
 * dies, or its disk fails, in each way; it starts anew as after any crash. The bound must hold all the same.
 */
export async function* crashRuns(options: CrashOptions): AsyncGenerator<CrashRun> {
  const { seed, sample, parts, part, world } = options;
  const names = Object.keys(STRATEGIES).filter((name) => name === (options.strategy ?? name));
  for (const [index, strategy] of names.entries()) {
    if (index % parts !== part) continue;
    const whole = await simulate({ strategy, seed, world });
    yield { ...whole, point: '' };
    const honest = (['miner', 'maker'] as const).filter(
      (side) => !STRATEGIES[strategy]!.hostile.includes(side),
    );
    const points = honest.flatMap((side) =>
      Array.from({ length: whole.writes[side] }, (_, at) =>
        CRASH_MOMENTS.map((moment) => ({ side, write: at + 1, moment })),
      ).flat(),
    );
    const random = new SeededRandom(seed + index);
    const chosen = sample === undefined ? points : pick(points, sample, random);
    for (const crash of chosen)
      yield { ...(await simulate({ strategy, seed, world, crash })), point: nameOf(crash) };
  }
}

function pick<T>(all: readonly T[], count: number, random: SeededRandom): readonly T[] {
  const left = [...all];
  const chosen: T[] = [];
  while (chosen.length < count && left.length > 0)
    chosen.push(...left.splice(random.below(left.length), 1));
  return chosen;
}
