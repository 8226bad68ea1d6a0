import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import type { TrucPolicy as Answer } from '../../src/chain/truc.ts';
import { pay } from '../devnet/wallets.ts';
import { expectSplit, feeSat, RUNG_FEE_SAT, SPLIT_VBYTES } from './accounts.ts';
import { Bank } from './bank.ts';
import { BitcoindNode, type TrucPolicy } from './bitcoind.ts';
import { row } from './rows.ts';
import { setStage } from './stage.ts';
import { childOf, closeOf, openOn, rungOf } from './staked-transactions.ts';
import { describeOn, NODE_KIND, startNode } from './suite.ts';

const EH = 10n ** 18n;

/** One node of a policy for the tests of a describe. */
function setNode(policy: TrucPolicy): { readonly node: BitcoindNode; readonly bank: Bank } {
  let node: BitcoindNode;
  let bank: Bank;
  beforeAll(async () => {
    node = await BitcoindNode.start(policy);
    bank = new Bank(node);
  });
  afterAll(() => node?.close());
  return {
    get node() {
      return node;
    },
    get bank() {
      return bank;
    },
  };
}

async function answerOf(policy: TrucPolicy | undefined): Promise<Answer | undefined> {
  const node = policy === undefined ? await startNode() : await BitcoindNode.start(policy);
  const source = node.source();
  try {
    return await source.trucPolicy();
  } finally {
    source.close();
    await node.close();
  }
}

describe(`asked what it does about version 3, ${NODE_KIND}`, () => {
  it('says so, if it can', async () => {
    expect(await answerOf(undefined)).toBe(NODE_KIND === 'btcd' ? undefined : 'enforced');
  });
});

describeOn('bitcoind', 'a node that takes version 3 like any other', () => {
  const stage = setNode('accept');

  it('says so', async () => {
    expect(await answerOf('accept')).toBe('ignored');
  });

  it('lets a child of any version and size hang on a close, and a second one beside it', async () => {
    const channel = await openOn(stage.node, stage.bank);
    const parent = rungOf(channel, channel.state(1, 500n * EH), 1);
    await channel.send(parent.toHex());
    const pin = childOf(channel, parent, 'maker', { version: 2, feeSat: 50_000n, outputs: 40 });
    expect(pin.virtualSize()).toBeGreaterThan(1_000);
    expect(await channel.verdict(pin.toHex())).toBe('taken');
    const own = childOf(channel, parent, 'miner', { version: 3, feeSat: 3_000n });
    expect(await channel.verdict(own.toHex())).toBe('taken');
    expect(await stage.node.mempool()).toEqual(
      expect.arrayContaining([parent, pin, own].map((each) => each.getId())),
    );
    channel.close();
  });

  it('takes no parent below its minimum with a child: a rung above pays by itself', async () => {
    const channel = await openOn(stage.node, stage.bank);
    const state = channel.state(1, 500n * EH);
    const parent = closeOf(channel, state, 36n);
    const child = childOf(channel, parent, 'miner', { version: 3, feeSat: 5_000n });
    await expect(channel.sendPackage([parent.toHex(), child.toHex()])).rejects.toThrow('tx_refused');
    expect(await channel.verdict(rungOf(channel, state, 1).toHex())).toBe('taken');
    channel.close();
  });
});

describeOn('bitcoind', 'PROTOCOL.md on a node that takes version 3 like any other', () => {
  const stage = setStage(() => BitcoindNode.start('accept'));

  row("MM pins P's close with child", 'a large one: rungs are refused until one pays for all', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    const close = (await world.spenderOfChannel())!;
    const { value } = close.outs[1]!;
    const { payoutSigner, payoutScript } = world.makerParty;
    const outputs = 25;
    const pin = pay({
      from: [{ txid: close.getId(), vout: 1, valueSat: value }],
      key: {
        publicKey: payoutSigner.publicKey('wallet'),
        scriptHex: '',
        sign: (hash) => payoutSigner.signEcdsa('wallet', hash),
      },
      to: Array.from({ length: outputs }, () => ({
        scriptHex: toHex(payoutScript),
        valueSat: (value - 20_000n) / BigInt(outputs),
      })),
      version: 2,
    });
    await world.makerParty.source.broadcast(pin.toHex());
    world.minerParty.source.estimateSatPerKvb = 60_000;
    await world.mineEmpty(2);
    // 80 sat/vB pay less than the child does.
    expect((await world.spenderOfChannel())!.getId()).toBe(close.getId());
    // The rung above would be more than a tenth of what the close saves.
    await world.mineEmptyTo(world.terms.expiryHeight - 72);
    expect((await world.spenderOfChannel())!.getId()).toBe(close.getId());
    await world.mineEmpty(1);
    await world.until('a rung that beats both', async () => {
      return (await world.spenderOfChannel())?.getId() !== close.getId();
    });
    expect(await world.node.mempool()).not.toContain(pin.getId());
    await world.mine(1);
    await world.untilClosed();
    await expectSplit(world, 8, feeSat(SPLIT_VBYTES, 320_000));
  });
});

describeOn('bitcoind', 'a node that takes nothing of version 3', () => {
  const stage = setNode('reject');

  it('says so', async () => {
    expect(await answerOf('reject')).toBe('refused');
  });

  it('refuses every state and every close: nothing of a channel leaves by it', async () => {
    const channel = await openOn(stage.node, stage.bank);
    const state = channel.state(1, 500n * EH);
    expect(await channel.verdict(rungOf(channel, state, 1).toHex())).toBe('tx_refused');
    expect(await channel.verdict(rungOf(channel, state, 4).toHex())).toBe('tx_refused');
    expect(await channel.verdict(closeOf(channel, state, 2_000n).toHex())).toBe('tx_refused');
    channel.close();
  });
});

describeOn('bitcoind', 'PROTOCOL.md on a node that takes nothing of version 3', () => {
  const stage = setStage(() => BitcoindNode.start('reject'));

  row('MM offline', 'the close is refused, and paid for as soon as others mine it', async () => {
    const world = await stage.open();
    await world.stream(2);
    await world.stopMaker();
    await world.mineTo(world.terms.expiryHeight - 144);
    expect(await world.node.mempool()).toEqual([]);
    // From the ladder, by a node of somebody else.
    const close = await world.stateTransaction(await world.lastState(), 1);
    await world.node.generateWith([close]);
    await world.calm();
    await world.untilClosed();
    await expectSplit(world, 8, RUNG_FEE_SAT);
  });
});
