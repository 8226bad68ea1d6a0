import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { channelFacts } from '../../src/channel/params.ts';
import { derSignature, jointWitness } from '../../src/channel/scripts.ts';
import { sealCommitment, sealDigest } from '../../src/channel/seal.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { SPEND_SEQUENCE, SPEND_VERSION } from '../../src/channel/spend.ts';
import { contractTag } from '../../src/settlement/contract-tag.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { backup, restore } from './backup.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

const SEAL_SAT = 3000n;

function worldOf(options: WorldOptions = {}): World {
  return new World({
    ...options,
    terms: {
      expiryHeight: 600,
      seal: { sealSat: SEAL_SAT, claimFeeRateSatPerKvb: 2000 },
      ...options.terms,
    },
    policy: {
      minExpiryBlocks: 300,
      stakes: {
        bondModes: ['none'],
        maxMakerBondSat: 0n,
        minCollateralSat: 0n,
        auditorKeysHex: [],
        minBondCsvBlocks: 1,
        maxBondCsvBlocks: 2016,
        seal: 'required',
        minClaimFeeRateSatPerKvb: 1000,
        earlyClose: 'refused',
      },
    },
  });
}

async function step(world: World, n: number): Promise<void> {
  await world.work(4);
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

async function opened(options: WorldOptions = {}): Promise<World> {
  const world = worldOf(options);
  await world.open();
  for (let n = 1; n <= 3; n += 1) await step(world, n);
  return world;
}

function balanceSat(world: World, side: 'miner' | 'maker'): bigint {
  const { minerSigner, makerSigner } = world;
  const publicKey = (side === 'miner' ? minerSigner : makerSigner).publicKey('wallet');
  const coins = world.chain.utxos(toHex(p2wpkhScript(publicKey)));
  return coins.reduce((sum, coin) => sum + coin.valueSat, 0n);
}

async function paramsOf(world: World): Promise<ChannelParams> {
  const { opening, contract } = (await loadContract(world.makerStore, world.contractId))!;
  return assembleChannel(contract.terms, opening!.open, opening!.accept!).params;
}

/** What the maker credited, in its order. */
async function rootOf(store: MemoryLedger, world: World): Promise<Uint8Array> {
  const tree = new ShareTree();
  for (const { body } of await store.readLog('share', world.contractId, 0, 1000)) {
    for (const { hash } of unpackShares(body)) tree.append(hash);
  }
  return tree.root();
}

const spendsSeal = (params: ChannelParams, transaction: Transaction): boolean =>
  transaction.ins[0]!.index === params.seal!.vout &&
  toHex(transaction.ins[0]!.hash.toReversed()) === params.funding.txid;

async function waitingClaim(world: World, params: ChannelParams) {
  await until('claim', () => world.chain.mempoolEntries().some((e) => spendsSeal(params, e.transaction)));
  return world.chain.mempoolEntries().find((e) => spendsSeal(params, e.transaction))!;
}

describe('the seal', () => {
  it('is claimed with the close, for exactly the work that was paid', async () => {
    const world = await opened();
    const params = await paramsOf(world);
    expect(world.maker.status[0]).toMatchObject({ seal: 'intact' });
    const before = { miner: balanceSat(world, 'miner'), maker: balanceSat(world, 'maker') };
    await world.work(2);
    const closed = world.miner.close();
    await until('closing', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(1);
    const { transaction, feeSat } = await waitingClaim(world, params);
    const workHashes = 14n * SHARE.workHashes;
    const shareRoot = await rootOf(world.makerStore, world);
    expect(await rootOf(world.minerStore, world)).toEqual(shareRoot);
    const commitment = sealCommitment(params, { n: 4, workHashes, shareRoot });
    expect(toHex(transaction.outs[0]!.script)).toBe(`6a247368736c${toHex(commitment)}`);
    world.chain.generate(7);
    await closed;
    await until('claimed', () => world.maker.status[0]!.seal === 'claimed');
    const paidSat = world.miner.status.signed!.paidSat;
    const gained = balanceSat(world, 'miner') - before.miner;
    const makerGained = balanceSat(world, 'maker') - before.maker;
    expect(makerGained).toBe(world.terms.reserveSat + world.terms.budgetSat - paidSat + SEAL_SAT - feeSat);
    expect(gained + makerGained).toBeLessThan(capacitySat(world.terms) + SEAL_SAT);
    await world.stop();
  });

  it('is claimed when the miner closes alone, also by a maker that slept', async () => {
    const world = await opened();
    const params = await paramsOf(world);
    await world.maker.close();
    await world.miner.closeAlone();
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.startMaker();
    await waitingClaim(world, params);
    await world.stop();
  });

  it('is claimed at the expiry where the miner vanished, with the refund', async () => {
    const world = await opened();
    const params = await paramsOf(world);
    await world.miner.stop();
    world.chain.generate(600 - world.chain.height);
    await waitingClaim(world, params);
    await until('refund', () => world.chain.mempoolEntries().length === 2);
    await world.stop();
  });

  it('goes back to the miner at its own expiry, not one block before, where the maker vanished', async () => {
    const world = await opened();
    const params = await paramsOf(world);
    await world.maker.close();
    await world.miner.closeAlone();
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    world.chain.generate(600 + 2016 - 1 - world.chain.height);
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    const before = balanceSat(world, 'miner');
    world.chain.generate(1);
    const { feeSat } = await waitingClaim(world, params);
    world.chain.generate(1);
    expect(balanceSat(world, 'miner') - before).toBe(SEAL_SAT - feeSat);
    // The maker that comes back sees that it has lost its proof.
    await world.startMaker();
    await until('lost', () => world.maker.status[0]!.seal === 'lost');
    await world.stop();
  });

  it('sold twice: what the maker sees spent elsewhere ends the contract at what was paid', async () => {
    const world = await opened();
    const params = await paramsOf(world);
    const { output, seal } = { output: channelFacts(params).seal!, seal: params.seal! };
    const elsewhere = new Transaction();
    elsewhere.version = SPEND_VERSION;
    elsewhere.addInput(channelFacts(params).fundingHash, seal.vout, SPEND_SEQUENCE);
    elsewhere.addOutput(fromHex(`6a04${'ab'.repeat(4)}`), 0n);
    elsewhere.addOutput(params.minerPayoutScript, SEAL_SAT - 500n);
    const digest = sealDigest(params, elsewhere);
    const { channelIndex } = (await loadContract(world.makerStore, world.contractId))!.contract;
    const minerIndex = (await loadContract(world.minerStore, world.contractId))!.contract.channelIndex;
    const maker = world.makerSigner.forChannel(channelIndex).signEcdsa('seal', digest);
    const miner = world.minerSigner.forChannel(minerIndex).signEcdsa('seal', digest);
    elsewhere.setWitness(0, jointWitness(derSignature(maker), derSignature(miner), output.script));
    world.chain.broadcast(elsewhere.toHex());
    world.chain.generate(1);
    await until('lost', () => world.maker.status[0]!.seal === 'lost');
    await world.work(8);
    await until('judged', () => world.maker.status[0]!.verifiedWorkHashes === 20n * SHARE.workHashes);
    await world.rest();
    expect(world.maker.status[0]).toMatchObject({ n: 3 });
    await world.stop();
  });

  it('is claimed over credited shares only, as the miner can tell from what was refused', async () => {
    const world = await opened();
    const job = world.job();
    const shares = world.find(job, 3);
    const others = world.find(world.job({ payScriptHex: `0014${'cc'.repeat(20)}` }), 2);
    await world.deliver([shares[0]!, others[0]!, shares[1]!]);
    await world.deliver([others[1]!, shares[2]!, ...world.find(job, 1)]);
    await until('state 4', () => world.maker.status[0]!.ackedN === 4);
    const stored = JSON.parse((await world.makerStore.get('seal', world.contractId))!) as {
      claim: { n: number; share_root: string };
    };
    expect(stored.claim).toMatchObject({
      n: 4,
      share_root: toHex(await rootOf(world.makerStore, world)),
    });
    expect(world.miner.stats.refused).toEqual({ share_unbound: 2 });
    await step(world, 5);
    await world.stop();
  });
});

describe('the seal over crashes', () => {
  it.each([
    ['maker', 'before'],
    ['maker', 'after'],
    ['miner', 'before'],
    ['miner', 'after'],
  ] as const)('the %s dies %s it stores a record of the seal', async (side, when) => {
    for (const nth of [1, 2, 3]) {
      const world = await opened();
      const ledger = side === 'maker' ? world.makerLedger : world.minerLedger;
      let seen = 0;
      ledger.deathAt = (entries) => {
        if (!entries.some(({ kind }) => kind === 'seal')) return undefined;
        seen += 1;
        return seen === nth ? when : undefined;
      };
      for (let n = 4; n <= 6; n += 1) {
        const shares = world.find(world.job(), 4);
        await world.meters.commit(world.minerStore, shares);
        world.miner.onDurable(world.contractId, world.meters.total(world.contractId));
        await until(`state ${n}`, async () => {
          if (world.makerLedger.isDead) await world.restartMaker();
          if (world.minerLedger.isDead) await world.restartMiner();
          return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
        });
      }
      const claimOf = async (store: MemoryLedger) =>
        (JSON.parse((await store.get('seal', world.contractId))!) as { claim: unknown }).claim;
      expect(seen).toBeGreaterThanOrEqual(nth);
      expect(await claimOf(world.makerStore)).toEqual(await claimOf(world.minerStore));
      expect(world.miner.status.signed?.workHashes).toBe(24n * SHARE.workHashes);
      await world.stop();
    }
  });

  it('a maker restored from a backup takes over the newest claim too', async () => {
    const world = await opened();
    const old = await backup(world.makerStore, world.contractId);
    await step(world, 4);
    const newest = await world.makerStore.get('seal', world.contractId);
    void world.maker.close();
    world.makerLedger = await restore(old);
    await world.startMaker();
    await until('taken over', () => world.maker.status[0]?.n === 4);
    const { store } = world.makerLedger;
    await until('claim', async () => (await store.get('seal', world.contractId)) === newest);
    world.chain.generate(1);
    await step(world, 5);
    await world.stop();
  });

  it('a miner restored from a backup claims nothing it cannot check, and both close', async () => {
    const world = await opened();
    const old = await backup(world.minerStore, world.contractId);
    await step(world, 4);
    await world.miner.stop();
    world.minerLedger = await restore(old);
    await world.startMiner();
    await until('healed', () => world.miner.status.signed?.n === 4);
    // Its evidence is lost, so nothing more is claimed, and both close at what was paid.
    await until('closing', () => world.miner.status.channel === 'closing');
    expect(world.maker.status[0]!.n).toBe(4);
    await world.stop();
  });
});

describe('a seal of version 3', () => {
  it('is claimed for jobs that name the contract, and no share of another job is paid', async () => {
    const world = worldOf({ isVersion3: true });
    await world.open();
    await step(world, 1);
    expect(world.maker.status[0]).toMatchObject({ refused: {}, sharesCredited: 4, seal: 'intact' });
    const foreign = contractTag('cd'.repeat(32));
    await world.deliver(world.find(world.job({ tag: foreign }), 2));
    await until('judged', () => world.maker.status[0]!.refused['share_unbound'] === 2);
    expect(world.maker.status[0]!.sharesCredited).toBe(4);
    await world.stop();
  });
});
