import { suiteConfig } from '../suite.ts';

/** The suite against a full node: the bitcoind of BITCOIND_RPC_URL, else btcd, built on first use. */
export default suiteConfig({
  include: ['test/chain-node/**/*.node-test.ts'],
  globalSetup: ['test/chain-node/setup.ts'],
  // A bitcoind is one chain for all files; each file starts a btcd of its own.
  fileParallelism: process.env['BITCOIND_RPC_URL'] === undefined,
});
