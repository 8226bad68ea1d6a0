import { describe, expect } from 'vitest';
import { systemTimers } from '../../src/base/system-timers.ts';
import { FUNDING_PATIENCE_BLOCKS } from '../../src/chain/watcher.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { healFromMaker } from '../../src/settlement/recovery.ts';
import { random } from '../peer/tls-pair.ts';
import {
  ESTIMATE,
  expectClimbedRefund,
  expectSplit,
  feeSat,
  paySat,
  RUNG_FEE_SAT,
  rungSat,
  SPLIT_VBYTES,
} from './accounts.ts';
import { RecordedLedger } from './recorded-ledger.ts';
import { recordEnd, row } from './rows.ts';
import { setStage } from './stage.ts';
import { NODE_KIND } from './suite.ts';
import { MINER_RESERVE_SAT, type NodeWorld } from './world.ts';

const stage = setStage();
const CHILD_VBYTES = 110n;
/** A close this deep is final, and watched on. */
const FINAL_BLOCKS = 7;

async function untilSpent(world: NodeWorld): Promise<void> {
  await world.until('the channel is spent', async () => (await world.spenderOfChannel()) !== undefined);
}

/** The blocks since the close come off the chain, and the node forgets what was in them. */
async function undo(world: NodeWorld, blocks: number): Promise<void> {
  await stage.node.invalidate(blocks);
  await stage.node.generateEmpty(blocks + 1);
  await stage.node.restart({});
  await world.mineEmpty(1);
  await untilSpent(world);
}

describe(`rows on ${NODE_KIND}: a close that was final`, () => {
  row(
    'Reorg of close near T_exp',
    'a final close is undone seven blocks deep, forgotten, and made again',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.miner!.closeAlone();
      await world.mine(FINAL_BLOCKS);
      await world.untilClosed();
      await undo(world, FINAL_BLOCKS);
      expect(world.miner!.status.channel).toBe('closing');
      expect(world.maker!.status[0]!.channel).toBe('closing');
      const paidSat = await rungSat(world);
      await world.mine(6);
      await world.untilClosed();
      await expectSplit(world, 8, paidSat);
    },
  );

  row(
    'Reorg of close near T_exp',
    'a final refund is undone seven blocks deep, forgotten, and made again',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.stopMiner();
      await world.mineTo(world.terms.expiryHeight);
      await untilSpent(world);
      await world.mine(FINAL_BLOCKS);
      await world.untilClosed();
      await undo(world, FINAL_BLOCKS);
      expect(world.maker!.status[0]!.channel).toBe('closing');
      await world.mine(6);
      await world.untilClosed();
      await expectClimbedRefund(world);
    },
  );
});

describe(`rows on ${NODE_KIND}: children that pay`, () => {
  row('Fee spike', 'beyond the ladder: a child of the miner pays for the close', async () => {
    const terms = { minerReserveSat: 200_000n, feeLadderSatPerKvb: [1_100, 5_000, 20_000] };
    const world = await stage.open({ terms, paysOwnWallet: true });
    await world.stream(2);
    const before = await world.balanceSat(world.minerParty.walletScript);
    world.minerParty.source.estimateSatPerKvb = 50_000;
    await world.miner!.closeAlone();
    const close = (await world.spenderOfChannel())!;
    const { capacitySat } = (await world.channel()).funding;
    const ownFee = feeSat(SPLIT_VBYTES, 20_000);
    expect(capacitySat - close.outs.reduce((sum, { value }) => sum + value, 0n)).toBe(ownFee);
    expect(await world.node.spender(close.getId(), 0)).toBeDefined();
    // Blocks ask for more while it waits: the child is raised, the close stays.
    world.minerParty.source.estimateSatPerKvb = 60_000;
    await world.mineEmpty(1);
    expect((await world.spenderOfChannel())!.getId()).toBe(close.getId());
    await world.mine(6);
    await world.untilClosed();
    const bothFee = feeSat(SPLIT_VBYTES + CHILD_VBYTES, 60_000);
    const minerSat = 200_000n + paySat(world, 8) - bothFee;
    expect((await world.balanceSat(world.minerParty.walletScript)) - before).toBe(minerSat);
    const makerSat = await world.balanceSat(world.makerParty.payoutScript);
    expect(minerSat + makerSat + bothFee).toBe(capacitySat);
    recordEnd({ minerSat, makerSat, feesSat: bothFee });
  });

  row('Fee spike', 'the funding waits: a child of the maker pays for it', async () => {
    const world = await stage.create();
    await world.startMaker();
    await world.startMiner();
    await world.until('funding broadcast', async () => (await world.node.mempool()).length > 0);
    const { funding } = await world.channel();
    world.makerParty.source.estimateSatPerKvb = 20_000;
    await world.mineEmpty(FUNDING_PATIENCE_BLOCKS - 1);
    expect(await world.node.mempool()).toEqual([funding.txid]);
    await world.mineEmpty(1);
    await world.until('a child', async () => (await world.node.mempool()).length === 2);
    world.makerParty.source.estimateSatPerKvb = 2_000;
    await world.mine(world.terms.minDepth);
    await world.until('live', () => world.miner?.status.live === true);
    await world.stream(2);
    await world.miner!.closeAlone();
    await world.mine(6);
    await world.untilClosed();
    const vsize = BigInt(await world.vsizeOf(funding.txid));
    const childFee = feeSat(vsize + CHILD_VBYTES, 20_000) - funding.feeSat;
    const changeSat = await world.balanceSat(world.makerParty.walletScript);
    expect(changeSat).toBe(funding.changeSat.maker - childFee);
    const makerSat = await world.balanceSat(world.makerParty.payoutScript);
    const minerSat = await world.balanceSat(world.minerParty.payoutScript);
    expect(minerSat).toBe(MINER_RESERVE_SAT + paySat(world, 8) - RUNG_FEE_SAT);
    expect(minerSat + makerSat + RUNG_FEE_SAT).toBe(funding.capacitySat);
    recordEnd({ minerSat, makerSat: makerSat - childFee, feesSat: RUNG_FEE_SAT + childFee });
  });
});

describe(`rows on ${NODE_KIND}: a ledger that is gone`, () => {
  const kept = async (world: NodeWorld): Promise<void> => {
    await world.until('each keeps something for the other', async () => {
      const reads = [world.minerBlobs, world.makerBlobs].map((files) => files.read(world.contractId));
      return (await Promise.all(reads)).every((blob) => blob !== undefined);
    });
  };

  row('P loses DB', 'all of it: the seed and the maker bring it back, and it is paid', async () => {
    const world = await stage.open();
    await kept(world);
    await world.stream(2);
    await world.stopMiner();
    world.minerParty.ledger = new RecordedLedger();
    const { ledger, signer, source: chain } = world.minerParty;
    const target = {
      host: '127.0.0.1',
      port: world.port,
      nodeId: world.terms.makerNodeId,
      timeoutMs: 5_000,
    };
    expect(
      await healFromMaker(target, {
        timers: systemTimers,
        ledger,
        signer,
        chain,
        random,
        log: silentLogger,
      }),
    ).toHaveLength(1);
    await world.startMiner();
    await world.until('healed', () => world.miner!.status.signed?.n === 2);
    await untilSpent(world);
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, ESTIMATE));
  });

  row('MM loses DB', 'all of it: the miner brings it back, and the stream goes on', async () => {
    const world = await stage.open();
    await kept(world);
    await world.stream(2);
    await world.stopMaker();
    world.makerParty.ledger = new RecordedLedger();
    await world.startMaker();
    await world.until('healed', () => world.maker!.status[0]?.n === 2);
    await world.mine(1);
    await world.until('open', () => world.maker!.status[0]?.channel === 'open' && world.miner!.status.live);
    await world.stream(3);
    const closed = world.miner!.close();
    await untilSpent(world);
    await world.mine(6);
    await closed;
    await world.untilClosed();
    await expectSplit(world, 12, feeSat(SPLIT_VBYTES, ESTIMATE));
  });
});
