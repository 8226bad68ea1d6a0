import { afterEach, describe, expect, it } from 'vitest';
import { type CodedError, codeOf } from '../../src/base/errors.ts';
import { noChain } from '../../src/chain/no-chain.ts';
import { backup, restore } from './backup.ts';
import { until, World } from './world.ts';

let world: World;
afterEach(() => world.stop());

const inMempool = (): number => world.chain.mempoolEntries().length;
const makerStatus = () => world.maker.status[0]!;

async function opened(): Promise<void> {
  world = new World();
  await world.open();
  await world.work(4);
  await until('state 1', () => makerStatus().ackedN === 1);
}

/** Blocks until both sides say that the channel is closed. */
async function closedBy(act: () => Promise<unknown>): Promise<void> {
  const acted = act();
  await until('close broadcast', () => inMempool() > 0);
  world.chain.generate(2);
  await acted;
  await until('both closed', () =>
    [world.miner.status, makerStatus()].every((s) => s.channel === 'closed'),
  );
}

describe('a maker that is told to take a channel back', () => {
  it('knows no other contract', async () => {
    world = new World();
    await world.startMaker();
    for (const ask of [() => world.maker.closeAlone('ab'), () => world.maker.requestClose('ab')])
      expect(await ask().catch(codeOf)).toBe('unknown_channel');
  });

  it('has none to take back before it is funded, says how far the expiry is, and takes it once', async () => {
    world = new World();
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => inMempool() > 0);
    const { contractId, terms } = world;
    const refused = async (): Promise<string> =>
      world.maker.closeAlone(contractId).then(
        () => 'done',
        (error: CodedError) => error.message,
      );
    expect(await refused()).toContain('blocks before the expiry');
    world.chain.generate(terms.minDepth);
    await until('open', () => makerStatus().channel === 'open');
    const left = terms.expiryHeight - world.chain.height;
    expect(await refused()).toBe(`not_expired: the tip is ${left} blocks before the expiry`);
    await closedBy(() => world.miner.close());
    const { height } = world.chain;
    expect(await refused()).toBe('done');
    expect([inMempool(), world.chain.height]).toEqual([0, height]);
  });
});

describe('a maker without a bitcoin node', () => {
  it('does not start while a channel is open, and names it', async () => {
    await opened();
    expect(world.maker.rememberedHashes).toBe(4);
    await world.maker.close();
    await until('away', () => !world.miner.status.connected);
    const blind = world.startMaker({ hasChain: false }, { chain: noChain('regtest') });
    await expect(blind).rejects.toMatchObject({
      message: `config_invalid: [chain] is missing: channel ${world.contractId} is not over`,
    });
  });
});

describe('a miner that is told to close', () => {
  it('before anything was opened is done at once, both ways', async () => {
    world = new World();
    world.port = 9;
    await world.startMiner();
    await world.miner.closeNow();
    await world.miner.close();
    expect(world.miner.status).toMatchObject({ live: false });
    expect(inMempool()).toBe(0);
  });

  it('asks a maker that is there; else says so, and the stream goes on', async () => {
    await opened();
    await world.maker.close();
    await until('away', () => !world.miner.status.connected);
    expect(await world.miner.closeNow().catch(codeOf)).toBe('peer_closed');
    await world.restartMaker();
    await until('back', () => world.miner.status.live && world.miner.status.connected);
    await world.work(4);
    await until('state 2', () => makerStatus().ackedN === 2);
    // Its blocks come before the answer.
    await closedBy(() => world.miner.closeNow());
    // What is closed stays so, whoever asks again.
    await world.miner.closeNow();
    await world.miner.close();
    expect(inMempool()).toBe(0);
  });

  it('by its maker does, with all that is owed', async () => {
    await opened();
    await world.work(1);
    await closedBy(() => world.maker.requestClose(world.contractId));
    expect(world.miner.status.signed!.n).toBe(2);
  });
});

describe('a miner whose ledger lost what it had delivered', () => {
  it('ends the contract, with all that was signed', async () => {
    await opened();
    const old = await backup(world.minerStore, world.contractId);
    await world.work(4);
    await until('state 2', () => makerStatus().ackedN === 2);
    const { signed } = world.miner.status;
    await world.miner.stop();
    world.minerLedger = await restore(old);
    await closedBy(() => world.startMiner());
    expect(world.miner.status).toMatchObject({ live: false, signed });
  });
});
