import { defineConfig } from 'vitest/config';

/** The suite against a full node: the bitcoind of BITCOIND_RPC_URL, else btcd, built on first use. */
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/chain-node/**/*.node-test.ts'],
    globalSetup: ['test/chain-node/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    // A bitcoind is one chain for all files; each file starts a btcd of its own.
    fileParallelism: process.env['BITCOIND_RPC_URL'] === undefined,
  },
});
