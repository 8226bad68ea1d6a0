import { suiteConfig } from '../../suite.ts';

/** Each file on a primary and a standby of its own. */
export default suiteConfig({
  testTimeout: 120_000,
  hookTimeout: 120_000,
  include: ['test/ledger/postgres/**/*.postgres-test.ts'],
});
