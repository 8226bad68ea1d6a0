import { buildBtcd } from './btcd-program.ts';

/** Once before all files. */
export function setup(): void {
  if (process.env['BITCOIND_RPC_URL'] === undefined) buildBtcd();
}
