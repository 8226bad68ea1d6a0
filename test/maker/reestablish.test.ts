import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { signedStateToJson, signState } from '../../src/channel/states.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerBook } from '../../src/maker/maker-book.ts';
import { backup, restore } from './backup.ts';
import { SHARE, until, World } from './world.ts';

async function stateReached(world: World, n: number): Promise<void> {
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

describe('reestablish', () => {
  it('a miner restored from a backup gets the newest state again, byte for byte', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const old = await backup(world.minerStore, world.contractId);
    await world.work(8);
    await until('state 2', () => (world.miner.status.signed?.n ?? 0) >= 2);
    await until('acked', () => world.maker.status[0]!.ackedN === world.maker.status[0]!.n);
    const { n } = world.maker.status[0]!;
    await world.miner.stop();
    const ledger = await restore(old);
    world.minerLedger = ledger;
    await world.startMiner();
    await until('newest state', () => world.miner.status.signed?.n === n);
    const states = await world.states(ledger.store);
    expect(states.get(n)).toBe((await world.states(world.makerStore)).get(n));
    // Its evidence is lost, so it cannot go on; it closes with all it was paid.
    expect(world.miner.status.live).toBe(false);
    await until('closing', () => world.miner.status.channel === 'closing');
    await world.stop();
  });

  it('a maker restored from a backup takes over its own newer state, and no share twice', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const old = await backup(world.makerStore, world.contractId);
    const replayed = world.find(world.job(), 4);
    await world.deliver(replayed);
    await stateReached(world, 2);
    void world.maker.close();
    world.makerLedger = await restore(old);
    await world.startMaker();
    await until('taken over', () => world.maker.status[0]?.n === 2);
    await until('ready', () => world.maker.status[0]!.connected && world.miner.status.connected);
    expect(world.maker.status[0]).toMatchObject({ verifiedWorkHashes: 8n * SHARE.workHashes, ackedN: 2 });
    // On the old tip the maker cannot know what it has paid: nothing there counts any more.
    await world.deliver(replayed.slice(0, 2));
    await until('refused', () => world.miner.stats.refused['share_stale'] === 2);
    world.chain.generate(1);
    await world.work(4);
    await stateReached(world, 3);
    expect(world.miner.status.signed?.workHashes).toBe(12n * SHARE.workHashes);
    await world.stop();
  });

  it('two contents for one number freeze the channel, with both kept', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    void world.maker.close();
    const deps = {
      ledger: world.makerStore,
      clock: systemClock,
      log: silentLogger,
      signer: world.makerSigner,
    };
    const book = (await MakerBook.load(world.contractId, deps))!;
    const keys = world.makerSigner.forChannel(book.contract.channelIndex);
    const other = signState(book.assembled!.params, 1, 3n * SHARE.workHashes, keys);
    const entries = (await backup(world.makerStore, world.contractId)).map((entry): LedgerEntry => {
      if (entry.op !== 'put' || entry.kind !== 'state' || !entry.id.endsWith(':0000000001')) return entry;
      return { ...entry, body: JSON.stringify(signedStateToJson(other)) };
    });
    world.makerLedger = await restore(entries);
    await world.startMaker();
    await until('frozen', () => world.maker.status[0]?.frozen !== undefined);
    expect(world.maker.status[0]).toMatchObject({ channel: 'frozen', n: 1 });
    const [proof] = await world.makerLedger.store.list('equivocation');
    expect(proof?.id).toBe(`${world.contractId}:0000000001`);
    expect(Object.keys(JSON.parse(proof!.body) as object)).toEqual(['held', 'shown']);
    await until('told', () => world.miner.status.lastError === 'equivocation');
    await world.stop();
  });

  it('work found while the maker was away is taken up to the agreed exposure', async () => {
    const world = new World({ terms: { staleGraceSeconds: 0 } });
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    // The header of the next block has whole seconds: later than the last contact.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await world.maker.close();
    await until('gone', () => !world.miner.status.connected);
    // 3 steps may be unpaid and 4 of these shares are a step; what is beyond one step more is not taken.
    await world.deliver(world.find(world.job(), 18));
    expect(world.miner.status.live).toBe(false);
    world.chain.generate(1);
    await world.startMaker();
    await until('paid', () => world.miner.status.signed?.workHashes === 20n * SHARE.workHashes);
    await until('all judged', () => world.miner.status.refusedWorkHashes === 2n * SHARE.workHashes);
    expect(world.maker.status[0]!.refused).toEqual({ share_stale: 2 });
    await until('live', () => world.miner.status.live);
    await world.stop();
  });
});
