import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { improvesDiagram } from '../../src/devnet/chain/fee-diagram.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { type Coins, pay, testKey } from './wallets.ts';

const alice = testKey(1);
const COIN_SAT = 1_000_000n;

function setUp(): { readonly chain: DevnetChain; readonly coins: Coins[] } {
  const premine = Array.from({ length: 3 }, () => ({ scriptHex: alice.scriptHex, valueSat: COIN_SAT }));
  const chain = new DevnetChain({ premine, coinbaseMaturity: 10 }, { clock: new ManualClock() });
  chain.generate(1);
  return { chain, coins: chain.utxos(alice.scriptHex).sort((a, b) => a.vout - b.vout) };
}

function spend(from: readonly Coins[], feeSat: bigint, version = 3, outputs = 1) {
  const totalSat = from.reduce((sum, { valueSat }) => sum + valueSat, 0n) - feeSat;
  const valueSat = totalSat / BigInt(outputs);
  const to = Array.from({ length: outputs }, () => ({ scriptHex: alice.scriptHex, valueSat }));
  const transaction = pay({ from, key: alice, to, version });
  const coin = (vout: number): Coins => ({ txid: transaction.getId(), vout, valueSat });
  return { transaction, hex: transaction.toHex(), txid: transaction.getId(), coin };
}

function reasonOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (error instanceof CodedError) return error.meta['reason'];
    throw error;
  }
  return undefined;
}

const waiting = (chain: DevnetChain): string[] => chain.mempoolEntries().map(({ txid }) => txid);

/** What a bitcoind says to the same is tested on a real one (`chain-node/mempool.node-test.ts`). */
describe('the mempool of the simulated chain', () => {
  it('takes a pair in place of another pair, when blocks earn more by it', () => {
    const { chain, coins } = setUp();
    const close = spend([coins[0]!], 200n);
    const pin = spend([close.coin(0)], 2_000n);
    chain.broadcast(close.hex);
    chain.broadcast(pin.hex);
    const parent = spend([coins[0]!], 150n, 3, 2);
    const poor = spend([parent.coin(0)], 2_000n);
    expect(reasonOf(() => chain.broadcastPackage([parent.hex, poor.hex]))).toMatch(/insufficient fee/);
    expect(waiting(chain)).toEqual([close.txid, pin.txid]);
    const rich = spend([parent.coin(0)], 4_000n);
    chain.broadcastPackage([parent.hex, rich.hex]);
    expect(waiting(chain)).toEqual([parent.txid, rich.txid]);
  });

  it('takes no parent of version 2 below the minimum, whatever its child pays', () => {
    const { chain, coins } = setUp();
    const parent = spend([coins[0]!], 5n, 2);
    const child = spend([parent.coin(0)], 5_000n, 2);
    expect(reasonOf(() => chain.broadcastPackage([parent.hex, child.hex]))).toMatch(/^min relay fee/);
    expect(waiting(chain)).toEqual([]);
  });

  it('takes a package only with all that must come before it', () => {
    const { chain, coins } = setUp();
    const other = spend([coins[1]!], 500n, 2);
    chain.broadcast(other.hex);
    const parent = spend([coins[0]!], 500n, 2);
    const child = spend([parent.coin(0), other.coin(0)], 5_000n, 2);
    const reason = reasonOf(() => chain.broadcastPackage([parent.hex, child.hex]));
    expect(reason).toBe('package-not-child-with-unconfirmed-parents');
    expect(waiting(chain)).toEqual([other.txid]);
  });

  it('has chains of 25, and none with a new parent that waits', () => {
    const { chain, coins } = setUp();
    let last = coins[0]!;
    for (let length = 1; length <= 25; length += 1) {
      const next = spend([last], 500n, 2);
      chain.broadcast(next.hex);
      last = next.coin(0);
    }
    expect(reasonOf(() => chain.broadcast(spend([last], 500n, 2).hex))).toBe('too-long-mempool-chain');
    const rival = spend([coins[1]!], 500n, 2);
    chain.broadcast(rival.hex);
    const adds = spend([coins[1]!, last], 9_000n, 2);
    expect(reasonOf(() => chain.broadcast(adds.hex))).toBe('too-long-mempool-chain');
  });

  it('lets no replacement spend what waits and what it replaces did not', () => {
    const { chain, coins } = setUp();
    const low = spend([coins[0]!], 500n, 2);
    chain.broadcast(low.hex);
    const adds = spend([coins[1]!], 500n, 2);
    chain.broadcast(adds.hex);
    const both = spend([coins[0]!, adds.coin(0)], 5_000n, 2);
    expect(reasonOf(() => chain.broadcast(both.hex))).toBe('replacement-adds-unconfirmed');
  });
});

describe('a fee diagram', () => {
  const chunk = (feeSat: bigint, vsize: number) => ({ feeSat, vsize });

  it('improves when it is nowhere below and somewhere above', () => {
    expect(improvesDiagram([chunk(100n, 100)], [chunk(101n, 100)])).toBe(true);
    expect(improvesDiagram([chunk(100n, 100)], [chunk(100n, 100)])).toBe(false);
    expect(improvesDiagram([chunk(100n, 100)], [chunk(300n, 400)])).toBe(false);
    expect(improvesDiagram([chunk(100n, 100)], [chunk(400n, 400)])).toBe(true);
    expect(improvesDiagram([chunk(50n, 50), chunk(50n, 200)], [chunk(90n, 150)])).toBe(false);
    expect(improvesDiagram([chunk(10n, 200)], [chunk(11n, 100)])).toBe(true);
  });
});
