import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { blockMaking } from '../../src/chain/block-template.ts';
import type { ChainRpcClient } from '../../src/chain/rpc-client.ts';
import { createRpcChainSource } from '../../src/chain/rpc-source.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BITCOIND, clientOf, Failure, type FakeMethods, startFakeNode } from './fake-node.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const TEMPLATE = {
  previousblockhash: 'ab'.repeat(32),
  height: 8,
  bits: '1d00ffff',
  curtime: 1_700_000_600,
  mintime: 1_700_000_001,
  transactions: [
    { txid: 'aa', data: '01', fee: 300, more: 1 },
    { txid: 'bb', data: '02', fee: 45 },
  ],
};
const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);

/** Block making of a node that answers so; and what it was asked, with the time it had. */
function makingOf(methods: FakeMethods) {
  const { client } = clientOf(methods);
  const asked: unknown[][] = [];
  const call: ChainRpcClient['call'] = (method, params, timeoutMs) => {
    asked.push([method, ...params, ...(timeoutMs === undefined ? [] : [timeoutMs])]);
    return client.call(method, params);
  };
  return { making: blockMaking({ call } as ChainRpcClient), asked };
}

describe('a node that makes blocks', () => {
  it('gives a template with the sum of its fees', async () => {
    const { making, asked } = makingOf({ getblocktemplate: () => TEMPLATE });
    expect(await making.template()).toStrictEqual({
      previousHash: 'ab'.repeat(32),
      height: 8,
      bits: 0x1d00ffff,
      timeSeconds: 1_700_000_600,
      minTimeSeconds: 1_700_000_001,
      feesSat: 345n,
      transactions: [
        { txid: 'aa', hex: '01' },
        { txid: 'bb', hex: '02' },
      ],
    });
    expect(asked).toEqual([['getblocktemplate', { rules: ['segwit'] }]]);
  });

  it.each([
    ['transactions', {}],
    ['transactions', [{ txid: 'aa', data: '01', fee: '300' }]],
    ['transactions', [{ txid: 'aa', fee: 300 }]],
    ['transactions', [{ data: '01', fee: 300 }]],
    ['previousblockhash', 7],
    ['height', '8'],
    ['bits', 7],
    ['curtime', undefined],
    ['mintime', null],
  ])('is not believed with %s of another kind: %j', async (field, value) => {
    const { making } = makingOf({ getblocktemplate: () => ({ ...TEMPLATE, [field]: value }) });
    expect(await codeFrom(making.template())).toBe('chain_rpc');
  });

  it('tells what waits, or does not', async () => {
    let info: () => unknown = () => ({ total_fee: '0.00012345' });
    const { making, asked } = makingOf({ getmempoolinfo: () => info() });
    expect(await making.waitingFeesSat()).toBe(12_345n);
    expect(asked).toEqual([['getmempoolinfo']]);
    info = () => ({});
    expect(await making.waitingFeesSat()).toBeUndefined();
    for (const [code, outcome] of [
      [-32601, 'resolved'],
      [-28, 'chain_rpc'],
    ] as const) {
      info = () => {
        throw new Failure(code);
      };
      expect(await codeFrom(making.waitingFeesSat())).toBe(outcome);
    }
  });

  it('lists its mempool, and shows a transaction of it', async () => {
    const { making, asked } = makingOf({
      getrawmempool: () => ['aa', 'bb'],
      getrawtransaction: (txid) => {
        if (txid !== 'aa') throw new Failure(-5);
        return '0102';
      },
    });
    expect(await making.mempoolTxids()).toEqual(['aa', 'bb']);
    expect(await making.mempoolTransaction('aa')).toBe('0102');
    expect(await making.mempoolTransaction('cc')).toBeUndefined();
    expect(asked).toEqual([['getrawmempool'], ['getrawtransaction', 'aa'], ['getrawtransaction', 'cc']]);
    for (const list of [['aa', 7], {}])
      expect(await codeFrom(makingOf({ getrawmempool: () => list }).making.mempoolTxids())).toBe(
        'chain_rpc',
      );
  });

  it('judges a block, for which it has half a minute', async () => {
    let verdict: unknown = null;
    const { making, asked } = makingOf({ getblocktemplate: () => verdict, submitblock: () => verdict });
    expect(await making.proposalFault('00')).toBeUndefined();
    expect(await making.submitBlock('01')).toBeUndefined();
    expect(asked).toEqual([
      ['getblocktemplate', { mode: 'proposal', rules: ['segwit'], data: '00' }, 30_000],
      ['submitblock', '01', 30_000],
    ]);
    verdict = `bad-${'x'.repeat(200)}`;
    expect(await making.proposalFault('00')).toBe(`bad-${'x'.repeat(96)}`);
    expect(await making.submitBlock('01')).toHaveLength(100);
    for (verdict of [undefined, 7, {}])
      expect(await codeFrom(making.proposalFault('00'))).toBe('chain_rpc');
  });
});

it('makes no blocks while it catches up, and all of it once it stands in the present', async () => {
  const info = { blocks: 7, bestblockhash: 'ab'.repeat(32), time: 1_700_000_000 };
  const node = await startFakeNode({
    ...BITCOIND,
    getblockchaininfo: () => ({ ...info, initialblockdownload: true }),
    getblocktemplate: (request) => ((request as { mode?: string }).mode === 'proposal' ? 'bad' : TEMPLATE),
    getmempoolinfo: () => ({ total_fee: 0.5 }),
    getrawmempool: () => ['aa'],
    getrawtransaction: () => '0102',
    submitblock: () => 'stale',
  });
  closers.push(() => node.close());
  const source = createRpcChainSource(
    { url: node.url, pollMs: 1_000, timeoutMs: 2_000 },
    { timers: systemTimers, log: silentLogger, clock: systemClock },
  );
  closers.push(() => source.close());
  const blocks = source.blocks!;
  const questions = [
    () => blocks.template(),
    () => blocks.waitingFeesSat(),
    () => blocks.mempoolTxids(),
    () => blocks.mempoolTransaction('aa'),
    () => blocks.proposalFault('00'),
    () => blocks.submitBlock('00'),
  ];
  for (const ask of questions) expect(await codeFrom(ask())).toBe('chain_syncing');
  Object.assign(node.methods, { getblockchaininfo: BITCOIND['getblockchaininfo'] });
  const answers = [expect.objectContaining({ height: 8 }), 50_000_000n, ['aa'], '0102', 'bad', 'stale'];
  for (const [index, ask] of questions.entries()) {
    expect(await ask()).toEqual(answers[index]);
  }
});
