import { Transaction } from 'bitcoinjs-lib';
import { describe, expect } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import {
  ESTIMATE,
  expectRefund,
  expectSplit,
  feeSat,
  paySat,
  RUNG_FEE_SAT,
  SPLIT_VBYTES,
} from './accounts.ts';
import { row } from './rows.ts';
import { setStage } from './stage.ts';
import { NODE_KIND } from './suite.ts';

const stage = setStage();

/** The close with the signature of the miner in the place of that of the maker. */
function spoiled(line: string): string {
  const message = JSON.parse(line) as { result?: { close_tx?: string } };
  if (message.result?.close_tx === undefined) return line;
  const close = Transaction.fromHex(message.result.close_tx);
  const [, own, ...rest] = close.ins[0]!.witness;
  close.setWitness(0, [own!, own!, ...rest]);
  return JSON.stringify({ ...message, result: { close_tx: close.toHex() } });
}

const writesState = (entries: readonly LedgerEntry[]): boolean =>
  entries.some((entry) => entry.type !== 'log' && entry.kind === 'state');
const writesClosing = (entries: readonly LedgerEntry[]): boolean =>
  entries.some((entry) => entry.type !== 'log' && entry.kind === 'channel' && /closing/.test(entry.body));

describe(`rows on ${NODE_KIND}, bond mode none`, () => {
  row('Both close together', 'what was verified is paid', async () => {
    const world = await stage.open();
    await world.stream(3);
    await world.deliver(2);
    const closed = world.miner!.close();
    await world.until('close broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await closed;
    await world.untilClosed();
    await expectSplit(world, 14, feeSat(SPLIT_VBYTES, ESTIMATE));
  });

  row('Miner stops, then closes', 'no bonds', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.miner!.closeAlone();
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row(
    'Miner stops and vanishes',
    'the maker has all back at the expiry, not one block before',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.stopMiner();
      await world.mineTo(world.terms.expiryHeight - 1);
      expect(await world.spenderOfChannel()).toBeUndefined();
      await world.mine(1);
      await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
      await world.mine(6);
      await world.untilClosed();
      await expectRefund(world);
    },
  );

  row('MM broadcasts early', 'no block takes the refund before the expiry', async () => {
    const world = await stage.open();
    await world.stream(1);
    await world.stopMiner();
    await world.stopMaker();
    const { params, funding, channelIndex } = await world.channel();
    const refund = signAndFinalizeRefund(
      params,
      ESTIMATE,
      world.makerParty.signer.forChannel(channelIndex),
    );
    const send = (): Promise<string> => world.makerParty.source.broadcast(refund.hex);
    await world.mineTo(world.terms.expiryHeight - 1);
    const early = await send().catch((error: unknown) => codeOf(error));
    // btcd takes it and holds it back, as it relays what is not standard; bitcoind refuses it.
    expect(early).toBe(NODE_KIND === 'btcd' ? refund.txid : 'tx_refused');
    await world.mine(1);
    expect(await world.node.height()).toBe(world.terms.expiryHeight);
    expect(await world.makerParty.source.txOut(funding.txid, funding.vout, false)).toBeDefined();
    expect(await send()).toBe(refund.txid);
    await world.mine(1);
    await expectRefund(world);
  });

  row(
    'MM stops signing / refuses',
    'the miner leaves at three steps and closes with the last state',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      world.makerParty.ledger.holds = writesState;
      await world.deliver(12);
      await world.until('the miner leaves', () => world.miner!.status.live === false);
      expect(world.miner!.status.exposureSat).toBe(paySat(world, 20) - paySat(world, 8));
      await world.miner!.closeAlone();
      await world.mine(6);
      world.makerParty.ledger.release();
      await world.untilClosed();
      await expectSplit(world, 8, RUNG_FEE_SAT);
    },
  );

  row('MM offline', 'the miner leaves at three steps and closes with the last state', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.deliver(12);
    await world.until('the miner leaves', () => world.miner!.status.live === false);
    await world.miner!.closeAlone();
    await world.mine(6);
    await world.untilClosed();
    await world.startMaker();
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row('P broadcasts old state', 'less for the miner, more for the maker', async () => {
    const world = await stage.open();
    await world.stream(1);
    const old = await world.lastState();
    await world.stream(3);
    const transaction = await world.stateTransaction(old, 1);
    await world.minerParty.source.broadcast(transaction.toHex());
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 4, RUNG_FEE_SAT);
  });

  row('MM refuses coop close at the end', 'the miner closes alone, 36 blocks after it asked', async () => {
    const world = await stage.open();
    await world.stream(3);
    world.makerParty.ledger.holds = writesClosing;
    void world.miner!.close();
    await world.until('asked', () => world.miner!.status.lastError === 'peer_timeout');
    await world.node.generate(35);
    await world.calmMiner();
    expect(await world.spenderOfChannel()).toBeUndefined();
    await world.node.generate(1);
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    world.makerParty.ledger.release();
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 12, RUNG_FEE_SAT);
  });

  row('MM refuses coop close at the end', 'F13: its signature does not verify', async () => {
    const world = await stage.open({ heard: spoiled });
    await world.stream(3);
    world.makerParty.source.isMute = true;
    void world.miner!.close();
    await world.until('refused', () => world.miner!.status.lastError === 'bad_signature');
    await world.node.generate(35);
    await world.calmMiner();
    expect(await world.spenderOfChannel()).toBeUndefined();
    await world.node.generate(1);
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    world.makerParty.source.isMute = false;
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 12, RUNG_FEE_SAT);
  });

  row('Both vanish', 'the miner is back first and has its pay', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight + 5);
    await world.startMiner();
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(1);
    await world.startMaker();
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row('Both vanish', 'the maker is back first and has all', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMiner();
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight + 5);
    await world.startMaker();
    await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(1);
    await world.startMiner();
    await world.mine(6);
    await world.untilClosed();
    await expectRefund(world);
  });

  row('P loses DB', 'the maker still has the newest states', async () => {
    const world = await stage.open();
    await world.stream(1);
    const { appends } = world.minerParty.ledger;
    await world.stream(3);
    await world.stopMiner();
    world.minerParty.ledger = await world.minerParty.ledger.copyAt(appends);
    expect((await world.lastState()).n).toBe(1);
    await world.startMiner();
    await world.until('healed', () => world.miner!.status.signed?.n === 3);
    await world.until('close broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 12, feeSat(SPLIT_VBYTES, ESTIMATE));
  });

  row('MM loses DB', 'the miner proves the newest state, and the stream goes on', async () => {
    const world = await stage.open();
    await world.stream(1);
    const { appends } = world.makerParty.ledger;
    await world.stream(3);
    await world.stopMaker();
    world.makerParty.ledger = await world.makerParty.ledger.copyAt(appends);
    await world.startMaker();
    await world.until('healed', () => world.maker!.status[0]?.n === 3);
    await world.mine(1);
    await world.until('live', () => world.miner!.status.live);
    await world.stream(4);
    const closed = world.miner!.close();
    await world.until('close broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await closed;
    await world.untilClosed();
    await expectSplit(world, 16, feeSat(SPLIT_VBYTES, ESTIMATE));
  });
});
