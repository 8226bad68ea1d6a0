import { appendFileSync, readFileSync } from 'node:fs';
import {
  type RunnerTask,
  type RunnerTestCase,
  type RunnerTestFile,
  type RunnerTestSuite,
  TestRunner,
} from 'vitest';
import { startTests } from 'vitest/internal/browser';
import { type Fault, type Job, type Line, NO_TEST, type Status } from './job.ts';

type Hits = Record<string, number>;
/** What the instrumented sources look at, under the name they know. */
type Switch = {
  activeMutant?: string | undefined;
  currentTestId?: string;
  hitCount?: number;
  hitLimit?: number;
  mutantCoverage?: { static: Hits; perTest: Record<string, Hits> };
};

type Traces = Parameters<TestRunner['__setTraces']>[0];

const job = JSON.parse(readFileSync(process.env['MUTANTS_JOB']!, 'utf8')) as Job;
const faultSwitch: Switch = {};
(globalThis as { __stryker__?: Switch }).__stryker__ = faultSwitch;
activate(job.atImport);

const realSetTimeout = setTimeout;
const realSetImmediate = setImmediate;
/** So many tests that fail without a fault are borne before a new process is begun. */
const MOST_SPOILT = 8;
/** So many tests are tried before the fastest. */
const MOST_FINDERS = 8;
const collected: RunnerTestFile[] = [];
/** Errors that no one caught: a run of the suite fails with them too. */
let uncaught: unknown[] = [];
process.on('unhandledRejection', (error) => uncaught.push(error));

function tell(line: Line): void {
  appendFileSync(job.out, `${JSON.stringify(line)}\n`);
}

/** Threads and processes that start while it is active have the fault too. */
function activate(id: string | undefined): void {
  faultSwitch.activeMutant = id;
  if (id === undefined) delete process.env['__STRYKER_ACTIVE_MUTANT__'];
  else process.env['__STRYKER_ACTIVE_MUTANT__'] = id;
}

function reached(test: string): void {
  faultSwitch.currentTestId = test;
  process.env['MUTANTS_TEST'] = test;
}

/** Runs tests that are collected already, until one fails. */
class Rerun extends TestRunner {
  failed: { readonly test: RunnerTestCase; readonly timeout: boolean } | undefined;
  keepGoing = false;
  isInTime = true;

  override async onBeforeRunSuite(suite: RunnerTestSuite): Promise<void> {
    await super.onBeforeRunSuite(suite);
    reached(suite.id);
  }

  /** No snapshot is kept of a run with a fault. */
  override async onAfterRunSuite(): Promise<void> {}

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    if (this.failed !== undefined && !this.keepGoing) test.mode = 'skip';
    if (test.mode !== 'skip') {
      reached(test.id);
      tell({ kind: 'runs', test: test.id });
    }
    await super.onBeforeRunTask(test);
  }

  override onAfterRunTask(test: RunnerTestCase): void {
    if (test.result?.state === 'fail') this.failed ??= { test, timeout: !this.isInTime };
    reached(test.suite?.id ?? test.file.id);
    super.onAfterRunTask(test);
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    uncaught = [];
    const limit = 3_000 + 5 * (job.milliseconds[test.id] ?? 12_000);
    await new Promise<void>((resolve, reject) => {
      const timer = realSetTimeout(() => {
        this.isInTime = false;
        reject(new Error(`not over after ${limit} ms`));
      }, limit);
      Promise.resolve(TestRunner.getTestFn(test)())
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
    await new Promise((resolve) => realSetImmediate(resolve));
    if (uncaught.length > 0) throw uncaught[0];
  }
}

function* testsIn(tasks: readonly RunnerTask[]): Generator<RunnerTestCase> {
  for (const task of tasks) {
    if (task.type === 'test') yield task;
    else yield* testsIn(task.tasks);
  }
}

/** Makes tasks as they were before they ran; only chosen ones run. */
function prepare(tasks: RunnerTask[], chosen: ReadonlySet<string>): boolean {
  let any = false;
  for (const task of tasks) {
    const runs = task.type === 'test' ? chosen.has(task.id) : prepare(task.tasks, chosen);
    if (task.type === 'suite') keepFolders(task);
    task.mode = runs ? 'run' : 'skip';
    delete task.result;
    any ||= runs;
  }
  return any;
}

/** What a file made when it was loaded, mostly a folder, is not made again: it stays. */
function keepFolders(suite: RunnerTestSuite): void {
  const { beforeAll, afterAll } = TestRunner.getSuiteHooks(suite);
  if (beforeAll.length === 0) afterAll.length = 0;
}

class Judge extends TestRunner {
  /** Takes the tests of each file away before they run, and runs them its own way once it has all. */
  async onBeforeRunFiles(files: RunnerTestFile[]): Promise<void> {
    collected.push(...files.splice(0));
    if (collected.length < job.testFiles) return;
    if (job.atImport !== undefined) await this.#judgeImported(job.atImport);
    else if (job.faults !== undefined) await this.#judgeAll(job.faults);
    else await this.#findReach();
  }

  async #run(tests: Iterable<string>, keepGoing = false): Promise<Rerun> {
    const rerun = new Rerun(this.config);
    rerun.__setTraces((this as unknown as { _otel: Traces })._otel);
    rerun.keepGoing = keepGoing;
    const chosen = new Set(tests);
    const files = collected.filter((file) => prepare([file], chosen));
    // Nothing is collected again: it runs what it finds in the list.
    const list = (into: RunnerTestFile[]): void => void into.push(...files);
    await startTests([], Object.assign(rerun, { onBeforeRunFiles: list }));
    return rerun;
  }

  /** The fastest first, in parts that grow: what is found is mostly found by these. */
  async #runUntilFailure(tests: readonly string[]): Promise<Rerun> {
    for (let from = 0, size = 4; ; from += size, size *= 3) {
      const rerun = await this.#run(tests.slice(from, from + size));
      const hook = collected.find((file) => file.result?.state === 'fail');
      if (rerun.failed === undefined && hook !== undefined) {
        rerun.failed = { test: testsIn(hook.tasks).next().value!, timeout: false };
      }
      if (rerun.failed !== undefined || from + size >= tests.length) return rerun;
    }
  }

  async #findReach(): Promise<void> {
    for (const file of collected) {
      if (file.result?.state === 'fail')
        throw new Error(`${file.name}: ${file.result.errors?.[0]?.message}`);
    }
    const all = collected.flatMap((file) => [...testsIn(file.tasks)]).filter((test) => test.mode === 'run');
    const ids = all.map((test) => test.id);
    await this.#run(ids, true);
    const { static: atImport = {}, perTest = {} } = faultSwitch.mutantCoverage ?? {};
    tell({ kind: 'hits', test: NO_TEST, hits: atImport });
    for (const [test, hits] of Object.entries(perTest)) {
      const of = collected.flatMap((file) => testsUnder(file, test));
      for (const { id } of of) tell({ kind: 'hits', test: id, hits });
    }
    for (const { id, file, name, result } of all) {
      const ms = Math.ceil(result?.duration ?? 0);
      tell({ kind: 'test', id, name: `${file.name} > ${name}`, ms, ok: result?.state === 'pass' });
    }
    tell({ kind: 'over', why: 'done' });
  }

  async #judgeImported(id: string): Promise<void> {
    const broken = collected.find((file) => file.result?.state === 'fail');
    const rerun = broken === undefined ? await this.#runUntilFailure(job.faults![0]!.tests) : undefined;
    const by = broken?.name ?? rerun?.failed?.test.name;
    tell({
      kind: 'verdict',
      id,
      ...(by === undefined ? { status: 'survived' } : { status: 'killed', by }),
    });
    tell({ kind: 'over', why: 'done' });
  }

  async #judgeAll(faults: readonly Fault[]): Promise<void> {
    // What found the faults before this one, which stand near it: the latest first.
    let finders: readonly string[] = [];
    // What fails without a fault too: not to be run twice, or spoilt by a fault.
    const spoilt = new Set<string>();
    for (const [index, { id, tests, hits }] of faults.entries()) {
      tell({ kind: 'begin', id });
      for (let isJudged = false; !isJudged; ) {
        faultSwitch.hitCount = 0;
        faultSwitch.hitLimit = 20 * hits + 1_000;
        activate(id);
        const { failed } = await this.#runUntilFailure(inTime(spoilt, finders, tests));
        activate(undefined);
        const isSpoilt = failed !== undefined && (await this.#run([failed.test.id])).failed !== undefined;
        if (isSpoilt && spoilt.add(failed.test.id).size <= MOST_SPOILT) continue;
        isJudged = !isSpoilt || index === 0;
        if (!isJudged) return tell({ kind: 'over', why: `spoilt by ${failed!.test.name}` });
        if (failed !== undefined)
          finders = [...new Set([failed.test.id, ...finders])].slice(0, MOST_FINDERS);
        const by = failed && { by: `${failed.test.file.name} > ${failed.test.name}` };
        const status: Status = failed === undefined ? 'survived' : failed.timeout ? 'timeout' : 'killed';
        tell({ kind: 'verdict', id, status, ...by });
      }
    }
    tell({ kind: 'over', why: 'done' });
  }
}

/** The tests to run for a fault, in this order: what found others near it, then the fastest. */
function inTime(
  spoilt: ReadonlySet<string>,
  finders: readonly string[],
  tests: readonly string[],
): string[] {
  const reaching = new Set(tests);
  const ordered = [...new Set([...finders.filter((test) => reaching.has(test)), ...tests])];
  const usable = ordered.filter((test) => !spoilt.has(test));
  let sum = 0;
  const end = usable.findIndex((test) => {
    sum += job.milliseconds[test] ?? 0;
    return sum > (job.budgetMilliseconds ?? Number.POSITIVE_INFINITY);
  });
  return end === -1 ? usable : usable.slice(0, Math.max(1, end));
}

/** A hit in a hook of a suite belongs to each test of it. */
function testsUnder(task: RunnerTask, id: string): RunnerTestCase[] {
  if (task.id === id) return [...testsIn([task])];
  return task.type === 'test' ? [] : task.tasks.flatMap((child) => testsUnder(child, id));
}

export default Judge;
