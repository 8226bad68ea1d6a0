import { suiteConfig } from '../../suite.ts';

/** Each file on a primary and a standby of its own. */
export default suiteConfig({ include: ['test/ledger/postgres/**/*.postgres-test.ts'] });
