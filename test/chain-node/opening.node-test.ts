import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { NodeWallet } from '../../src/chain/node-wallet.ts';
import { finalizeFunding, signFundingInputs } from '../../src/channel/funding.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { nodeWallet } from '../../src/settlement/funding-wallet.ts';
import { pay } from '../devnet/wallets.ts';
import { setStage } from './stage.ts';
import { describeOn, NODE_KIND } from './suite.ts';
import { MAKER_COIN_SAT, MINER_COIN_SAT, type NodeWorld } from './world.ts';

const stage = setStage();
const writes =
  (kind: string) =>
  (entries: readonly LedgerEntry[]): boolean =>
    entries.some((entry) => entry.type !== 'log' && entry.kind === kind);

/** The last block at which a funding of older terms can still be deep in time, for the miner. */
const lastBlock = ({ terms }: NodeWorld): number => terms.expiryHeight - 325 - terms.minDepth;

/** A few blocks at a time: both look at each. */
async function mineSlowlyTo(world: NodeWorld, height: number): Promise<void> {
  for (let at = await world.node.height(); at < height; at += 10) {
    await world.mineEmptyTo(Math.min(at + 10, height));
  }
}

/** A maker that has the miner's signatures of the funding, and says nothing. */
async function withheld(): Promise<NodeWorld> {
  const world = await stage.create();
  world.makerParty.ledger.holds = writes('funding');
  await world.startMaker();
  await world.startMiner();
  await world.until('signed', () => world.maker?.status[0]?.channel === 'opening');
  await world.until('asked', () => world.miner?.status.channel === 'opening');
  return world;
}

/** The funding, which the maker of `withheld` could complete. */
async function fundingOf(world: NodeWorld): Promise<string> {
  const { funding } = await world.channel();
  const signatures = {
    miner: signFundingInputs(funding, 'miner', world.minerParty.signer),
    maker: signFundingInputs(funding, 'maker', world.makerParty.signer),
  };
  return finalizeFunding(funding, signatures).hex;
}

async function minerCoinSpender(world: NodeWorld): Promise<Transaction | undefined> {
  const { funding } = await world.channel();
  const { txid, vout } = funding.inputs.find(({ role }) => role === 'miner')!;
  const spender = await world.node.spender(txid, vout);
  return spender === undefined ? undefined : Transaction.fromHex(await world.node.hexOf(spender));
}

const send = (world: NodeWorld, hex: string): Promise<string> =>
  world.makerParty.source.broadcast(hex).then(() => 'taken', codeOf);

describe(`a funding that comes late, on ${NODE_KIND}`, () => {
  it('is made impossible by the miner, whose coin comes back, less a fee', async () => {
    const world = await withheld();
    const funding = await fundingOf(world);
    await mineSlowlyTo(world, lastBlock(world));
    expect(await minerCoinSpender(world)).toBeUndefined();
    await world.mineEmpty(1);
    await world.until('taken back', async () => (await minerCoinSpender(world)) !== undefined);
    const cancel = (await minerCoinSpender(world))!;
    expect(cancel.outs).toHaveLength(1);
    await world.mine(1);
    expect(await send(world, funding)).toBe('tx_refused');
    await world.mine(5);
    await world.until('over', () => world.miner?.status.channel === 'closed');
    const leftSat = await world.balanceSat(world.minerParty.walletScript);
    expect(leftSat).toBe(cancel.outs[0]!.value);
    expect(MINER_COIN_SAT - leftSat).toBeLessThan(500n);
    expect(await world.balanceSat(world.makerParty.walletScript)).toBe(MAKER_COIN_SAT);
  });

  it('and waits in the mempool is outbid', async () => {
    const world = await withheld();
    const funding = await fundingOf(world);
    await mineSlowlyTo(world, lastBlock(world));
    expect(await send(world, funding)).toBe('taken');
    const { txid } = (await world.channel()).funding;
    await world.mineEmpty(1);
    await world.until('replaced', async () => !(await world.node.mempool()).includes(txid));
    await world.mine(6);
    await world.until('over', () => world.miner?.status.channel === 'closed');
    expect(MINER_COIN_SAT - (await world.balanceSat(world.minerParty.walletScript))).toBeLessThan(2_000n);
  });

  it('and is in a block all the same is closed by state 0 at once', async () => {
    const world = await withheld();
    const funding = Transaction.fromHex(await fundingOf(world));
    await mineSlowlyTo(world, lastBlock(world) + 1);
    await world.until('taken back', async () => (await minerCoinSpender(world)) !== undefined);
    await world.node.generateWith([funding]);
    await world.calm();
    await world.until('closed on', async () => (await world.spenderOfChannel()) !== undefined);
    const close = (await world.spenderOfChannel())!;
    await world.mine(6);
    await world.until('over', () => world.miner?.status.channel === 'closed');
    const out = close.outs.find(({ script }) => toHex(script) === toHex(world.minerParty.payoutScript))!;
    expect(await world.balanceSat(world.minerParty.payoutScript)).toBe(out.value);
    expect(out.value).toBeGreaterThan(world.terms.minerReserveSat - 1_500n);
  });
});

describe(`a coin of a funding that is spent elsewhere, on ${NODE_KIND}`, () => {
  it('frees the coins of the maker once that is deep, and the contract is over for both', async () => {
    const world = await stage.create();
    await world.startMaker();
    await world.startMiner();
    await world.until('funding broadcast', async () => {
      const known = world.miner?.status.fundingTxid;
      return known !== undefined && (await world.node.mempool()).includes(known);
    });
    const { funding } = await world.channel();
    const coin = funding.inputs.find(({ role }) => role === 'miner')!;
    const { signer, walletScript } = world.minerParty;
    const elsewhere = pay({
      from: [coin],
      key: {
        publicKey: signer.publicKey('wallet'),
        scriptHex: '',
        sign: (hash) => signer.signEcdsa('wallet', hash),
      },
      to: [{ scriptHex: toHex(walletScript), valueSat: coin.valueSat - 20_000n }],
    });
    expect(await send(world, elsewhere.toHex())).toBe('taken');
    expect(await world.node.mempool()).not.toContain(funding.txid);
    await world.mine(5);
    expect(world.maker?.status[0]?.channel).toBe('funding');
    await world.mine(1);
    await world.until('over', () => world.maker?.status[0]?.channel === 'closed');
    await world.until('over for both', () => world.miner?.status.channel === 'closed');
    expect(await world.balanceSat(world.makerParty.walletScript)).toBe(MAKER_COIN_SAT);
    expect(await world.balanceSat(walletScript)).toBe(MINER_COIN_SAT - 20_000n);
  });
});

describeOn('bitcoind', 'the wallet of a bitcoind', () => {
  it('has no coin locked once an opening is given up, also by a program that starts anew', async () => {
    const name = `suite-locks-${Date.now()}`;
    await stage.node.call('createwallet', name);
    const client = stage.node.wallet(name);
    const wallet = nodeWallet(new NodeWallet(client));
    const locks = async () =>
      (await client.call('listlockunspent', [])) as readonly { txid: string; vout: number }[];
    const locked = async (): Promise<number> => (await locks()).length;
    try {
      const world = await stage.create({
        makerWallet: wallet,
        lifeBlocks: 700,
        maker: { openingTimeoutMs: 1 },
      });
      const address = String(await client.call('getnewaddress', ['', 'bech32']));
      await stage.node.call('generatetoaddress', 102, address);
      await world.startMaker();
      // It gets the maker's half, and never signs.
      world.minerParty.ledger.holds = writes('state');
      await world.startMiner();
      await world.until('opened', () => world.maker?.status[0]?.channel === 'opening');
      const [held, ...others] = await locks();
      expect(others).toEqual([]);
      await world.stopMaker();
      await world.startMaker();
      // Still an opening: what it needs is held.
      expect(await locked()).toBe(1);
      await stage.node.generateEmpty(1);
      await world.until('given up', () => world.maker?.status[0]?.channel === 'failed');
      await world.until('let go', async () => (await locked()) === 0);
      // A lock of somebody else is none of the maker's business, on a coin that it held once least of all.
      await client.call('lockunspent', [false, [held]]);
      await world.stopMaker();
      await world.startMaker();
      expect(await locked()).toBe(1);
    } finally {
      client.close();
      await stage.node.call('unloadwallet', name).catch((error: unknown) => codeOf(error));
    }
  });
});
