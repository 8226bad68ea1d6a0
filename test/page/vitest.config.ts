import { keepCompiled } from '../compiled.ts';
import { suiteConfig } from '../suite.ts';

keepCompiled();

/** The page of each daemon in a real browser, against daemons that run. */
export default suiteConfig({
  globalSetup: [
    new URL('../compiled.ts', import.meta.url).pathname,
    new URL('chromium.ts', import.meta.url).pathname,
  ],
  include: ['test/page/**/*.page-test.ts'],
  // What a slow machine has done late it has done all the same.
  ...{ testTimeout: 240_000, hookTimeout: 240_000 },
  maxWorkers: 2,
  // The wall clock of the daemons is that of the browser.
  env: { AUDITOR_CLOCK: '1' },
});
