import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { NodeWallet } from '../../src/chain/node-wallet.ts';
import { buildClose } from '../../src/channel/close.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import type { SeedSigner } from '../../src/channel/signer.ts';
import { stateAmounts } from '../../src/channel/states.ts';
import { nodeWallet } from '../../src/settlement/funding-wallet.ts';
import { PAYOUTS } from '../channel/fixtures.ts';
import { pay } from '../devnet/wallets.ts';
import { Bank } from './bank.ts';
import { BtcdNode } from './btcd.ts';
import type { TestNode } from './node.ts';
import { RATE, StakedChannel } from './staked-channel.ts';
import { childOf, closeOf, openOn, rungOf } from './staked-transactions.ts';
import { describeOn, NODE_KIND, startNode } from './suite.ts';
import { NodeWorld } from './world.ts';

const EH = 10n ** 18n;
let node: TestNode;
let bank: Bank;

beforeAll(async () => {
  node = await startNode();
  bank = new Bank(node);
});
afterAll(() => node?.close());

function makerKeyOf(world: NodeWorld): Uint8Array {
  return world.makerParty.signer.publicKey('wallet');
}

describe(`what ${NODE_KIND} relays`, () => {
  it('each rung of a state replaces the one below, and a lower one is refused', async () => {
    const channel = await openOn(node, bank);
    const state = channel.state(1, 500n * EH);
    expect(state.signatures).toHaveLength(5);
    const rungs = state.signatures.map((_, rung) => rungOf(channel, state, rung));
    for (const [index, rung] of rungs.entries()) {
      expect(await channel.verdict(rung.toHex())).toBe('taken');
      const below = rungs[index - 1];
      if (below === undefined) continue;
      expect(await channel.verdict(below.toHex())).toBe('tx_refused');
      expect(await node.mempool()).not.toContain(below.getId());
    }
    await node.generate(1);
    expect(await channel.isUnspent(rungs.at(-1)!.getId(), 0)).toBe(true);
    channel.close();
  });

  it('a state that pays eight more, of each kind, at each rung that is affordable, and the common close', async () => {
    const scripts = (['p2wpkh', 'p2wsh', 'p2tr'] as const).flatMap((kind) =>
      [1, 2, 3].map((at) => [kind, at] as const),
    );
    const splits = scripts.slice(0, 8).map(([kind, at]) => ({
      ...{
        scriptHex: toHex(PAYOUTS[kind](`payee ${at}`)),
        ppm: 100_000,
        seedSat: 546n,
        label: `${kind} ${at}`,
      },
    }));
    const more = { splits, minerReserveSat: 8n * 546n + 6_000n };
    const channel = await StakedChannel.open(node, bank, () => ({}), false, more);
    const last = channel.state(1, 500n * EH);
    const { payeesSat, paidSat } = stateAmounts(channel.params.terms, last.workHashes);
    const rungs = last.signatures.map((_, rung) => rungOf(channel, last, rung));
    expect(rungs.length).toBeGreaterThan(2);
    for (const rung of rungs) expect(await channel.verdict(rung.toHex())).toBe('taken');
    await node.generate(1);
    const held: (bigint | undefined)[] = [];
    for (const index of splits.keys()) held.push(await channel.outputSat(rungs.at(-1)!.getId(), 2 + index));
    expect(held).toEqual(payeesSat);
    const tenth = 546n + paidSat / 10n;
    expect(held.slice(0, 7)).toEqual(Array.from({ length: 7 }, () => tenth));
    channel.close();

    const other = await StakedChannel.open(node, bank, () => ({}), false, more);
    const close = closeOf(other, other.state(1, 500n * EH), 2_000n);
    expect(await other.verdict(close.toHex())).toBe('taken');
    await node.generate(1);
    for (const [index, sat] of payeesSat.entries())
      expect(await other.outputSat(close.getId(), 2 + index)).toBe(sat);
    other.close();
  });

  it('a child pays for its parent, and goes with it when a rung above replaces both', async () => {
    const channel = await openOn(node, bank);
    const state = channel.state(1, 500n * EH);
    const low = rungOf(channel, state, 1);
    await channel.send(low.toHex());
    const child = childOf(channel, low, 'miner', { version: 3, feeSat: 2_000n });
    await channel.send(child.toHex());
    expect(await channel.verdict(rungOf(channel, state, 2).toHex())).toBe('taken');
    expect(await node.mempool()).not.toContain(child.getId());
    channel.close();
  });

  it('no refund enters a block before its height', async () => {
    const channel = await openOn(node, bank);
    const { hex } = signAndFinalizeRefund(channel.params, RATE, channel.signers.maker);
    const verdict = await channel.verdict(hex);
    expect(verdict).toBe(NODE_KIND === 'btcd' ? 'taken' : 'tx_refused');
    await node.generate(3);
    expect(await channel.isUnspent(channel.params.funding.txid, channel.params.funding.vout)).toBe(true);
    channel.close();
  });
});

describeOn('btcd', 'what btcd lacks', () => {
  it('relays version 3 only with non-standard relay, its default on regtest alone', async () => {
    const strict = await BtcdNode.start(['--rejectnonstd']);
    try {
      const channel = await openOn(strict, new Bank(strict));
      const state = rungOf(channel, channel.state(1, 500n * EH), 1);
      await expect(channel.send(state.toHex())).rejects.toThrow('version 3 is not in the valid range');
      channel.close();
    } finally {
      await strict.close();
    }
  });

  it('knows no packages: a parent below its minimum stays out, whatever its child pays', async () => {
    const channel = await openOn(node, bank);
    const last = channel.state(1, 500n * EH);
    const feeSat = 40n;
    const parent = closeOf(channel, last, feeSat);
    expect(parent.getId()).toBe(buildClose(channel.params, last.workHashes, feeSat).getId());
    const child = childOf(channel, parent, 'miner', { version: 3, feeSat: 5_000n });
    expect(await channel.verdict(parent.toHex())).toBe('tx_refused');
    await expect(channel.sendPackage([parent.toHex(), child.toHex()])).rejects.toThrow('tx_refused');
    channel.close();
  });
});

describeOn('bitcoind', 'what bitcoind has beyond btcd', () => {
  it('a parent below the minimum comes in with its child, as one package', async () => {
    const channel = await openOn(node, bank);
    // 0.2 sat/vB: below what bitcoind takes alone up to version 29; from 30 on both ways are taken.
    const parent = closeOf(channel, channel.state(1, 500n * EH), 36n);
    const child = childOf(channel, parent, 'miner', { version: 3, feeSat: 5_000n });
    if ((await node.minimumSatPerKvb()) >= 1_000) {
      expect(await channel.verdict(parent.toHex())).toBe('tx_refused');
    }
    await channel.sendPackage([parent.toHex(), child.toHex()]);
    expect(await node.mempool()).toEqual(expect.arrayContaining([parent.getId(), child.getId()]));
    await node.generate(1);
    channel.close();
  });

  it('the rules of version 3: a child of version 2 is refused, so is one above 1000 vB', async () => {
    const channel = await openOn(node, bank);
    const parent = rungOf(channel, channel.state(1, 500n * EH), 1);
    await channel.send(parent.toHex());
    const older = childOf(channel, parent, 'miner', { version: 2, feeSat: 5_000n });
    expect(await channel.verdict(older.toHex())).toBe('tx_refused');
    const large = childOf(channel, parent, 'miner', { version: 3, feeSat: 50_000n, outputs: 40 });
    expect(large.virtualSize()).toBeGreaterThan(1_000);
    expect(await channel.verdict(large.toHex())).toBe('tx_refused');
    channel.close();
  });

  it('the rules of version 3: a second child puts the first out, if it pays more', async () => {
    const channel = await openOn(node, bank);
    const parent = rungOf(channel, channel.state(1, 500n * EH), 1);
    await channel.send(parent.toHex());
    const pin = childOf(channel, parent, 'maker', { version: 3, feeSat: 1_000n });
    await channel.send(pin.toHex());
    const cheap = childOf(channel, parent, 'miner', { version: 3, feeSat: 900n });
    expect(await channel.verdict(cheap.toHex())).toBe('tx_refused');
    const better = childOf(channel, parent, 'miner', { version: 3, feeSat: 3_000n });
    expect(await channel.verdict(better.toHex())).toBe('taken');
    expect(await node.mempool()).not.toContain(pin.getId());
    channel.close();
  });

  it('a transaction that does not signal it is replaced all the same', async () => {
    const channel = await openOn(node, bank);
    const parent = rungOf(channel, channel.state(1, 500n * EH), 1);
    await channel.send(parent.toHex());
    await node.generate(1);
    const spend = (feeSat: bigint): Transaction => {
      const signer = channel.payouts.miner;
      const { value } = parent.outs[0]!;
      return pay({
        from: [{ txid: parent.getId(), vout: 0, valueSat: value }],
        key: {
          publicKey: signer.publicKey('wallet'),
          scriptHex: '',
          sign: (hash) => signer.signEcdsa('wallet', hash),
        },
        to: [{ scriptHex: toHex(channel.params.minerPayoutScript), valueSat: value - feeSat }],
        sequence: 0xffff_ffff,
      });
    };
    await channel.send(spend(500n).toHex());
    expect(await channel.verdict(spend(5_000n).toHex())).toBe('taken');
    channel.close();
  });

  it('a funding that waits lets no state in, and is pinned as any transaction of version 2', async () => {
    const world = await NodeWorld.create(node, bank);
    try {
      await world.startMaker();
      await world.startMiner();
      await world.until('funding broadcast', async () => {
        const txid = world.miner?.status.fundingTxid;
        return txid !== undefined && (await node.mempool()).includes(txid);
      });
      const { funding } = await world.channel();
      const { source, signer, walletScript } = world.minerParty;
      const state = await world.stateTransaction(await world.lastState(), 1);
      await expect(source.broadcast(state.toHex())).rejects.toThrow(/truc/i);
      const fundingHex = await node.hexOf(funding.txid);
      await expect(source.broadcastPackage([fundingHex, state.toHex()])).rejects.toThrow(/truc/i);

      // The change of the maker in a thousand outputs: 31,000 sat that are only paid if a block takes it.
      const maker = world.makerParty;
      const vout = Transaction.fromHex(fundingHex).outs.findIndex(
        ({ script }) => toHex(script) === toHex(maker.walletScript),
      );
      const value = funding.changeSat.maker;
      const pinSat = 34_000n;
      const key = (of: SeedSigner) => ({
        publicKey: of.publicKey('wallet'),
        scriptHex: '',
        sign: (hash: Uint8Array) => of.signEcdsa('wallet', hash),
      });
      const pin = pay({
        from: [{ txid: funding.txid, vout, valueSat: value }],
        key: key(maker.signer),
        to: Array.from({ length: 1_000 }, () => ({
          scriptHex: toHex(maker.walletScript),
          valueSat: (value - pinSat) / 1_000n,
        })),
      });
      await maker.source.broadcast(pin.toHex());
      // The miner takes its coin back, and has to pay for all that goes with the funding.
      const own = funding.inputs.find(({ role }) => role === 'miner')!;
      const cancel = (feeSat: bigint): string =>
        pay({
          from: [own],
          key: key(signer),
          to: [{ scriptHex: toHex(walletScript), valueSat: own.valueSat - feeSat }],
        }).toHex();
      await expect(source.broadcast(cancel(20_000n))).rejects.toThrow('insufficient fee');
      await source.broadcast(cancel(40_000n));
      expect(await node.mempool()).not.toContain(funding.txid);
    } finally {
      await world.stop();
      await node.generate(1);
    }
  });

  it('its wallet funds a channel and signs for it', async () => {
    const name = `suite-funding-${Date.now()}`;
    await node.call('createwallet', name);
    const client = node.wallet(name);
    const wallet = nodeWallet(new NodeWallet(client));
    const world = await NodeWorld.create(node, bank, { makerWallet: wallet, lifeBlocks: 600 });
    try {
      await node.call('generatetoaddress', 101, String(await client.call('getnewaddress', ['', 'bech32'])));
      await world.open();
      const { funding } = await world.channel();
      const own = funding.inputs.filter(({ role }) => role === 'maker');
      expect(own.every(({ publicKeyHex }) => publicKeyHex !== toHex(makerKeyOf(world)))).toBe(true);
      await world.stream(1);
      expect(world.miner!.status.signed?.n).toBe(1);
    } finally {
      await world.stop();
      client.close();
      await node.call('unloadwallet', name).catch((error: unknown) => codeOf(error));
    }
  });

  it('its wallet pays into the wallet of a side', async () => {
    const name = `suite-${Date.now()}`;
    await node.call('createwallet', name);
    const client = node.wallet(name);
    try {
      const own = String(await client.call('getnewaddress', []));
      await node.call('generatetoaddress', 101, own);
      const channel = await openOn(node, bank);
      const before = await channel.balanceSat(channel.params.minerPayoutScript);
      await client.call('sendtoaddress', [channel.minerPayoutAddress, '0.00100000']);
      await node.generate(1);
      const after = await channel.balanceSat(channel.params.minerPayoutScript);
      expect(after - before).toBe(100_000n);
      channel.close();
    } finally {
      client.close();
      await node.call('unloadwallet', name).catch((error: unknown) => codeOf(error));
    }
  });
});
