import { suiteConfig } from './suite.ts';

/** The core: no service, and few processes. */
export default suiteConfig({
  // Many wait for a socket or a process most of the time.
  maxWorkers: 3,
  include: ['test/**/*.test.ts'],
  // A test that expects nothing finds nothing.
  expect: { requireAssertions: true },
});
