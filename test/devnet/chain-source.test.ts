import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { createRpcChainSource } from '../../src/chain/rpc-source.ts';
import type { ChainSource, ChainTip } from '../../src/chain/source.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { createDevnetChainSource } from './chain-source.ts';
import { pay, testKey } from './wallets.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const alice = testKey(1);

describe('the chain in this process and the chain over JSON-RPC', () => {
  it('give the same answers through the life of a transaction', async () => {
    const premine = [{ scriptHex: alice.scriptHex, valueSat: 70_000n }];
    const chain = new DevnetChain({ premine }, { clock: new ManualClock() });
    const server = await startChainRpcServer({}, { chain, log: silentLogger });
    const remote = createRpcChainSource(
      { url: server.url, pollMs: 10, timeoutMs: 2_000 },
      { timers: systemTimers, log: silentLogger, clock: systemClock },
    );
    const local = createDevnetChainSource(chain);
    closers.push(
      () => server.close(),
      () => remote.close(),
      () => local.close(),
    );
    const [coin] = chain.utxos(alice.scriptHex);
    const to = [{ scriptHex: alice.scriptHex, valueSat: 69_000n }];
    const payment = pay({ from: [coin!], key: alice, to });
    const txid = payment.getId();
    const refused = pay({ from: [coin!], key: alice, to: [{ ...to[0]!, valueSat: 69_999n }] });
    const look = async (source: ChainSource): Promise<unknown> => [
      await source.genesisHash(),
      await source.tip(),
      await source.header(chain.blockAt(1)!.hash),
      await source.header('ab'.repeat(32)),
      await source.txOut(coin!.txid, coin!.vout),
      await source.txOut(txid, 0),
      await source.confirmations(txid),
      await source.utxos(alice.scriptHex),
      await source.feeRateSatPerKvb(6, 777),
      await source.broadcast(refused.toHex()).catch((error: unknown) => codeOf(error)),
    ];
    const same = async (): Promise<unknown> => {
      const answers = await look(local);
      expect(await look(remote)).toEqual(answers);
      return answers;
    };
    await same();
    expect(await local.broadcast(payment.toHex())).toBe(txid);
    expect(await remote.broadcast(payment.toHex())).toBe(txid);
    await same();
    chain.generate(2);
    await same();
    expect(await local.broadcast(payment.toHex())).toBe(txid);
    chain.invalidateTip(2);
    await same();
  });

  it('tells of tips until told to stop', () => {
    const chain = new DevnetChain({}, { clock: new ManualClock() });
    const source = createDevnetChainSource(chain);
    const seen: ChainTip[] = [];
    const stop = source.watchTip((tip) => seen.push(tip));
    source.watchTip((tip) => seen.push(tip));
    chain.generate(1);
    stop();
    chain.generate(1);
    source.close();
    chain.generate(1);
    expect(seen.map((tip) => tip.height)).toEqual([1, 1, 2, 2, 3]);
  });
});
