import { suiteConfig } from '../suite.ts';

/** What people install, made and started: needs the packages of npm, by its cache or by the network. */
export default suiteConfig({
  testTimeout: 600_000,
  hookTimeout: 600_000,
  maxWorkers: 1,
  include: ['test/packages/**/*.packages-test.ts'],
});
