import type { Transaction } from 'bitcoinjs-lib';
import { describe, expect } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { pay } from '../devnet/wallets.ts';
import {
  ESTIMATE,
  expectRefund,
  expectSplit,
  feeSat,
  REFUND_VBYTES,
  RUNG_FEE_SAT,
  rungSat,
  SPLIT_VBYTES,
} from './accounts.ts';
import { recordEnd, row } from './rows.ts';
import { setStage } from './stage.ts';
import { NODE_KIND } from './suite.ts';
import { MAKER_COIN_SAT, MINER_COIN_SAT, type NodeWorld, type Party } from './world.ts';

const stage = setStage();

async function untilSpent(world: NodeWorld): Promise<Transaction> {
  let spender: Transaction | undefined;
  await world.until('the channel is spent', async () => {
    spender = await world.spenderOfChannel();
    return spender !== undefined;
  });
  return spender!;
}

/** The close in the mempool pays this rate. */
async function untilRate(world: NodeWorld, satPerKvb: number): Promise<void> {
  const { funding } = await world.channel();
  await world.until(`a close at ${satPerKvb} sat/kvB`, async () => {
    const paidSat = (await world.spenderOfChannel())?.outs.reduce((sum, { value }) => sum + value, 0n);
    return paidSat === funding.capacitySat - feeSat(SPLIT_VBYTES, satPerKvb);
  });
}

function keyOf({ payoutSigner }: Party): Parameters<typeof pay>[0]['key'] {
  return {
    publicKey: payoutSigner.publicKey('wallet'),
    scriptHex: '',
    sign: (hash) => payoutSigner.signEcdsa('wallet', hash),
  };
}

/** Blocks of the funding come off the chain; empty ones take their place. */
async function reorgFunding(world: NodeWorld): Promise<void> {
  const { funding } = await world.channel();
  const depth = (await world.minerParty.source.confirmations(funding.txid)) ?? 0;
  await stage.node.invalidate(depth);
  await stage.node.generateEmpty(depth + 1);
}

describe(`rows on ${NODE_KIND}: fees`, () => {
  row('Fee spike', 'the miner climbs the ladder, rung by rung, and pays for it alone', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    await untilRate(world, 5_000);
    world.minerParty.source.estimateSatPerKvb = 15_000;
    await world.mineEmpty(1);
    await untilRate(world, 20_000);
    world.minerParty.source.estimateSatPerKvb = 60_000;
    await world.mineEmpty(1);
    await untilRate(world, 80_000);
    // A rate that falls again changes nothing; what no block takes climbs, as soon as it may cost so much.
    world.minerParty.source.estimateSatPerKvb = 1_000;
    await world.mineEmptyTo(world.terms.expiryHeight - 72);
    await untilRate(world, 80_000);
    await world.mineEmpty(1);
    await untilRate(world, 320_000);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 320_000));
  });

  row('Fee spike', 'the node forgets the close and asks for more', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    await untilRate(world, 5_000);
    await stage.node.restart({ minRelayBtcPerKvb: '0.0002' });
    await world.mineEmpty(1);
    await untilRate(world, 20_000);
    await world.mine(1);
    await stage.node.restart({});
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 20_000));
  });

  row("MM pins P's close with child", 'a rung above puts both out', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.miner!.closeAlone();
    const close = await untilSpent(world);
    const value = close.outs[1]!.value;
    const child = pay({
      from: [{ txid: close.getId(), vout: 1, valueSat: value }],
      key: keyOf(world.makerParty),
      to: [{ scriptHex: toHex(world.makerParty.payoutScript), valueSat: value - 1_500n }],
      version: 3,
    });
    await world.makerParty.source.broadcast(child.toHex());
    world.minerParty.source.estimateSatPerKvb = 15_000;
    await world.miner!.closeAlone();
    await untilRate(world, 20_000);
    expect(await world.node.mempool()).not.toContain(child.getId());
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 20_000));
  });

  row('Fee spike', 'a rung below the newest confirms', async () => {
    const world = await stage.open({ terms: { minerReserveSat: 60_000n } });
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    await untilRate(world, 5_000);
    const low = await untilSpent(world);
    world.minerParty.source.estimateSatPerKvb = 15_000;
    await world.mineEmpty(1);
    await untilRate(world, 20_000);
    await stage.node.generateWith([low]);
    await world.calm();
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row('Fee spike', 'after both closed together: the ladder before the expiry', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.mineTo(world.terms.expiryHeight - 324);
    await untilRate(world, ESTIMATE);
    world.minerParty.source.estimateSatPerKvb = 15_000;
    await world.mineEmptyTo(world.terms.expiryHeight - 144);
    // It waited for so long that it climbed to what it may cost.
    await untilRate(world, 80_000);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 80_000));
  });

  row('Fee spike', 'at the expiry: the maker pays more for its refund', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight);
    await untilSpent(world);
    world.makerParty.source.estimateSatPerKvb = 15_000;
    await world.mineEmpty(1);
    await world.until('a refund at the new rate', async () => {
      const spender = await world.spenderOfChannel();
      const { capacitySat } = (await world.channel()).funding;
      return capacitySat - (spender?.outs[0]?.value ?? capacitySat) >= feeSat(REFUND_VBYTES, 15_000);
    });
    await world.mine(1);
    await world.untilClosed();
    await expectRefund(world, 15_000);
  });

  row('Miner stops and vanishes', 'its close was forgotten: the maker has all back', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.miner!.closeAlone();
    await untilSpent(world);
    await world.mineEmpty(1);
    await world.stopMiner();
    for (let blocks = 0; blocks < 8; blocks += 1) await world.mineEmpty(1);
    await stage.node.restart({});
    await world.mineTo(world.terms.expiryHeight);
    await untilSpent(world);
    await world.mine(1);
    await world.untilClosed();
    await expectRefund(world);
  });
});

describe(`rows on ${NODE_KIND}: reorganisations`, () => {
  row('Reorg of F', 'after streaming began: work stops, and goes on at depth', async () => {
    const world = await stage.open();
    await world.stream(2);
    await reorgFunding(world);
    await world.calm();
    await world.until('the miner stops', () => world.miner!.status.live === false);
    expect(world.miner!.status.fundingDepth).toBe(0);
    await world.mine(1);
    expect(world.miner!.status.live).toBe(false);
    await world.mine(1);
    await world.until('live', () => world.miner!.status.live);
    await world.stream(3);
    const closed = world.miner!.close();
    await untilSpent(world);
    await world.mine(6);
    await closed;
    await world.untilClosed();
    await expectSplit(world, 12, feeSat(SPLIT_VBYTES, ESTIMATE));
  });

  row('Reorg of F', 'the node forgets it: it is sent again', async () => {
    const world = await stage.open();
    await world.stream(2);
    const { funding } = await world.channel();
    await reorgFunding(world);
    await stage.node.restart({});
    await world.mineEmpty(1);
    await world.until('the funding is back', async () =>
      (await world.node.mempool()).includes(funding.txid),
    );
    await world.mine(2);
    await world.miner!.closeAlone();
    await untilSpent(world);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row('Reorg of F', 'the maker spends its coin: each keeps its own, the work is lost', async () => {
    const world = await stage.open();
    await world.stream(2);
    const { minerParty, makerParty } = world;
    const { funding } = await world.channel();
    const makerCoin = funding.inputs.find(({ role }) => role === 'maker')!;
    const elsewhere = pay({
      from: [makerCoin],
      key: {
        publicKey: makerParty.signer.publicKey('wallet'),
        scriptHex: '',
        sign: (hash) => makerParty.signer.signEcdsa('wallet', hash),
      },
      to: [{ scriptHex: toHex(makerParty.payoutScript), valueSat: makerCoin.valueSat - 500n }],
    });
    const depth = (await minerParty.source.confirmations(funding.txid)) ?? 0;
    await stage.node.invalidate(depth);
    await stage.node.generateWith([elsewhere]);
    await stage.node.generateEmpty(depth);
    await world.calm();
    await world.until('the miner stops', () => world.miner!.status.live === false);
    await world.untilClosed();
    expect(await world.balanceSat(minerParty.walletScript)).toBe(MINER_COIN_SAT);
    expect(await world.balanceSat(minerParty.payoutScript)).toBe(0n);
    expect(await world.balanceSat(makerParty.walletScript)).toBe(0n);
    expect(await world.balanceSat(makerParty.payoutScript)).toBe(MAKER_COIN_SAT - 500n);
    recordEnd({ minerSat: 0n, makerSat: MAKER_COIN_SAT - 500n, feesSat: 500n });
  });

  row('Reorg of close near T_exp', 'it waits in the mempool and confirms after the expiry', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight - 3);
    await world.startMiner();
    await untilSpent(world);
    await world.mine(1);
    await stage.node.invalidate(1);
    await stage.node.generateEmpty(5);
    await world.calm();
    expect(await world.node.height()).toBe(world.terms.expiryHeight + 2);
    const paidSat = await rungSat(world);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, paidSat);
  });

  const forgotten = async (present: 'miner' | 'maker'): Promise<void> => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight - 3);
    await world.startMiner();
    await untilSpent(world);
    await world.mine(1);
    if (present === 'miner') await world.stopMaker();
    else await world.stopMiner();
    await stage.node.invalidate(1);
    await stage.node.generateEmpty(5);
    await stage.node.restart({});
    await world.mineEmpty(1);
    await untilSpent(world);
    const paidSat = present === 'miner' ? await rungSat(world) : 0n;
    await world.mine(1);
    await world.untilClosed();
    if (present === 'miner') await expectSplit(world, 8, paidSat);
    else await expectRefund(world);
  };
  row('Reorg of close near T_exp', 'forgotten; the miner is there and sends it again', () =>
    forgotten('miner'),
  );
  row('Reorg of close near T_exp', 'forgotten; only the maker is there and has all', () =>
    forgotten('maker'),
  );
});
