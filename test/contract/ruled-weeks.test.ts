import { describe, expect, it } from 'vitest';
import type { LogVerdict } from '../../src/contract/minute-ruling.ts';
import { seededRandom } from '../seed.ts';
import { tableShares } from './delivery-miners.ts';
import { mostByChance, type RuledContract, ruledContract } from './ruled-weeks.ts';

/** Of the sample: alpha and tolerance; the table's beta; minutes of a week, and of 24 blocks of cure. */
const ALPHA = 1e-3;
const TOLERANCE = 0.02;
const BETA = 0.01;
const [WEEK, CURE] = [10_080, 240];
const HONEST_MINUTES = 60;

describe('what an auditor rules on contract-weeks', () => {
  const random = seededRandom();
  const verdicts = (
    count: number,
    contractAt: (at: number) => RuledContract,
  ): Readonly<Record<LogVerdict, number>> => {
    const counts: Record<LogVerdict, number> = { miner: 0, maker: 0, none: 0, undecided: 0 };
    for (let at = 0; at < count; at += 1) counts[ruledContract(random, contractAt(at))] += 1;
    return counts;
  };
  const rateAt = (at: number): number => [6, 12, 20][at % 3]!;

  it('convicts honest miners, at the edge of the tolerance, in no more of them than alpha says', () => {
    const count = 9;
    const { miner, maker, none } = verdicts(count, (at) => ({
      ...{ sharesPerMinute: rateAt(at), minutes: WEEK, ratio: 1 - TOLERANCE },
    }));
    expect(miner).toBeLessThanOrEqual(mostByChance(count, ALPHA));
    expect([maker, none + miner]).toEqual([0, count]);
  });

  it.each([0.5, 0.8, 0.9])(
    'misses no more miners at %s than beta says, within three times the mean of the table and the cure',
    (ratio) => {
      const count = 24;
      const { miner, maker, undecided } = verdicts(count, (at) => {
        const sharesPerMinute = rateAt(at);
        const short = (3 * tableShares(ratio, TOLERANCE)) / sharesPerMinute;
        const minutes = Math.ceil(HONEST_MINUTES + short + CURE + 20);
        return { sharesPerMinute, minutes, ratio, fromMinute: HONEST_MINUTES };
      });
      expect(count - miner).toBeLessThanOrEqual(mostByChance(count, BETA));
      expect([maker, undecided]).toEqual([0, 0]);
    },
  );

  it('is undecided where the side that is short tells nothing, and convicts nobody honest by one teller', () => {
    const short = { sharesPerMinute: 12, minutes: 1440, ratio: 0.5, fromMinute: HONEST_MINUTES };
    expect(verdicts(6, () => ({ ...short, tellers: ['maker'] })).undecided).toBe(6);
    expect(verdicts(6, () => ({ ...short, tellers: ['miner'] })).miner).toBe(6);
    const honest = { sharesPerMinute: 12, minutes: 1440, ratio: 1 };
    for (const teller of ['miner', 'maker'] as const) {
      const { miner, maker } = verdicts(6, () => ({ ...honest, tellers: [teller] }));
      expect([miner, maker]).toEqual([0, 0]);
    }
  });

  it('knows what chance explains', () => {
    expect([mostByChance(500, 1e-3), mostByChance(36, 1e-3), mostByChance(24, 0.01)]).toEqual([6, 3, 5]);
    expect(mostByChance(1, 0.5)).toBe(1);
  });
});
