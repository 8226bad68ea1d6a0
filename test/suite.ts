import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { SkipReporter } from './skip-reporter.ts';

/** What all suites share. `TEST_REPORT=FILE` writes the results as JSON too. */
export function suiteConfig(test: NonNullable<ViteUserConfig['test']>): ViteUserConfig {
  const report = process.env['TEST_REPORT'];
  return defineConfig({
    test: {
      root: new URL('..', import.meta.url).pathname,
      testTimeout: 60_000,
      hookTimeout: 60_000,
      pool: 'forks',
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
