import { suiteConfig } from '../suite.ts';

/** Files of which nothing is for btcd: it has no packages, other rules for what waits, no templates. */
const BITCOIND_ONLY = ['mempool', 'proposals', 'waits'].map(
  (name) => `test/chain-node/${name}.node-test.ts`,
);

/** All files on each kind of node; each file starts one of its own. `--project btcd` runs on that alone. */
const projectOn = (kind: 'bitcoind' | 'btcd') => ({
  extends: true as const,
  test: {
    name: kind,
    env: { CHAIN_NODE: kind },
    include: ['test/chain-node/**/*.node-test.ts'],
    exclude: kind === 'btcd' ? BITCOIND_ONLY : [],
    globalSetup: ['test/chain-node/setup.ts'],
  },
});

export default suiteConfig({ projects: [projectOn('bitcoind'), projectOn('btcd')] });
