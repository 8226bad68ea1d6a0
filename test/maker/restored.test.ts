import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { FileMonotoneSigner } from '../../src/channel/monotone-file.ts';
import { channelIdOf } from '../../src/channel/params.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { OpenStateSigner } from '../../src/maker/maker-store.ts';
import { type PositionFile, positionFile } from '../../src/maker/restored-ledger.ts';
import { MinerContract } from '../../src/miner/miner-contract.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { random } from '../peer/tls-pair.ts';
import { backup, restore } from './backup.ts';
import { MortalLedger, SHARE, until, World } from './world.ts';

const directory = mkdtempSync(join(tmpdir(), 'restored-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Two contracts, A and B, of one miner with one maker. What is in `positions` outlives its ledger. */
class Pair {
  readonly world: World;
  readonly termsB;
  readonly idB: string;
  #positions: Readonly<Record<string, number>> | undefined;
  b!: MinerContract;

  constructor(openStateSigner?: OpenStateSigner) {
    this.world = new World(openStateSigner === undefined ? {} : { openStateSigner });
    this.termsB = { ...this.world.terms, nonceHex: 'ff'.repeat(16) };
    this.idB = contractIdOf(this.termsB);
  }

  readonly positions: PositionFile = {
    read: () => this.#positions,
    write: (positions) => {
      this.#positions = positions;
    },
  };

  async open(): Promise<void> {
    const { world } = this;
    await world.startMaker({}, { positions: this.positions });
    await world.startMiner();
    await until('funding of A', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('A is live', () => world.miner.status.live && world.maker.status[0]!.channel === 'open');
    const margins = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 };
    const wait = { batchIntervalMs: 0, reconnectMinMs: 10, reconnectMaxMs: 50 };
    this.b = new MinerContract(
      { terms: this.termsB, host: '127.0.0.1', port: world.port, margins, ...wait },
      {
        ...{ timers: systemTimers, clock: systemClock, random, log: silentLogger },
        ...{ ledger: world.minerLedger, chain: world.source, signer: world.minerSigner },
      },
    );
    await this.b.start();
    await until('funding of B', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('B is live', () => this.b.status.live && this.atMaker?.channel === 'open');
  }

  get atMaker() {
    return this.world.maker.status.find(({ contractId }) => contractId === this.idB);
  }

  /** The same headers under B. */
  async sellUnderB(shares: readonly AcceptedShare[]): Promise<void> {
    const { world, idB } = this;
    const again = shares.map(({ submission, hash }) => {
      const id = submission.job.id + 5000;
      const job = { ...submission.job, id, wireId: id.toString(16), stream: idB };
      return { submission: { ...submission, job }, hash };
    });
    await world.meters.commit(world.minerLedger, again);
    this.b.onDurable(idB, world.meters.total(idB));
  }

  /** The maker starts from the backup; the seller of A stays away. */
  async restoreMaker(old: Awaited<ReturnType<typeof backup>>): Promise<void> {
    const { world } = this;
    await world.miner.stop();
    await world.maker.close();
    world.makerLedger = await restore(old);
    await world.startMaker({}, { positions: this.positions });
  }

  async stop(): Promise<void> {
    await this.b.stop();
    await this.world.stop();
  }
}

function signerFiles(): OpenStateSigner {
  const files = mkdtempSync(join(directory, 'signer-'));
  return (options, deps) =>
    new FileMonotoneSigner({ ...options, path: join(files, channelIdOf(options.params)) }, deps);
}

/** Nothing that may have been paid is paid under B; the next block is as good as any. */
async function expectPaidOnce(pair: Pair, paid: readonly AcceptedShare[]): Promise<void> {
  const { world, b } = pair;
  await until('B is told', () => b.status.connected && !b.status.live);
  await pair.sellUnderB(paid);
  await until('refused', () => b.stats.refused['maker_restored'] === paid.length);
  expect(pair.atMaker!.verifiedWorkHashes).toBe(0n);
  world.chain.generate(1);
  await until('B is live', () => b.status.live);
  // Its loss counts as unpaid, by the name of whose fault it is.
  expect(b.status.unexplainedWorkHashes).toBe(BigInt(paid.length) * SHARE.workHashes);
  await pair.sellUnderB(world.find(world.job(), 4));
  await until('credited', () => pair.atMaker!.verifiedWorkHashes === 4n * SHARE.workHashes);
}

describe('a maker that starts from an older copy of its ledger pays no work twice', () => {
  it('that it paid under another contract, as its signer knows', async () => {
    const pair = new Pair(signerFiles());
    await pair.open();
    const { world } = pair;
    const old = await backup(world.makerStore, world.contractId);
    const paid = world.find(world.job(), 4);
    await world.deliver(paid);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await pair.restoreMaker(old);
    await expectPaidOnce(pair, paid);
    await pair.stop();
  });

  it('that it credited and did not pay yet, as the positions beside the ledger say', async () => {
    const pair = new Pair();
    await pair.open();
    const { world } = pair;
    const old = await backup(world.makerStore, world.contractId);
    const credited = world.find(world.job(), 2);
    await world.deliver(credited);
    await until('credited', () => world.maker.status[0]!.sharesCredited === 2);
    pair.positions.write({ [world.contractId]: 2 });
    await pair.restoreMaker(old);
    await expectPaidOnce(pair, credited);
    await pair.stop();
  });

  it('as another miner proves while it is served; all are told', async () => {
    const pair = new Pair();
    await pair.open();
    const { world, b } = pair;
    const old = await backup(world.makerStore, world.contractId);
    const paid = world.find(world.job(), 4);
    await world.deliver(paid);
    await until('paid', () => world.miner.status.signed?.n === 1);
    pair.positions.write({});
    await pair.restoreMaker(old);
    await until('B does not know', () => b.status.connected && b.status.live);
    await world.startMiner();
    await expectPaidOnce(pair, paid);
    await pair.stop();
  });

  it('also after one more start', async () => {
    const pair = new Pair(signerFiles());
    await pair.open();
    const { world } = pair;
    const old = await backup(world.makerStore, world.contractId);
    const paid = world.find(world.job(), 4);
    await world.deliver(paid);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await pair.restoreMaker(old);
    await world.maker.close();
    world.makerLedger = new MortalLedger(world.makerLedger.store);
    await world.startMaker({}, { positions: pair.positions });
    await expectPaidOnce(pair, paid);
    await pair.stop();
  });
});

describe('a maker that starts from its own ledger', () => {
  it('pays on, after an orderly stop and after a crash', async () => {
    const pair = new Pair(signerFiles());
    await pair.open();
    const { world } = pair;
    await world.work(6);
    await until('credited', () => world.maker.status[0]!.sharesCredited === 6);
    pair.positions.write({ [world.contractId]: 6 });
    await world.restartMaker({ positions: pair.positions });
    await until('connected', () => pair.b.status.connected && pair.b.status.live);
    await pair.sellUnderB(world.find(world.job(), 4));
    await until('credited', () => pair.atMaker!.verifiedWorkHashes === 4n * SHARE.workHashes);
    expect(pair.b.stats.refused).toEqual({});
    await pair.stop();
  });
});

describe('the file of positions', () => {
  it('says nothing where it is not there or torn, and what was written otherwise', () => {
    const folder = join(directory, 'positions');
    mkdirSync(folder);
    const file = positionFile(join(folder, 'positions'));
    expect(file.read()).toBeUndefined();
    file.write({ a: 7 });
    expect(file.read()).toEqual({ a: 7 });
    expect(positionFile(folder).read()).toBeUndefined();
  });
});
