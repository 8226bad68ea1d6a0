import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { owedSat } from '../../src/base/units.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { walletScript } from '../../src/settlement/opening.ts';
import { loadOpening, STATE_KIND } from '../../src/settlement/records.ts';
import { MortalLedger, SHARE, until, World } from './world.ts';

async function opened(options: ConstructorParameters<typeof World>[0] = {}): Promise<World> {
  const world = new World(options);
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  return world;
}

const balanceOf = (world: World, side: 'miner' | 'maker'): bigint => {
  const signer = side === 'miner' ? world.minerSigner : world.makerSigner;
  const coins = world.chain.utxos(toHex(p2wpkhScript(signer.publicKey('wallet'))));
  return coins.reduce((sum, coin) => sum + coin.valueSat, 0n);
};

describe('endings', () => {
  it('a maker that stops signing costs the miner no more than the agreed steps', async () => {
    const world = await opened();
    await world.maker.close();
    for (let step = 0; step < 2; step += 1) {
      await world.work(4);
      expect(world.miner.status.live).toBe(true);
    }
    await world.work(4);
    expect(world.miner.status).toMatchObject({
      live: false,
      exposureHashes: 3n * world.terms.stepHashes,
    });
    await world.restartMiner();
    await until('still stopped', () => world.miner.status.exposureHashes > 0n);
    expect(world.miner.status.live).toBe(false);

    await world.miner.closeAlone();
    expect(world.chain.mempoolEntries()).toHaveLength(1);
    const [entry] = world.chain.mempoolEntries();
    const paidSat = owedSat(4n * SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(entry!.transaction.outs[0]!.value).toBe(world.terms.minerReserveSat + paidSat - entry!.feeSat);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.startMaker();
    world.chain.generate(2);
    await until('maker sees it', () => world.maker.status[0]?.channel === 'closed');
    await world.stop();
  });

  it('the miner closes alone by a state that was on its way to the disk', async () => {
    const world = await opened();
    const ledger = world.minerLedger;
    const append = ledger.append.bind(ledger);
    const [begun, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    ledger.append = async (entries) => {
      if (entries.some(({ kind }) => kind === STATE_KIND)) {
        begun.resolve();
        await release.promise;
      }
      await append(entries);
    };
    await world.deliver(world.find(world.job(), 4));
    await begun.promise;
    const closed = world.miner.closeAlone();
    await world.rest();
    release.resolve();
    await closed;
    await until('acked', () => world.maker.status[0]?.ackedN === 2);
    const [entry] = world.chain.mempoolEntries();
    const paidSat = owedSat(8n * SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(entry!.transaction.outs[0]!.value).toBe(world.terms.minerReserveSat + paidSat - entry!.feeSat);
    await world.stop();
  });

  it('the miner asks for the close before the expiry, and closes alone when nobody answers', async () => {
    const world = await opened({ terms: { expiryHeight: 600 }, policy: { minExpiryBlocks: 300 } });
    await world.maker.close();
    world.chain.generate(600 - 288 - world.chain.height);
    await until('no more work', () => world.miner.status.stream === 'ending');
    expect(world.miner.status.live).toBe(false);
    expect(world.chain.mempoolEntries()).toEqual([]);
    world.chain.generate(600 - 144 - world.chain.height);
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.stop();
  });

  it('the maker takes everything back at the expiry when the miner is gone', async () => {
    const world = await opened({ terms: { expiryHeight: 600 }, policy: { minExpiryBlocks: 300 } });
    await world.miner.stop();
    const before = balanceOf(world, 'maker');
    world.chain.generate(599 - world.chain.height);
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    world.chain.generate(1);
    await until('refund', () => world.chain.mempoolEntries().length === 1);
    const { feeSat } = world.chain.mempoolEntries()[0]!;
    world.chain.generate(2);
    await until('closed', () => world.maker.status[0]!.channel === 'closed');
    const { budgetSat, reserveSat, minerReserveSat } = world.terms;
    expect(balanceOf(world, 'maker') - before).toBe(budgetSat + reserveSat + minerReserveSat - feeSat);
    await world.stop();
  });

  it('a channel never used closes at state 0', async () => {
    const world = new World();
    await world.open();
    const closed = world.miner.close();
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(2);
    await closed;
    expect(world.miner.status.signed).toMatchObject({ n: 0, paidSat: 0n });
    await world.stop();
  });

  it('an opening the miner never signs gives the coins back', async () => {
    const world = new World({ maker: { openingTimeoutMs: 0 } });
    await world.startMaker();
    world.minerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'state') ? 'before' : undefined;
    await world.startMiner();
    await until('opening', () => world.maker.status[0]?.channel === 'opening');
    await world.rest();
    world.chain.generate(1);
    await until('given up', () => world.maker.status[0]?.channel === 'failed');
    await world.restartMiner();
    await until('told', () => world.miner.status.lastError === 'wrong_status');
    // It had signed nothing, and signs nothing now.
    expect(await loadOpening(world.minerStore, world.contractId)).toMatchObject({ accept: undefined });
    await world.stop();
  });

  it('an opening that was given up after the miner signed is cancelled at once, and both are free', async () => {
    const world = new World({ maker: { openingTimeoutMs: 0 } });
    await world.startMaker();
    // It has the signatures of the miner, and what it would answer is never on disk.
    world.makerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'funding') ? 'before' : undefined;
    await world.startMiner();
    await until('the maker dies', () => world.makerLedger.isDead);
    const { maker } = world;
    world.makerLedger = new MortalLedger(world.makerStore);
    void maker.close();
    await world.miner.stop();
    await world.startMaker();
    await until('opening', () => world.maker.status[0]?.channel === 'opening');
    await until('given up', () => {
      world.chain.generate(1);
      return world.maker.status[0]?.channel === 'failed';
    });
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'wrong_status');
    world.chain.generate(1);
    await until('taken back', () => world.chain.mempoolEntries().length === 1);
    const [cancel] = world.chain.mempoolEntries();
    expect(cancel!.transaction.outs.map(({ script }) => toHex(script))).toEqual([
      toHex(walletScript(world.minerSigner)),
    ]);
    world.chain.generate(6);
    await until('over', () => world.miner.status.channel === 'closed');
    await world.stop();
  });
});

describe('storage that fails', () => {
  it('freezes the miner before it acks', async () => {
    const world = await opened();
    await world.deliver(world.find(world.job(), 3));
    world.minerStore.hold();
    await until('judged', () => world.maker.status[0]!.verifiedWorkHashes === 7n * SHARE.workHashes);
    world.minerStore.release();
    const shares = world.find(world.job(), 1);
    await world.meters.commit(world.minerLedger, shares);
    world.minerStore.failNext(new CodedError('ledger_io', 'no space left'));
    world.miner.onDurable(world.contractId, world.meters.total(world.contractId));
    await until('frozen', () => world.miner.status.frozen !== undefined);
    expect(world.miner.status).toMatchObject({ live: false, signed: { n: 1 } });
    expect(world.maker.status[0]).toMatchObject({ n: 2, ackedN: 1 });
    expect([...(await world.states(world.minerStore)).keys()]).toEqual([0, 1]);
    await world.stop();
  });

  it('that is slow keeps the result of a batch until the shares are on disk', async () => {
    const world = await opened();
    const before = world.miner.stats.batchesJudged;
    world.makerStore.hold();
    await world.work(2);
    await until('written', () => world.makerStore.stats.queuedWrites > 0);
    await world.rest();
    expect(world.miner.stats.batchesJudged).toBe(before);
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(4n * SHARE.workHashes);
    world.makerStore.release();
    await until('judged', () => world.miner.stats.batchesJudged > before);
    await world.stop();
  });

  it('freezes the maker before its signatures leave', async () => {
    const world = await opened();
    await world.deliver(world.find(world.job(), 3));
    await until('judged', () => world.maker.status[0]!.verifiedWorkHashes === 7n * SHARE.workHashes);
    world.makerLedger.deathAt = (entries) => {
      if (entries.some(({ kind }) => kind === 'state')) {
        world.makerStore.failNext(new CodedError('ledger_io', 'no space left'));
      }
      return undefined;
    };
    await world.deliver(world.find(world.job(), 1));
    await until('frozen', () => world.maker.status[0]!.frozen !== undefined);
    expect(world.maker.status[0]!.n).toBe(1);
    expect(world.miner.status.signed?.n).toBe(1);
    expect([...(await world.states(world.makerStore)).keys()]).toEqual([0, 1]);
    await world.stop();
  });
});
