import * as fs from 'node:fs/promises';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { createRpcChainSource } from '../../src/chain/rpc-source.ts';
import type { ChainTip } from '../../src/chain/source.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import {
  type ChainRpcServerOptions,
  startChainRpcServer,
} from '../../src/devnet/chain/chain-rpc-server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { pay, testKey } from '../devnet/wallets.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const alice = testKey(1);
const bob = testKey(2);
const log = silentLogger;

async function setUp(serverOptions: Partial<ChainRpcServerOptions> = {}, options: object = {}) {
  const premine = [{ scriptHex: alice.scriptHex, valueSat: 12_345_678_901n }];
  const chain = new DevnetChain({ premine }, { clock: new ManualClock() });
  const credentials = { user: 'u', password: 'p' };
  const server = await startChainRpcServer({ ...credentials, ...serverOptions }, { chain, log });
  closers.push(() => server.close());
  const source = sourceOf(server.url, { ...credentials, ...options });
  const [coin] = chain.utxos(alice.scriptHex);
  const payment = (feeSat: bigint, version = 2) =>
    pay({
      from: [coin!],
      key: alice,
      to: [{ scriptHex: bob.scriptHex, valueSat: coin!.valueSat - feeSat }],
      version,
    });
  return { chain, server, source, coin: coin!, payment };
}

function sourceOf(url: string, options: object = {}) {
  const source = createRpcChainSource(
    { url, pollMs: 10, timeoutMs: 2_000, ...options },
    { timers: systemTimers, log, clock: systemClock },
  );
  closers.push(() => source.close());
  return source;
}

async function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => codeOf(error),
  );
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a node over JSON-RPC', () => {
  it('tells its genesis, tip and headers', async () => {
    const { chain, source } = await setUp();
    expect(await source.genesisHash()).toBe(NETWORKS.regtest.genesisHash);
    const [hash] = chain.generate(1);
    expect(await source.tip()).toEqual(chain.tip());
    expect(await source.header(chain.blockAt(1)!.hash)).toEqual(chain.header(chain.blockAt(1)!.hash));
    chain.invalidateTip();
    expect((await source.header(hash!))?.confirmations).toBe(-1);
    expect(await source.header('12'.repeat(32))).toBeUndefined();
  });

  it('gives outputs to the satoshi, and none once the mempool spends them', async () => {
    const { chain, source, coin, payment } = await setUp();
    const expected = { valueSat: 12_345_678_901n, scriptHex: alice.scriptHex, confirmations: 1 };
    expect(await source.txOut(coin.txid, coin.vout)).toEqual(expected);
    expect(await source.utxos(alice.scriptHex)).toEqual([coin]);
    const transaction = payment(1_000n);
    expect(await source.broadcast(transaction.toHex())).toBe(transaction.getId());
    expect(await source.txOut(coin.txid, coin.vout)).toBeUndefined();
    expect(await source.txOut(transaction.getId(), 0)).toMatchObject({ confirmations: 0 });
    chain.generate(1);
    expect(await source.txOut(transaction.getId(), 0)).toMatchObject({ confirmations: 1 });
  });

  it('counts confirmations, also of a transaction that is all spent', async () => {
    const { chain, source, payment } = await setUp();
    const first = payment(1_000n);
    expect(await source.confirmations(first.getId())).toBeUndefined();
    await source.broadcast(first.toHex());
    expect(await source.confirmations(first.getId())).toBe(0);
    chain.generate(2);
    expect(await source.confirmations(first.getId())).toBe(2);
    const from = [{ txid: first.getId(), vout: 0, valueSat: first.outs[0]!.value }];
    const to = [{ scriptHex: alice.scriptHex, valueSat: 1_000n }];
    await source.broadcast(pay({ from, key: bob, to }).toHex());
    expect(await source.confirmations(first.getId())).toBe(2);
  });

  it('takes a transaction twice, and refuses a bad one with the reason of the node', async () => {
    const { chain, source, payment } = await setUp();
    const transaction = payment(1_000n);
    await source.broadcast(transaction.toHex());
    expect(await source.broadcast(transaction.toHex())).toBe(transaction.getId());
    chain.generate(1);
    expect(await source.broadcast(transaction.toHex())).toBe(transaction.getId());
    expect(await codeOfRejection(source.broadcast(payment(5_000n).toHex()))).toBe('tx_refused');
    await expect(source.broadcast(payment(5_000n).toHex())).rejects.toThrow(
      'bad-txns-inputs-missingorspent (-25)',
    );
    expect(await codeOfRejection(source.broadcast('00'))).toBe('tx_refused');
  });

  it('estimates fees, or falls back', async () => {
    const without = await setUp();
    expect(await without.source.feeRateSatPerKvb(6, 1_234)).toBe(1_234);
    const { source } = await setUp({ estimateSatPerKvb: 2_500 });
    expect(await source.feeRateSatPerKvb(6, 1_234)).toBe(2_500);
  });

  it('reports each new tip once, after reorgs too, and falls silent when told', async () => {
    const { chain, source } = await setUp();
    const seen: ChainTip[] = [];
    const stop = source.watchTip((tip) => seen.push(tip));
    await until(() => seen.length === 1);
    chain.generate(1);
    await until(() => seen.length === 2);
    chain.invalidateTip();
    await until(() => seen.length === 3);
    expect(seen.map((tip) => tip.height)).toEqual([1, 2, 1]);
    const late: ChainTip[] = [];
    const stopLate = source.watchTip((tip) => late.push(tip));
    await until(() => late.length === 1);
    stop();
    chain.generate(1);
    await until(() => late.length === 2);
    expect(seen).toHaveLength(3);
    stopLate();
  });

  it('keeps watching over a failure of the node', async () => {
    const { chain, server, source } = await setUp();
    const seen: number[] = [];
    source.watchTip((tip) => seen.push(tip.height));
    await until(() => seen.length === 1);
    await server.close();
    expect(await codeOfRejection(source.tip())).toBe('chain_unreachable');
    chain.generate(1);
    const again = { port: server.port, user: 'u', password: 'p' };
    const second = await startChainRpcServer(again, { chain, log });
    closers.push(() => second.close());
    await until(() => seen.length === 2);
    expect(seen).toEqual([1, 2]);
  });
});

describe('credentials', () => {
  it('are refused as chain_unreachable', async () => {
    const { source } = await setUp({ password: 'other' });
    expect(await codeOfRejection(source.tip())).toBe('chain_unreachable');
  });

  it('come from a cookie file, read again when the node wrote a new one', async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'cookie-'));
    closers.push(() => fs.rm(directory, { recursive: true }));
    const cookieFile = path.join(directory, '.cookie');
    await fs.writeFile(cookieFile, '__cookie__:one\n');
    const chain = new DevnetChain({}, { clock: new ManualClock() });
    const first = await startChainRpcServer({ user: '__cookie__', password: 'one' }, { chain, log });
    const source = sourceOf(first.url, { cookieFile });
    expect((await source.tip()).height).toBe(1);
    await first.close();
    await fs.writeFile(cookieFile, '__cookie__:two\n');
    const again = { port: first.port, user: '__cookie__', password: 'two' };
    const second = await startChainRpcServer(again, { chain, log });
    closers.push(() => second.close());
    expect((await source.tip()).height).toBe(1);
  });
});

describe('a node that misbehaves', () => {
  const answering = async (handler: http.RequestListener): Promise<string> => {
    const server = http.createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(
      () =>
        new Promise((resolve) => {
          server.close(resolve);
          server.closeAllConnections();
        }),
    );
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  it('is told from one that says no', async () => {
    const html = sourceOf(await answering((_request, response) => response.end('<html>')));
    expect(await codeOfRejection(html.tip())).toBe('chain_unreachable');
    const wrong = sourceOf(
      await answering((_request, response) => response.end('{"result":{},"error":null}')),
    );
    expect(await codeOfRejection(wrong.tip())).toBe('chain_rpc');
    const error = '{"result":null,"error":{"code":-28,"message":"Loading block index"},"id":1}';
    const loading = sourceOf(await answering((_request, response) => response.writeHead(500).end(error)));
    expect(await codeOfRejection(loading.tip())).toBe('chain_rpc');
    const silent = sourceOf(await answering(() => {}), { timeoutMs: 50 });
    expect(await codeOfRejection(silent.tip())).toBe('chain_unreachable');
  });
});

describe('what spends an output', () => {
  it('is found in the mempool and in blocks, with its depth, over a reorganisation', async () => {
    const { chain, source, coin, payment } = await setUp();
    const { txid, vout } = coin;
    expect(await source.spender(txid, vout, 10)).toBeUndefined();
    const transaction = payment(1_000n);
    const found = { txid: transaction.getId(), hex: transaction.toHex() };
    await source.broadcast(transaction.toHex());
    const vsize = transaction.virtualSize();
    const waiting = { feeSat: 1_000n, vsize, packageFeeSat: 1_000n, packageVsize: vsize };
    const waits = { ...found, confirmations: 0, waiting };
    const waitingSince = chain.height;
    expect(await source.spender(txid, vout, 10)).toEqual({ ...waits, waitingSince });
    const [hash] = chain.generate(1);
    const inBlock = { ...found, confirmations: 1, blockHash: hash };
    expect(await source.spender(txid, vout, 10)).toEqual(inBlock);
    chain.generate(2);
    expect(await source.spender(txid, vout, 10)).toEqual({ ...inBlock, confirmations: 3 });
    expect(await source.spender(txid, vout, 3)).toEqual({ ...inBlock, confirmations: 3 });
    expect(await source.spender(txid, vout, 2)).toBeUndefined();
    chain.invalidateTip(3);
    // Its block is gone, and it waits since then.
    expect(await source.spender(txid, vout, 10)).toMatchObject({
      ...waits,
      waitingSince: expect.any(Number),
    });
  });

  it('is not another output of the same transaction', async () => {
    const { chain, source, coin, payment } = await setUp();
    await source.broadcast(payment(1_000n).toHex());
    chain.generate(1);
    expect(await source.spender(coin.txid, coin.vout + 1, 10)).toBeUndefined();
  });

  it('is each its own where one block has the spends of several outputs of one transaction', async () => {
    const { chain, source, coin } = await setUp();
    const valueSat = (coin.valueSat - 1_000n) / 3n;
    const to = [0, 1, 2].map(() => ({ scriptHex: alice.scriptHex, valueSat }));
    const parent = pay({ from: [coin], key: alice, to });
    await source.broadcast(parent.toHex());
    const spends = [2, 0].map((vout) => {
      const from = [{ txid: parent.getId(), vout, valueSat }];
      return pay({ from, key: alice, to: [{ scriptHex: bob.scriptHex, valueSat: valueSat - 1_000n }] });
    });
    for (const spend of spends) await source.broadcast(spend.toHex());
    const seen = async (): Promise<(string | undefined)[]> =>
      Promise.all([0, 1, 2].map(async (vout) => (await source.spender(parent.getId(), vout, 10))?.txid));
    const ids = [spends[1]!.getId(), undefined, spends[0]!.getId()];
    expect(await seen()).toEqual(ids);
    // The parent, too, is in that block.
    chain.generate(1);
    expect(await seen()).toEqual(ids);
    expect((await source.spender(coin.txid, coin.vout, 10))?.txid).toBe(parent.getId());
  });
});

describe('a package', () => {
  it('brings in a parent that pays too little by itself', async () => {
    const { chain, source, payment } = await setUp();
    const parent = payment(0n, 3);
    const output = { txid: parent.getId(), vout: 0, valueSat: parent.outs[0]!.value };
    const child = (feeSat: bigint) =>
      pay({
        from: [output],
        key: bob,
        to: [{ scriptHex: bob.scriptHex, valueSat: output.valueSat - feeSat }],
        version: 3,
      });
    expect(await codeOfRejection(source.broadcast(parent.toHex()))).toBe('tx_refused');
    const poor = source.broadcastPackage([parent.toHex(), child(5n).toHex()]);
    expect(await codeOfRejection(poor)).toBe('tx_refused');
    expect(chain.mempoolSize).toBe(0);
    await source.broadcastPackage([parent.toHex(), child(2_000n).toHex()]);
    expect(chain.mempoolSize).toBe(2);
    await source.broadcastPackage([parent.toHex(), child(4_000n).toHex()]);
    chain.generate(1);
    expect(await source.confirmations(child(4_000n).getId())).toBe(1);
  });
});
