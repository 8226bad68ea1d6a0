import { sha256 } from '../../src/base/hash.ts';
import { audit, booksOf, type Finding } from './audit.ts';
import type { CrashPoint } from './disk.ts';
import type { Side } from './network.ts';
import { SeededRandom } from './random.ts';
import { Violation } from './rules.ts';
import { Stage } from './stage.ts';
import { STRATEGIES } from './strategies/strategies.ts';
import { SimWorld } from './world.ts';
import type { WorldOptions } from './world-options.ts';

export type Run = {
  readonly strategy: string;
  readonly seed: number;
  /** Undefined where all is as it should be. */
  readonly problem: string | undefined;
  /** What the audit found, expected or not. */
  readonly findings: readonly Finding[];
  readonly statuses: ReadonlySet<string>;
  /** See `SimWorld.heard`. */
  readonly heard: ReadonlySet<string>;
  /** Writes to the disk of each side. */
  readonly writes: Readonly<Record<Side, number>>;
};

export type RunOptions = {
  readonly strategy: string;
  readonly seed: number;
  /** What a mutation changes about the world. */
  readonly world?: WorldOptions;
  /** Where the process of a side dies, once. */
  readonly crash?: CrashPoint & { readonly side: Side };
  readonly onLine?: (line: string) => void;
};

const NOISE_ACTIONS = 40;

/** The strategy of a seed, where none is named: each in turn. */
export function strategyOf(seed: number): string {
  const names = Object.keys(STRATEGIES);
  return names[seed % names.length]!;
}

/** One life of a contract. The same seed and strategy, the same life. */
export async function simulate({
  strategy: name,
  seed,
  world: more,
  crash,
  onLine,
}: RunOptions): Promise<Run> {
  const strategy = STRATEGIES[name]!;
  const digest = sha256(new TextEncoder().encode(`${seed} ${name}`));
  const random = new SeededRandom(Buffer.from(digest).readUInt32LE());
  const world = new SimWorld({ ...strategy.options?.(random), ...more, hostile: strategy.hostile });
  if (onLine !== undefined) world.onEvent = timeline(world, onLine);
  const stage = new Stage(world, random, strategy);
  if (crash !== undefined) {
    const die = async (written: number): Promise<void> => {
      world.say(`the ${crash.side} dies at write ${crash.write}, ${crash.moment}`);
      await world.kill(crash.side, written);
    };
    world.disks[crash.side].crashPoint = { ...crash, die };
  }
  const onStray = (error: unknown): void => world.fail(error);
  process.on('unhandledRejection', onStray);
  process.on('uncaughtException', onStray);
  const findings: Finding[] = [];
  try {
    await strategy.begin?.(stage);
    await world.auditor?.start();
    await stage.start();
    await (strategy.play ?? course)(stage);
    const books = await booksOf(world);
    findings.push(...(await audit(stage, books)), ...((await strategy.judge?.(stage, books)) ?? []));
  } catch (error) {
    findings.push(findingOf(error));
  } finally {
    await world.kill('miner', 0);
    await world.kill('maker', 0);
    await world.time.settle();
    process.off('unhandledRejection', onStray);
    process.off('uncaughtException', onStray);
  }
  findings.push(...stage.findings);
  for (const { rule, seen } of findings) world.say(`found: ${rule}: ${seen}`);
  const [first] = findings;
  const problem = first && `${first.rule}: ${first.seen}`;
  const writes = { miner: world.disks.miner.writes, maker: world.disks.maker.writes };
  return { strategy: name, seed, problem, findings, statuses: stage.statuses, heard: world.heard, writes };
}

/** An opening, some work, whatever chance has, and a life through the expiry. */
async function course(stage: Stage): Promise<void> {
  const isOpen = await stage.open();
  if (isOpen) await stage.pay(stage.random.below(4));
  await stage.noise(stage.random.below(NOISE_ACTIONS));
  await stage.liveOut();
}

function findingOf(error: unknown): Finding {
  if (error instanceof Violation) return { rule: error.rule, seen: error.seen };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { rule: 'it broke', seen: text };
}

function timeline(world: SimWorld, onLine: (line: string) => void): (text: string) => void {
  return (text) => {
    const seconds = (world.time.clock.monotonicMs() / 1000).toFixed(1).padStart(8);
    onLine(`${seconds}s  h${String(world.chain.height).padEnd(3)} ${text}`);
  };
}
