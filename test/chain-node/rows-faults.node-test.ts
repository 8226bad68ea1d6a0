import { describe, expect } from 'vitest';
import { FALLBACK_SAT_PER_KVB } from '../../src/chain/source.ts';
import { DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { makeLadder, parseLadder, printLadder } from '../../src/channel/ladder-file.ts';
import { signedStateToJson, signState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { LadderWatch } from '../../src/operator/ladder-watch.ts';
import { expectSplit, feeSat, RUNG_FEE_SAT, SPLIT_VBYTES } from './accounts.ts';
import { BitcoindNode } from './bitcoind.ts';
import { recordEnd, row } from './rows.ts';
import { setStage } from './stage.ts';
import { describeOn, NODE_KIND } from './suite.ts';
import { WatchedSource } from './watched-source.ts';
import { MAKER_COIN_SAT, MINER_COIN_SAT, type NodeWorld } from './world.ts';

const stage = setStage();

async function untilSpent(world: NodeWorld): Promise<void> {
  await world.until('a close', async () => (await world.spenderOfChannel()) !== undefined);
}

describe(`faults of the money path on ${NODE_KIND}`, () => {
  row('MM stops signing / refuses', 'F1: it signs a second content: the better one closes', async () => {
    let second: string | undefined;
    const heard = (line: string): string | string[] =>
      second !== undefined && line.includes('"verified_work"') ? [line, second] : line;
    const world = await stage.open({ heard });
    await world.stream(2);
    const { params, channelIndex } = await world.channel();
    const { n, workHashes } = await world.lastState();
    const keys = world.makerParty.signer.forChannel(channelIndex);
    const state = signedStateToJson(signState(params, n, workHashes - 1n, keys));
    const request = { contract_id: world.contractId, state };
    second = JSON.stringify({ jsonrpc: '2.0', id: 9_000, method: 'state.sign', params: request });
    await world.stopMiner();
    await world.startMiner();
    await world.until('broken', () => world.miner?.status.live === false);
    await untilSpent(world);
    await world.mine(6);
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });

  row(
    'MM offline',
    'F2: the disk of the miner hangs for good: the deadline closes from memory',
    async () => {
      const world = await stage.open();
      await world.stream(2);
      await world.stopMaker();
      world.minerParty.ledger.holds = () => true;
      await world.mineTo(world.terms.expiryHeight - 145);
      expect(await world.spenderOfChannel()).toBeUndefined();
      await world.mine(1);
      await untilSpent(world);
      await world.mine(1);
      world.minerParty.ledger.release();
      await world.untilClosed();
      await expectSplit(world, 8, RUNG_FEE_SAT);
    },
  );

  row('Both vanish', 'F7: `watch` closes by the ladder file, with a node of its own', async () => {
    const world = await stage.open();
    await world.stream(2);
    const { params, channelIndex } = await world.channel();
    const keys = world.minerParty.signer.forChannel(channelIndex);
    const made = makeLadder(params, await world.lastState(), DEFAULT_CLOSE_MARGINS, keys, 0);
    await world.stopMaker();
    await world.stopMiner();
    const chain = new WatchedSource(world.node.source(), () => world.node.minimumSatPerKvb());
    const watch = new LadderWatch({ chain, log: silentLogger });
    const look = async (): Promise<void> => watch.look(parseLadder(printLadder(made)), await chain.tip());
    await world.mineTo(world.terms.expiryHeight - 145);
    await look();
    expect(await world.spenderOfChannel()).toBeUndefined();
    await world.mine(1);
    await look();
    expect(await world.spenderOfChannel()).toBeDefined();
    await world.mine(1);
    await look();
    expect(watch.status).toBe('closing');
    await expectSplit(world, 8, RUNG_FEE_SAT);
    chain.close();
  });

  row('Fee spike', 'F12: a funding at more than twice the own estimate is not signed', async () => {
    const world = await stage.create();
    world.makerParty.source.estimateSatPerKvb = 4_001;
    await world.startMaker();
    await world.startMiner();
    await world.until('refused', () => world.miner?.status.lastError === 'bad_funding');
    expect(await world.node.mempool()).toEqual([]);
    await world.mine(6);
    const minerSat = await world.balanceSat(world.minerParty.walletScript);
    const makerSat = await world.balanceSat(world.makerParty.walletScript);
    expect({ minerSat, makerSat }).toEqual({ minerSat: MINER_COIN_SAT, makerSat: MAKER_COIN_SAT });
    recordEnd({ minerSat, makerSat, feesSat: 0n });
  });
});

describeOn('bitcoind', 'a bitcoind that hears of blocks only', () => {
  const stage = setStage(() => BitcoindNode.start('enforce', ['-blocksonly']));

  row('MM offline', 'F25: it estimates nothing; the configured rate closes, at the deadline', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    world.minerParty.source.asksNode = true;
    await expect(world.node.call('estimatesmartfee', 2)).rejects.toThrow();
    await world.mineTo(world.terms.expiryHeight - 144);
    await untilSpent(world);
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, FALLBACK_SAT_PER_KVB));
  });
});
