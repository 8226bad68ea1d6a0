import { existsSync, readFileSync } from 'node:fs';

type Report = {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
};

/** Prints "PASSED FAILED" of a report of vitest: what was skipped has failed, as has a run without one. */
const [path, exitCode] = process.argv.slice(2);
let [passed, failed] = [0, 0];
if (existsSync(path!)) {
  const report = JSON.parse(readFileSync(path!, 'utf8')) as Report;
  passed = report.numPassedTests;
  failed = report.numFailedTests + report.numPendingTests + report.numTodoTests;
  if (!report.success && failed === 0) failed = 1;
}
if (exitCode !== '0' && failed === 0) failed = 1;
if (passed === 0 && failed === 0) failed = 1;
process.stdout.write(`${passed} ${failed}\n`);
