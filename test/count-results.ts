import { appendFileSync, existsSync, readFileSync } from 'node:fs';

type Report = {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly FileResult[];
};

type FileResult = {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[];
  }[];
};

/** The longest reason that is repeated at the end of a run, in characters. */
const LONGEST_REASON = 600;

/**
 * Prints "PASSED FAILED" of a report of vitest: what was skipped has failed, as has a run without one. What
 * did not pass is added to the file FAILURES by name, with the first failure's reason.
 */
const [path, exitCode, failures] = process.argv.slice(2);
let [passed, failed] = [0, 0];
if (existsSync(path!)) {
  const report = JSON.parse(readFileSync(path!, 'utf8')) as Report;
  passed = report.numPassedTests;
  failed = report.numFailedTests + report.numPendingTests + report.numTodoTests;
  if (!report.success && failed === 0) failed = 1;
  appendFileSync(failures!, report.testResults.flatMap(failuresOf).join(''));
}
if (exitCode !== '0' && failed === 0) failed = 1;
if (passed === 0 && failed === 0) failed = 1;
process.stdout.write(`${passed} ${failed}\n`);

function failuresOf(file: FileResult): string[] {
  const tests = file.assertionResults.filter((test) => test.status !== 'passed');
  if (tests.length === 0) return file.status === 'passed' ? [] : [failure(file.name, file.message)];
  return tests.map((test) =>
    failure(`${file.name}: ${test.fullName}`, test.failureMessages[0] ?? test.status),
  );
}

function failure(name: string, reason: string): string {
  return `failed: ${name}\n${reason.slice(0, LONGEST_REASON)}\n`;
}
