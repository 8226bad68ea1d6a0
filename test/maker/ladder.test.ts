import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Transaction } from 'bitcoinjs-lib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { type Ladder, parseLadder } from '../../src/channel/ladder-file.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { LadderWriter, ladderPath } from '../../src/settlement/ladder-writer.ts';
import { until, World } from './world.ts';

let directory: string;
let ladders: LadderWriter;
let world: World;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'close-'));
  ladders = new LadderWriter(directory, { clock: systemClock, timers: systemTimers, log: silentLogger });
  world = new World({ ladders });
});
afterEach(async () => {
  await world.stop();
  await ladders.idle();
  rmSync(directory, { recursive: true, force: true });
});

async function onDisk(): Promise<Ladder> {
  await ladders.idle();
  return parseLadder(readFileSync(ladderPath(directory, world.contractId), 'utf8'));
}

async function step(n: number): Promise<void> {
  await world.work(4);
  await until(`state ${n}`, () => world.maker.status[0]?.ackedN === n);
}

describe('the ladder file of a running contract', () => {
  it('is of each new state, and one of its rungs closes the channel on the chain', async () => {
    await world.open();
    expect(await onDisk()).toMatchObject({ n: 0, contractId: world.contractId, network: 'regtest' });
    for (const n of [1, 2]) {
      await step(n);
      expect((await onDisk()).n).toBe(n);
    }
    await world.restartMiner();
    await step(3);
    const { n, rungs, paidSat, funding } = await onDisk();
    expect({ n, paidSat }).toEqual({ n: 3, paidSat: world.miner.status.signed!.paidSat });
    expect(funding.txid).toBe(world.miner.status.fundingTxid);
    await world.source.broadcast(rungs[2]!.hex);
    const [entry] = world.chain.mempoolEntries();
    expect(entry!.transaction.getId()).toBe(Transaction.fromHex(rungs[2]!.hex).getId());
  });

  it('is of the newest verified state where the ledger can store none', async () => {
    await world.open();
    await step(1);
    world.minerLedger.appendNow = async (entries) => {
      if (entries.some(({ kind }) => kind === 'state')) throw new Error('no space');
      await world.minerLedger.append(entries);
    };
    await world.work(4);
    await until('suspended', () => world.miner.status.frozen !== undefined);
    expect(world.miner.status.signed?.n).toBe(1);
    expect((await onDisk()).n).toBe(2);
  });

  it('is gone with the blobs once the close is a hundred blocks deep, and not before', async () => {
    await world.open();
    await step(1);
    const files = async (): Promise<readonly (string | undefined)[]> => [
      ...readdirSync(directory),
      await world.minerBlobs.read(world.contractId),
      await world.makerBlobs.read(world.contractId),
    ];
    await until('blobs', async () => (await files()).every((each) => each !== undefined));
    void world.miner.close();
    await until('a close', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(98);
    await until('closed', () => world.maker.status[0]!.channel === 'closed');
    await until('closed', () => world.miner.status.channel === 'closed');
    await ladders.idle();
    expect((await files()).filter((each) => each !== undefined)).toHaveLength(3);
    world.chain.generate(2);
    await until('the last of the ladder', async () => (await files()).length === 2);
    // The maker looks at the block before it forgets.
    world.chain.generate(1);
    await until('over', async () => (await files()).every((each) => each === undefined));
  });

  it('holds nothing up where it cannot be written', async () => {
    rmSync(directory, { recursive: true });
    ladders = new LadderWriter('/proc/none', {
      clock: systemClock,
      timers: systemTimers,
      log: silentLogger,
    });
    world = new World({ ladders });
    await world.open();
    for (const n of [1, 2]) await step(n);
    await ladders.idle();
    expect(ladders.stats).toMatchObject({ written: 0, failed: expect.any(Number) });
    expect(ladders.stats.failed).toBeGreaterThan(0);
  });
});

describe('the file of a refund', () => {
  it('is there from the funding on, stays as it is, and is gone with the channel', async () => {
    const folder = join(directory, 'maker');
    const refunds = new LadderWriter(folder, {
      clock: systemClock,
      timers: systemTimers,
      log: silentLogger,
    });
    const path = ladderPath(folder, world.contractId);
    await world.startMaker({}, { ladders: refunds });
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('live', () => world.miner.status.live);
    await refunds.idle();
    const text = readFileSync(path, 'utf8');
    const { isRefund, n, funding, deadlines } = parseLadder(text);
    expect({ isRefund, n, txid: funding.txid }).toEqual({
      ...{ isRefund: true, n: 0, txid: world.miner.status.fundingTxid },
    });
    await step(1);
    await refunds.idle();
    expect(readFileSync(path, 'utf8')).toBe(text);
    await world.miner.stop();
    world.chain.generate(deadlines.expiryHeight - world.chain.height);
    await until('the refund', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(100);
    await until('gone', () => !readdirSync(folder).includes(basename(path)));
  });
});
