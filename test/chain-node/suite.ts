import { describe, it } from 'vitest';
import { BitcoindNode } from './bitcoind.ts';
import { BtcdNode } from './btcd.ts';
import type { TestNode } from './node.ts';

const url = process.env['BITCOIND_RPC_URL'];

/** Which node the suite runs against; which tests there are depends on it before any node is there. */
export const NODE_KIND: TestNode['kind'] = url === undefined ? 'btcd' : 'bitcoind';

/** One node for a file of tests. */
export async function startNode(): Promise<TestNode> {
  return url === undefined ? BtcdNode.start() : BitcoindNode.connect(url);
}

/** Tests of what only this kind of node can do: not registered on the other one. */
export function describeOn(kind: TestNode['kind'], title: string, define: () => void): void {
  if (kind === NODE_KIND) describe(title, define);
}

export function itOn(kind: TestNode['kind'], title: string, run: () => Promise<void>): void {
  if (kind === NODE_KIND) it(title, run);
}
