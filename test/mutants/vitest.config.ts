import { suiteConfig } from '../suite.ts';

/** The tests of some folders in one process, which a fault's judge runs again and again. */
export default suiteConfig({
  root: process.cwd(),
  include: (process.env['MUTANTS_TESTS'] ?? '').split(' '),
  runner: new URL('judge.ts', import.meta.url).pathname,
  isolate: false,
  fileParallelism: false,
  maxWorkers: 1,
  // What was made of a file before it had faults is another file.
  fsModuleCache: false,
  expect: { requireAssertions: true },
  testTimeout: 20_000,
  // What ends the process comes later: the end of a test that a fault stopped may wait for ever.
  hookTimeout: 8_000,
  reporters: [],
});
