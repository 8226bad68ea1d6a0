import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { SeededRandom } from '../sim/random.ts';
import { filesUnder, isOurTypeScript, ROOT } from '../source-tree.ts';
import { judgeFaults, type Verdict } from './mutants.ts';

/** Folders whose faults cost money, and the folders of tests that must find them. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  contract: ['contract'],
  chain: ['chain'],
  channel: ['channel'],
  ledger: ['ledger'],
  maker: ['maker', 'miner', 'settlement/commitments.test.ts'],
  miner: ['miner', 'maker', 'settlement/commitments.test.ts'],
  settlement: ['settlement', 'maker'],
  shares: ['shares'],
};

const HELP = `Puts small faults into src, one at a time, and runs the tests that reach them: a fault that no test
finds survives. By hand; some tenths of a second for each fault. One process at a time.

  npm run test:mutants -- --folder channel                          all of a folder
  npm run test:mutants -- --folder channel --files states.ts,seal.ts    some files of it
  npm run test:mutants -- --folder channel --sample 300 --seed 2    300 of its faults, drawn by a seed
  npm run test:mutants -- --folder miner,maker --sample 200 --seed 2    200 of each of the folders
  npm run test:mutants -- --folder channel --json FILE              writes all verdicts
  npm run test:mutants -- --folder channel --again FILE             those alone that survived in such a FILE
  npm run test:mutants -- --folder miner --tests 'miner maker/life.test.ts'    by these tests alone
  npm run test:mutants -- --folder maker --budget 20        20 s of tests for each fault, the fastest: a first look
  npm run test:mutants -- --folder channel --static                 also what runs once, at import: seconds for each

Folders: ${Object.keys(TESTS).join(', ')}.
`;

const keyOf = ({ file, line, column, end, mutator, replacement }: Verdict): string =>
  JSON.stringify([file, line, column, end, mutator, replacement]);

const isIn = (folder: string, { file }: Verdict): boolean => file.startsWith(`src/${folder}/`);

/** `count` of them, by chance that a seed repeats. */
function draw(faults: readonly Verdict[], count: number, seed: number): readonly Verdict[] {
  const random = new SeededRandom(seed);
  const left = [...faults];
  const drawn: Verdict[] = [];
  while (drawn.length < count && left.length > 0) drawn.push(...left.splice(random.below(left.length), 1));
  return drawn;
}

const textOf = ({ file, line, column, mutator, replacement, status }: Verdict): string =>
  `${file}:${line}:${column} ${status}: ${mutator} ${replacement.replaceAll(/\s+/g, ' ').slice(0, 150)}`;

/** Killed of tried, for each file and for all; what acts at import is apart. */
function scores(verdicts: readonly Verdict[], folders: readonly string[]): string[] {
  const scoreOf = (name: string, of: readonly Verdict[]): string => {
    const count = (...statuses: string[]): number => of.filter((v) => statuses.includes(v.status)).length;
    const found = count('killed', 'timeout', 'hang');
    const tried = found + count('survived', 'uncovered');
    const percent = tried === 0 ? '' : ` (${((100 * found) / tried).toFixed(1)} %)`;
    const never = count('uncovered');
    const more = [
      ...(never === 0 ? [] : [`${never} reached by no test`]),
      ...(count('static') === 0 ? [] : [`${count('static')} act at import and are not tried`]),
    ];
    return [`${name}: ${found} of ${tried} killed${percent}`, ...more].join(', ');
  };
  const files = [...new Set(verdicts.map((verdict) => verdict.file))].sort();
  return [
    ...files.map((file) =>
      scoreOf(
        file,
        verdicts.filter((verdict) => verdict.file === file),
      ),
    ),
    ...folders.map((folder) =>
      scoreOf(
        `all of ${folder}`,
        verdicts.filter((verdict) => isIn(folder, verdict)),
      ),
    ),
  ];
}

function testFilesOf(names: readonly string[]): string[] {
  return names.flatMap((name) =>
    name.endsWith('.ts')
      ? [`test/${name}`]
      : filesUnder(`test/${name}`).filter((path) => path.endsWith('.test.ts')),
  );
}

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: '' },
    files: { type: 'string' },
    tests: { type: 'string' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    json: { type: 'string' },
    again: { type: 'string' },
    budget: { type: 'string' },
    static: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const { again } = values;
const folders = values.folder.split(',');
if (values.help || folders.some((folder) => TESTS[folder] === undefined)) {
  process.stdout.write(HELP);
  process.exit(values.help ? 0 : 2);
}
const named = values.files?.split(',');
const sources = folders
  .flatMap((folder) => filesUnder(`src/${folder}`))
  .filter(
    (path) =>
      isOurTypeScript(path) &&
      !path.includes('/kernel/') &&
      (named === undefined || named.includes(basename(path))),
  );
const survived = (verdict: Verdict): boolean => ['survived', 'uncovered'].includes(verdict.status);
const wanted =
  again === undefined
    ? undefined
    : new Set((JSON.parse(readFileSync(again, 'utf8')) as Verdict[]).filter(survived).map(keyOf));
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
const started = performance.now();
const verdicts: Verdict[] = [];
const save = (): void => {
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(verdicts, null, 1));
};
await judgeFaults({
  root: ROOT,
  scratch: join(ROOT, '.mutants', [...folders, ...(named ?? [])].join('+').slice(0, 100)),
  sources,
  testFiles: testFilesOf(
    values.tests?.split(' ') ?? [...new Set(folders.flatMap((folder) => TESTS[folder]!))],
  ),
  choose: (faults) => {
    const kept = wanted === undefined ? faults : faults.filter((fault) => wanted.has(keyOf(fault)));
    const { sample, seed } = values;
    if (sample === undefined) return kept;
    const of = (folder: string): readonly Verdict[] => kept.filter((fault) => isIn(folder, fault));
    const drawn = folders.map((folder) => draw(of(folder), Number(sample), Number(seed)));
    return Array.from({ length: Number(sample) }, (_, at) =>
      drawn.flatMap((each) => each[at] ?? []),
    ).flat();
  },
  withStatic: values.static,
  ...(values.budget === undefined ? {} : { budgetMilliseconds: 1_000 * Number(values.budget) }),
  log: say,
  onVerdict: (verdict, judged, of) => {
    verdicts.push(verdict);
    if (judged % 10 === 0) save();
    if (verdict.status !== 'killed' && verdict.status !== 'static') say(textOf(verdict));
    if (judged % 50 !== 0) return;
    say(`${judged} of ${of}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
  },
});
save();
for (const line of scores(verdicts, folders)) say(line);
