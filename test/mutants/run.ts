import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';
import { filesUnder, isOurTypeScript, ROOT } from '../source-tree.ts';

/** Folders whose faults cost money, and the folders of tests that must find them. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  contract: ['contract'],
  chain: ['chain'],
  channel: ['channel'],
  ledger: ['ledger'],
  maker: ['maker'],
  miner: ['miner', 'maker'],
  settlement: ['settlement', 'maker'],
  shares: ['shares'],
};

const HELP = `Puts small faults into src, one at a time, and runs the tests that reach them: a fault that no test
finds survives. By hand; seconds for each fault.

  npm run test:mutants -- --folder channel                     all of a folder, or what is left of it
  npm run test:mutants -- --folder channel --part 2/8          every eighth stretch of 20 lines, from the second on
  npm run test:mutants -- --folder channel --file states.ts    one file
  npm run test:mutants -- --folder channel --report            the score and the survivors of what was run before

MUTANTS_TESTS='miner maker/life.test.ts' runs these tests alone, for one file that they are about.

Folders: ${Object.keys(TESTS).join(', ')}.
Results are kept in .mutants; what did not change is not run again.
`;

type Verdict = {
  readonly status: string;
  readonly location: { readonly start: { readonly line: number } };
  readonly mutatorName: string;
  readonly replacement?: string;
};
type Report = { readonly files: Readonly<Record<string, { readonly mutants: readonly Verdict[] }>> };

const STRETCH_LINES = 20;
/** Each folder and part keeps its own, so that a part does not forget what another found. */
const REPORTS = '.mutants';

/** What of a file is mutated: all, or the stretches of one part. */
function patternsOf(path: string, part: readonly [number, number]): string[] {
  const [which, of] = part;
  if (of === 1) return [path];
  const lines = readFileSync(join(ROOT, path), 'utf8').split('\n').length;
  const stretches = Array.from({ length: Math.ceil(lines / STRETCH_LINES) }, (_, index) => index);
  return stretches
    .filter((index) => index % of === which - 1)
    .map((index) => `${path}:${index * STRETCH_LINES + 1}-${(index + 1) * STRETCH_LINES}`);
}

async function run(folder: string, mutate: readonly string[], report: string): Promise<void> {
  process.env['MUTANTS_TESTS'] ??= TESTS[folder]!.join(' ');
  // A fault is found in each run or in none.
  process.env['TEST_SEED'] ??= '1';
  await new Stryker({
    mutate: [...mutate],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'test/mutants/vitest.config.ts', related: false },
    coverageAnalysis: 'perTest',
    // A fault in what runs once, at import, would need a new process for each.
    ignoreStatic: true,
    // The compiler refuses nearly all faults in these: unions of words, fields that must be there. What is
    // left are texts for people.
    mutator: { excludedMutations: ['StringLiteral', 'ObjectLiteral'] },
    // Types are stripped and never checked here; a file that is not there keeps it from reading ours.
    disableTypeChecks: false,
    tsconfigFile: 'none.json',
    concurrency: 1,
    timeoutMS: 10_000,
    dryRunTimeoutMinutes: 20,
    incremental: true,
    incrementalFile: report,
    reporters: ['progress-append-only'],
    tempDirName: `${REPORTS}/tmp`,
    ignorePatterns: [REPORTS, 'dist', 'out'],
    allowConsoleColors: false,
  }).runMutationTest();
}

function print(folder: string): void {
  const counts: Record<string, number> = {};
  const survivors: string[] = [];
  const seen = new Set<string>();
  const reports = existsSync(REPORTS)
    ? readdirSync(REPORTS).filter((name) => name.startsWith(`${folder}.`))
    : [];
  for (const name of reports) {
    const { files } = JSON.parse(readFileSync(join(REPORTS, name), 'utf8')) as Report;
    for (const [file, { mutants }] of Object.entries(files)) {
      for (const mutant of mutants) {
        const { status, location, mutatorName, replacement = '' } = mutant;
        const key = JSON.stringify([file, location, mutatorName, replacement]);
        if (status === 'Ignored' || seen.has(key)) continue;
        seen.add(key);
        counts[status] = (counts[status] ?? 0) + 1;
        const how = status === 'NoCoverage' ? 'no test reaches' : 'survived';
        if (status === 'Survived' || status === 'NoCoverage')
          survivors.push(
            `${file}:${location.start.line} ${how}: ${mutatorName} ${replacement.split('\n')[0]}`,
          );
      }
    }
  }
  const killed = (counts['Killed'] ?? 0) + (counts['Timeout'] ?? 0);
  const of = killed + survivors.length;
  for (const line of survivors.sort()) process.stdout.write(`${line.slice(0, 200)}\n`);
  const share = of === 0 ? '' : ` (${((100 * killed) / of).toFixed(1)} %)`;
  process.stdout.write(`${folder}: ${killed} of ${of} killed${share}; ${JSON.stringify(counts)}\n`);
}

const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    part: { type: 'string', default: '1/1' },
    file: { type: 'string' },
    report: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const { folder = '', file } = values;
const part = /^([1-9]\d*)\/([1-9]\d*)$/.exec(values.part)?.slice(1).map(Number);
if (values.help || TESTS[folder] === undefined || part === undefined || part[0]! > part[1]!) {
  process.stdout.write(HELP);
  process.exit(values.help ? 0 : 2);
}
process.chdir(ROOT);
if (!values.report) {
  const sources = filesUnder(`src/${folder}`).filter(
    (path) =>
      isOurTypeScript(path) &&
      !path.includes('/kernel/') &&
      (file === undefined || path.endsWith(`/${file}`)),
  );
  const name = [folder, ...(file === undefined ? [] : [file]), values.part.replace('/', 'of'), 'json'].join(
    '.',
  );
  await run(
    folder,
    sources.flatMap((path) => patternsOf(path, [part[0]!, part[1]!])),
    `${REPORTS}/${name}`,
  );
}
print(folder);
