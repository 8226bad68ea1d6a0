import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ChannelIndex } from '../../src/channel/channel-index.ts';
import { type SealClaim, type SignedSealClaim, signSealClaim } from '../../src/channel/seal.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { NO_CONTRACT_LUCK } from '../../src/maker/contract-luck.ts';
import type { Credit } from '../../src/maker/credit-entries.ts';
import { MakerStore, type MakerStoreDeps } from '../../src/maker/maker-store.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { backup, restore } from './backup.ts';
import { mine } from './batch-stand.ts';
import { type MortalLedger, SHARE, seedOf, until, World } from './world.ts';

const W = SHARE.workHashes;
const world = new World({
  terms: { seal: { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 } },
  policy: {
    stakes: {
      ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
      ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 2016, seal: 'required' },
      ...{ minClaimFeeRateSatPerKvb: 1000, earlyClose: 'refused' },
    },
  },
});
let stored: readonly LedgerEntry[];
let minerChannel: ChannelIndex = 0;
/** A channel with a seal: state 1 of four shares acked, and one more share credited. */
beforeAll(async () => {
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.work(1);
  await until('credited', () => world.maker.status[0]!.verifiedWorkHashes === 5n * W);
  await world.stop();
  stored = await backup(world.makerStore, world.contractId);
  minerChannel = (await loadContract(world.minerStore, world.contractId))!.contract.channelIndex;
});
afterAll(() => world.stop());

async function loaded(entries = stored): Promise<{ store: MakerStore; ledger: MortalLedger }> {
  const ledger = await restore(entries);
  const { clock, timers } = new VirtualTime();
  const deps = { ledger, log: recorder().log, clock, timers, signer: world.makerSigner };
  return { store: (await MakerStore.load(world.contractId, deps as MakerStoreDeps))!, ledger };
}

/** The same after a start. */
const again = async (ledger: MortalLedger): Promise<MakerStore> =>
  (await loaded(await backup(ledger.store, world.contractId))).store;

function claimed(store: MakerStore, claim: SealClaim): SignedSealClaim {
  return signSealClaim(store.assembled!.params, claim, world.minerSigner.forChannel(minerChannel));
}

const credit = (changes: Partial<Credit> = {}): Credit => ({
  ...{
    shares: ShareRows.empty(0),
    workHashes: 0n,
    jobs: [],
    nextSeq: 6,
    refused: [],
    ownWorkHashes: 9n * W,
  },
  ...{ luck: NO_CONTRACT_LUCK, counts: [], ...changes },
});

describe('the seal of a channel', () => {
  it('is after a start what it was: the claim of the newest state, and the shares after it', async () => {
    const { store } = await loaded();
    expect(store.sealClaim).toMatchObject({ n: 1, workHashes: 4n * W });
    expect(store.seal).toMatchObject({ asked: undefined, refused: [] });
    expect(store.seal!.tree.count).toBe(5);
    expect(store.state.claimedN).toBe(1);
  });

  it('has the credited shares of a batch, and the places of the others, as the disk has them', async () => {
    const { store, ledger } = await loaded();
    const before = store.seal!;
    const job = world.job();
    const shares = mine(job, 2).map((share, at) => ({ ...share, hash: seedOf(`hash ${at}`) }));
    const refused = [{ seq: 7, code: 'share_low', share: shares[0]!, job: undefined, workHashes: W }];
    const batch = credit({ shares: ShareRows.of(shares), workHashes: 2n * W, nextSeq: 8, refused });
    ledger.deathAt = () => 'refused';
    expect(await store.credit(batch).catch(codeOf)).toBe('overload');
    expect(store.seal).toBe(before);
    ledger.deathAt = () => undefined;
    await store.credit(batch);
    expect(store.seal!.tree.count).toBe(7);
    expect(store.seal!.refused).toEqual([{ first: 7, count: 1 }]);
    expect(store.seal!.tree.root()).not.toEqual(before.tree.root());
    const after = await again(ledger);
    expect(after.seal!.tree.root()).toEqual(store.seal!.tree.root());
    expect([after.seal!.refused, after.luck]).toEqual([store.seal!.refused, store.luck]);
  });

  it('is asked for the claim of the next state, once, on disk before, and over what is verified then', async () => {
    const { store, ledger } = await loaded();
    ledger.deathAt = () => 'refused';
    expect(await store.askClaim().catch(codeOf)).toBe('overload');
    expect(store.seal!.asked).toBe(undefined);
    ledger.deathAt = () => undefined;
    const { appends } = ledger;
    const request = await store.askClaim();
    expect(request).toMatchObject({
      ...{ contractId: world.contractId, n: 2, workHashes: 5n * W, nextSeq: 5, refused: [] },
    });
    expect(request.shareRoot).toEqual(store.seal!.tree.root());
    expect(ledger.appends - appends).toBe(1);
    // Whatever comes meanwhile.
    await store.credit(credit({ workHashes: W }));
    const before = ledger.appends;
    expect(await store.askClaim()).toEqual(request);
    expect(ledger.appends).toBe(before);
    expect(await (await again(ledger)).askClaim()).toEqual(request);
  });

  it('pays by its claim alone: a state is of the work that was claimed, once its claim is on disk', async () => {
    const { store, ledger } = await loaded();
    const { n, workHashes, shareRoot } = await store.askClaim();
    await store.credit(credit({ workHashes: 2n * W }));
    const wrong = claimed(store, { n, workHashes: 6n * W, shareRoot });
    expect(await store.takeClaim(wrong).catch(codeOf)).toBe('bad_amount');
    const claim = claimed(store, { n, workHashes, shareRoot });
    ledger.deathAt = () => 'refused';
    expect(await store.takeClaim(claim).catch(codeOf)).toBe('overload');
    expect([store.sealClaim?.n, store.state.claimedN]).toEqual([1, 1]);
    ledger.deathAt = () => undefined;
    await store.takeClaim(claim);
    expect([store.sealClaim, store.state.claimedN]).toEqual([claim, 2]);
    await store.signNext(new Set());
    expect(store.offered).toMatchObject({ n: 2, workHashes: 5n * W });
    const after = await again(ledger);
    expect([after.sealClaim, after.state.claimedN, after.offered?.workHashes]).toEqual([claim, 2, 5n * W]);
  });
});

describe('a claim that the miner shows', () => {
  it('is taken over where it is the one that was asked for, or newer than what the ledger has', async () => {
    const { store, ledger } = await loaded();
    const { claim: own, tree } = store.seal!;
    const point = { claim: own, tree, nextSeq: 5, workHashes: own.workHashes };
    const { appends } = ledger;
    // What is known is nothing new.
    const four = new ShareTree();
    for (const [at, hash] of (await hashesOf()).entries()) if (at < 4) four.append(hash);
    await store.restoreClaim({ ...point, tree: four, nextSeq: 4 });
    expect([ledger.appends, store.sealClaim]).toEqual([appends, own]);
    const request = await store.askClaim();
    const claim = claimed(store, request);
    await store.restoreClaim({ ...point, claim, workHashes: claim.workHashes });
    expect([store.sealClaim, store.state.claimedN, store.seal!.asked]).toEqual([claim, 2, undefined]);
    expect((await again(ledger)).sealClaim).toEqual(claim);
    // One of a state that this ledger does not have is none.
    const later = claimed(store, { n: 3, workHashes: 6n * W, shareRoot: tree.root() });
    await store.restoreClaim({ ...point, claim: later });
    expect(store.sealClaim).toEqual(claim);
    const forged = { ...claim, n: 3 };
    expect(await store.restoreClaim({ ...point, claim: forged }).catch(codeOf)).toBe('bad_signature');
  });

  it('of an older ledger brings back its claim, and what was judged after it counts as lost', async () => {
    const entries = stored.filter(({ kind }) => kind !== 'seal');
    const { store } = await loaded(entries);
    expect(store.seal).toBe(undefined);
    const tree = new ShareTree();
    for (const [at, hash] of (await hashesOf()).entries()) if (at < 4) tree.append(hash);
    const claim = claimed(store, { n: 1, workHashes: 4n * W, shareRoot: tree.root() });
    await store.restoreClaim({ claim, tree, nextSeq: 4, workHashes: 4n * W });
    expect([store.sealClaim, store.state.claimedN]).toEqual([claim, 1]);
    expect(store.seal!.refused).toEqual([{ first: 4, count: 1 }]);
  });

  it('is nothing where the channel has no seal, or no state yet', async () => {
    const { store, ledger } = await loaded(
      stored.filter(({ kind }) => kind !== 'state' && kind !== 'seal'),
    );
    const tree = new ShareTree();
    const claim = claimed(store, { n: 1, workHashes: W, shareRoot: tree.root() });
    const { appends } = ledger;
    await store.restoreClaim({ claim, tree, nextSeq: 1, workHashes: W });
    // So is what such a state commits to.
    await store.restoreCommitment((await loaded()).store.commitments.base!);
    expect([ledger.appends - appends, store.seal]).toEqual([0, undefined]);
  });
});

/** The hashes of the credited shares, in their order. */
async function hashesOf(): Promise<Uint8Array[]> {
  const rows = await world.makerStore.readLog('share', world.contractId, 0, 100);
  return rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => hash));
}
