import { suiteConfig } from '../suite.ts';

/** Daemons as processes, storms, crashes and long runs. */
export default suiteConfig({ include: ['test/**/*.e2e-test.ts'] });
