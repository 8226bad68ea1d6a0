import { Transaction } from 'bitcoinjs-lib';
import { concat, equal, fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { sha256d } from '../base/hash.ts';
import { LIMITS } from '../base/limits.ts';
import { compactSize } from '../bitcoin/coinbase.ts';
import { serializeHeader } from '../bitcoin/header.ts';
import { merkleRootFromBranches } from '../bitcoin/merkle.ts';
import { shortIdOf } from '../bitcoin/short-id.ts';
import type { BlockMaking, TemplateTransaction } from '../chain/block-template.ts';
import { branchesOf } from '../chain/template-watch.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { JobRecord } from '../work/evidence.ts';

/** What came of a look at the whole block of a job. */
export type SampleResult =
  | { readonly type: 'good'; readonly transactions: readonly TemplateTransaction[] }
  /** Its block would be refused. */
  | { readonly type: 'bad'; readonly why: string }
  /** The own node could not judge, as where another block came. */
  | {
      readonly type: 'inconclusive';
      readonly why: string;
      /** The own node says that it builds on another block by now. */
      readonly isReplaced: boolean;
    };

type AskedMethod = 'work.template' | 'work.transactions';

export type SampleDeps = {
  readonly blocks: BlockMaking;
  /** Transactions that need no question to the node. */
  readonly known: () => readonly TemplateTransaction[];
  /** Asks the miner. Throws `CodedError` where it does not answer or refuses. */
  readonly ask: <M extends AskedMethod>(method: M, params: Params<M>) => Promise<Result<M>>;
  readonly clock: Clock;
  readonly timers: Timers;
};

const COMMITMENT_HEADER = fromHex('6a24aa21a9ed');
const WITNESS_NONCE = concat(Uint8Array.of(1, 32), new Uint8Array(32));
/** Questions to the own node at once. */
const NODE_QUESTIONS = 16;

/**
 * Looks at the whole block of a job: the miner names its transactions, those that the own mempool does not
 * have it shows, and the own node judges it. Throws `peer_timeout` where the miner's answers take longer than
 * `answerMs` in all, and what `ask` throws.
 */
export function sampleJob(
  contractId: string,
  job: JobRecord,
  answerMs: number,
  deps: SampleDeps,
): Promise<SampleResult> {
  const judged = (transactions: readonly TemplateTransaction[]): Promise<SampleResult> =>
    judge(job, transactions, deps.blocks);
  return withTransactions(contractId, job, answerMs, deps, judged, ({ type }) => type !== 'bad');
}

/**
 * Does something with the transactions of a job, as the miner names them: once with those that are here, and
 * where that is not good once more with all as the miner shows them. What is here under the same id may be
 * another transaction, or have another witness. Throws as `sampleJob`.
 */
export async function withTransactions<T>(
  contractId: string,
  job: JobRecord,
  answerMs: number,
  deps: SampleDeps,
  use: (transactions: readonly TemplateTransaction[]) => Promise<T>,
  isGood: (result: T) => boolean,
): Promise<T> {
  const asking = new Asking(contractId, job, answerMs, deps);
  const { shortIds } = await asking.template();
  const own = await nodeAnswer(() => ownTransactions(shortIds, deps));
  const none = shortIds.map(() => undefined);
  const result = await use(await asking.complete(shortIds, own ?? none));
  if (isGood(result) || own === undefined || own.every((each) => each === undefined)) return result;
  return use(await asking.complete(shortIds, none));
}

/** True where these are the transactions of a job, by its merkle branches. */
export function areOfJob(job: JobRecord, transactions: readonly TemplateTransaction[]): boolean {
  const branches = branchesOf(transactions.map(({ txid }) => txid));
  return (
    branches.length === job.branches.length &&
    branches.every((branch, index) => equal(branch, job.branches[index]!))
  );
}

/** The block of a job with these transactions, in hex. */
export function blockOf(
  job: JobRecord,
  solution: {
    readonly extranonce: Uint8Array;
    readonly ntime: number;
    readonly nonce: number;
    readonly version: number;
  },
  transactions: readonly TemplateTransaction[],
): string {
  const coinbase = concat(job.coinb1, solution.extranonce, job.coinb2);
  const header = serializeHeader({
    version: solution.version,
    prevHash: job.prevHash,
    merkleRoot: merkleRootFromBranches(sha256d(coinbase), job.branches),
    time: solution.ntime,
    bits: job.bits,
    nonce: solution.nonce,
  });
  const count = compactSize(transactions.length + 1);
  const bodies = transactions.map(({ hex }) => hex).join('');
  return `${toHex(header)}${toHex(count)}${toHex(withWitness(coinbase))}${bodies}`;
}

/** A coinbase that commits to witnesses has a nonce of zeros in its own (BIP141). */
function withWitness(coinbase: Uint8Array): Uint8Array {
  if (!Buffer.from(coinbase).includes(Buffer.from(COMMITMENT_HEADER))) return coinbase;
  const end = coinbase.length - 4;
  const parts = [coinbase.subarray(4, end), WITNESS_NONCE, coinbase.subarray(end)];
  return concat(coinbase.subarray(0, 4), Uint8Array.of(0, 1), ...parts);
}

async function judge(
  job: JobRecord,
  transactions: readonly TemplateTransaction[],
  blocks: BlockMaking,
): Promise<SampleResult> {
  if (!areOfJob(job, transactions))
    return { type: 'bad', why: 'its merkle branches are not those of the transactions shown' };
  const { version, time: ntime, extranonceSize } = job;
  const trial = { extranonce: new Uint8Array(extranonceSize), ntime, nonce: 0, version };
  const answer = await nodeAnswer(async () => ({
    fault: await blocks.proposalFault(blockOf(job, trial, transactions)),
  }));
  if (answer === undefined)
    return { type: 'inconclusive', why: 'the own node did not judge it', isReplaced: false };
  const { fault } = answer;
  if (fault === undefined) return { type: 'good', transactions };
  const why = `the own node says ${fault}`;
  if (!/^(inconclusive|duplicate)/.test(fault)) return { type: 'bad', why };
  return { type: 'inconclusive', why, isReplaced: fault.endsWith('not-best-prevblk') };
}

/** Undefined where the own node does not answer. */
async function nodeAnswer<T>(question: () => Promise<T>): Promise<T | undefined> {
  try {
    return await question();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return undefined;
  }
}

/** The transactions that are here, by their place. */
async function ownTransactions(
  shortIds: readonly string[],
  { known, blocks }: SampleDeps,
): Promise<readonly (TemplateTransaction | undefined)[]> {
  const here = byShortId(known(), ({ txid }) => txid);
  const isMissing = shortIds.some((id) => here.get(id) === undefined);
  const waiting = isMissing
    ? byShortId(await blocks.mempoolTxids(), (txid) => txid)
    : new Map<string, string>();
  const found = shortIds.map((id) => here.get(id));
  const wanted = found.flatMap((each, place) => {
    const txid = each === undefined ? waiting.get(shortIds[place]!) : undefined;
    return txid === undefined ? [] : [{ place, txid }];
  });
  while (wanted.length > 0) {
    await Promise.all(
      wanted.splice(0, NODE_QUESTIONS).map(async ({ place, txid }) => {
        const hex = await blocks.mempoolTransaction(txid);
        if (hex !== undefined) found[place] = { txid, hex };
      }),
    );
  }
  return found;
}

/** By short id; what two have is none of them. */
function byShortId<T>(values: readonly T[], txidOf: (value: T) => string): Map<string, T | undefined> {
  const found = new Map<string, T | undefined>();
  for (const value of values) {
    const id = shortIdOf(txidOf(value));
    found.set(id, found.has(id) ? undefined : value);
  }
  return found;
}

/** The questions of one sample, within one budget of time and bytes. */
class Asking {
  readonly #job: { readonly contractId: string; readonly jobId: number };
  readonly #deps: SampleDeps;
  #leftMs: number;
  #leftBytes = 2 * LIMITS.templateBytes;

  constructor(contractId: string, { id: jobId }: JobRecord, answerMs: number, deps: SampleDeps) {
    this.#job = { contractId, jobId };
    this.#deps = deps;
    this.#leftMs = answerMs;
  }

  template(): Promise<Result<'work.template'>> {
    return this.#ask('work.template', this.#job);
  }

  /** The time of the own node between two questions is not the miner's. */
  async #ask<M extends AskedMethod>(method: M, params: Params<M>): Promise<Result<M>> {
    const { ask, clock, timers } = this.#deps;
    const askedMs = clock.monotonicMs();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = timers.after(this.#leftMs, () =>
      reject(new CodedError('peer_timeout', 'the transactions of a job')),
    );
    try {
      return await Promise.race([ask(method, params), late]);
    } finally {
      timer.cancel();
      this.#leftMs = Math.max(0, this.#leftMs - (clock.monotonicMs() - askedMs));
    }
  }

  /** All transactions, those not given asked for. Throws `protocol` where others come. */
  async complete(
    shortIds: readonly string[],
    given: readonly (TemplateTransaction | undefined)[],
  ): Promise<readonly TemplateTransaction[]> {
    const all = [...given];
    let places = all.flatMap((each, place) => (each === undefined ? [place] : []));
    while (places.length > 0) {
      const { transactions } = await this.#ask('work.transactions', { ...this.#job, places });
      transactions.slice(0, places.length).forEach((hex, index) => {
        this.#leftBytes -= hex.length / 2;
        const transaction = parseTransaction(hex);
        const place = places[index]!;
        if (shortIdOf(transaction.txid) !== shortIds[place])
          throw new CodedError('protocol', 'another transaction than was asked for');
        all[place] = transaction;
      });
      if (this.#leftBytes < 0) throw new CodedError('protocol', 'more bytes than a block has');
      places = places.slice(transactions.length);
    }
    return all.map((each) => each!);
  }
}

/** Throws `protocol`. */
function parseTransaction(hex: string): TemplateTransaction {
  try {
    return { txid: Transaction.fromHex(hex).getId(), hex };
  } catch {
    throw new CodedError('protocol', 'no transaction');
  }
}
