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
  npm run test:mutants -- --folder channel --part 2/8          an eighth of them, drawn by chance: the second of eight
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
type Report = {
  readonly files: Readonly<
    Record<string, { readonly source: string; readonly mutants: readonly Verdict[] }>
  >;
};

/** What a fault of another part is called. */
const NOT_RUN = 'CompileError';
/** Each folder and part keeps its own, so that a part does not forget what another found. */
const REPORTS = '.mutants';

async function run(folder: string, mutate: readonly string[], report: string): Promise<void> {
  process.env['MUTANTS_TESTS'] ??= TESTS[folder]!.join(' ');
  // A fault is found in each run or in none.
  process.env['TEST_SEED'] ??= '1';
  await new Stryker({
    mutate: [...mutate],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner', join(ROOT, 'test/mutants/sample.ts')],
    checkers: ['sample'],
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
    // Slow is not found: other work must not make a fault look like one that hangs.
    timeoutMS: 20_000,
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
  const verdicts = new Map<string, { readonly status: string; readonly line: string }>();
  const reports = existsSync(REPORTS)
    ? readdirSync(REPORTS).filter((name) => name.startsWith(`${folder}.`))
    : [];
  for (const name of reports) {
    const { files } = JSON.parse(readFileSync(join(REPORTS, name), 'utf8')) as Report;
    for (const [file, { source, mutants }] of Object.entries(files)) {
      if (!existsSync(file) || readFileSync(file, 'utf8') !== source) continue;
      for (const { status, location, mutatorName, replacement = '' } of mutants) {
        const key = JSON.stringify([file, location, mutatorName, replacement]);
        const line = `${file}:${location.start.line} ${status}: ${mutatorName} ${replacement.split('\n')[0]}`;
        const known = verdicts.get(key)?.status;
        if (known === undefined || known === NOT_RUN) verdicts.set(key, { status, line });
      }
    }
  }
  const linesOf = (...statuses: string[]): string[] =>
    [...verdicts.values()].flatMap(({ status, line }) => (statuses.includes(status) ? [line] : []));
  const timeouts = linesOf('Timeout');
  const killed = linesOf('Killed').length + timeouts.length;
  const survivors = linesOf('Survived', 'NoCoverage');
  const tried = killed + survivors.length;
  for (const line of [...timeouts, ...survivors].sort()) process.stdout.write(`${line.slice(0, 200)}\n`);
  const share = tried === 0 ? '' : ` (${((100 * killed) / tried).toFixed(1)} %)`;
  process.stdout.write(
    `${folder}: ${killed} of ${tried} killed${share}, of ${tried + linesOf(NOT_RUN).length} in all\n`,
  );
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
  process.env['MUTANTS_PART'] = values.part;
  await run(folder, sources, `${REPORTS}/${name}`);
}
print(folder);
