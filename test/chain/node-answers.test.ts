import { address } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { btcdQueries } from '../../src/chain/btcd-queries.ts';
import { CoinScan } from '../../src/chain/coin-scan.ts';
import { NodeWallet } from '../../src/chain/node-wallet.ts';
import { readSatPerKvb } from '../../src/chain/rpc-fields.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { clientOf, countedTimers, Failure, type FakeMethods } from './fake-node.ts';

const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);
const SCRIPT = `0014${'ab'.repeat(20)}`;
const KEY = `02${'cd'.repeat(32)}`;

describe('the wallet of a node', () => {
  const coin = (more: object) => ({
    txid: 'aa',
    vout: 1,
    amount: 0.5,
    desc: `wpkh([0123abcd/84h/0h]${KEY})#check`,
    spendable: true,
    ...more,
  });

  it.each<[string, object, boolean]>([
    ['a coin of an own key', {}, true],
    ['one that is safe', { safe: true }, true],
    ['a key without a path', { desc: `wpkh(${KEY})` }, true],
    ['a key by a path alone', { desc: `wpkh([0123ABCD]${KEY.replace('02', '03')})` }, true],
    ['one that others could replace', { safe: false }, false],
    ['one that is only watched', { spendable: false }, false],
    ['one of which that is not said', { spendable: undefined }, false],
    ['a script in a script', { desc: `sh(wpkh(${KEY}))` }, false],
    ['a key that is not compressed', { desc: `wpkh(04${'cd'.repeat(32)})` }, false],
    ['a key that is short', { desc: `wpkh(${KEY.slice(2)})` }, false],
    ['a fingerprint that is short', { desc: `wpkh([0123abc/84h]${KEY})` }, false],
    ['taproot', { desc: `tr(${KEY})` }, false],
    ['no description', { desc: undefined }, false],
  ])('%s', async (_name, more, isTaken) => {
    const { client, asked } = clientOf({ listunspent: () => [coin(more), coin({ txid: 'bb' })] });
    const coins = await new NodeWallet(client).coins();
    expect(coins.map(({ txid }) => txid)).toEqual(isTaken ? ['aa', 'bb'] : ['bb']);
    expect(coins.at(-1)).toEqual({ txid: 'bb', vout: 1, valueSat: 50_000_000n, publicKeyHex: KEY });
    expect(asked).toEqual([['listunspent', 1]]);
  });

  it('locks, unlocks and lists outpoints, and nothing else of them', async () => {
    const locked = [{ txid: 'aa', vout: 3, more: 1 }];
    const { client, asked } = clientOf({ lockunspent: () => true, listlockunspent: () => locked });
    const wallet = new NodeWallet(client);
    await wallet.lock(locked);
    await wallet.unlock(locked);
    expect(await wallet.locked()).toEqual([{ txid: 'aa', vout: 3 }]);
    wallet.close();
    const outpoints = [{ txid: 'aa', vout: 3 }];
    expect(asked).toEqual([
      ['lockunspent', false, outpoints],
      ['lockunspent', true, outpoints],
      ['listlockunspent'],
      ['closed'],
    ]);
  });

  it('gives scripts of its own, and takes none that is not P2WPKH', async () => {
    let scriptPubKey = SCRIPT;
    const { client, asked } = clientOf({
      getnewaddress: () => 'receive',
      getrawchangeaddress: () => 'change',
      getaddressinfo: () => ({ scriptPubKey }),
    });
    const wallet = new NodeWallet(client);
    expect(toHex(await wallet.newScript('receive'))).toBe(SCRIPT);
    expect(toHex(await wallet.newScript('change'))).toBe(SCRIPT);
    expect(asked).toEqual([
      ['getnewaddress', '', 'bech32'],
      ['getaddressinfo', 'receive'],
      ['getrawchangeaddress', 'bech32'],
      ['getaddressinfo', 'change'],
    ]);
    for (scriptPubKey of [`5120${'ab'.repeat(32)}`, `5114${'ab'.repeat(20)}`, `0014${'ab'.repeat(19)}`])
      expect(await codeFrom(wallet.newScript('change'))).toBe('chain_rpc');
  });

  it('signs for the whole of a transaction', async () => {
    const { client, asked } = clientOf({ walletprocesspsbt: () => ({ psbt: 'signed' }) });
    expect(await new NodeWallet(client).sign('text')).toBe('signed');
    expect(asked).toEqual([['walletprocesspsbt', 'text', true, 'ALL']]);
  });
});

describe('a btcd', () => {
  const params = NETWORKS.regtest.params;
  const NAME = address.fromOutputScript(fromHex(SCRIPT), params);
  const header = (height: number, more: object = {}) => ({
    height,
    hash: `h${height}`,
    previousblockhash: `h${height - 1}`,
    time: 1_000 + height,
    bits: '207fffff',
    confirmations: 1,
    nextblockhash: '',
    ...more,
  });
  /** A bare header of 80 bytes, of a block whose parent is named by one byte. */
  const bare = (parent: string): string =>
    `01000000${parent.repeat(32)}${'00'.repeat(32)}${'05000000'}ffff7f20${'00000000'}`;
  const queriesOf = (methods: FakeMethods, network = params) => {
    const { client, asked } = clientOf(methods);
    return { queries: btcdQueries(client, network), asked };
  };

  it.each([
    [[], false],
    [[9, 9, 11], false],
    [[12, 11], false],
    [[12, 12], true],
    [[12, 12, 11], true],
    [[12, undefined], false],
  ])('that has peers at %j at height 10 catches up: %s', async (heights, isSyncing) => {
    const { queries } = queriesOf({
      getbestblockhash: () => 'h10',
      getblockheader: () => header(10),
      getpeerinfo: () => heights.map((currentheight) => ({ currentheight })),
    });
    const tip = { height: 10, hash: 'h10', timeSeconds: 1_010 };
    expect(await queries.status()).toEqual({ tip, isSyncing });
  });

  it('that does not know its tip says nothing of it', async () => {
    const { queries } = queriesOf({
      getbestblockhash: () => 'h10',
      getblockheader: () => {
        throw new Failure(-5);
      },
    });
    expect(await codeFrom(queries.status())).toBe('chain_rpc');
  });

  it('estimates, or says that it does not, and tells what it relays', async () => {
    const rates = [0.00002, 0, -1];
    const { queries, asked } = queriesOf({
      estimatefee: () => rates.shift(),
      getinfo: () => ({ relayfee: 0.00001 }),
    });
    expect(await queries.estimateSatPerKvb(6)).toBe(2_000);
    expect(await queries.estimateSatPerKvb(6)).toBeUndefined();
    expect(await codeFrom(queries.estimateSatPerKvb(6))).toBe('chain_rpc');
    expect(await queries.minimumSatPerKvb()).toBe(1_000);
    expect(asked[0]).toEqual(['estimatefee', 6]);
  });

  /** Blocks off the best chain, by their byte; a verbose header only of what is on it. */
  const branch = (parents: Record<string, string>, trunk: Record<string, number>): FakeMethods => ({
    getblockheader: (hash, isVerbose) => {
      const byte = String(hash).slice(0, 2);
      if (isVerbose === true) {
        if (trunk[byte] !== undefined) return header(trunk[byte], { hash });
        throw new Failure(parents[byte] === undefined ? -5 : -32603);
      }
      if (parents[byte] === undefined) throw new Failure(-5);
      return bare(parents[byte]);
    },
  });
  const named = (byte: string): string => byte.repeat(32);

  it('works out the height of a block off the best chain by its parents', async () => {
    const { queries } = queriesOf(branch({ a1: 'a2', a2: 'a3', a3: 'bb' }, { bb: 7 }));
    expect(await queries.header(named('a1'))).toEqual({
      hash: named('a1'),
      previousHash: named('a2'),
      timeSeconds: 5,
      bits: 0x207fffff,
      height: 10,
      confirmations: -1,
    });
    expect(await queries.header(named('a3'))).toMatchObject({ height: 8, previousHash: named('bb') });
    expect(await queries.header(named('bb'))).toMatchObject({ height: 7, confirmations: 1 });
    expect(await queries.header(named('cc'))).toBeUndefined();
  });

  it('knows no height where a parent is unknown, or the branch is longer than a day', async () => {
    const lost = queriesOf({
      getblockheader: (hash, isVerbose) => {
        if (isVerbose === true) throw new Failure(-32603);
        if (hash === named('a1')) return bare('a2');
        throw new Failure(-5);
      },
    });
    expect(await lost.queries.header(named('a1'))).toBeUndefined();
    let left = 0;
    const long = queriesOf({
      getblockheader: (_hash, isVerbose) => {
        if (isVerbose !== true) return bare('a1');
        left -= 1;
        if (left < 0) return header(7);
        throw new Failure(-32603);
      },
    });
    // The block itself, and 143 of its parents, are off the chain; then one that is not.
    left = 144;
    expect(await long.queries.header(named('a1'))).toMatchObject({ height: 7 + 144 });
    left = 145;
    expect(await long.queries.header(named('a1'))).toBeUndefined();
    const refusing = queriesOf({
      getblockheader: () => {
        throw new Failure(-1);
      },
    });
    expect(await codeFrom(refusing.queries.header(named('a1')))).toBe('chain_rpc');
  });

  it('shows an output that nothing spends, in blocks or beside them', async () => {
    let spender: string | undefined = 'ff';
    const output = { value: 0.5, scriptPubKey: { hex: SCRIPT }, confirmations: 2 };
    const { queries, asked } = queriesOf({
      gettxspendingprevout: () => [{ spendingtxid: spender }],
      gettxout: () => output,
    });
    const there = { valueSat: 50_000_000n, scriptHex: SCRIPT, confirmations: 2 };
    expect(await queries.txOut('aa', 1, true)).toBeUndefined();
    expect(await queries.txOut('aa', 1, false)).toEqual(there);
    for (spender of ['', undefined]) expect(await queries.txOut('aa', 1, true)).toEqual(there);
    expect(asked.slice(0, 2)).toEqual([
      ['gettxspendingprevout', [{ txid: 'aa', vout: 1 }]],
      ['gettxout', 'aa', 1, false],
    ]);
    const gone = queriesOf({
      gettxout: () => {
        throw new Failure(-5);
      },
    });
    expect(await gone.queries.txOut('aa', 1, false)).toBeUndefined();
  });

  const pays = (txid: string, more: object = {}) => ({
    txid,
    blockhash: 'h9',
    vout: [
      { n: 0, scriptPubKey: { hex: '51' } },
      { n: 1, scriptPubKey: { hex: SCRIPT } },
    ],
    vin: [{ txid: '00', vout: 0 }],
    ...more,
  });
  const coinsOf = (pages: readonly object[][], outputs: FakeMethods = {}) => {
    const left = [...pages];
    return queriesOf({
      searchrawtransactions: () => left.shift() ?? [],
      gettxout: (txid) => ({
        value: 0.25,
        scriptPubKey: { hex: txid === 'other' ? '51' : SCRIPT },
        confirmations: 2,
      }),
      getblockheader: () => header(9),
      ...outputs,
    });
  };

  it('finds the coins of a script that no transaction of it spends', async () => {
    const { queries, asked } = coinsOf([
      [
        pays('one'),
        pays('two', { vin: [{ txid: 'one', vout: 1 }] }),
        pays('waits', { blockhash: undefined }),
        pays('empty', { blockhash: '' }),
        pays('other'),
      ],
    ]);
    expect(await queries.utxos(SCRIPT)).toEqual([
      { txid: 'two', vout: 1, valueSat: 25_000_000n, height: 9 },
    ]);
    expect(asked[0]).toEqual(['searchrawtransactions', NAME, 1, 0, 100]);
    const spent = coinsOf([[pays('one')]], {
      gettxout: () => {
        throw new Failure(-5);
      },
    });
    expect(await spent.queries.utxos(SCRIPT)).toEqual([]);
  });

  it('reads page after page, and not those of a script that is somebody else’s', async () => {
    const full = Array.from({ length: 100 }, (_, index) => pays(`t${index}`));
    const { queries, asked } = coinsOf([full, [pays('last')]]);
    expect(await queries.utxos(SCRIPT)).toHaveLength(101);
    expect(asked.filter(([method]) => method === 'searchrawtransactions').map((each) => each[3])).toEqual([
      0, 100,
    ]);
    const busy = coinsOf([], { searchrawtransactions: () => full });
    expect(await codeFrom(busy.queries.utxos(SCRIPT))).toBe('chain_rpc');
    expect(busy.asked).toHaveLength(100);
    const none = coinsOf([], {
      searchrawtransactions: () => {
        throw new Failure(-5);
      },
    });
    expect(await none.queries.utxos(SCRIPT)).toEqual([]);
  });

  it('has no coins of a script without an address, and on no network that it does not know', async () => {
    const { queries } = coinsOf([[pays('one')]]);
    expect(await codeFrom(queries.utxos('6a'))).toBe('chain_rpc');
    const { client } = clientOf({});
    expect(await codeFrom(btcdQueries(client, undefined).utxos(SCRIPT))).toBe('chain_rpc');
  });
});

describe('a scan for coins', () => {
  const FOUND = { unspents: [{ txid: 'aa', vout: 1, amount: 0.5, height: 7 }] };
  const COINS = [{ txid: 'aa', vout: 1, valueSat: 50_000_000n, height: 7 }];

  /** A node whose scans end when a test says so. */
  function scanning() {
    const time = new VirtualTime();
    const timers = countedTimers(time.timers);
    const scans: PromiseWithResolvers<object>[] = [];
    const state = { isBusy: false, tells: { progress: 12 } as unknown, told: [] as unknown[] };
    const { client, asked } = clientOf({
      scantxoutset: (what) => {
        if (what === 'status') {
          if (state.tells instanceof Error) throw state.tells;
          return state.tells;
        }
        if (state.isBusy) throw new Failure(-8);
        scans.push(Promise.withResolvers());
        return scans.at(-1)!.promise;
      },
    });
    const log = { ...silentLogger, info: (fields: unknown) => void state.told.push(fields) };
    const scan = new CoinScan({ patienceMs: 1_000 }, client, {
      ...{ clock: time.clock, timers },
      log: log as typeof silentLogger,
    });
    const starts = (): number => asked.filter(([, what]) => what === 'start').length;
    return { time, timers, scans, state, scan, asked, starts };
  }

  it('answers what it finds, once for all who ask meanwhile, and begins anew after that', async () => {
    const { scans, scan, asked, starts, time } = scanning();
    const [one, other] = [scan.utxos(SCRIPT), scan.utxos(SCRIPT)];
    await time.settle();
    scans[0]!.resolve(FOUND);
    expect([await one, await other]).toEqual([COINS, COINS]);
    expect(asked).toEqual([['scantxoutset', 'start', [`raw(${SCRIPT})`]]]);
    void scan.utxos(SCRIPT).catch(() => {});
    await time.settle();
    expect(starts()).toBe(2);
  });

  it('goes on while nobody waits, and gives its result to the next who asks, for ten minutes', async () => {
    const { scans, scan, starts, time } = scanning();
    const late = codeFrom(scan.utxos(SCRIPT));
    await time.advance(999);
    const early = Promise.race([late, Promise.resolve('waits')]);
    expect(await early).toBe('waits');
    await time.advance(1);
    expect(await late).toBe('coins_unknown');
    scans[0]!.resolve(FOUND);
    await time.settle();
    await time.advance(600_000);
    expect(await scan.utxos(SCRIPT)).toEqual(COINS);
    expect(starts()).toBe(1);
    const again = codeFrom(scan.utxos(SCRIPT));
    await time.advance(1_000);
    expect(await again).toBe('coins_unknown');
    scans[1]!.resolve(FOUND);
    await time.settle();
    await time.advance(600_001);
    void scan.utxos(SCRIPT).catch(() => {});
    await time.settle();
    expect(starts()).toBe(3);
  });

  it('that failed is not kept', async () => {
    const { scans, scan, starts, time } = scanning();
    const failed = codeFrom(scan.utxos(SCRIPT));
    await time.settle();
    scans[0]!.reject(new CodedError('chain_unreachable'));
    expect(await failed).toBe('chain_unreachable');
    const next = scan.utxos(SCRIPT);
    await time.settle();
    expect(starts()).toBe(2);
    scans[1]!.resolve(FOUND);
    expect(await next).toEqual(COINS);
  });

  it('waits for a scan of another, a little longer each time, for an hour', async () => {
    const { scans, state, scan, starts, time } = scanning();
    state.isBusy = true;
    const late = codeFrom(scan.utxos(SCRIPT));
    await time.settle();
    const startsAfter: number[] = [];
    for (const ms of [249, 1, 499, 1, 999, 1, 1_999, 1, 2_000]) {
      await time.advance(ms);
      startsAfter.push(starts());
    }
    expect(startsAfter).toEqual([1, 2, 2, 3, 3, 4, 4, 5, 6]);
    expect(await late).toBe('coins_unknown');
    state.isBusy = false;
    await time.advance(2_000);
    scans[0]!.resolve(FOUND);
    expect(await scan.utxos(SCRIPT)).toEqual(COINS);
  });

  it('of a node that is busy for longer is given up, and begun anew', async () => {
    const { scans, state, scan, starts, time } = scanning();
    state.isBusy = true;
    void scan.utxos(SCRIPT).catch(() => {});
    await time.settle();
    // 250, 500, 1,000 and then 2,000 ms, for an hour.
    await time.advance(3_600_000);
    const tries = starts();
    expect(tries).toBe(3 + Math.ceil((3_600_000 - 1_750) / 2_000));
    await time.advance(60_000);
    expect(starts()).toBe(tries);
    state.isBusy = false;
    const found = scan.utxos(SCRIPT);
    await time.settle();
    scans[0]!.resolve(FOUND);
    expect(await found).toEqual(COINS);
  });

  it('keeps no timer once it is answered', async () => {
    const { scans, scan, time, timers } = scanning();
    const found = scan.utxos(SCRIPT);
    await time.settle();
    scans[0]!.resolve(FOUND);
    expect(await found).toEqual(COINS);
    await time.settle();
    expect(timers.pending).toBe(0);
  });

  it('tells how far it is every fifteen seconds, as far as the node says', async () => {
    const { scans, state, scan, time } = scanning();
    const late = codeFrom(scan.utxos(SCRIPT));
    await time.advance(14_999);
    expect(state.told).toEqual([]);
    await time.advance(1);
    expect(state.told).toEqual([{ percent: 12 }]);
    for (const tells of [null, false, new Failure(-1)]) {
      state.tells = tells;
      await time.advance(15_000);
    }
    expect(state.told).toHaveLength(1);
    scans[0]!.resolve(FOUND);
    state.tells = { progress: 99 };
    await time.settle();
    await time.advance(60_000);
    expect(state.told).toHaveLength(1);
    expect(await late).toBe('coins_unknown');
  });
});

describe('a fee rate of a node', () => {
  it('is rounded up to the satoshi, and no other number', () => {
    expect(['0.00001', 0, '1e-8', '0.000010001', 1].map((rate) => readSatPerKvb(rate, 'rate'))).toEqual([
      1_000, 0, 1, 1_001, 100_000_000,
    ]);
    for (const wrong of [-1, '-0.1', 'x', null, '1e300'])
      expect(() => readSatPerKvb(wrong, 'rate')).toThrow(CodedError);
  });
});
