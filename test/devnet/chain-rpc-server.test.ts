import { address } from 'bitcoinjs-lib';
import { afterEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { pay, testKey } from './wallets.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const alice = testKey(1);
const bob = testKey(2);
const bobAddress = address.fromOutputScript(fromHex(bob.scriptHex), NETWORKS.regtest.params);

async function setUp() {
  const premine = [{ scriptHex: alice.scriptHex, valueSat: 123_456_789n }];
  const chain = new DevnetChain({ premine }, { clock: new ManualClock() });
  const options = { user: 'user', password: 'secret' };
  const server = await startChainRpcServer(options, { chain, log: silentLogger });
  closers.push(() => server.close());
  const post = (body: string, credentials = 'user:secret'): Promise<Response> =>
    fetch(server.url, {
      method: 'POST',
      body,
      headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    });
  const call = async (method: string, ...params: unknown[]) => {
    const response = await post(JSON.stringify({ jsonrpc: '1.0', id: 7, method, params }));
    const text = await response.text();
    const body = JSON.parse(text) as {
      result: never;
      error: { code: number; message: string } | null;
      id: number;
    };
    return { ...body, status: response.status, text };
  };
  const [coin] = chain.utxos(alice.scriptHex);
  const payment = (feeSat: bigint) =>
    pay({
      from: [coin!],
      key: alice,
      to: [{ scriptHex: bob.scriptHex, valueSat: coin!.valueSat - feeSat }],
    });
  return { chain, server, post, call, coin: coin!, payment };
}

describe('transport', () => {
  it('wants credentials', async () => {
    const { post, server } = await setUp();
    const body = JSON.stringify({ id: 1, method: 'getblockcount', params: [] });
    expect((await post(body, 'user:wrong')).status).toBe(401);
    expect((await fetch(server.url, { method: 'POST', body })).status).toBe(401);
    expect((await post(body)).status).toBe(200);
    expect(server.stats.unauthorized).toBe(2);
  });

  it('speaks both dialects of errors', async () => {
    const { post, call } = await setUp();
    const old = await call('getblockhash', 99);
    expect(old).toMatchObject({ status: 500, result: null, id: 7 });
    expect(old.error).toEqual({ code: -8, message: 'Block height out of range' });
    const request = { jsonrpc: '2.0', id: 8, method: 'getblockhash', params: [99] };
    const response = await post(JSON.stringify(request));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      jsonrpc: '2.0',
      error: { code: -8, message: 'Block height out of range' },
      id: 8,
    });
    expect(await call('nothing')).toMatchObject({ status: 404, error: { code: -32601 } });
    expect((await post('{')).status).toBe(500);
  });

  it('answers a batch in order', async () => {
    const { post } = await setUp();
    const batch = [1, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'getblockcount', params: [] }));
    expect(await (await post(JSON.stringify(batch))).json()).toEqual([
      { jsonrpc: '2.0', result: 1, id: 1 },
      { jsonrpc: '2.0', result: 1, id: 2 },
    ]);
  });
});

describe('methods', () => {
  it('describe the chain and its headers', async () => {
    const { call, chain } = await setUp();
    const info = (await call('getblockchaininfo')).result;
    expect(info).toMatchObject({ chain: 'regtest', blocks: 1, bestblockhash: chain.tip().hash });
    expect((await call('getblockhash', 0)).result).toBe(NETWORKS.regtest.genesisHash);
    const genesis = (await call('getblockheader', NETWORKS.regtest.genesisHash)).result;
    expect(genesis).toMatchObject({
      confirmations: 2,
      height: 0,
      bits: '207fffff',
      merkleroot: '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b',
      nextblockhash: chain.tip().hash,
    });
    const unknown = await call('getblockheader', '00'.repeat(32));
    expect(unknown.error).toEqual({ code: -5, message: 'Block not found' });
  });

  it('print amounts with eight decimals', async () => {
    const { call, coin } = await setUp();
    const { text, result } = await call('gettxout', coin.txid, coin.vout);
    expect(text).toContain('"value":1.23456789,');
    expect(result).toMatchObject({
      confirmations: 1,
      coinbase: false,
      scriptPubKey: { hex: alice.scriptHex },
    });
    expect((await call('gettxout', coin.txid, 99)).result).toBeNull();
  });

  it('take a transaction, show it, and name what is wrong with others', async () => {
    const { call, chain, coin, payment } = await setUp();
    const good = payment(1_000n);
    expect((await call('testmempoolaccept', [good.toHex()])).result).toEqual([
      { txid: good.getId(), allowed: true, vsize: good.virtualSize(), fees: { base: 0.00001 } },
    ]);
    expect((await call('sendrawtransaction', good.toHex())).result).toBe(good.getId());
    expect((await call('sendrawtransaction', good.toHex())).result).toBe(good.getId());
    expect((await call('getrawmempool')).result).toEqual([good.getId()]);
    expect((await call('gettxout', coin.txid, coin.vout)).result).toBeNull();
    expect((await call('gettxout', coin.txid, coin.vout, false)).result).not.toBeNull();
    const waiting = (await call('getrawtransaction', good.getId(), true)).result;
    expect(waiting).toMatchObject({ txid: good.getId(), version: 2, hex: good.toHex() });
    expect(waiting).not.toHaveProperty('confirmations');
    chain.generate(2);
    const mined = (await call('getrawtransaction', good.getId(), 1)).result;
    expect(mined).toMatchObject({ confirmations: 2, blockhash: chain.blockAt(2)!.hash });
    expect((await call('sendrawtransaction', good.toHex())).error?.code).toBe(-27);
    const rival = payment(2_000n);
    expect((await call('sendrawtransaction', rival.toHex())).error).toEqual({
      code: -25,
      message: 'bad-txns-inputs-missingorspent',
    });
    expect((await call('testmempoolaccept', [rival.toHex()])).result).toEqual([
      { allowed: false, 'reject-reason': 'missing-inputs' },
    ]);
    expect((await call('sendrawtransaction', 'zz')).error?.code).toBe(-22);
    expect((await call('getrawtransaction', '00'.repeat(32))).error?.code).toBe(-5);
  });

  it('refuse by policy with -26', async () => {
    const { call, payment } = await setUp();
    expect((await call('sendrawtransaction', payment(0n).toHex())).error).toMatchObject({
      code: -26,
      message: expect.stringMatching(/^min relay fee not met/),
    });
  });

  it('mine to an address and find its coins again', async () => {
    const { call, chain } = await setUp();
    const hashes = (await call('generatetoaddress', 3, bobAddress)).result as string[];
    expect(hashes[2]).toBe(chain.tip().hash);
    expect((await call('generatetoaddress', 1, 'nonsense')).error?.code).toBe(-5);
    for (const descriptor of [`addr(${bobAddress})`, `raw(${bob.scriptHex})#abcdefgh`]) {
      const { result } = await call('scantxoutset', 'start', [descriptor]);
      expect(result).toMatchObject({ success: true, height: 4, total_amount: 150 });
      expect((result as { unspents: unknown[] }).unspents).toHaveLength(3);
    }
    expect((await call('scantxoutset', 'start', ['wpkh(key)'])).error?.code).toBe(-5);
  });

  it('have no fee estimate on a young chain, and undo blocks', async () => {
    const { call, chain } = await setUp();
    expect((await call('estimatesmartfee', 6)).result).toEqual({
      errors: ['Insufficient data or no feerate found'],
      blocks: 6,
    });
    const [, second] = chain.generate(2);
    expect((await call('invalidateblock', second)).result).toBeNull();
    expect((await call('getblockcount')).result).toBe(2);
  });
});
