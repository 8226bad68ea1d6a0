import { afterAll, beforeAll, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { RuleContext } from '../../src/devnet/chain/chain-rules.ts';
import { Mempool } from '../../src/devnet/chain/mempool.ts';
import { testKey } from '../devnet/wallets.ts';
import { Bank } from './bank.ts';
import { TestNode } from './node.ts';
import { RandomTransactions, type Step } from './random-transactions.ts';
import { describeOn, startNode } from './suite.ts';

const ROUNDS = 60;
const STEPS = 50;
const COINS = 12;
const COIN_SAT = 1_000_000n;
const KEY = testKey(77);

type Verdict = { readonly isTaken: boolean; readonly why: string };

/** Of an earlier run where `MEMPOOL_SEED` names one. */
function anySeed(): number {
  const given = process.env['MEMPOOL_SEED'];
  return given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
}

/** A mempool of ours on coins of a real chain. */
class Simulated {
  readonly #mempool = new Mempool({ minRelaySatPerKvb: 1_000n });
  readonly #context: RuleContext;

  constructor(game: RandomTransactions, height: number) {
    const script = fromHex(KEY.scriptHex);
    this.#context = {
      height,
      medianTime: 0,
      medianTimeAt: () => 0,
      coinbaseMaturity: 100,
      coin: (outpoint) => {
        const coin = game.coin(outpoint);
        if (coin === undefined) return this.#mempool.output(outpoint, height);
        return { valueSat: coin.valueSat, script, height: height - 1, coinbase: false, confirmed: true };
      },
    };
  }

  get txids(): string[] {
    return this.#mempool.entries().map(({ txid }) => txid);
  }

  take({ transactions: [first, second] }: Step): Verdict {
    const before = this.#mempool.size;
    try {
      if (second === undefined) this.#mempool.add(first!, this.#context);
      else this.#mempool.addPackage(first!, second, this.#context);
      const out = before + (second === undefined ? 1 : 2) - this.#mempool.size;
      return { isTaken: true, why: out === 0 ? 'taken' : 'taken, puts out others' };
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'tx_refused') throw error;
      return { isTaken: false, why: String(error.meta['reason']) };
    }
  }
}

/** What the node says before it is sent one, and does; packages it judges only by taking them. */
async function take(node: TestNode, { transactions }: Step): Promise<Verdict> {
  const hexes = transactions.map((transaction) => transaction.toHex());
  if (hexes.length > 1) {
    const answer = (await node.call('submitpackage', hexes, 0)) as { package_msg: string };
    return { isTaken: answer.package_msg === 'success', why: JSON.stringify(answer) };
  }
  const [verdict] = (await node.call('testmempoolaccept', hexes, 0)) as [
    { allowed: boolean; 'reject-reason'?: string },
  ];
  if (verdict.allowed) await node.call('sendrawtransaction', hexes[0], 0);
  return { isTaken: verdict.allowed, why: JSON.stringify(verdict) };
}

describeOn('bitcoind', 'the mempool of the simulated chain', () => {
  let node: TestNode;
  let bank: Bank;

  beforeAll(async () => {
    node = await startNode();
    bank = new Bank(node);
  });
  afterAll(() => node?.close());

  /** Returns how often each verdict was given. */
  async function play(seed: number): Promise<readonly string[]> {
    const payment = { scriptHex: KEY.scriptHex, valueSat: COIN_SAT };
    const coins = await bank.fund(Array.from({ length: COINS }, () => payment));
    const game = new RandomTransactions(seed, KEY, coins);
    const simulated = new Simulated(game, (await node.height()) + 1);
    const verdicts: string[] = [];
    for (let step = 0; step < STEPS; step += 1) {
      const next = game.next(simulated.txids);
      const ours = simulated.take(next);
      const theirs = await take(node, next);
      const at = `MEMPOOL_SEED=${seed}, step ${step}; here: ${ours.why}; there: ${theirs.why}`;
      expect(ours.isTaken, at).toBe(theirs.isTaken);
      expect(simulated.txids.toSorted(), at).toEqual((await node.mempool()).toSorted());
      const what = next.transactions.length === 1 ? 'alone' : 'package';
      verdicts.push(`${what}: ${ours.why.replace(/, [0-9].*/, '')}`);
    }
    await node.call('generateblock', TestNode.bankAddress, simulated.txids);
    expect(await node.mempool()).toEqual([]);
    return verdicts;
  }

  it(`judges ${ROUNDS * STEPS} random transactions and packages as a bitcoind does`, async () => {
    const seed = anySeed();
    process.stdout.write(`mempool: MEMPOOL_SEED=${seed}\n`);
    const counts = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const verdict of await play(seed + round)) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    }
    const sorted = [...counts].toSorted(([, a], [, b]) => b - a);
    process.stdout.write(`${sorted.map(([verdict, count]) => `${count} ${verdict}`).join('\n')}\n`);
  }, 180_000);
});
