import { describe, expect, it } from 'vitest';
import { verifyCommitment } from '../../src/channel/commitment.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../../src/peer/commitment-codecs.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { backup, restore } from './backup.ts';
import { SHARE, until, World } from './world.ts';

async function step(world: World, n: number): Promise<void> {
  await world.work(4);
  await until(`state ${n}`, () => world.maker.status[0]?.ackedN === n);
}

async function records(world: World, ledger: MemoryLedger): Promise<CommitmentRecord[]> {
  const documents = await ledger.list('commitment', `${world.contractId}:`);
  return documents.map(({ body }) => commitmentRecordCodec.parse(JSON.parse(body)));
}

/** What both ledgers say of the commitments, checked as an auditor would: from the evidence of the maker. */
async function audited(world: World): Promise<number[]> {
  const [theirs, ours] = [await records(world, world.minerStore), await records(world, world.makerStore)];
  const stored = (await loadContract(world.makerStore, world.contractId))!;
  const { params } = assembleChannel(stored.contract.terms, stored.opening!.open, stored.opening!.accept!);
  const rows = await world.makerStore.readLog('share', world.contractId, 0, 1000);
  const credited = rows.flatMap(({ body }) => unpackShares(body));
  const signed = ours.filter(({ minerSignature }) => minerSignature !== undefined);
  expect(signed.map(commitmentOf)).toEqual(theirs.map(commitmentOf));
  for (const record of [...signed, ...theirs]) {
    verifyCommitment(params, commitmentOf(record), 'maker', record.makerSignature);
    verifyCommitment(params, commitmentOf(record), 'miner', record.minerSignature!);
    const tree = new ShareTree();
    for (const { hash } of credited.slice(0, record.tree.count)) tree.append(hash);
    expect(record.tree.root()).toEqual(tree.root());
    expect(record.workHashes).toBe(BigInt(record.tree.count) * SHARE.workHashes);
  }
  return signed.map(({ n }) => n);
}

describe('what states commit to', () => {
  it('is signed by both, whatever was refused, and goes on after restarts of either side', async () => {
    const world = new World();
    await world.open();
    await step(world, 1);
    await world.deliver(world.find(world.job({ payScriptHex: '51' }), 3));
    await step(world, 2);
    await until('refused', () => world.miner.status.refusedWorkHashes === 3n * SHARE.workHashes);
    await world.restartMaker();
    await until('back', () => world.miner.status.live && world.maker.status[0]?.connected === true);
    await step(world, 3);
    await world.deliver(world.find(world.job({ payScriptHex: '51' }), 1));
    await world.restartMiner();
    await until('back', () => world.miner.status.live && world.maker.status[0]?.connected === true);
    await step(world, 4);
    expect(await audited(world)).toEqual([1, 2, 3, 4]);
    await world.stop();
  });

  it('is left out for a peer that does not know it, and covers all once it does', async () => {
    const world = new World({ miner: { features: [] } });
    await world.open();
    await step(world, 1);
    await step(world, 2);
    expect(await audited(world)).toEqual([]);
    await world.miner.stop();
    await world.startMiner({ features: OFFERED_FEATURES });
    await until('back', () => world.miner.status.live && world.maker.status[0]?.connected === true);
    await step(world, 3);
    await step(world, 4);
    expect(await audited(world)).toEqual([3, 4]);
    const [third] = await records(world, world.minerStore);
    expect(third).toMatchObject({ baseN: 0, nextSeq: 12 });
    await world.stop();
  });

  it('where a state was not acked before the connection ended, is the same when it is sent again', async () => {
    const world = new World();
    await world.open();
    await step(world, 1);
    // The maker's process ends when the ack of state 2 is about to be stored.
    world.makerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'ack') ? 'before' : undefined;
    await world.work(4);
    await until('maker dead', () => world.makerLedger.isDead);
    const before = await records(world, world.minerStore);
    expect(before.map(({ n }) => n)).toEqual([1, 2]);
    await world.restartMaker();
    await until('acked', () => world.maker.status[0]?.ackedN === 2);
    await step(world, 3);
    expect(await audited(world)).toEqual([1, 2, 3]);
    await world.stop();
  });

  it('follows the claims of a seal', async () => {
    const stakes: StakesPolicy = {
      ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
      ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 2016, seal: 'required', earlyClose: 'refused' },
      minClaimFeeRateSatPerKvb: 1000,
    };
    const seal = { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 };
    const world = new World({ terms: { seal }, policy: { stakes } });
    await world.open();
    for (const n of [1, 2, 3]) await step(world, n);
    expect(await audited(world)).toEqual([1, 2, 3]);
    await world.stop();
  });

  it('goes on from the miner after the ledger of the maker was restored', async () => {
    const world = new World();
    await world.open();
    await step(world, 1);
    const old = await backup(world.makerStore, world.contractId);
    await step(world, 2);
    await step(world, 3);
    void world.maker.close();
    world.makerLedger.isDead = true;
    world.makerLedger = await restore(old);
    world.chain.generate(1);
    await world.startMaker();
    await until('back', () => world.miner.status.connected && world.maker.status[0]?.n === 3);
    // Nothing is sold on blocks whose work may have been paid before.
    world.chain.generate(1);
    await until('live', () => world.miner.status.live);
    await step(world, 4);
    await step(world, 5);
    const theirs = await records(world, world.minerStore);
    expect(theirs.map(({ n, baseN }) => [n, baseN])).toEqual([1, 2, 3, 4, 5].map((n) => [n, n - 1]));
    const ours = await records(world, world.makerLedger.store);
    expect(ours.map(({ n }) => n)).toEqual([1, 3, 4, 5]);
    expect(ours.map(commitmentOf).at(-1)).toEqual(theirs.map(commitmentOf).at(-1));
    await world.stop();
  });
});
