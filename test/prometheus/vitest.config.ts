import { suiteConfig } from '../suite.ts';

/** A real Prometheus that scrapes running daemons through a day: some three minutes, most of it waiting. */
export default suiteConfig({
  globalSetup: new URL('../e2e/compiled.ts', import.meta.url).pathname,
  ...{ testTimeout: 300_000, hookTimeout: 900_000, maxWorkers: 1 },
  include: ['test/prometheus/**/*.prometheus-test.ts'],
});
