import { type ChildProcess, fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Coverage, type Told } from './coverage.ts';
import { crashRuns, pointOf } from './crash-points.ts';
import { EDITS_VARIABLE } from './mutations/edited-sources.ts';
import type { Mutation } from './mutations/mutation.ts';
import { MUTATIONS } from './mutations.ts';
import { type Run, simulate, strategyOf } from './simulate.ts';
import { STRATEGIES } from './strategies/strategies.ts';
import type { WorldOptions } from './world-options.ts';

const listOf = (what: Readonly<Record<string, { readonly what: string }>>): string =>
  Object.entries(what)
    .map(([name, each]) => `    ${name.padEnd(24)} ${each.what}`)
    .join('\n');

const HELP = `Plays whole lives of a contract: the real miner and maker, disks, network, chain, market and clocks, in
one process and in virtual time. One side, or the world, follows a strategy; in the end the chain is audited.

  npm run test:sim -- --runs N                      many seeds; the strategies in turn
  npm run test:sim -- --seed N --strategy NAME      one run, with its timeline

  --runs N        how many seeds
  --seed N        the first of them (1)
  --strategy S    that one only
  --workers N     processes (2)
  --crash-points  each strategy again for each write of the honest, at which that side dies or its disk fails
  --sample N      so many of the crash points of each strategy, by chance
  --crash POINT   of one run: side:write:moment, as a failure names it
  --mutations     then every mutation at the seed that finds it
  --mutation M    breaks one thing first; then a run must fail

  strategies
${listOf(STRATEGIES)}

  mutations
${listOf(MUTATIONS)}
`;

type Options = {
  readonly runs: number | undefined;
  readonly seed: number;
  readonly strategy: string | undefined;
  readonly workers: number;
  readonly mutation: string | undefined;
  readonly mutations: boolean;
  /** Of a child: it runs every so many seeds. */
  readonly stride: number | undefined;
  readonly crashPoints: boolean;
  readonly sample: number | undefined;
  readonly crash: string | undefined;
  /** Of a child that plays crash points: which of the parts. */
  readonly part: number | undefined;
};

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string' },
      seed: { type: 'string' },
      strategy: { type: 'string' },
      workers: { type: 'string', default: '2' },
      mutation: { type: 'string' },
      mutations: { type: 'boolean', default: false },
      stride: { type: 'string' },
      'crash-points': { type: 'boolean', default: false },
      sample: { type: 'string' },
      crash: { type: 'string' },
      part: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const numberOf = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : Number(text);
  const options = {
    ...{ runs: numberOf(values.runs), seed: Number(values.seed ?? 1), stride: numberOf(values.stride) },
    ...{ strategy: values.strategy, mutation: values.mutation, mutations: values.mutations },
    ...{ crashPoints: values['crash-points'], sample: numberOf(values.sample), crash: values.crash },
    ...{ workers: Number(values.workers), part: numberOf(values.part) },
  };
  const numbers = [options.runs ?? 1, options.seed, options.stride ?? 1, options.workers];
  const isKnown =
    (options.strategy === undefined || Object.hasOwn(STRATEGIES, options.strategy)) &&
    (options.mutation === undefined || Object.hasOwn(MUTATIONS, options.mutation));
  const isNothing =
    options.runs === undefined && values.seed === undefined && !options.mutations && !options.crashPoints;
  if (
    values.help ||
    isNothing ||
    !isKnown ||
    !numbers.every((each) => Number.isSafeInteger(each) && each >= 0)
  ) {
    say(HELP);
    process.exit(values.help ? 0 : 2);
  }
  return options;
}

/** What a mutation changes about the world, when it is put in; its edits are made with the process. */
function broken(mutation: string | undefined): WorldOptions {
  return mutation === undefined ? {} : (MUTATIONS[mutation]!.apply?.() ?? {});
}

/** One run, told line by line. */
async function replay({ seed, strategy = strategyOf(seed), mutation, crash }: Options): Promise<number> {
  const point = crash === undefined ? undefined : pointOf(crash);
  const world = broken(mutation);
  say(`seed ${seed}, ${strategy}: ${STRATEGIES[strategy]!.what}`);
  const { problem } = await simulate({
    ...{ strategy, seed, world, onLine: say },
    ...(point === undefined ? {} : { crash: point }),
  });
  say(problem ?? 'all is as it should be');
  return problem === undefined ? 0 : 1;
}

const toldOf = (run: Run): Told => ({
  ...{ ...run, statuses: [...run.statuses], heard: [...run.heard], findings: run.findings.length },
});

/** A child: every so many seeds, each told to the parent. */
async function runPart({ seed, runs, stride, strategy, mutation }: Options): Promise<number> {
  const world = broken(mutation);
  for (let each = 0; each < runs!; each += 1) {
    const at = seed + each * stride!;
    const run = await simulate({ strategy: strategy ?? strategyOf(at), seed: at, world });
    process.send!(toldOf(run));
    if (run.problem !== undefined && mutation !== undefined) break;
  }
  process.disconnect();
  return 0;
}

/** A child: all crash points of its part of the strategies. */
async function runCrashes({ seed, strategy, sample, part, workers, mutation }: Options): Promise<number> {
  const world = broken(mutation);
  const options = { seed, strategy, sample, parts: workers, part: part!, world };
  for await (const { point, ...run } of crashRuns(options)) {
    process.send!({ ...toldOf(run), point });
  }
  process.disconnect();
  return 0;
}

async function crashMany({ seed, strategy, sample, workers, mutation }: Options): Promise<number> {
  const coverage = new Coverage(undefined, say);
  const parts = Array.from({ length: strategy === undefined ? workers : 1 }, (_, part) => {
    const words = ['--crash-points', '--seed', String(seed), '--part', String(part)];
    words.push('--workers', String(strategy === undefined ? workers : 1));
    if (strategy !== undefined) words.push('--strategy', strategy);
    if (sample !== undefined) words.push('--sample', String(sample));
    if (mutation !== undefined) words.push('--mutation', mutation);
    return child(words, (told) => coverage.add(told), mutation);
  });
  await Promise.all(parts);
  coverage.tell();
  return coverage.failed === 0 ? 0 : 1;
}

/** What was compiled once is not compiled again by each of a hundred processes. */
const COMPILED = { NODE_COMPILE_CACHE: join(tmpdir(), 'sharestream-sim-compiled') };

/** A process of this program, with the edits of a mutation. */
function forked(words: readonly string[], { edits = [] }: Partial<Mutation> = {}): ChildProcess {
  const self = new URL(import.meta.url);
  const env = { ...COMPILED, ...process.env };
  if (edits.length === 0) return fork(self, words, { env });
  const execArgv = ['--import', new URL('mutations/edited-sources.ts', self).href];
  return fork(self, words, { execArgv, env: { ...env, [EDITS_VARIABLE]: JSON.stringify(edits) } });
}

function child(words: readonly string[], onTold: (told: Told) => void, mutation?: string): Promise<void> {
  const process = forked(words, mutation === undefined ? {} : MUTATIONS[mutation]);
  process.on('message', (told) => onTold(told as Told));
  return new Promise((resolve, reject) => {
    process.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`a process ended with ${code}`)),
    );
  });
}

/** This very call once more, in a process with the edits of its mutation. */
function again(mutation: string): Promise<number> {
  return new Promise((resolve) => {
    forked(process.argv.slice(2), MUTATIONS[mutation]).once('exit', (code) => resolve(code ?? 1));
  });
}

async function runMany(options: Options): Promise<number> {
  const { seed, strategy, mutation } = options;
  const runs = options.runs!;
  const workers = mutation === undefined ? Math.min(options.workers, runs) : 1;
  const coverage = new Coverage(runs, say);
  const parts = Array.from({ length: workers }, (_, part) => {
    const words = ['--seed', String(seed + part), '--stride', String(workers)];
    words.push('--runs', String(Math.ceil((runs - part) / workers)));
    if (strategy !== undefined) words.push('--strategy', strategy);
    if (mutation !== undefined) words.push('--mutation', mutation);
    return child(words, (told) => coverage.add(told), mutation);
  });
  await Promise.all(parts);
  coverage.tell();
  return coverage.failed === 0 ? 0 : 1;
}

/** Every mutation must be found at its seed; one that is not says that the checks are worth less. */
async function findMutations({ workers }: Options): Promise<number> {
  const left = Object.entries(MUTATIONS);
  let missed = 0;
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [name, { seed, strategy }] = next;
      let problem: string | undefined;
      const words = ['--seed', String(seed), '--runs', '1', '--stride', '1'];
      const onTold = (told: Told): void => {
        problem = told.problem;
      };
      await child([...words, '--strategy', strategy, '--mutation', name], onTold, name);
      if (problem === undefined) missed += 1;
      say(
        `${problem === undefined ? 'MISSED' : 'found '} ${name} (${strategy}, seed ${seed}) ${problem ?? ''}`,
      );
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return missed === 0 ? 0 : 1;
}

const options = readOptions();
const isToEdit =
  MUTATIONS[options.mutation ?? '']?.edits !== undefined && process.env[EDITS_VARIABLE] === undefined;
if (isToEdit) {
  process.exitCode = await again(options.mutation!);
} else if (options.stride !== undefined) {
  process.exitCode = await runPart(options);
} else if (options.part !== undefined) {
  process.exitCode = await runCrashes(options);
} else {
  let code = 0;
  if (options.runs !== undefined) code = await runMany(options);
  else if (!options.mutations && !options.crashPoints) code = await replay(options);
  if (options.crashPoints) code = Math.max(code, await crashMany(options));
  if (options.mutations) code = Math.max(code, await findMutations(options));
  process.exitCode = code;
}
