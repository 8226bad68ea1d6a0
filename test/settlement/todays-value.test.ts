import { expect, it } from 'vitest';
import { hashValueMsatPerEh } from '../../src/base/price.ts';
import { targetOfCompact, workOfTarget } from '../../src/bitcoin/target.ts';
import type { ChainTip } from '../../src/chain/source.ts';
import { TodaysValue } from '../../src/settlement/todays-value.ts';
import { recorder } from '../chain/log-recorder.ts';

const BITS = 0x1d00ffff;
const HASHES = workOfTarget(targetOfCompact(BITS));

/** A chain whose block at a height pays 1,000 sats and its height. */
function stand() {
  let onTip: ((tip: ChainTip) => void) | undefined;
  let asked = 0;
  const chain = {
    watchTip: (listener: (tip: ChainTip) => void) => {
      onTip = listener;
      return () => {
        onTip = undefined;
      };
    },
    header: async (hash: string) => {
      asked += 1;
      const height = Number(hash);
      return {
        height,
        hash,
        previousHash: String(height - 1),
        timeSeconds: 0,
        bits: BITS,
        confirmations: 1,
      };
    },
    blockRewardSat: async (hash: string) => 1_000n + BigInt(hash),
  };
  const value = new TodaysValue({ chain: chain as never, log: recorder().log });
  const tip = async (height: number): Promise<bigint | undefined> => {
    onTip?.({ height, hash: String(height), timeSeconds: 0 });
    await new Promise((resolve) => setImmediate(resolve));
    return value.msatPerEh;
  };
  return { value, tip, asked: () => asked };
}

/** Of the 144 blocks below a height. */
const valueAt = (height: number): bigint =>
  hashValueMsatPerEh(144n * HASHES, 144n * 1_000n + (144n * BigInt(2 * height - 145)) / 2n);

it('is that of the newest day with six confirmations, read once', async () => {
  const { value, tip, asked } = stand();
  value.start();
  expect([await tip(100), asked()]).toEqual([undefined, 0]);
  // The last block before height 288 is 287; its sixth confirmation is the tip at 292.
  expect(await tip(291)).toBe(valueAt(144));
  const read = asked();
  expect([await tip(291), asked()]).toEqual([valueAt(144), read]);
  expect(await tip(292)).toBe(valueAt(288));
  value.stop();
  expect(await tip(500)).toBe(valueAt(288));
});
