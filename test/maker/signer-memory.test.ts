import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileMonotoneSigner } from '../../src/channel/monotone-file.ts';
import { channelIdOf } from '../../src/channel/params.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import type { OpenStateSigner } from '../../src/maker/maker-store.ts';
import { STATE_KIND } from '../../src/settlement/records.ts';
import { SHARE_KIND } from '../../src/work/evidence.ts';
import { backup, restore } from './backup.ts';
import { SHARE, until, World } from './world.ts';

const directory = mkdtempSync(join(tmpdir(), 'signer-'));
afterAll(() => rmSync(directory, { recursive: true }));

let made = 0;

/** A world whose maker signs through files in a directory of its own. */
function worldOfFiles(): { world: World; files: string } {
  const files = join(directory, String(made++));
  mkdirSync(files);
  const openStateSigner: OpenStateSigner = (options, deps) => {
    return new FileMonotoneSigner({ ...options, path: join(files, channelIdOf(options.params)) }, deps);
  };
  return { world: new World({ openStateSigner }), files };
}

async function reached(world: World, n: number): Promise<void> {
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

describe('a signer that remembers by itself', () => {
  it('signed a state that the ledger never got: the same bytes leave, whatever came since', async () => {
    const { world } = worldOfFiles();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    world.makerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'state') ? 'before' : undefined;
    await world.work(4);
    await until('dead', () => world.makerLedger.isDead);
    expect([...(await world.states(world.makerStore)).keys()]).toEqual([0, 1]);
    await world.restartMaker();
    await reached(world, 2);
    expect(world.miner.status.signed?.workHashes).toBe(8n * SHARE.workHashes);
    expect(await world.states(world.minerStore)).toEqual(await world.states(world.makerStore));
    await world.work(4);
    await reached(world, 3);
    await world.stop();
  });

  it('is ahead of a ledger restored from a backup: nothing is signed twice, no share is paid twice', async () => {
    const { world } = worldOfFiles();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    const old = await backup(world.makerStore, world.contractId);
    await world.work(4);
    await reached(world, 2);
    const paid = await world.states(world.minerStore);
    // The miner forgets too, so that only the signer knows of state 2.
    const miner = await restore(await backup(world.minerStore, world.contractId, 1));
    await world.stop();
    world.makerLedger = await restore(old);
    world.minerLedger = miner;
    await world.startMaker();
    expect(world.maker.status[0]).toMatchObject({ n: 2, verifiedWorkHashes: 8n * SHARE.workHashes });
    await world.startMiner();
    await until('healed', () => world.miner.status.signed?.n === 2);
    expect((await world.states(miner.store)).get(2)).toBe(paid.get(2));
    await world.stop();
  });

  it('that cannot write stops the channel before anything leaves', async () => {
    const { world, files } = worldOfFiles();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    expect(readdirSync(files)).toHaveLength(1);
    rmSync(files, { recursive: true });
    await world.work(4);
    await until('frozen', () => world.maker.status[0]!.frozen !== undefined);
    expect(world.miner.status.signed?.n).toBe(1);
    expect([...(await world.states(world.makerStore)).keys()]).toEqual([0, 1]);
    await world.stop();
  });

  it('that could not write goes on where it can again, after a new start, with all that came before', async () => {
    const { world, files } = worldOfFiles();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    renameSync(files, `${files}-away`);
    await world.work(4);
    await until('frozen', () => world.maker.status[0]!.frozen !== undefined);
    expect(world.maker.isSuspended).toBe(true);
    // The start that the daemon makes by itself once its disk takes writes.
    renameSync(`${files}-away`, files);
    await world.restartMaker();
    await reached(world, 2);
    expect(world.maker.isSuspended).toBe(false);
    await world.work(4);
    await reached(world, 3);
    expect(world.miner.status.signed?.workHashes).toBe(12n * SHARE.workHashes);
    expect(await world.states(world.minerStore)).toEqual(await world.states(world.makerStore));
    await world.stop();
  });
});

describe('a ledger with no room for a write', () => {
  let refused = 0;
  beforeEach(() => {
    refused = 0;
  });
  const refuseOnce =
    (kind: string) =>
    (entries: readonly LedgerEntry[]): 'refused' | undefined => {
      if (refused > 0 || !entries.some((entry) => entry.kind === kind)) return undefined;
      refused += 1;
      return 'refused';
    };
  afterEach(() => expect(refused).toBe(1));

  it('of the state that was signed: the maker stops, and the same one leaves after a new start', async () => {
    const { world, files } = worldOfFiles();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    world.makerLedger.deathAt = refuseOnce(STATE_KIND);
    await world.work(4);
    await until('suspended', () => world.maker.isSuspended);
    await world.rest();
    expect([...(await world.states(world.makerStore)).keys()]).toEqual([0, 1]);
    const [name] = readdirSync(files);
    const kept = readFileSync(join(files, name!), 'utf8');
    await world.restartMaker();
    await reached(world, 2);
    expect(readFileSync(join(files, name!), 'utf8')).toBe(kept);
    await world.work(4);
    await reached(world, 3);
    await world.stop();
  });

  it('of a batch at the maker: nothing of it is credited, and all of it later', async () => {
    const { world } = worldOfFiles();
    await world.open();
    world.makerLedger.deathAt = refuseOnce(SHARE_KIND);
    await world.work(4);
    await reached(world, 1);
    expect(world.maker.status[0]).toMatchObject({ sharesCredited: 4, refused: {} });
    expect(world.miner.status.signed?.workHashes).toBe(4n * SHARE.workHashes);
    await world.stop();
  });

  it('of a state at the miner: it is not acked, and comes again', async () => {
    const { world } = worldOfFiles();
    await world.open();
    world.minerLedger.deathAt = refuseOnce(STATE_KIND);
    await world.work(4);
    await reached(world, 1);
    await world.work(4);
    await reached(world, 2);
    expect(world.miner.status).toMatchObject({ frozen: undefined, live: true });
    await world.stop();
  });
});
