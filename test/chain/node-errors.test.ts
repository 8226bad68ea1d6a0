import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { CoinScan } from '../../src/chain/coin-scan.ts';
import { bitcoindQueries, headerOf, txOutOf } from '../../src/chain/node-queries.ts';
import { ChainRpcClient } from '../../src/chain/rpc-client.ts';
import * as read from '../../src/chain/rpc-fields.ts';
import { createRpcChainSource, type RpcChainSourceOptions } from '../../src/chain/rpc-source.ts';
import { optional } from '../../src/chain/source.ts';
import { blocksToSearch } from '../../src/chain/spender.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { pay, testKey } from '../devnet/wallets.ts';
import {
  BITCOIND,
  BTCD,
  clientOf,
  countedTimers,
  Failure,
  type FakeMethods,
  startFakeNode,
} from './fake-node.ts';
import { recorder } from './log-recorder.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const TXID = '12'.repeat(32);
const SCRIPT = `0014${'34'.repeat(20)}`;
const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);
const refuse = (code: number, message?: string) => (): never => {
  throw new Failure(code, message);
};

async function setUp(methods: FakeMethods, options: Partial<RpcChainSourceOptions> = {}) {
  const node = await startFakeNode(methods);
  closers.push(() => node.close());
  const { lines, log } = recorder();
  const timers = countedTimers(systemTimers);
  const source = createRpcChainSource(
    { url: node.url, pollMs: 5, timeoutMs: 2_000, ...options },
    { timers, log, clock: systemClock },
  );
  closers.push(() => source.close());
  /** What it was asked since, by names alone. */
  const since = (): string[] => node.calls.splice(0).map(({ method }) => method);
  return { node, source, lines, timers, since };
}

describe('a field of an answer', () => {
  const kinds = { object: {}, list: [], text: 'x', number: 7, none: null, missing: undefined };

  it.each<[keyof typeof kinds, (value: unknown, field: string) => unknown, string]>([
    ['object', read.readRecord, 'fee is not an object'],
    ['list', read.readList, 'fee is not a list'],
    ['text', read.readText, 'fee is not a string'],
    ['number', read.readInteger, 'fee is not an integer'],
  ])('that should be %s is nothing else', (kind, readIt, message) => {
    for (const [name, value] of Object.entries(kinds)) {
      if (name === kind) expect(readIt(value, 'fee')).toBe(value);
      else expect(() => readIt(value, 'fee')).toThrow(`chain_rpc: ${message}`);
    }
  });

  it('that should be an amount is a number, or its text', () => {
    expect(read.readSats('0.00000001', 'fee')).toBe(1n);
    expect(read.readSats(2, 'fee')).toBe(200_000_000n);
    for (const value of [{}, null, undefined])
      expect(() => read.readSats(value, 'fee')).toThrow('chain_rpc: fee is not an amount');
    expect(() => read.readSatPerKvb('-1', 'fee')).toThrow('chain_rpc: fee is not a rate');
  });

  it('has a code only in an error of the node', async () => {
    const meta = { rpcCode: -5, rpcMessage: 'x' };
    expect(read.rpcCodeOf(new CodedError('chain_rpc', 'x', meta))).toBe(-5);
    expect(read.rpcCodeOf(new CodedError('chain_rpc', 'x', { rpcCode: '-5' }))).toBeUndefined();
    expect(read.rpcCodeOf(new CodedError('chain_unreachable', 'x', meta))).toBeUndefined();
    expect(read.rpcCodeOf(Object.assign(new Error('x'), { code: 'chain_rpc', meta }))).toBeUndefined();
    const unknown = () => Promise.reject(new CodedError('chain_rpc', 'x', meta));
    expect(await read.orNotFound(unknown())).toBeUndefined();
    expect(await codeFrom(read.orNotOffered(unknown()))).toBe('chain_rpc');
  });
});

describe('an optional question', () => {
  it('tells of a failure, and is no excuse for a fault of ours', async () => {
    const told: string[] = [];
    const ask = (error: Error) =>
      optional(
        () => Promise.reject(error),
        ({ code }) => told.push(code),
      );
    expect(await ask(new CodedError('chain_rpc'))).toBeUndefined();
    expect(told).toEqual(['chain_rpc']);
    await expect(ask(new TypeError('a fault of ours'))).rejects.toThrow('a fault of ours');
    expect(told).toHaveLength(1);
  });
});

describe('the answers of a bitcoind', () => {
  function queriesOf(methods: FakeMethods) {
    const { client, asked } = clientOf(methods);
    const deps = { log: silentLogger, clock: systemClock, timers: systemTimers };
    return { queries: bitcoindQueries(client, new CoinScan({ patienceMs: 1_000 }, client, deps)), asked };
  }

  it('have a fee rate, or none', async () => {
    const { queries } = queriesOf({
      estimatesmartfee: (blocks) => (blocks === 2 ? { feerate: 0.00002 } : { errors: ['none'] }),
      getmempoolinfo: refuse(-32601),
    });
    expect(await queries.estimateSatPerKvb(2)).toBe(2_000);
    expect(await queries.estimateSatPerKvb(6)).toBeUndefined();
    expect(await queries.minimumSatPerKvb()).toBeUndefined();
    const other = queriesOf({ getmempoolinfo: refuse(-28) });
    expect(await codeFrom(other.queries.minimumSatPerKvb())).toBe('chain_rpc');
  });

  it('are asked for with the parameters that they have, and no others', async () => {
    const { queries, asked } = queriesOf({
      ...BITCOIND,
      getblockheader: refuse(-5),
      gettxout: () => null,
      estimatesmartfee: () => ({}),
      getmempoolinfo: () => ({ mempoolminfee: 0.00001 }),
    });
    await queries.status();
    expect(await queries.header('h')).toBeUndefined();
    expect(await queries.txOut('t', 1, false)).toBeUndefined();
    await queries.estimateSatPerKvb(6);
    expect(await queries.minimumSatPerKvb()).toBe(1_000);
    expect(asked).toEqual([
      ['getblockchaininfo'],
      ['getblockheader', 'h', true],
      ['gettxout', 't', 1, false],
      ['estimatesmartfee', 6],
      ['getmempoolinfo'],
    ]);
  });

  it('have the bytes of a header that hashes to what it says, and of no other', () => {
    const fields = {
      ...{
        height: 1,
        time: 1_231_469_665,
        bits: '1d00ffff',
        confirmations: 1,
        version: 1,
        nonce: 2_573_394_689,
      },
      hash: '00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048',
      previousblockhash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
      merkleroot: '0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098',
    };
    const { headerHex, ...header } = headerOf(fields);
    expect(headerHex?.slice(0, 16)).toBe('010000006fe28c0a');
    expect(headerHex).toHaveLength(160);
    for (const other of [
      { nonce: 1 },
      { merkleroot: 'm' },
      { version: undefined },
      { previousblockhash: '00' },
    ])
      expect(headerOf({ ...fields, ...other })).not.toHaveProperty('headerHex');
    expect(header).toMatchObject({ height: 1, bits: 0x1d00ffff });
    // The first block has no parent that a node would name.
    const { previousblockhash: _none, ...genesis } = {
      ...{ ...fields, height: 0, time: 1_231_006_505, nonce: 2_083_236_893 },
      hash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
      merkleroot: '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b',
    };
    expect(headerOf(genesis).headerHex).toHaveLength(160);
  });

  it('have headers with a next block, or without', () => {
    const fields = { height: 3, hash: 'h', time: 9, bits: '1d00ffff', confirmations: 1 };
    const header = { height: 3, hash: 'h', timeSeconds: 9, bits: 0x1d00ffff, confirmations: 1 };
    const genesis = { ...header, previousHash: '00'.repeat(32) };
    expect(headerOf(fields)).toStrictEqual(genesis);
    expect(headerOf({ ...fields, nextblockhash: '' })).toStrictEqual(genesis);
    expect(headerOf({ ...fields, nextblockhash: 7 })).toStrictEqual(genesis);
    const more = { previousblockhash: 'p', nextblockhash: 'n' };
    expect(headerOf({ ...fields, ...more })).toStrictEqual({ ...header, previousHash: 'p', nextHash: 'n' });
    expect(txOutOf(null)).toBeUndefined();
    expect(() => txOutOf(undefined)).toThrow('gettxout is not an object');
  });

  it('take a package only where every transaction of it was taken', async () => {
    let answer: unknown;
    const { queries } = queriesOf({ submitpackage: () => answer });
    const sent = (): Promise<void> => queries.submitPackage!(['01', '02']);
    answer = { package_msg: 'success', 'tx-results': { a: {}, b: {} } };
    await sent();
    answer = { package_msg: 'success', 'tx-results': { a: { error: 'bad-a' }, b: { error: 'bad-b' } } };
    await expect(sent()).rejects.toThrow('tx_refused: success: bad-a; bad-b');
    answer = { package_msg: 'unspent', 'tx-results': { a: {} } };
    await expect(sent()).rejects.toThrow('tx_refused: unspent: ');
    answer = { package_msg: 'x', 'tx-results': { a: { error: 'y'.repeat(900) } } };
    await expect(sent()).rejects.toThrow(/^tx_refused: x: y{400}$/);
    answer = { package_msg: 'success' };
    expect(await codeFrom(sent())).toBe('chain_rpc');
  });
});

describe('a node that is asked', () => {
  it('is counted, also where it fails, and is asked whether it stands in the present but once', async () => {
    const { source, since } = await setUp({ ...BITCOIND, gettxout: () => null });
    await source.txOut(TXID, 0);
    await source.txOut(TXID, 0);
    expect(since()).toEqual([
      'getblockhash',
      'getnetworkinfo',
      'getblockchaininfo',
      'gettxout',
      'gettxout',
    ]);
    expect(source.stats).toEqual({ requests: 5, failures: 0 });
    expect(await codeFrom(source.header('h'))).toBe('chain_rpc');
    expect(source.stats).toEqual({ requests: 6, failures: 1 });
  });

  it('is not asked any more after the end, which leaves no timer', async () => {
    const { source, timers } = await setUp(BITCOIND);
    const tip = new Promise((resolve) => void source.watchTip(resolve));
    await tip;
    await expect.poll(() => timers.pending).toBeGreaterThan(0);
    source.close();
    expect(timers.pending).toBe(0);
    expect(await codeFrom(source.tip())).toBe('chain_unreachable');
  });

  it('is a btcd where it does not know how to tell of its network, by either code', async () => {
    for (const code of [-1, -32601]) {
      const { source, since } = await setUp({ ...BTCD, getnetworkinfo: refuse(code) });
      expect((await source.tip()).height).toBe(7);
      expect(since()).toContain('getbestblockhash');
    }
  });

  it('that is a btcd is asked for coins by the address that its own network has', async () => {
    const history = { searchrawtransactions: () => [] };
    for (const [name, start] of [
      ['regtest', 'bcrt1'],
      ['mainnet', 'bc1'],
      ['signet', 'tb1'],
    ] as const) {
      const genesis = { getblockhash: () => NETWORKS[name].genesisHash };
      const { source, node } = await setUp({ ...BTCD, ...history, ...genesis });
      expect(await source.utxos(SCRIPT)).toEqual([]);
      expect(String(node.calls.at(-1)!.params[0])).toMatch(new RegExp(`^${start}`));
    }
    const other = await setUp({ ...BTCD, ...history, getblockhash: () => '55'.repeat(32) });
    await expect(other.source.utxos(SCRIPT)).rejects.toThrow('has no known addresses');
  });

  it('is asked with the parameters that it takes, and no others', async () => {
    const methods = { getinfo: () => ({ relayfee: 0.00001 }), estimatefee: () => 0.00002 };
    const btcd = await setUp({ ...BTCD, ...methods });
    await btcd.source.feeRateSatPerKvb(6);
    expect(btcd.node.calls.map(({ method, params }) => [method, ...params])).toEqual([
      ['getblockhash', 0],
      ['getnetworkinfo'],
      ['getbestblockhash'],
      ['getblockheader', 'ab'.repeat(32), true],
      ['getpeerinfo'],
      ['estimatefee', 6],
      ['getinfo'],
    ]);
  });

  it('that says nothing of fees has the configured rate taken, and that is said', async () => {
    const { source, lines } = await setUp(BITCOIND);
    expect(await source.feeRateSatPerKvb(6)).toBe(5_000);
    expect(lines).toEqual([
      [
        'warn',
        { code: 'chain_rpc', detail: 'chain_rpc: estimatesmartfee: Method not found (-32601)' },
        'the node does not say what blocks ask for',
      ],
    ]);
    const configured = await setUp(BITCOIND, { feeRateSatPerKvb: 1_234 });
    expect(await configured.source.feeRateSatPerKvb(6)).toBe(1_234);
    expect(await configured.source.feeRateSatPerKvb(6, 77)).toBe(77);
  });
});

describe('the confirmations of a transaction', () => {
  it('are those of one of its first five outputs, else of its entry in the index', async () => {
    const output = { value: 0.5, scriptPubKey: { hex: SCRIPT }, confirmations: 3 };
    const { source, node, since } = await setUp({
      ...BITCOIND,
      gettxout: (_txid, vout) => (vout === 4 ? output : null),
      getrawtransaction: refuse(-5),
    });
    expect(await source.confirmations(TXID)).toBe(3);
    const asked = node.calls.filter(({ method }) => method === 'gettxout').map(({ params }) => params);
    expect(asked).toEqual([0, 1, 2, 3, 4].map((vout) => [TXID, vout, true]));
    node.methods['gettxout'] = (_txid, vout) => (vout === 5 ? output : null);
    since();
    expect(await source.confirmations(TXID)).toBeUndefined();
    expect(since()).toEqual([...Array.from({ length: 5 }, () => 'gettxout'), 'getrawtransaction']);
    for (const [confirmations, counted] of [
      [undefined, 0],
      [-1, 0],
      [9, 9],
    ]) {
      node.methods['getrawtransaction'] = () => ({ confirmations });
      expect(await source.confirmations(TXID)).toBe(counted);
    }
    // btcd says it with an error that such an output is not.
    node.methods['gettxout'] = refuse(-5);
    expect(await source.confirmations(TXID)).toBe(9);
    node.methods['gettxout'] = refuse(-28);
    expect(await codeFrom(source.confirmations(TXID))).toBe('chain_rpc');
  });
});

describe('a transaction that is sent', () => {
  const key = testKey(1);
  const from = [{ txid: TXID, vout: 0, valueSat: 10_000n }];
  const transaction = pay({ from, key, to: [{ scriptHex: key.scriptHex, valueSat: 9_000n }] });

  it.each([
    [-27, 'Transaction outputs already in utxo set', 'taken'],
    [-27, 'whatever', 'taken'],
    [-25, 'txn-already-known', 'taken'],
    [-26, 'txn-already-in-mempool', 'taken'],
    [-26, 'already have transaction 12', 'taken'],
    [-25, 'TX rejected: already known', 'taken'],
    [-26, 'transaction already in block chain', 'taken'],
    [-25, 'bad-txns-inputs-missingorspent', 'tx_refused'],
    [-26, 'min relay fee not met', 'tx_refused'],
    [-22, 'TX decode failed', 'tx_refused'],
    [-28, 'Loading block index', 'chain_rpc'],
    [-1, 'min relay fee not met', 'chain_rpc'],
  ])('is %i "%s": %s', async (code, message, outcome) => {
    const { source } = await setUp({ ...BITCOIND, sendrawtransaction: refuse(code, message) });
    const sent = source.broadcast(transaction.toHex());
    if (outcome === 'taken') expect(await sent).toBe(transaction.getId());
    else await expect(sent).rejects.toThrow(new RegExp(`^${outcome}: .*${message} \\(${code}\\)$`));
  });

  it('is nowhere where the node went away', async () => {
    const { source, node } = await setUp(BITCOIND);
    await source.tip();
    await node.close();
    expect(await codeFrom(source.broadcast(transaction.toHex()))).toBe('chain_unreachable');
  });
});

describe('the search for what spends an output', () => {
  it('is over the blocks that came since, a few more, and two days at the most', () => {
    expect(blocksToSearch(1_000, undefined)).toBe(288);
    expect(blocksToSearch(1_000, 1_000)).toBe(6);
    expect(blocksToSearch(1_000, 990)).toBe(16);
    // A chain that lost blocks.
    expect(blocksToSearch(990, 1_000)).toBe(6);
    expect(blocksToSearch(1_000, 719)).toBe(287);
    expect(blocksToSearch(1_000, 718)).toBe(288);
    expect(blocksToSearch(1_000, 1)).toBe(288);
  });

  const block = (previous: string): string => `01000000${previous}${'00'.repeat(44)}00`;

  it('ends before the first block, and at one that was dropped', async () => {
    const blocks: Record<string, string> = {
      ['cc'.repeat(32)]: block('bb'.repeat(32)),
      // All but the first byte of its parent's hash, in the order of the wire, is zero.
      ['bb'.repeat(32)]: block(`${'00'.repeat(31)}01`),
      [`01${'00'.repeat(31)}`]: block('00'.repeat(32)),
    };
    const { source, node, since } = await setUp({
      ...BITCOIND,
      getbestblockhash: () => 'cc'.repeat(32),
      gettxspendingprevout: () => [{ txid: TXID, vout: 0 }],
      getblock: (hash) => blocks[String(hash)],
    });
    expect(await source.spender(TXID, 0, 10)).toBeUndefined();
    expect(since().filter((method) => method === 'getblock')).toHaveLength(3);
    node.methods['getblock'] = refuse(-28);
    expect(await codeFrom(source.spender(TXID, 0, 10))).toBe('chain_rpc');
  });

  it('takes what left the mempool between two questions for nothing, and asks the blocks', async () => {
    const spending = (spendingtxid: unknown) => () => [{ txid: TXID, vout: 0, spendingtxid }];
    const { source, node, since } = await setUp({
      ...BITCOIND,
      getbestblockhash: () => 'cc'.repeat(32),
      gettxspendingprevout: spending('ee'.repeat(32)),
      getrawtransaction: refuse(-5),
      getblock: () => block('00'.repeat(32)),
    });
    expect(await source.spender(TXID, 0, 10)).toBeUndefined();
    const [, , , ...asked] = since();
    const rest = ['gettxspendingprevout', 'getrawtransaction', 'getbestblockhash', 'getblock'];
    expect(asked).toEqual(rest);
    for (const none of ['', undefined]) {
      node.methods['gettxspendingprevout'] = spending(none);
      expect(await source.spender(TXID, 0, 10)).toBeUndefined();
      expect(since()).not.toContain('getrawtransaction');
    }
    // A node that does not tell what it pays.
    node.methods['gettxspendingprevout'] = spending('ee'.repeat(32));
    node.methods['getrawtransaction'] = () => '00';
    const found = { txid: 'ee'.repeat(32), hex: '00', confirmations: 0 };
    expect(await source.spender(TXID, 0, 10)).toStrictEqual(found);
  });

  it('finds it among several transactions, by one of several inputs', async () => {
    const key = testKey(1);
    const to = [{ scriptHex: key.scriptHex, valueSat: 9_000n }];
    const coin = (txid: string, vout: number) => ({ txid, vout, valueSat: 10_000n });
    const other = pay({ from: [coin('77'.repeat(32), 0)], key, to });
    const spend = pay({ from: [coin('77'.repeat(32), 1), coin(TXID, 3)], key, to });
    const header = block('00'.repeat(32)).slice(0, 160);
    const { source } = await setUp({
      ...BITCOIND,
      getbestblockhash: () => 'cc'.repeat(32),
      gettxspendingprevout: () => [{ txid: TXID, vout: 3 }],
      getblock: () => `${header}02${other.toHex()}${spend.toHex()}`,
    });
    const found = { txid: spend.getId(), hex: spend.toHex(), confirmations: 1, blockHash: 'cc'.repeat(32) };
    expect(await source.spender(TXID, 3, 1)).toStrictEqual(found);
    expect(await source.spender(TXID, 2, 1)).toBeUndefined();
  });

  it('takes the bytes of an outpoint that is not spent for nothing', async () => {
    const key = testKey(1);
    // They stand in a script.
    const scriptHex = `6a24${'12'.repeat(32)}03000000`;
    const from = [{ txid: '77'.repeat(32), vout: 0, valueSat: 10_000n }];
    const quotes = pay({ from, key, to: [{ scriptHex, valueSat: 0n }] });
    const { source } = await setUp({
      ...BITCOIND,
      getbestblockhash: () => 'cc'.repeat(32),
      gettxspendingprevout: () => [{ txid: TXID, vout: 3 }],
      getblock: () => `${block('00'.repeat(32)).slice(0, 160)}01${quotes.toHex()}`,
    });
    expect(await source.spender(TXID, 3, 5)).toBeUndefined();
  });
});

describe('the client of a node', () => {
  async function asking(handler: http.RequestListener, options: object = {}) {
    const requests: http.IncomingMessage[] = [];
    const server = http.createServer((request, response) => {
      requests.push(request);
      handler(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = new ChainRpcClient({ url, timeoutMs: 2_000, ...options }, { timers: systemTimers });
    closers.push(() => client.close());
    return { client, requests };
  }
  const answer: http.RequestListener = (_request, response) => response.end('{"result":"ok","error":null}');
  const refused: http.RequestListener = (_request, response) => response.writeHead(401).end();
  const authorization = ({ headers }: http.IncomingMessage): string | undefined => headers.authorization;

  it('has the credentials that it is given, or none', async () => {
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const [options, header] of [
      [{}, undefined],
      [{ user: 'u' }, basic('u:')],
      [{ user: 'u', password: 'p' }, basic('u:p')],
    ] as const) {
      const { client, requests } = await asking(answer, options);
      expect(await client.call('x', [])).toBe('ok');
      expect(requests.map(authorization)).toEqual([header]);
    }
  });

  it('asks but once where its credentials are refused and come from no file', async () => {
    const { client, requests } = await asking(refused, { user: 'u', password: 'p' });
    expect(await codeFrom(client.call('x', []))).toBe('chain_unreachable');
    expect(requests).toHaveLength(1);
  });

  it('reads no more than it is told', async () => {
    const long: http.RequestListener = (_request, response) =>
      response.end(JSON.stringify({ result: 'y'.repeat(5_000), error: null }));
    const bounded = await asking(long, { maxReplyBytes: 1_000 });
    expect(await codeFrom(bounded.client.call('x', []))).toBe('chain_unreachable');
    const free = await asking(long);
    expect(await free.client.call('x', [])).toHaveLength(5_000);
  });

  it('ends what is in flight', async () => {
    const { client, requests } = await asking(() => {});
    const call = codeFrom(client.call('x', []));
    await expect.poll(() => requests.length).toBe(1);
    client.close();
    expect(await call).toBe('chain_unreachable');
  });
});
