import { suiteConfig } from '../suite.ts';
import { keepCompiled } from './compiled.ts';
import { LongestFirst } from './longest-first.ts';

keepCompiled();

/** Thousands of connections: beside them the others would miss their times, so they run last and alone. */
const LOADS = ['test/bench/storm.e2e-test.ts', 'test/e2e/chaos.e2e-test.ts'];

/** Daemons as processes, storms, crashes and long runs. */
export default suiteConfig({
  globalSetup: new URL('compiled.ts', import.meta.url).pathname,
  // Daemons wait for blocks, for shares and for each other most of the time.
  ...{ maxWorkers: 3, maxConcurrency: 3 },
  // What a slow machine has done late it has done all the same.
  ...{ testTimeout: 240_000, hookTimeout: 120_000 },
  sequence: { sequencer: LongestFirst },
  projects: [
    {
      extends: true,
      test: {
        name: 'processes',
        include: ['test/**/*.e2e-test.ts'],
        exclude: LOADS,
        sequence: { groupOrder: 1 },
      },
    },
    {
      extends: true,
      test: { name: 'load', include: LOADS, maxWorkers: 1, sequence: { groupOrder: 2 } },
    },
  ],
});
