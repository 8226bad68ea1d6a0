import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Instrumenter } from '@stryker-mutator/instrumenter';
import { ROOT } from '../source-tree.ts';
import { type Fault, type Job, type Line, NO_TEST, type Status } from './job.ts';

export type Verdict = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Where what it replaces ends: `line:column`. */
  readonly end: string;
  readonly mutator: string;
  readonly replacement: string;
  readonly status: Status;
  readonly by?: string;
};

export type Question = {
  /** The project whose `src` gets faults: ours, or a test's. */
  readonly root: string;
  /** A folder of its own, made anew. */
  readonly scratch: string;
  readonly sources: readonly string[];
  readonly testFiles: readonly string[];
  /** Which of the faults are judged. */
  readonly choose: (faults: readonly Verdict[]) => readonly Verdict[];
  /** Whether faults that act while modules load are judged, each in a process of its own. */
  readonly withStatic: boolean;
  /** How long the tests of one fault may take together: those that would be last are left out. */
  readonly budgetMilliseconds?: number | undefined;
  readonly onVerdict: (verdict: Verdict, judged: number, of: number) => void;
  readonly log: (line: string) => void;
};

/** A test that runs for so long, and so much longer than without a fault, is in a loop that nothing ends. */
const HANG_MS = 15_000;
const HANG_FACTOR = 6;
/** The compiler refuses nearly all of these: unions of words, fields that must be there. */
const EXCLUDED = ['StringLiteral', 'ObjectLiteral'];
const SILENT = {
  isDebugEnabled: () => false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
};

/**
 * First in each source with faults. In a thread or process that a test started it writes down which faults
 * are reached, for the process of the tests cannot see that.
 */
const ELSEWHERE = `if (process.env.MUTANTS_ELSEWHERE && globalThis.__stryker__ === undefined) {
  const { appendFileSync } = process.getBuiltinModule('node:fs');
  const seen = new Set();
  const told = { set: (_, id) => {
    if (!seen.has(id)) appendFileSync(process.env.MUTANTS_ELSEWHERE, JSON.stringify(
      { kind: 'hits', test: process.env.MUTANTS_TEST, hits: { [id]: 1 } }) + '\\n');
    return !!seen.add(id);
  } };
  globalThis.__stryker__ = { mutantCoverage: { static: new Proxy({}, told), perTest: {} } };
}
`;

/** Puts every fault into a copy of the project at once, each behind a switch. */
async function instrument({ root, scratch, sources }: Question): Promise<Map<string, Verdict>> {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(join(scratch, 'tmp'), { recursive: true });
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json']) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(scratch, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'));
  const files = sources.map((name) => ({
    name,
    mutate: true,
    content: readFileSync(join(root, name), 'utf8'),
  }));
  const instrumenter = new Instrumenter(SILENT as never);
  const options = { plugins: null, excludedMutations: EXCLUDED, ignorers: [] };
  const made = await instrumenter.instrument(files, options as never);
  for (const { name, content } of made.files) writeFileSync(join(scratch, name), ELSEWHERE + content);
  return new Map(
    made.mutants
      .filter((mutant) => mutant.status !== 'Ignored')
      .map(({ id, fileName, location: { start, end }, mutatorName, replacement }) => [
        id,
        {
          file: fileName,
          line: start.line + 1,
          column: start.column + 1,
          end: `${end.line + 1}:${end.column + 1}`,
          mutator: mutatorName,
          replacement: replacement ?? '',
          status: 'uncovered',
        },
      ]),
  );
}

/** Runs one process of tests and hears its lines, until it is over or says nothing for too long. */
async function runProcess(
  { scratch, testFiles }: Question,
  job: Omit<Job, 'out' | 'testFiles'>,
  hear: (line: Line) => void,
): Promise<void> {
  const out = join(scratch, 'lines');
  const at = join(scratch, 'job.json');
  writeFileSync(out, '');
  writeFileSync(at, JSON.stringify({ ...job, out, testFiles: testFiles.length } satisfies Job));
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    TMPDIR: join(scratch, 'tmp'),
    MUTANTS_JOB: at,
    MUTANTS_TESTS: testFiles.join(' '),
    TEST_SEED: process.env['TEST_SEED'] ?? '1',
    ...(job.faults === undefined ? { MUTANTS_ELSEWHERE: out } : {}),
  };
  delete environment['VITEST_MAX_WORKERS'];
  const config = join(ROOT, 'test/mutants/vitest.config.ts');
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--config', config], {
    cwd: scratch,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, which ends as one.
    detached: true,
  });
  const endAll = (): void => {
    process.kill(-child.pid!, 'SIGKILL');
    process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, endAll);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      output = (output + data.toString()).slice(-4_000);
    });
  }
  let isOver = false;
  let heard = 0;
  let limit = Number.POSITIVE_INFINITY;
  const hearNew = (): boolean => {
    const lines = readFileSync(out, 'utf8').split('\n').slice(0, -1);
    const fresh = lines.slice(heard);
    heard = lines.length;
    for (const text of fresh) {
      const line = JSON.parse(text) as Line;
      isOver ||= line.kind === 'over';
      if (line.kind === 'runs') limit = HANG_MS + HANG_FACTOR * (job.milliseconds[line.test] ?? 60_000);
      hear(line);
    }
    return fresh.length > 0;
  };
  await new Promise<void>((resolve) => {
    let lastHeard = performance.now();
    const timer = setInterval(() => {
      if (hearNew()) lastHeard = performance.now();
      const isHanging = performance.now() - lastHeard > limit;
      if (isOver || isHanging) process.kill(-child.pid!, 'SIGKILL');
    }, 200);
    child.on('exit', () => {
      clearInterval(timer);
      for (const signal of signals) process.off(signal, endAll);
      resolve();
    });
  });
  hearNew();
  if (heard === 0) throw new Error(`the tests told nothing:\n${output}`);
}

/** Who reaches which fault, and which tests can be run again. */
async function findReach(question: Question): Promise<{
  readonly milliseconds: Record<string, number>;
  readonly hits: ReadonlyMap<string, ReadonlyMap<string, number>>;
}> {
  const milliseconds: Record<string, number> = {};
  const hits = new Map<string, Map<string, number>>();
  await runProcess(question, { milliseconds }, (line) => {
    if (line.kind === 'test' && line.ok) milliseconds[line.id] = line.ms;
    if (line.kind === 'test' && !line.ok) question.log(`not used, fails without a fault: ${line.name}`);
    if (line.kind !== 'hits') return;
    for (const [id, count] of Object.entries(line.hits)) {
      const of = hits.get(id) ?? new Map<string, number>();
      hits.set(id, of.set(line.test, (of.get(line.test) ?? 0) + count));
    }
  });
  return { milliseconds, hits };
}

/** So many faults are judged in the order of their places; what is drawn later comes later. */
const PART = 40;

/** Chosen ones in an order of which each beginning is as random as the choice: a run can be ended early. */
function inParts(all: ReadonlyMap<string, Verdict>, chosen: ReadonlySet<Verdict>): readonly string[] {
  const parts = new Map([...chosen].map((fault, index) => [fault, Math.floor(index / PART)]));
  return [...all]
    .filter(([, fault]) => parts.has(fault))
    .sort(([, a], [, b]) => parts.get(a)! - parts.get(b)!)
    .map(([id]) => id);
}

/** Judges the chosen faults of some sources by some tests. */
export async function judgeFaults(question: Question): Promise<Verdict[]> {
  const all = await instrument(question);
  const chosen = new Set(question.choose([...all.values()]));
  question.log(`${all.size} faults, ${chosen.size} chosen`);
  const { milliseconds, hits } = await findReach(question);
  const total = Object.values(milliseconds).reduce((sum, ms) => sum + ms, 0);
  question.log(`${Object.keys(milliseconds).length} tests, ${(total / 1000).toFixed(1)} s`);
  const fastestFirst = (tests: Iterable<string>): string[] =>
    [...tests].filter((test) => test in milliseconds).sort((a, b) => milliseconds[a]! - milliseconds[b]!);

  const verdicts: Verdict[] = [];
  const settle = (id: string, status: Status, by?: string): void => {
    verdicts.push({ ...all.get(id)!, status, ...(by === undefined ? {} : { by }) });
    question.onVerdict(verdicts.at(-1)!, verdicts.length, chosen.size);
  };
  const faults: Fault[] = [];
  const atImport: Fault[] = [];
  for (const id of inParts(all, chosen)) {
    const of = hits.get(id) ?? new Map<string, number>();
    const tests = fastestFirst(of.keys());
    const sum = [...of.values()].reduce((a, b) => a + b, 0);
    if (tests.length > 0) faults.push({ id, tests, hits: sum });
    else if (!of.has(NO_TEST)) settle(id, 'uncovered');
    else if (!question.withStatic) settle(id, 'static');
    else atImport.push({ id, tests: fastestFirst(Object.keys(milliseconds)), hits: sum });
  }

  for (let rest = faults; rest.length > 0; ) {
    const done = new Set<string>();
    let begun: string | undefined;
    await runProcess(
      question,
      { faults: rest, milliseconds, budgetMilliseconds: question.budgetMilliseconds },
      (line) => {
        if (line.kind === 'begin') begun = line.id;
        if (line.kind === 'over') begun = undefined;
        if (line.kind === 'over' && line.why !== 'done') question.log(`a new process: ${line.why}`);
        if (line.kind !== 'verdict') return;
        done.add(line.id);
        begun = undefined;
        settle(line.id, line.status, line.by);
      },
    );
    if (begun !== undefined) {
      done.add(begun);
      settle(begun, 'hang');
    }
    if (done.size === 0 && begun === undefined) throw new Error('no fault was judged');
    rest = rest.filter(({ id }) => !done.has(id));
  }
  for (const fault of atImport) {
    let isJudged = false;
    await runProcess(question, { atImport: fault.id, faults: [fault], milliseconds }, (line) => {
      if (line.kind !== 'verdict') return;
      isJudged = true;
      settle(fault.id, line.status, line.by);
    });
    if (!isJudged) settle(fault.id, 'hang');
  }
  return verdicts;
}
