import { CodedError } from '../base/errors.ts';
import { targetOfCompact, workOfTarget } from '../bitcoin/target.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, decimal, integer, object } from '../peer/codec.ts';
import { bodyOf, LUCK_KIND, parseBody } from '../settlement/records.ts';
import { meets } from '../shares/rules.ts';
import { type ShareTarget, wordsOfTarget } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';
import { expectedOf, type LuckCount, NO_LUCK, withLuck } from '../work/luck.ts';
import type { ShareCases } from './share-cases.ts';

const countCodec = object({
  solutions: ['solutions', integer(0, Number.MAX_SAFE_INTEGER)],
  expectedAtto: ['expected_atto', decimal],
});

const luckCodec = object({
  version: ['version', integer(1, 1)],
  /** Blocks among the credited shares, by the bits of their jobs. */
  block: ['block', countCodec],
  /** Shares that meet the target of the maker's own upstream, where the jobs come from there. */
  upstream: ['upstream', countCodec],
});
/** The record of a contract's luck, over its credited shares. */
export type ContractLuck = CodecValue<typeof luckCodec>;

export const NO_CONTRACT_LUCK: ContractLuck = { version: 1, block: NO_LUCK, upstream: NO_LUCK };

/** The ledger entry of a contract's luck. */
export function luckEntry(contractId: string, luck: ContractLuck): LedgerEntry {
  return { type: 'put', kind: LUCK_KIND, id: contractId, body: bodyOf(luckCodec, luck) };
}

/** Loads the luck of a contract; none before its first share. Throws `ledger_corrupt`. */
export async function loadLuck(ledger: Ledger, contractId: string): Promise<ContractLuck> {
  const body = await ledger.get(LUCK_KIND, contractId);
  return body === undefined ? NO_CONTRACT_LUCK : parseBody(LUCK_KIND, luckCodec, body);
}

/** The sum of two records. */
export function addLuck(luck: ContractLuck, more: ContractLuck): ContractLuck {
  return {
    version: 1,
    block: withLuck(luck.block, more.block),
    upstream: withLuck(luck.upstream, more.upstream),
  };
}

/** A target that a share may solve. */
type Solution = {
  readonly words: Uint32Array;
  readonly workHashes: bigint;
};

type JobSolutions = { readonly block: Solution | undefined; readonly upstream: Solution | undefined };

/**
 * The luck of newly credited shares, which are those without a code.
 * @param upstreamTarget the target of the own upstream of a job; undefined where it has none
 */
export function luckOfShares(
  cases: ShareCases,
  upstreamTarget: (job: JobRecord) => bigint | undefined,
): ContractLuck {
  const solutions = new Map<JobRecord, JobSolutions>();
  const block = { ...NO_LUCK };
  const upstream = { ...NO_LUCK };
  const solutionsOf = (job: JobRecord): JobSolutions => {
    const known = solutions.get(job);
    if (known !== undefined) return known;
    const made = { block: solution(networkTarget(job)), upstream: solution(upstreamTarget(job)) };
    solutions.set(job, made);
    return made;
  };
  cases.eachRun((job, target, count) => {
    const of = solutionsOf(job!);
    expectOf(block, of.block, target, count);
    expectOf(upstream, of.upstream, target, count);
  });
  const { rows } = cases;
  for (let index = 0; index < cases.length; index += 1) {
    if (!cases.isGood(index)) continue;
    const of = solutionsOf(cases.jobs[index]!);
    const at = rows.hashAt(index);
    if (of.block !== undefined && meets(rows.body, at, of.block.words)) block.solutions += 1;
    if (of.upstream !== undefined && meets(rows.body, at, of.upstream.words)) upstream.solutions += 1;
  }
  return { version: 1, block, upstream };
}

function solution(target: bigint | undefined): Solution | undefined {
  if (target === undefined) return undefined;
  const workHashes = workOfTarget(target);
  return { words: wordsOfTarget(target), workHashes };
}

/** The network's target by the bits of a job; undefined for bits that are none. */
function networkTarget({ bits }: JobRecord): bigint | undefined {
  try {
    return targetOfCompact(bits);
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

/** Adds what so many shares of a target let expect. */
function expectOf(
  luck: { -readonly [Key in keyof LuckCount]: LuckCount[Key] },
  solved: Solution | undefined,
  target: ShareTarget,
  count: number,
): void {
  if (solved === undefined) return;
  luck.expectedAtto += BigInt(count) * expectedOf(target.workHashes, solved.workHashes);
}
