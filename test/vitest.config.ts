import { keepCompiled } from './compiled.ts';
import { suiteConfig } from './suite.ts';

keepCompiled();

/** Tests of processes, of memory, and of what a process has once: its signals, environment and collector. */
const ALONE = [
  ...['cli', 'daemon', 'devnet', 'log', 'mining', 'mutants', 'operator', 'ops', 'shares', 'sim'].map(
    (folder) => `test/${folder}/**/*.test.ts`,
  ),
  'test/**/fuzz.test.ts',
  'test/downstream/acceptance-hostile.test.ts',
  'test/ledger/ledger-writer.test.ts',
  'test/ledger/sealing-rounds.test.ts',
  'test/maker/agreement.test.ts',
  'test/maker/hostile-bounds.test.ts',
];

/** The core: no service, and few processes. */
export default suiteConfig({
  // Many wait for a socket or a process most of the time.
  maxWorkers: 3,
  globalSetup: new URL('compiled.ts', import.meta.url).pathname,
  // A test that expects nothing finds nothing.
  expect: { requireAssertions: true },
  projects: [
    { extends: true, test: { name: 'alone', include: ALONE } },
    // What all import is loaded once: a third of a second for each file.
    {
      extends: true,
      test: { name: 'together', include: ['test/**/*.test.ts'], exclude: ALONE, isolate: false },
    },
  ],
});
