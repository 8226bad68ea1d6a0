import { expect, it } from 'vitest';
import { ChosenCoins } from '../../src/miner/chosen-coins.ts';

const COINS = [0, 1, 2].map((vout) => ({ txid: 'aa'.repeat(32), vout, valueSat: 1n, scriptHex: '' }));

/** As a wallet does: the first that is free, once its node has answered. */
async function firstFree(reserved: ReadonlySet<string>) {
  await Promise.resolve();
  const coin = COINS.find(({ txid, vout }) => !reserved.has(`${txid}:${vout}`));
  if (coin === undefined) throw new Error('no coin is free');
  return { inputs: [coin] } as unknown as Awaited<ReturnType<Parameters<ChosenCoins['choose']>[1]>>;
}

it('no two contracts choose the same coin, however close together they open', async () => {
  const chosen = new ChosenCoins();
  chosen.note('of an earlier run', { inputs: [COINS[0]!] as never });
  const [a, b] = await Promise.all([chosen.choose('a', firstFree), chosen.choose('b', firstFree)]);
  expect([a.inputs[0]!.vout, b.inputs[0]!.vout]).toEqual([1, 2]);
  await expect(chosen.choose('c', firstFree)).rejects.toThrow('no coin is free');
  // Its own is free for it, as where it has to choose again.
  expect((await chosen.choose('a', firstFree)).inputs[0]!.vout).toBe(1);
});
