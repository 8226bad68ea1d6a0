import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { owedSat } from '../../src/base/units.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { call } from '../../src/peer/calls.ts';
import { blobOf, openBlob, sealBlob } from '../../src/settlement/peer-blob.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { entriesOf, healFromMaker } from '../../src/settlement/recovery.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { random } from '../peer/tls-pair.ts';
import { connectAsMiner } from './impostors.ts';
import { MortalLedger, SHARE, seedOf, until, World, type WorldOptions } from './world.ts';

const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });

async function step(world: World, n: number): Promise<void> {
  await world.work(4);
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

async function opened(options: WorldOptions = {}): Promise<World> {
  const world = new World(options);
  await world.open();
  await until('kept', async () => {
    const blobs = [world.minerBlobs, world.makerBlobs].map((files) => files.read(world.contractId));
    return (await Promise.all(blobs)).every((blob) => blob !== undefined);
  });
  await step(world, 1);
  await step(world, 2);
  return world;
}

function healing(world: World, signer = world.minerSigner) {
  const target = { host: '127.0.0.1', port: world.port, nodeId: world.terms.makerNodeId, timeoutMs: 5000 };
  const ledger = new MortalLedger(new MemoryLedger());
  const deps = { ledger, signer, chain: world.source, timers: systemTimers, random, log: silentLogger };
  return { ledger, heal: () => healFromMaker(target, deps) };
}

describe('a ledger that is gone', () => {
  it('of the miner: its seed and the maker bring the channel back, and it closes with all it was paid', async () => {
    const world = await opened();
    await world.miner.stop();
    const { ledger, heal } = healing(world);
    const terms = await heal();
    expect(terms.map(contractIdOf)).toEqual([world.contractId]);
    // The blob is from the start of the connection: an old state, which reestablishing makes new.
    expect([...(await world.states(ledger.store)).keys()]).toEqual([0]);
    expect(await heal()).toEqual([]);
    world.minerLedger = ledger;
    await world.startMiner();
    await until('newest', () => world.miner.status.signed?.n === 2);
    expect((await world.states(ledger.store)).get(2)).toBe((await world.states(world.makerStore)).get(2));
    await until('closing', () => world.chain.mempoolEntries().length === 1);
    const [entry] = world.chain.mempoolEntries();
    const paidSat = owedSat(8n * SHARE.workHashes, world.terms.priceMsatPerEh);
    const owedToMinerSat = world.terms.minerReserveSat + paidSat - entry!.feeSat;
    expect(entry!.transaction.outs[0]!.value).toBe(owedToMinerSat);
    await world.stop();
  });

  it('of the miner, with a maker that then vanishes: it closes alone with the state of the blob', async () => {
    const world = await opened();
    // One that started anew takes a blob at once; one that goes on, a minute after the last.
    await world.restartMaker();
    await world.restartMiner();
    await until('connected', () => world.miner.status.connected);
    const kept = async (): Promise<number> => {
      const blob = await world.makerBlobs.read(world.contractId);
      return openBlob(world.contractId, 'miner', blob!, world.minerSigner).state.n;
    };
    await until('newer blob', async () => (await kept()) === 2);
    await world.miner.stop();
    const { ledger, heal } = healing(world);
    await heal();
    await world.maker.close();
    world.minerLedger = ledger;
    await world.startMiner();
    await world.miner.closeAlone();
    expect(world.chain.mempoolEntries()).toHaveLength(1);
    expect(world.miner.status.signed?.n).toBe(2);
    await world.stop();
  });

  it('of the maker: the miner brings the channel back, and it goes on at the newest state', async () => {
    const world = await opened();
    void world.maker.close();
    const replayed = world.find(world.job(), 2);
    world.makerLedger = new MortalLedger(new MemoryLedger());
    await world.startMaker();
    await until('back', () => world.maker.status[0]?.n === 2);
    expect(world.maker.status[0]).toMatchObject({
      ackedN: 2,
      verifiedWorkHashes: 8n * SHARE.workHashes,
    });
    // What it has paid on the old tip it cannot know any more.
    await until('open', () => world.maker.status[0]?.channel === 'open');
    await world.deliver(replayed);
    await until('refused', () => world.miner.stats.refused['maker_restored'] === 2);
    world.chain.generate(1);
    await step(world, 3);
    expect(world.miner.status.signed?.workHashes).toBe(12n * SHARE.workHashes);
    await world.stop();
  });

  it('of the maker, where nothing was kept: the miner closes alone', async () => {
    const world = await opened();
    void world.maker.close();
    await world.miner.stop();
    await world.minerBlobs.replace(world.contractId, 'AAAA');
    world.makerLedger = new MortalLedger(new MemoryLedger());
    await world.startMaker();
    world.minerLedger = new MortalLedger(world.minerStore);
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'bad_blob');
    expect(world.maker.status).toEqual([]);
    await world.miner.closeAlone();
    expect(world.chain.mempoolEntries()).toHaveLength(1);
    await world.stop();
  });
});

it('no key of a channel is used for another one, though the ledgers of both were lost in between', async () => {
  const keysOf = async (world: World): Promise<string[]> => {
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    const { open, accept } = (await loadContract(world.minerStore, world.contractId))!.opening!;
    await world.stop();
    return [...Object.values(open.keys), ...Object.values(accept!.keys)].map(toHex);
  };
  // The same seeds, and nothing else.
  const before = await keysOf(new World());
  const after = await keysOf(new World({ terms: { nonceHex: 'ab'.repeat(16) } }));
  expect(before).toHaveLength(3);
  expect(after.filter((key) => before.includes(key))).toEqual([]);
});

describe('what is kept for the other side', () => {
  it('opens for its seed, contract and role alone, and only whole', async () => {
    const world = await opened();
    const { contractId, minerSigner: signer } = world;
    const blob = blobOf(await loadContract(world.minerStore, contractId))!;
    const sealed = sealBlob(contractId, blob, { signer, random });
    expect(openBlob(contractId, 'miner', sealed, signer)).toEqual(blob);
    expect(sealBlob(contractId, blob, { signer, random })).not.toBe(sealed);
    expect(Buffer.from(sealed, 'base64').includes(contractId)).toBe(false);
    const refusal = (open: () => unknown): string => {
      try {
        open();
        return 'opened';
      } catch (error) {
        return codeOf(error);
      }
    };
    expect(refusal(() => openBlob(contractId, 'maker', sealed, signer))).toBe('bad_blob');
    expect(refusal(() => openBlob('00'.repeat(32), 'miner', sealed, signer))).toBe('bad_blob');
    expect(refusal(() => openBlob(contractId, 'miner', sealed, stranger))).toBe('bad_blob');
    for (const at of [0, 15, 200, -1]) {
      const bytes = Buffer.from(sealed, 'base64');
      bytes[at < 0 ? bytes.length + at : at]! ^= 1;
      expect(refusal(() => openBlob(contractId, 'miner', bytes.toString('base64'), signer))).toBe(
        'bad_blob',
      );
    }
    expect(refusal(() => openBlob(contractId, 'miner', 'AAAA', signer))).toBe('bad_blob');
    expect(refusal(() => entriesOf('00'.repeat(32), blob, undefined))).toBe('bad_blob');
    await world.stop();
  });

  it('is given to nobody else', async () => {
    const world = new World();
    const ids = [
      world.terms.minerNodeId,
      Buffer.from(stranger.publicKey('node').subarray(1)).toString('hex'),
    ];
    await world.startMaker({ allowedNodeIds: new Set(ids) });
    await world.startMiner();
    await until('kept', async () => (await world.makerBlobs.read(world.contractId)) !== undefined);
    const { heal } = healing(world, stranger);
    expect(await heal()).toEqual([]);
    const peer = await connectAsMiner(world, stranger);
    const { contractId } = world;
    const put = call(peer, 'peer_storage.put', { contractId, blob: 'AAAA' });
    expect(await put.then(() => 'kept', codeOf)).toBe('unknown_channel');
    peer.close();
    await world.stop();
  });
});
