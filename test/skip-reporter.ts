import type { Reporter, TestModule, Vitest } from 'vitest/node';

/**
 * Says at the end of a run its seed, and what was skipped and why. With `CI` in the environment a skip is a
 * failure.
 */
export class SkipReporter implements Reporter {
  #isFiltered = false;

  onInit(vitest: Vitest): void {
    this.#isFiltered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    process.stdout.write(`\nTEST_SEED=${process.env['TEST_SEED']} repeats what was random.\n`);
    const lines = modules.flatMap((module) => [...module.children.allTests('skipped')].map(lineOf));
    // Asking for some tests by name skips all others.
    if (lines.length === 0 || this.#isFiltered) return;
    process.stdout.write(`\n${lines.join('\n')}\n`);
    if (['', 'false', undefined].includes(process.env['CI'])) return;
    process.stdout.write('In CI nothing may be skipped.\n');
    process.exitCode = 1;
  }
}

type TestCase = ReturnType<TestModule['children']['allTests']> extends Iterable<infer T> ? T : never;

function lineOf(test: TestCase): string {
  const result = test.result();
  const why = result.state === 'skipped' ? result.note : undefined;
  return `skipped: ${test.module.relativeModuleId}: ${test.fullName}: ${why ?? 'no reason is given'}`;
}
