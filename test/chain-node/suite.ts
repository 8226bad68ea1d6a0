import { BitcoindNode } from './bitcoind.ts';
import { BtcdNode } from './btcd.ts';
import type { TestNode } from './node.ts';

const url = process.env['BITCOIND_RPC_URL'];

/** Which node the suite runs against; titles and skips depend on it before any node is there. */
export const NODE_KIND: TestNode['kind'] = url === undefined ? 'btcd' : 'bitcoind';

/** One node for a file of tests. */
export async function startNode(): Promise<TestNode> {
  return url === undefined ? BtcdNode.start() : BitcoindNode.connect(url);
}
