import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { createRpcChainSource, type RpcChainSource } from '../../src/chain/rpc-source.ts';
import { TrucWatch } from '../../src/chain/truc.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BITCOIND, BTCD, Failure, type FakeMethods, type FakeNode, startFakeNode } from './fake-node.ts';
import { recorder } from './log-recorder.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function setUp(methods: FakeMethods): Promise<{ node: FakeNode; source: RpcChainSource }> {
  const node = await startFakeNode(methods);
  closers.push(() => node.close());
  const source = createRpcChainSource(
    { url: node.url, pollMs: 5, timeoutMs: 2_000 },
    { timers: systemTimers, log: silentLogger, clock: systemClock },
  );
  closers.push(() => source.close());
  return { node, source };
}

const verdict = (reason: string) => () => [{ allowed: false, 'reject-reason': reason }];
const core = (version: number, subversion = '/Satoshi:x/'): FakeMethods => ({
  ...BITCOIND,
  getnetworkinfo: () => ({ version, subversion }),
  getmempoolinfo: () => ({ mempoolminfee: 0.00001 }),
});
const knots = (policy: string): FakeMethods => ({
  ...core(290_403, '/Satoshi:29.4.3/Knots:20260508/'),
  getmempoolinfo: () => ({ mempoolminfee: 0.00001, truc_policy: policy }),
});

describe('what a node does about version 3', () => {
  it.each([
    ['Core 28', core(280_000), 'enforced'],
    ['Core 27', core(270_200), 'refused'],
    ['Knots that enforces', knots('enforce'), 'enforced'],
    ['Knots that accepts', knots('accept'), 'ignored'],
    ['Knots that rejects', knots('reject'), 'refused'],
    ['Knots with a word of its own', knots('perhaps'), undefined],
    ['Knots that does not say', core(290_000, '/Satoshi:29.0.0/Knots:x/'), undefined],
    [
      'one that takes the probe',
      { ...core(290_000), testmempoolaccept: verdict('missing-inputs') },
      'enforced',
    ],
    [
      'one that refuses its version',
      { ...core(290_000), testmempoolaccept: verdict('version') },
      'refused',
    ],
    ['btcd', { ...BTCD, testmempoolaccept: verdict('missing-inputs') }, undefined],
  ])('%s', async (_name, methods, policy) => {
    const { source } = await setUp(methods);
    expect(await source.trucPolicy()).toBe(policy);
  });
});

describe('the watch of it', () => {
  it('says once what to change, and when it was changed', async () => {
    const { node, source } = await setUp(knots('accept'));
    let height = 7;
    node.methods['getblockchaininfo'] = () => {
      const bestblockhash = height.toString(16).padStart(64, '0');
      return { blocks: height, bestblockhash, time: 1_700_000_000, initialblockdownload: false };
    };
    const truc = new TrucWatch();
    expect(truc.policy).toBe('unknown');
    const { lines, log } = recorder();
    truc.watch(source, log);
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatchObject(['warn', { code: 'truc_ignored' }, expect.any(String)]);
    expect(String(lines[0]![1]['hint'])).toContain('mempooltruc=enforce');
    expect(truc.policy).toBe('ignored');
    const asked = (): number => node.calls.filter(({ method }) => method === 'getmempoolinfo').length;
    height += 1;
    await expect.poll(asked).toBe(2);
    Object.assign(node.methods, knots('reject'), {
      getblockchaininfo: node.methods['getblockchaininfo'],
    });
    height += 1;
    await expect.poll(() => lines.length).toBe(2);
    expect(lines[1]).toMatchObject(['warn', { code: 'truc_refused' }, expect.any(String)]);
    node.methods['getmempoolinfo'] = () => ({ mempoolminfee: 0.00001, truc_policy: 'enforce' });
    height += 1;
    await expect.poll(() => truc.policy).toBe('enforced');
    expect(lines[2]).toMatchObject(['info', {}, expect.any(String)]);
  });

  it('takes an error for no answer, and asks again at the next tip', async () => {
    const { node, source } = await setUp(knots('accept'));
    node.methods['getmempoolinfo'] = () => {
      throw new Failure(-28, 'warming up');
    };
    const { lines, log } = recorder();
    const truc = new TrucWatch();
    truc.watch(source, log);
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatchObject(['debug', { code: 'chain_rpc' }, expect.any(String)]);
    expect(truc.policy).toBe('unknown');
    Object.assign(node.methods, knots('accept'), {
      getblockchaininfo: () => ({ blocks: 8, bestblockhash: 'cd'.repeat(32), time: 1_700_000_001 }),
    });
    await expect.poll(() => truc.policy).toBe('ignored');
  });
});
