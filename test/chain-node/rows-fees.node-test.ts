import { Transaction } from 'bitcoinjs-lib';
import { describe, expect } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { DEFAULT_FEE_CAPS, FREE_FEE_SAT, mostFeeSat } from '../../src/chain/fee-caps.ts';
import { capacitySat, stateAmounts } from '../../src/channel/amounts.ts';
import { pay } from '../devnet/wallets.ts';
import { feeSat, REFUND_VBYTES, SPLIT_VBYTES } from './accounts.ts';
import { recordEnd, row } from './rows.ts';
import { setStage } from './stage.ts';
import { NODE_KIND } from './suite.ts';
import type { NodeWorld } from './world.ts';

const stage = setStage();
const DUST_SAT = 294n;

/** A thousand sats a hash: each state pays 64,000, so that a close has something to pay fees from. */
const LARGE = {
  terms: {
    ...{ priceMsatPerEh: 1_000_000n * 10n ** 18n, workTotalHashes: 1_000n },
    minerReserveSat: 250_000n,
  },
  paysOwnWallet: true,
};

const sumOf = ({ outs }: Transaction): bigint => outs.reduce((sum, { value }) => sum + value, 0n);

/** The close that waits and what spends from it, parents first, with the fees of each. */
async function waiting(world: NodeWorld): Promise<{ transaction: Transaction; feeSat: bigint }[]> {
  const close = await world.spenderOfChannel();
  if (close === undefined) return [];
  const found = [{ transaction: close, feeSat: capacitySat(world.terms) - sumOf(close) }];
  for (const [vout, { value }] of close.outs.entries()) {
    const txid = await world.node.spender(close.getId(), vout);
    if (txid === undefined) continue;
    const child = Transaction.fromHex(await world.node.hexOf(txid));
    found.push({ transaction: child, feeSat: value - sumOf(child) });
  }
  return found;
}

/** A block of those that pay the market's rate, alone or with one that spends from them. */
async function mineAt(world: NodeWorld, satPerKvb: number): Promise<void> {
  const [close, ...children] = await waiting(world);
  const pays = (...each: { transaction: Transaction; feeSat: bigint }[]): boolean => {
    const paidSat = each.reduce((sum, { feeSat: fee }) => sum + fee, 0n);
    const vsize = each.reduce((sum, { transaction }) => sum + transaction.virtualSize(), 0);
    return paidSat * 1_000n >= BigInt(vsize) * BigInt(satPerKvb);
  };
  const payer = close && children.find((child) => pays(close, child));
  const chosen = close === undefined ? [] : payer ? [close, payer] : pays(close) ? [close] : [];
  await world.node.generateWith(chosen.map(({ transaction }) => transaction));
  await world.calm();
}

/** A child of the maker, as large as nodes take one and dear enough to be in the way: 978 vB, 20,000 sat. */
async function pin(world: NodeWorld): Promise<Transaction | undefined> {
  const close = await world.spenderOfChannel();
  const { payoutSigner, payoutScript } = world.makerParty;
  const vout = close?.outs.findIndex(({ script }) => toHex(script) === toHex(payoutScript)) ?? -1;
  if (close === undefined || vout === -1) return undefined;
  const { value } = close.outs[vout]!;
  const outputs = Array.from({ length: 29 }, () => ({ scriptHex: toHex(payoutScript), valueSat: 600n }));
  outputs[0]!.valueSat = value - 20_000n - 600n * 28n;
  const child = pay({
    from: [{ txid: close.getId(), vout, valueSat: value }],
    key: {
      publicKey: payoutSigner.publicKey('wallet'),
      scriptHex: '',
      sign: (hash) => payoutSigner.signEcdsa('wallet', hash),
    },
    to: outputs,
    version: 3,
  });
  const isTaken = await world.makerParty.source.broadcast(child.toHex()).then(
    () => true,
    () => false,
  );
  return isTaken ? child : undefined;
}

describe(`a close that the maker pins, ${NODE_KIND}`, () => {
  row("MM pins P's close with child", 'F8: a spike, and 20,000 sat on 978 vB', async () => {
    const world = await stage.open(LARGE);
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    const before = await world.balanceSat(world.minerParty.walletScript);
    const pinned = await pin(world);
    expect(pinned?.virtualSize()).toBeGreaterThan(970);
    world.minerParty.source.estimateSatPerKvb = 60_000;
    // Where no node tells what waits and packages are unknown, only a rung helps, once it may cost so much.
    if (NODE_KIND === 'btcd') await world.mineEmptyTo(world.terms.expiryHeight - 72);
    for (let block = 0; block < 8; block += 1) await mineAt(world, 60_000);
    expect(await world.node.mempool()).not.toContain(pinned!.getId());
    await world.untilClosed();
    const { minerSat } = stateAmounts(world.terms, (await world.lastState()).workHashes);
    const gotSat = (await world.balanceSat(world.minerParty.walletScript)) - before;
    const left = NODE_KIND === 'btcd' ? 71 : 144;
    expect(minerSat - gotSat).toBeLessThanOrEqual(mostFeeSat(DEFAULT_FEE_CAPS, left, saved(minerSat)));
    const makerSat = await world.balanceSat(world.makerParty.payoutScript);
    recordEnd({ minerSat: gotSat, makerSat, feesSat: minerSat - gotSat });
  });

  for (const satPerVb of [1, 2, 50, 320, 1_200]) {
    row(
      "MM pins P's close with child",
      `a market of ${satPerVb} sat/vB, and the miner back late`,
      async () => {
        const market = satPerVb * 1_000;
        const world = await stage.open(LARGE);
        await world.stream(10);
        await world.stopMaker();
        await world.stopMiner();
        await world.mineTo(world.terms.expiryHeight - 74);
        const before = await world.balanceSat(world.minerParty.walletScript);
        world.minerParty.source.estimateSatPerKvb = market;
        await world.startMiner();
        const { minerSat } = stateAmounts(world.terms, (await world.lastState()).workHashes);
        let left = 74;
        for (; left > 50; left -= 1) {
          await world.calm();
          await pin(world);
          await mineAt(world, market);
          if ((await world.balanceSat(world.minerParty.walletScript)) > before) break;
        }
        await world.untilClosed();
        const gotSat = (await world.balanceSat(world.minerParty.walletScript)) - before;
        expect(gotSat).toBeGreaterThanOrEqual(
          minerSat - mostFeeSat(DEFAULT_FEE_CAPS, left, saved(minerSat)),
        );
        // In a market that is calm nothing near a cap is paid.
        if (satPerVb <= 2) expect(minerSat - gotSat).toBeLessThanOrEqual(FREE_FEE_SAT);
        const makerSat = await world.balanceSat(world.makerParty.payoutScript);
        recordEnd({ minerSat: gotSat, makerSat, feesSat: minerSat - gotSat });
      },
    );
  }
});

const saved = (outputSat: bigint) => ({ outputSat, dustSat: DUST_SAT });

describe(`what is paid near the expiry, ${NODE_KIND}`, () => {
  row('Both vanish', 'F9: the miner is back 20 blocks before, and blocks are cheap', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight - 20);
    await world.startMiner();
    await world.until('a close', async () => (await world.spenderOfChannel()) !== undefined);
    const [close] = await waiting(world);
    expect(close!.feeSat).toBe(feeSat(SPLIT_VBYTES, 5_000));
    expect(close!.feeSat).toBeLessThanOrEqual(FREE_FEE_SAT);
    await world.mine(1);
    await world.untilClosed();
    const minerSat = await world.balanceSat(world.minerParty.payoutScript);
    const makerSat = await world.balanceSat(world.makerParty.payoutScript);
    recordEnd({ minerSat, makerSat, feesSat: close!.feeSat });
  });

  row(
    'Miner stops and vanishes',
    'the refund climbs, where the node says less than blocks ask for',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.stopMiner();
      world.makerParty.source.estimateSatPerKvb = 1_000;
      await world.mineTo(world.terms.expiryHeight);
      await world.until('a refund', async () => (await world.spenderOfChannel()) !== undefined);
      let blocks = 0;
      for (; blocks < 14 && (await world.spenderOfChannel()) !== undefined; blocks += 1) {
        await world.calm();
        await mineAt(world, 6_000);
      }
      expect(blocks).toBeGreaterThan(3);
      await world.untilClosed();
      const makerSat = await world.balanceSat(world.makerParty.payoutScript);
      const paidSat = capacitySat(world.terms) - makerSat;
      expect(paidSat).toBeGreaterThanOrEqual(feeSat(REFUND_VBYTES, 5_900));
      // No bid is above half as much again as what would have been enough.
      expect(paidSat).toBeLessThanOrEqual(feeSat(REFUND_VBYTES, 9_100));
      recordEnd({ minerSat: 0n, makerSat, feesSat: paidSat });
    },
  );

  row('Miner stops and vanishes', 'F26: blocks ask for 1,200 sat/vB, and the refund leaves', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    world.makerParty.source.estimateSatPerKvb = 1_200_000;
    await world.mineTo(world.terms.expiryHeight);
    await world.until('a refund', async () => (await world.spenderOfChannel()) !== undefined);
    const [refund] = await waiting(world);
    expect(refund!.feeSat).toBeGreaterThan(feeSat(REFUND_VBYTES, 900_000));
    expect(refund!.feeSat).toBeLessThanOrEqual(capacitySat(world.terms) / 2n);
    await world.mine(1);
    await world.untilClosed();
    const makerSat = await world.balanceSat(world.makerParty.payoutScript);
    expect(makerSat).toBe(capacitySat(world.terms) - refund!.feeSat);
    recordEnd({ minerSat: 0n, makerSat, feesSat: refund!.feeSat });
  });
});
