import { describe } from 'vitest';
import { BitcoindNode } from './bitcoind.ts';
import { BtcdNode } from './btcd.ts';
import type { TestNode } from './node.ts';

/** Which node the files run against; which tests there are depends on it before any node is there. */
export const NODE_KIND: TestNode['kind'] = process.env['CHAIN_NODE'] === 'btcd' ? 'btcd' : 'bitcoind';

/** One node for a file of tests. */
export async function startNode(): Promise<TestNode> {
  return NODE_KIND === 'btcd' ? BtcdNode.start() : BitcoindNode.start();
}

/** Tests of what only this kind of node can do: not registered on the other one. */
export function describeOn(kind: TestNode['kind'], title: string, define: () => void): void {
  if (kind === NODE_KIND) describe(title, define);
}
