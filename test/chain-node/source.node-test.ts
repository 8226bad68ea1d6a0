import type { Transaction } from 'bitcoinjs-lib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { createRpcChainSource, type RpcChainSource } from '../../src/chain/rpc-source.ts';
import type { ChainTip } from '../../src/chain/source.ts';
import { listUtxos, p2wpkhScript } from '../../src/chain/wallet.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type Coins, pay } from '../devnet/wallets.ts';
import { until } from '../maker/world.ts';
import { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { NODE_KIND, startNode } from './suite.ts';

const log = silentLogger;
const FEE_SAT = 1_000n;
let node: TestNode;
let bank: Bank;
let source: RpcChainSource;
const closers: (() => void)[] = [];

beforeAll(async () => {
  node = await startNode();
  bank = new Bank(node);
  source = node.source();
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
});
afterAll(async () => {
  source?.close();
  await node?.close();
});

/** A wallet that nobody used before. */
function newWallet() {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const signer = new SeedSigner({ seed, network: 'regtest' });
  const publicKey = signer.publicKey('wallet');
  const scriptHex = toHex(p2wpkhScript(publicKey));
  return { publicKey, scriptHex, sign: (hash: Uint8Array) => signer.signEcdsa('wallet', hash) };
}

type Wallet = ReturnType<typeof newWallet>;

function payment(coin: Coins, key: Wallet, to: Wallet, outputs = 1): Transaction {
  const valueSat = (coin.valueSat - FEE_SAT) / BigInt(outputs);
  return pay({
    from: [coin],
    key,
    to: Array.from({ length: outputs }, () => ({ scriptHex: to.scriptHex, valueSat })),
  });
}

async function fund(wallet: Wallet, ...amountsSat: bigint[]): Promise<Coins[]> {
  return bank.fund(amountsSat.map((valueSat) => ({ scriptHex: wallet.scriptHex, valueSat })));
}

async function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'resolved', codeOf);
}

describe(`the chain of ${NODE_KIND}`, () => {
  it('has the genesis of regtest; a program of another network is refused', async () => {
    expect(await source.genesisHash()).toBe(NETWORKS.regtest.genesisHash);
    expect((await source.tip()).height).toBe(await node.height());
    expect(source.state).toBe('ready');
    const { genesisHash } = NETWORKS.mainnet;
    const other = createRpcChainSource(
      { ...node.access, pollMs: 10, timeoutMs: 5_000, genesisHash },
      { timers: systemTimers, log, clock: systemClock },
    );
    closers.push(() => other.close());
    expect(await codeOfRejection(other.tip())).toBe('chain_network');
    expect(await codeOfRejection(other.broadcast('00'))).toBe('chain_network');
  });

  it('is not told to who cannot say the password', async () => {
    const stranger = createRpcChainSource(
      { ...node.access, password: 'another', pollMs: 10, timeoutMs: 5_000 },
      { timers: systemTimers, log, clock: systemClock },
    );
    closers.push(() => stranger.close());
    expect(await codeOfRejection(stranger.tip())).toBe('chain_unreachable');
  });

  it('has headers with their neighbours, and -1 confirmations off the best chain', async () => {
    await node.generate(2);
    const tip = await source.tip();
    const header = await source.header(tip.hash);
    expect(header).toMatchObject({ height: tip.height, confirmations: 1, bits: 0x207fffff });
    expect(header?.nextHash).toBeUndefined();
    expect(header?.timeSeconds).toBe(tip.timeSeconds);
    const parent = await source.header(header!.previousHash);
    expect(parent).toMatchObject({ height: tip.height - 1, confirmations: 2, nextHash: tip.hash });
    const lowest = await node.invalidate(2);
    await node.generateEmpty(3);
    // What btcd says of a header off its chain does not hash to it: then the 80 bytes are left out.
    const { headerHex, ...told } = header!;
    const { headerHex: left = headerHex, ...now } = (await source.header(tip.hash))!;
    expect([now, left]).toEqual([{ ...told, confirmations: -1 }, headerHex]);
    expect(headerHex).toHaveLength(160);
    expect(await source.header(lowest)).toMatchObject({ height: parent!.height, confirmations: -1 });
    expect(await source.header('ab'.repeat(32))).toBeUndefined();
    expect((await source.tip()).height).toBe(tip.height + 1);
  });
});

describe(`coins by ${NODE_KIND}`, () => {
  it('are there to the satoshi, and gone once the mempool spends them', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    const [coin] = await fund(alice, 12_345_679n);
    const { txid, vout } = coin!;
    const expected = { valueSat: 12_345_679n, scriptHex: alice.scriptHex, confirmations: 1 };
    expect(await source.txOut(txid, vout)).toEqual(expected);
    const spend = payment(coin!, alice, bob);
    await source.broadcast(spend.toHex());
    expect(await source.txOut(txid, vout)).toBeUndefined();
    expect(await source.txOut(txid, vout, false)).toEqual(expected);
    expect(await source.txOut(spend.getId(), 0)).toMatchObject({ confirmations: 0 });
    expect(await source.txOut(spend.getId(), 0, false)).toBeUndefined();
    expect(await source.txOut(spend.getId(), 7)).toBeUndefined();
    await node.generate(1);
    expect(await source.txOut(txid, vout, false)).toBeUndefined();
    expect(await source.txOut(spend.getId(), 0, false)).toMatchObject({ confirmations: 1 });
  });

  it('are listed by script, those in blocks only, and without those the mempool spends', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    expect(await source.utxos(alice.scriptHex)).toEqual([]);
    const coins = await fund(alice, 50_000n, 60_000n, 70_000n);
    const height = await node.height();
    expect(await source.utxos(alice.scriptHex)).toHaveLength(3);
    expect(await source.utxos(alice.scriptHex)).toEqual(
      expect.arrayContaining(coins.map((coin) => ({ ...coin, height }))),
    );
    const spend = payment(coins[0]!, alice, bob);
    await source.broadcast(spend.toHex());
    const free = await listUtxos(source, alice.publicKey);
    expect(free.reduce((sum, { valueSat }) => sum + valueSat, 0n)).toBe(130_000n);
    expect(free).toHaveLength(2);
    expect(await source.utxos(bob.scriptHex)).toEqual([]);
    await node.generate(1);
    expect(await source.utxos(alice.scriptHex)).toHaveLength(2);
    expect(await source.utxos(bob.scriptHex)).toEqual([
      { txid: spend.getId(), vout: 0, valueSat: 49_000n, height: height + 1 },
    ]);
  });

  it('have their confirmations counted, also when all outputs are spent', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    const [coin] = await fund(alice, 100_000n);
    const first = payment(coin!, alice, bob);
    expect(await source.confirmations(first.getId())).toBeUndefined();
    await source.broadcast(first.toHex());
    expect(await source.confirmations(first.getId())).toBe(0);
    await node.generate(2);
    expect(await source.confirmations(first.getId())).toBe(2);
    const second = payment({ txid: first.getId(), vout: 0, valueSat: 99_000n }, bob, alice);
    await source.broadcast(second.toHex());
    expect(await source.confirmations(first.getId())).toBe(2);
    await node.generate(1);
    expect(await source.confirmations(first.getId())).toBe(3);
    await node.invalidate(3);
    expect(await source.confirmations(first.getId())).toBe(0);
    await node.generate(3);
    expect(await source.confirmations(second.getId())).toBeGreaterThan(0);
  });
});

describe(`transactions sent to ${NODE_KIND}`, () => {
  it('may be sent again, waiting or in a block; bad ones are refused with the reason', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    const [coin] = await fund(alice, 100_000n);
    const transaction = payment(coin!, alice, bob);
    const txid = transaction.getId();
    expect(await source.broadcast(transaction.toHex())).toBe(txid);
    expect(await source.broadcast(transaction.toHex())).toBe(txid);
    await node.generate(1);
    expect(await source.broadcast(transaction.toHex())).toBe(txid);
    const again = pay({ from: [coin!], key: alice, to: [{ scriptHex: bob.scriptHex, valueSat: 5_000n }] });
    expect(await codeOfRejection(source.broadcast(again.toHex()))).toBe('tx_refused');
    expect(await codeOfRejection(source.broadcast('00'))).toBe('tx_refused');
    const [other] = await fund(alice, 100_000n);
    const forged = payment(other!, alice, bob);
    forged.outs[0]!.value -= 1n;
    expect(await codeOfRejection(source.broadcast(forged.toHex()))).toBe('tx_refused');
    expect(await source.txOut(other!.txid, other!.vout)).toBeDefined();
  });

  it('come as a package, parents first', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    const [coin] = await fund(alice, 100_000n);
    const parent = payment(coin!, alice, bob);
    const child = payment({ txid: parent.getId(), vout: 0, valueSat: 99_000n }, bob, alice);
    await source.broadcastPackage([parent.toHex(), child.toHex()]);
    expect(await node.mempool()).toEqual(expect.arrayContaining([parent.getId(), child.getId()]));
    await node.generate(1);
    expect(await source.confirmations(child.getId())).toBe(1);
  });

  it('cost at least what the node takes', async () => {
    const minimum = await node.minimumSatPerKvb();
    expect(minimum).toBeGreaterThan(0);
    expect(await source.feeRateSatPerKvb(6, 1)).toBeGreaterThanOrEqual(minimum);
  });
});

describe(`watching ${NODE_KIND}`, () => {
  it('tells each new tip, over reorgs', async () => {
    const seen: ChainTip[] = [];
    const watched = node.source(5);
    closers.push(() => watched.close());
    watched.watchTip((tip) => seen.push(tip));
    await until('the first tip', () => seen.length === 1);
    const { height } = seen[0]!;
    await node.generate(1);
    await until('the next', () => seen.at(-1)?.height === height + 1);
    await node.invalidate(1);
    await until('the one below', () => seen.at(-1)?.height === height);
    await node.generateEmpty(2);
    await until('another branch', () => seen.at(-1)?.height === height + 2);
    expect(new Set(seen.map(({ hash }) => hash)).size).toBe(seen.length - 1);
  });

  it('finds what spends an output, in the mempool and in blocks, over a reorg', async () => {
    const [alice, bob] = [newWallet(), newWallet()];
    const [coin] = await fund(alice, 100_000n);
    const { txid, vout } = coin!;
    const transaction = payment(coin!, alice, bob);
    const found = { txid: transaction.getId(), hex: transaction.toHex() };
    const paid = { feeSat: FEE_SAT, vsize: transaction.virtualSize() };
    const waiting = { ...paid, packageFeeSat: paid.feeSat, packageVsize: paid.vsize };
    // btcd does not tell what waits in its mempool with it, nor since when.
    const told = NODE_KIND === 'btcd' ? {} : { waiting, waitingSince: await node.height() };
    const inMempool = { ...found, confirmations: 0, ...told };
    expect(await source.spender(txid, vout, 5)).toBeUndefined();
    await source.broadcast(transaction.toHex());
    expect(await source.spender(txid, vout, 5)).toEqual(inMempool);
    await node.generate(1);
    const blockHash = await node.call('getbestblockhash');
    expect(await source.spender(txid, vout, 5)).toEqual({ ...found, confirmations: 1, blockHash });
    await node.generate(2);
    expect(await source.spender(txid, vout, 2)).toBeUndefined();
    expect(await source.spender(txid, vout, 3)).toEqual({ ...found, confirmations: 3, blockHash });
    await node.invalidate(3);
    expect(await source.spender(txid, vout, 5)).toEqual(inMempool);
    await node.generate(1);
    expect(await source.spender(txid, vout, 5)).toMatchObject({ ...found, confirmations: 1 });
  });

  it('goes on when the node is back', async () => {
    const heights: number[] = [];
    const watched = node.source(5);
    closers.push(() => watched.close());
    watched.watchTip((tip) => heights.push(tip.height));
    await until('the first tip', () => heights.length === 1);
    await node.restart({});
    await node.generate(1);
    await until('the next', () => heights.at(-1) === heights[0]! + 1);
    expect(watched.state).toBe('ready');
  });
});
