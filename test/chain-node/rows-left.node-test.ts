import { Psbt, Transaction } from 'bitcoinjs-lib';
import { describe, expect } from 'vitest';
import { equal } from '../../src/base/bytes.ts';
import { DEFAULT_FEE_LADDER_SAT_PER_KVB } from '../../src/contract/terms.ts';
import { ESTIMATE, expectRefund, expectSplit, feeSat, SPLIT_VBYTES, splitOf } from './accounts.ts';
import { recordEnd, row } from './rows.ts';
import { setStage } from './stage.ts';
import { describeOn, NODE_KIND } from './suite.ts';
import type { NodeWorld } from './world.ts';

const stage = setStage();
/** Sat per kvB of the six requests that the vault has at the expiry. */
const ASKED = [1, 2, 4, 8, 16, 32].map((times) => times * ESTIMATE);

/** Two states are paid and the miner is gone; the maker asked its vault for the refund. */
async function askedVault(): Promise<NodeWorld> {
  const world = await stage.open({ hasVault: true });
  await world.stream(2);
  await world.stopMiner();
  await world.mineTo(world.terms.expiryHeight - 1);
  expect(world.vault.size).toBe(0);
  await world.mine(1);
  const rates = (): number[] => requests(world).map(({ satPerKvb }) => satPerKvb);
  await world.until('requests', () => rates().length === ASKED.length);
  expect(rates().sort((a, b) => a - b)).toEqual(ASKED);
  await world.mine(2);
  expect(await world.spenderOfChannel()).toBeUndefined();
  return world;
}

const requests = (world: NodeWorld) => world.vault.open(`${world.contractId}.refund`);

async function signAll(world: NodeWorld): Promise<void> {
  world.vault.sign((await world.channel()).channelIndex);
}

describe(`rows on ${NODE_KIND}: a refund key that is cold`, () => {
  row(
    'Miner stops and vanishes',
    'the vault signs late; a maker started anew takes its answer',
    async () => {
      const world = await askedVault();
      await world.stopMaker();
      await signAll(world);
      await world.startMaker();
      await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
      await world.mine(1);
      await world.untilClosed();
      await expectRefund(world);
    },
  );

  row(
    'Miner stops and vanishes',
    'the cold refund waits: a dearer one that was signed with it',
    async () => {
      const world = await askedVault();
      await signAll(world);
      world.makerParty.source.estimateSatPerKvb = 7_000;
      await world.mineEmpty(1);
      await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
      await world.mine(1);
      await world.untilClosed();
      await expectRefund(world, 8_000);
    },
  );
});

describeOn('bitcoind', 'rows on bitcoind: nothing but the vault is left', () => {
  row('MM loses DB', 'and all else: what the vault signed, any node completes and sends', async () => {
    const world = await askedVault();
    await world.stopMaker();
    await signAll(world);
    const { signed } = requests(world).find(({ satPerKvb }) => satPerKvb === ASKED[1])!;
    const final = (await world.node.call('finalizepsbt', signed!)) as { hex: string; complete: boolean };
    expect(final.complete).toBe(true);
    const txid = await world.node.call('sendrawtransaction', final.hex);
    expect(txid).toBe(Transaction.fromHex(final.hex).getId());
    expect(Psbt.fromBase64(signed!).data.inputs[0]!.finalScriptWitness).toBeUndefined();
    await world.mine(1);
    await expectRefund(world, ASKED[1]);
  });
});

/** Above what any node takes at all, so that no bid is refused. */
const LOWEST = DEFAULT_FEE_LADDER_SAT_PER_KVB[0]!;
const CHILD_VBYTES = 110n;
const DEAR = 15_000;

describe(`rows on ${NODE_KIND}: a cheap close`, () => {
  row('Miner stops, then closes', 'blocks are cheap: the lowest rung, at the deadline', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    world.minerParty.source.estimateSatPerKvb = LOWEST;
    await world.mineTo(world.terms.expiryHeight - 144);
    await world.until('a close', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, LOWEST));
  });

  row(
    'Miner stops, then closes',
    'cheap, and no block takes it: up to a tenth of what it saves',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.stopMaker();
      world.minerParty.source.estimateSatPerKvb = LOWEST;
      await world.mineTo(world.terms.expiryHeight - 144);
      for (let block = 0; block < 20; block += 1) await world.mineEmpty(1);
      await world.mine(1);
      await world.untilClosed();
      // The rung above would be a third of it.
      await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 80_000));
    },
  );

  row('Miner stops, then closes', 'at its lowest rung, and is gone: the maker pays the rest', async () => {
    const world = await stage.open({ makerPaysOwnWallet: true });
    await world.stream(2);
    await world.stopMiner();
    const close = await world.stateTransaction(await world.lastState(), 0);
    const { makerParty } = world;
    const before = await world.balanceSat(makerParty.walletScript);
    await world.minerParty.source.broadcast(close.toHex());
    makerParty.source.estimateSatPerKvb = DEAR;
    const vout = close.outs.findIndex(({ script }) => equal(script, makerParty.payoutScript));
    const child = (): Promise<string | undefined> => world.node.spender(close.getId(), vout);
    await world.mineEmptyTo(world.terms.expiryHeight - 1);
    expect(await child()).toBeUndefined();
    await world.mineEmpty(1);
    await world.until('a child', async () => (await child()) !== undefined);
    await world.mine(1);
    await world.untilClosed();
    const closeSat = feeSat(SPLIT_VBYTES, LOWEST);
    const childSat = feeSat(SPLIT_VBYTES + CHILD_VBYTES, DEAR) - closeSat;
    const split = splitOf(world, 8);
    const minerSat = await world.balanceSat(world.minerParty.payoutScript);
    const makerSat = (await world.balanceSat(makerParty.walletScript)) - before;
    expect({ minerSat, makerSat }).toEqual({
      minerSat: split.minerSat - closeSat,
      makerSat: split.makerSat - childSat,
    });
    recordEnd({ minerSat, makerSat, feesSat: closeSat + childSat });
  });
});
