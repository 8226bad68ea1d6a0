import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { MUTATIONS } from './mutations.ts';
import { runSchedule } from './schedule.ts';
import type { WorldOptions } from './world.ts';

const HELP = `Runs schedules of crashes, writes, lines and blocks against the real miner and maker sides, in one process
and in virtual time, and checks after every step that nobody can lose what is theirs.

  npm run test:fuzz                           ten thousand schedules on a seed of chance, in two processes
  npm run test:fuzz -- --seed S --path P      the one schedule that failed, step by step

  --runs N        schedules in all (10000)
  --seed S        the seed of the first process; each next one adds 1
  --path P        of a failed run, as it was printed: only that schedule is run, and every step is told
  --workers N     processes (2)
  --first         the first failure as it is, not made smaller
  --mutation M    breaks one thing first; then a run must fail. One of:
${Object.entries(MUTATIONS)
  .map(([name, { what }]) => `                  ${name.padEnd(22)} ${what}`)
  .join('\n')}
`;

type Options = {
  readonly runs: number;
  readonly seed: number;
  readonly path: string | undefined;
  readonly workers: number;
  readonly mutation: string | undefined;
  readonly first: boolean;
};

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      path: { type: 'string' },
      workers: { type: 'string', default: '2' },
      mutation: { type: 'string' },
      first: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(HELP);
    process.exit(0);
  }
  const [runs, seed, workers] = [Number(values.runs), Number(values.seed), Number(values.workers)];
  const isKnown = values.mutation === undefined || Object.hasOwn(MUTATIONS, values.mutation);
  if (![runs, seed, workers].every(Number.isSafeInteger) || runs < 1 || workers < 1 || !isKnown) {
    say(HELP);
    process.exit(2);
  }
  const isReplay = values.path !== undefined;
  return {
    ...{ runs, seed, path: values.path, mutation: values.mutation, first: values.first },
    workers: isReplay ? 1 : Math.min(workers, runs),
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Says what differs from the line before. */
function sayNews(): (line: string) => void {
  let last = '';
  return (line) => {
    if (line !== last) say(line);
    last = line;
  };
}

/** The same program again, for a part of the runs; resolves to its exit code. */
function runPart(options: Options, part: number): Promise<number> {
  const runs = Math.ceil(options.runs / options.workers);
  const words = ['--runs', String(runs), '--seed', String(options.seed + part), '--workers', '1'];
  if (options.first) words.push('--first');
  if (options.mutation !== undefined) words.push('--mutation', options.mutation);
  const child = fork(new URL(import.meta.url), words);
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function runHere({ runs, seed, path, mutation, first }: Options): Promise<number> {
  const world: WorldOptions = mutation === undefined ? {} : MUTATIONS[mutation]!.apply();
  const isReplay = path !== undefined;
  const schedules = fc.uint8Array({ maxLength: 160, size: 'max' });
  const property = fc.asyncProperty(schedules, async (bytes) => {
    await runSchedule(bytes, world);
  });
  const startMs = performance.now();
  const result = await fc.check(property, {
    ...{ numRuns: isReplay ? 1 : runs, seed, endOnFailure: isReplay || first },
    ...(isReplay ? { path } : {}),
  });
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  if (!result.failed) {
    say(`seed ${seed}: ${result.numRuns} schedules, nothing wrong, ${seconds} s`);
    return 0;
  }
  const [bytes] = result.counterexample!;
  say(`seed ${seed}: failed after ${result.numRuns} schedules, made ${result.numShrinks} times smaller`);
  await runSchedule(bytes, world, sayNews()).catch((error: unknown) => say(String(error)));
  const broken = mutation === undefined ? '' : ` --mutation ${mutation}`;
  say(`replay: npm run test:fuzz -- --seed ${result.seed} --path ${result.counterexamplePath}${broken}`);
  return 1;
}

const options = readOptions();
if (options.workers === 1) {
  process.exitCode = await runHere(options);
} else {
  const parts = Array.from({ length: options.workers }, (_, part) => runPart(options, part));
  process.exitCode = Math.max(...(await Promise.all(parts)));
}
