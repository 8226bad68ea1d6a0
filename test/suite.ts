import { randomInt } from 'node:crypto';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { SkipReporter } from './skip-reporter.ts';

/**
 * What all suites share. `TEST_REPORT=FILE` writes the results as JSON too, `TEST_SEED=N` repeats what was
 * random in a run.
 */
export function suiteConfig(test: NonNullable<ViteUserConfig['test']>): ViteUserConfig {
  const report = process.env['TEST_REPORT'];
  // The processes of the tests inherit it.
  process.env['TEST_SEED'] ??= String(randomInt(2 ** 31));
  return defineConfig({
    test: {
      root: new URL('..', import.meta.url).pathname,
      testTimeout: 60_000,
      hookTimeout: 60_000,
      pool: 'forks',
      setupFiles: [new URL('seed.ts', import.meta.url).pathname],
      maxWorkers: 2,
      reporters: [
        'default',
        new SkipReporter(),
        ...(report === undefined ? [] : [['json', { outputFile: report }] as ['json', object]]),
      ],
      ...test,
    },
  });
}
