import { afterEach, expect, it } from 'vitest';
import { proxyChannelActions } from '../../src/daemon/channel-actions.ts';
import type { RunningContracts } from '../../src/daemon/running-contracts.ts';
import { until, World } from './world.ts';

let world: World;
afterEach(() => world.stop());

const mempool = (): number => world.chain.mempoolEntries().length;
/** The close of a daemon that somebody forces, as its page does it. */
const force = (): unknown =>
  proxyChannelActions({
    first: {},
    all: [{}],
    side: () => world.miner,
  } as unknown as RunningContracts)['channel/force-close']!({ contract: world.contractId });

/** A channel whose miner has lost its newest state, and starts while the maker is away. */
async function behind(askPeerMs: number): Promise<void> {
  world = new World();
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  const before = await world.minerStore.list('channel', world.contractId);
  await world.work(4);
  await until('state 2', () => world.maker.status[0]!.ackedN === 2);
  await world.maker.close();
  await world.miner.stop();
  await world.minerStore.append([
    { type: 'put', kind: 'channel', id: world.contractId, body: before[0]!.body },
  ]);
  await world.startMiner({ askPeerMs });
  await until('a tip', () => world.miner.status.fundingDepth > 0);
  expect(world.miner.status.signed?.n).toBe(1);
}

it('a forced close lets the maker show a newer state first, and closes by that', async () => {
  await behind(600_000);
  const { contractId: contract } = world;
  expect(await force()).toMatchObject({ contract, dry_run: false, closing: false, asks_peer: true });
  await world.rest();
  expect(mempool()).toBe(0);
  await world.startMaker();
  await until('a close', () => mempool() === 1);
  expect(world.miner.status.signed?.n).toBe(2);
});

it('waits no longer than it says for a maker that does not come', async () => {
  await behind(300);
  expect(world.miner.mayClose).toBe(false);
  void world.miner.closeAloneInTime();
  await until('a close', () => mempool() === 1);
  expect(world.miner.status.signed?.n).toBe(1);
});

it('does not wait where the expiry is near, or where the maker was heard since the start', async () => {
  await behind(600_000);
  await world.startMaker();
  await until('current', () => world.miner.status.signed?.n === 2);
  const answer = await force();
  expect(answer).toMatchObject({ contract: world.contractId, closing: true, paid_sat: '1280' });
  expect(answer).not.toHaveProperty('asks_peer');
  expect(mempool()).toBe(1);
});

it('waits for nothing from the height on at which the close is asked for', async () => {
  await behind(600_000);
  const left = world.terms.expiryHeight - world.chain.height;
  for (const [askBlocks, mayClose] of [
    [left - 1, false],
    [left, true],
  ] as const) {
    await world.miner.stop();
    const margins = { askBlocks, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 };
    await world.startMiner({ askPeerMs: 600_000, margins });
    await until('a tip', () => world.miner.status.fundingDepth > 0);
    expect(world.miner.mayClose).toBe(mayClose);
  }
});
