import { afterAll, afterEach, beforeAll } from 'vitest';
import { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { startNode } from './suite.ts';
import { NodeWorld, type WorldOptions } from './world.ts';

export type Stage = {
  readonly node: TestNode;
  /** A funded contract with its channel open. It is stopped when the test ends. */
  open(options?: WorldOptions): Promise<NodeWorld>;
  /** The same before anybody has started. */
  create(options?: WorldOptions): Promise<NodeWorld>;
};

/** One node and one bank for the tests of a file. */
export function setStage(start: () => Promise<TestNode> = startNode): Stage {
  let node: TestNode | undefined;
  let bank: Bank | undefined;
  const worlds: NodeWorld[] = [];
  beforeAll(async () => {
    node = await start();
    bank = new Bank(node);
  });
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.stop();
  });
  afterAll(() => node?.close());
  return {
    get node() {
      if (node === undefined) throw new Error('the node runs during tests only');
      return node;
    },
    async create(options = {}) {
      const world = await NodeWorld.create(this.node, bank!, options);
      worlds.push(world);
      return world;
    },
    async open(options = {}) {
      const world = await this.create(options);
      await world.open();
      return world;
    },
  };
}
