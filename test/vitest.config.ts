import { suiteConfig } from './suite.ts';

/** The core: no service, and few processes. */
export default suiteConfig({
  include: ['test/**/*.test.ts'],
  // A test that expects nothing finds nothing.
  expect: { requireAssertions: true },
});
