import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import {
  createRpcChainSource,
  type RpcChainSource,
  type RpcChainSourceOptions,
} from '../../src/chain/rpc-source.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BITCOIND, BTCD, Failure, type FakeMethods, type FakeNode, startFakeNode } from './fake-node.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function setUp(
  methods: FakeMethods,
  options: Partial<RpcChainSourceOptions> = {},
): Promise<{ node: FakeNode; source: RpcChainSource }> {
  const node = await startFakeNode(methods);
  closers.push(() => node.close());
  const source = createRpcChainSource(
    { url: node.url, pollMs: 5, timeoutMs: 2_000, ...options },
    { timers: systemTimers, log: silentLogger, clock: systemClock },
  );
  closers.push(() => source.close());
  return { node, source };
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

const TXID = '12'.repeat(32);
const SCRIPT = `0014${'34'.repeat(20)}`;
const coin = (confirmations: number) => ({
  value: 0.00012345,
  scriptPubKey: { hex: SCRIPT },
  confirmations,
});

describe.each([
  ['bitcoind', BITCOIND],
  ['btcd', BTCD],
])('a %s', (kind, methods) => {
  const syncing: FakeMethods =
    kind === 'bitcoind'
      ? {
          ...methods,
          getblockchaininfo: () => ({
            blocks: 5,
            bestblockhash: 'ab'.repeat(32),
            time: 1,
            initialblockdownload: true,
          }),
        }
      : {
          ...methods,
          getpeerinfo: () => [{ currentheight: 900 }, { currentheight: 7 }, { currentheight: 901 }],
        };

  it('that still catches up gives no tip until it is there', async () => {
    const { node, source } = await setUp(syncing);
    const heights: number[] = [];
    source.watchTip((tip) => heights.push(tip.height));
    expect(await codeOfRejection(source.tip())).toBe('chain_syncing');
    expect(source.state).toBe('syncing');
    expect(await codeOfRejection(source.txOut(TXID, 0))).toBe('chain_syncing');
    expect(await source.genesisHash()).toBe(NETWORKS.regtest.genesisHash);
    expect(node.calls.map(({ method }) => method)).not.toContain('gettxout');
    await until(() => node.calls.length > 12);
    expect(heights).toEqual([]);
    Object.assign(node.methods, methods);
    await until(() => heights.length === 1);
    expect(heights).toEqual([7]);
    expect(source.state).toBe('ready');
  });

  it('on another chain is refused, whatever it is asked', async () => {
    const genesisHash = NETWORKS.mainnet.genesisHash;
    const { node, source } = await setUp({ ...methods, gettxout: () => coin(1) }, { genesisHash });
    for (const ask of [source.tip(), source.txOut(TXID, 0), source.broadcast('00'), source.genesisHash()]) {
      expect(await codeOfRejection(ask)).toBe('chain_network');
    }
    expect(source.state).toBe('other_network');
    expect(new Set(node.calls.map(({ method }) => method))).toEqual(new Set(['getblockhash']));
  });

  it('is asked who it is again after it was away', async () => {
    const genesisHash = NETWORKS.regtest.genesisHash;
    const { node, source } = await setUp(methods, { genesisHash });
    expect((await source.tip()).height).toBe(7);
    await node.close();
    expect(await codeOfRejection(source.tip())).toBe('chain_unreachable');
    expect(source.state).toBe('unreachable');
    const other = { ...methods, getblockhash: () => NETWORKS.mainnet.genesisHash };
    const second = await startFakeNode(other, node.port);
    closers.push(() => second.close());
    expect(await codeOfRejection(source.tip())).toBe('chain_network');
    Object.assign(second.methods, methods);
    expect((await source.tip()).height).toBe(7);
  });

  it('that warms up is not mistaken for another kind', async () => {
    const warming = {
      ...methods,
      getnetworkinfo: () => {
        throw new Failure(-28, 'Loading block index');
      },
    };
    const { node, source } = await setUp(warming);
    expect(await codeOfRejection(source.tip())).toBe('chain_rpc');
    Object.assign(node.methods, methods);
    expect((await source.tip()).height).toBe(7);
  });

  it('sets a floor under the fee rate', async () => {
    const floor = (btc: number): FakeMethods =>
      kind === 'bitcoind'
        ? { getmempoolinfo: () => ({ mempoolminfee: btc }), estimatesmartfee: () => ({ feerate: 0.00002 }) }
        : { getinfo: () => ({ relayfee: btc }), estimatefee: () => 0.00002 };
    const { node, source } = await setUp({ ...methods, ...floor(0.00001) });
    expect(await source.feeRateSatPerKvb(6, 1_500)).toBe(2_000);
    Object.assign(node.methods, floor(0.0005));
    expect(await source.feeRateSatPerKvb(6, 1_500)).toBe(50_000);
    Object.assign(node.methods, { estimatesmartfee: () => ({ errors: ['none'] }), estimatefee: () => 0 });
    expect(await source.feeRateSatPerKvb(6, 1_500)).toBe(50_000);
    expect(await source.feeRateSatPerKvb(6, 60_000)).toBe(60_000);
    const fine = 0.000_581_395_348_837_209_3;
    Object.assign(node.methods, { estimatesmartfee: () => ({ feerate: fine }), estimatefee: () => fine });
    expect(await source.feeRateSatPerKvb(6, 1_500)).toBe(58_140);
    Object.assign(node.methods, { estimatesmartfee: () => ({ feerate: -1 }), estimatefee: () => 'much' });
    expect(await source.feeRateSatPerKvb(6, 60_000)).toBe(60_000);
  });
});

describe.each([
  ['bitcoind', BITCOIND, -1],
  ['btcd', BTCD, -5],
])('a pruned %s', (_kind, methods, code) => {
  it('does not tell what spent an output in a block it dropped, and fails at nothing else', async () => {
    const { node, source } = await setUp({
      ...methods,
      getbestblockhash: () => 'ab'.repeat(32),
      gettxspendingprevout: () => [{ txid: TXID, vout: 0 }],
      gettxout: () => coin(4),
      getblock: () => {
        throw new Failure(code, 'Block not available (pruned data)');
      },
    });
    expect(await source.spender(TXID, 0, 10)).toBeUndefined();
    expect(node.calls.filter(({ method }) => method === 'getblock')).toHaveLength(1);
    expect(await source.txOut(TXID, 0)).toMatchObject({ confirmations: 4 });
    expect((await source.tip()).height).toBe(7);
    node.methods['getblock'] = () => `${'00'.repeat(36)}${'12'.repeat(32)}00000000`;
    node.methods['getbestblockhash'] = () => 'cd'.repeat(32);
    expect(await codeOfRejection(source.spender(TXID, 0, 10))).toBe('chain_rpc');
  });
});

describe('a bitcoind', () => {
  it('is asked again when its one scan is busy', async () => {
    let scans = 0;
    const { source } = await setUp({
      ...BITCOIND,
      scantxoutset: () => {
        scans += 1;
        if (scans === 1) throw new Failure(-8, 'Scan already in progress');
        return { success: true, unspents: [] };
      },
    });
    expect(await source.utxos('51')).toEqual([]);
    expect(scans).toBe(2);
  });

  it('that scans for minutes is waited for: each question fails in time, and the scan answers a later one', async () => {
    const coin = { txid: TXID, vout: 1, amount: 0.5, height: 3 };
    const end = Promise.withResolvers<void>();
    let scans = 0;
    const { node, source } = await setUp(
      {
        ...BITCOIND,
        scantxoutset: async (action) => {
          if (action === 'status') return { progress: 40 };
          scans += 1;
          await end.promise;
          return { success: true, unspents: [coin] };
        },
      },
      { timeoutMs: 200 },
    );
    // Each of them is answered by no node in time.
    expect(await codeOfRejection(source.utxos('51'))).toBe('coins_unknown');
    expect(await codeOfRejection(source.utxos('51'))).toBe('coins_unknown');
    // The node answers everything else meanwhile.
    expect((await source.tip()).height).toBe(7);
    end.resolve();
    expect(await source.utxos('51')).toMatchObject([{ txid: TXID, vout: 1, valueSat: 50_000_000n }]);
    expect(scans).toBe(1);
    // What came was used: the next question is a scan of its own.
    await source.utxos('51');
    expect(scans).toBe(2);
    expect(node.calls.filter(({ method }) => method === 'scantxoutset')).toHaveLength(2);
  });

  it('takes a package, or says why not', async () => {
    const ok = { package_msg: 'success', 'tx-results': { a: { txid: 'a' }, b: { txid: 'b' } } };
    const { node, source } = await setUp({ ...BITCOIND, submitpackage: () => ok });
    await source.broadcastPackage(['01', '02']);
    expect(node.calls.at(-1)).toEqual({ method: 'submitpackage', params: [['01', '02']] });
    const bad = {
      package_msg: 'transaction failed',
      'tx-results': { a: { error: 'min relay fee not met' } },
    };
    node.methods['submitpackage'] = () => bad;
    await expect(source.broadcastPackage(['01'])).rejects.toThrow('min relay fee not met');
    expect(await codeOfRejection(source.broadcastPackage(['01']))).toBe('tx_refused');
  });
});

describe('a btcd', () => {
  it('takes the transactions of a package one by one, parents first', async () => {
    const sent: unknown[] = [];
    const { source } = await setUp({ ...BTCD, sendrawtransaction: (hex) => String(sent.push(hex)) });
    await source.broadcastPackage(['01', '02']);
    expect(sent).toEqual(['01', '02']);
  });

  it('shows a coin that its mempool spends; it is spent all the same', async () => {
    const spends = (spendingtxid?: string) => () => [{ txid: TXID, vout: 0, spendingtxid }];
    const { node, source } = await setUp({
      ...BTCD,
      gettxout: () => coin(3),
      gettxspendingprevout: spends('ef'.repeat(32)),
    });
    expect(await source.txOut(TXID, 0)).toBeUndefined();
    expect(await source.txOut(TXID, 0, false)).toMatchObject({ valueSat: 12_345n, confirmations: 3 });
    node.methods['gettxspendingprevout'] = spends();
    expect(await source.txOut(TXID, 0)).toMatchObject({ confirmations: 3 });
  });

  it('finds coins by address, page by page, and says so when it cannot', async () => {
    const own = { n: 0, scriptPubKey: { hex: SCRIPT } };
    const history = Array.from({ length: 130 }, (_, index) => ({
      txid: index.toString(16).padStart(64, '0'),
      blockhash: 'ab'.repeat(32),
      vin: index < 60 ? [] : [{ txid: (index - 60).toString(16).padStart(64, '0'), vout: 0 }],
      vout: index % 2 === 0 ? [own] : [{ n: 0, scriptPubKey: { hex: '51' } }],
    }));
    const pending = { txid: 'ee'.repeat(32), vin: [{ txid: history[128]!.txid, vout: 0 }], vout: [own] };
    const { node, source } = await setUp({
      ...BTCD,
      searchrawtransactions: (_address, _verbose, skip, count) =>
        [...history, pending].slice(Number(skip), Number(skip) + Number(count)),
      gettxout: () => coin(1),
    });
    const found = await source.utxos(SCRIPT);
    expect(found.map(({ txid }) => Number.parseInt(txid, 16))).toEqual(
      Array.from({ length: 30 }, (_, index) => 70 + 2 * index),
    );
    expect(found[0]).toMatchObject({ vout: 0, valueSat: 12_345n, height: 7 });
    expect(node.calls.filter(({ method }) => method === 'searchrawtransactions')).toHaveLength(2);
    await expect(source.utxos('51')).rejects.toThrow('by address only');
    node.methods['searchrawtransactions'] = () => {
      throw new Failure(-1, 'Address index must be enabled (--addrindex)');
    };
    await expect(source.utxos(SCRIPT)).rejects.toThrow('--addrindex');
    node.methods['searchrawtransactions'] = () => {
      throw new Failure(-5, 'No information available about address');
    };
    expect(await source.utxos(SCRIPT)).toEqual([]);
  });
});
