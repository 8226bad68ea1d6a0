import { type LogVerdict, ruleByLogs, type SignedLog } from '../../src/contract/minute-ruling.ts';
import type { MinuteReport, MinuteRole } from '../../src/contract/minutes.ts';
import type { SeededRandom } from '../sim/random.ts';
import { poisson } from './delivery-miners.ts';
import { deliveryTerms, FIRST_HEIGHT } from './minutes-stand.ts';

/** Contracts as an auditor has them: both logs of both sides, and what it rules by them. */

const SHARE = 2n ** 32n;
const FIRST_MINUTE = 28_000_000;
const SIDES = ['miner', 'maker'] as const;

export type RuledContract = {
  readonly sharesPerMinute: number;
  readonly minutes: number;
  /** The part of what is due that comes, and from which minute on; all that is due before. */
  readonly ratio: number;
  readonly fromMinute?: number;
  /** Which side tells the auditor; default: both. */
  readonly tellers?: readonly MinuteRole[];
};

/** What an auditor rules on one such contract of two sides that were there all the time. */
export function ruledContract(random: SeededRandom, contract: RuledContract): LogVerdict {
  const { sharesPerMinute, minutes, ratio, fromMinute = 0, tellers = SIDES } = contract;
  const reports: Record<MinuteRole, MinuteReport[]> = { miner: [], maker: [] };
  let workHashes = 0n;
  for (let at = 0; at < minutes; at += 1) {
    const mean = sharesPerMinute * (at < fromMinute ? 1 : ratio);
    workHashes += BigInt(poisson(random, mean)) * SHARE;
    const minute = FIRST_MINUTE + at;
    const height = FIRST_HEIGHT + Math.floor(at / 10);
    const report = { minute, height, workHashes, paidHashes: 0n, heard: minute - 1 };
    reports.miner.push({ ...report, says: 'delivering' });
    reports.maker.push({ ...report, says: 'taking' });
  }
  const logs = tellers.flatMap((teller) =>
    SIDES.map((role): SignedLog => ({ role, teller, reports: reports[role] })),
  );
  return ruleByLogs({ terms: deliveryTerms(sharesPerMinute), isCreditProven: false }, logs)!.verdict;
}

/**
 * The most that chance explains: of `count` contracts, each wrong with a probability of at most `rate`, more
 * than so many are wrong in less than one of a million runs (binomial).
 */
export function mostByChance(count: number, rate: number): number {
  let most = 0;
  let term = (1 - rate) ** count;
  let sum = term;
  while (1 - sum > 1e-6) {
    term *= ((count - most) / (most + 1)) * (rate / (1 - rate));
    most += 1;
    sum += term;
  }
  return most;
}
