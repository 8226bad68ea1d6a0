import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { shortIdOf } from '../../src/bitcoin/short-id.ts';
import type { TemplateTransaction } from '../../src/chain/block-template.ts';
import {
  nameTransactions,
  showTransactions,
  type TemplateAnswerDeps,
} from '../../src/miner/template-answers.ts';
import { JOB_KIND, jobDocument, jobDocumentId } from '../../src/work/evidence.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { madeOf, marked, offer } from '../maker/work-fixtures.ts';

const CONTRACT = 'ab'.repeat(32);
const job = madeOf({ id: 1, ...offer(1, 1), clean: false });

/** A transaction of so many hex digits. */
const transaction = (number: number, chars = 20): TemplateTransaction => ({
  txid: String(number).padStart(64, '0'),
  hex: String(number % 10).repeat(chars),
});

/** A miner whose node made the job with these transactions; undefined: with others. */
async function stand(
  transactions: readonly TemplateTransaction[] | undefined,
  newer: typeof transactions = transactions,
) {
  const ledger = new MemoryLedger();
  await ledger.append([
    { type: 'insert', kind: JOB_KIND, id: jobDocumentId(job.id), body: jobDocument(job) },
  ]);
  const unshown: number[] = [];
  const asked: string[] = [];
  let shown = transactions;
  let looks = 0;
  const deps: TemplateAnswerDeps = {
    ledger,
    templates: {
      transactionsOf: (branches) => {
        asked.push(branches.map(toHex).join());
        return shown;
      },
      lookSoon: async () => {
        looks += 1;
        shown = newer;
      },
    },
    onUnshown: (jobId) => void unshown.push(jobId),
  };
  return { deps, unshown, asked, looks: () => looks };
}

const names = (jobId = job.id): { contractId: string; jobId: number } => ({ contractId: CONTRACT, jobId });

describe('the transactions of a job', () => {
  it('are named by their short ids, as of its branches', async () => {
    const all = [transaction(1), transaction(2)];
    const { deps, unshown, asked } = await stand(all);
    expect(await nameTransactions(names(), deps)).toEqual({
      shortIds: all.map(({ txid }) => shortIdOf(txid)),
    });
    expect([asked, unshown]).toEqual([[toHex(marked(32, 9))], []]);
    const empty = await stand([]);
    expect(await nameTransactions(names(), empty.deps)).toEqual({ shortIds: [] });
  });

  it('are shown by their places, and a place beyond them is none', async () => {
    const { deps, unshown } = await stand([transaction(1), transaction(2), transaction(3)]);
    const show = (...places: number[]): Promise<unknown> => showTransactions({ ...names(), places }, deps);
    expect(await show(2, 0)).toEqual({ transactions: [transaction(3).hex, transaction(1).hex] });
    expect(await show()).toEqual({ transactions: [] });
    await expect(show(0, 3)).rejects.toThrow('protocol: no transaction has that place');
    expect(unshown).toEqual([]);
  });

  it('are shown as far as half a line goes, and one whatever its size', async () => {
    const half = LIMITS.peerLineBytes / 2;
    const show = async (...chars: number[]): Promise<number> => {
      const { deps } = await stand(chars.map((each, number) => transaction(number, each)));
      const places = chars.map((_, place) => place);
      return (await showTransactions({ ...names(), places }, deps)).transactions.length;
    };
    expect(await show(half - 20, 20, 20)).toBe(2);
    expect(await show(half - 20, 22, 20)).toBe(1);
    expect(await show(half + 2, 20)).toBe(1);
    expect(await show(half / 2, half / 4, half / 4, 2)).toBe(3);
  });

  it.each<[string, number, readonly TemplateTransaction[] | undefined]>([
    ['of another node', job.id, undefined],
    ['that is not known', job.id + 1, []],
  ])('are not shown for a job %s, which is told', async (_, jobId, transactions) => {
    const { deps, unshown } = await stand(transactions);
    await expect(nameTransactions(names(jobId), deps)).rejects.toThrow('unknown_job');
    await expect(showTransactions({ ...names(jobId), places: [] }, deps)).rejects.toThrow('unknown_job');
    expect(unshown).toEqual([jobId, jobId]);
  });

  it('are those of a template that the node had later than its pool', async () => {
    const all = [transaction(1), transaction(2)];
    const { deps, unshown, looks } = await stand(undefined, all);
    expect(await nameTransactions(names(), deps)).toEqual({
      shortIds: all.map(({ txid }) => shortIdOf(txid)),
    });
    expect(await showTransactions({ ...names(), places: [1] }, deps)).toEqual({
      transactions: [transaction(2).hex],
    });
    expect([unshown, looks()]).toEqual([[], 1]);
    // Who asks for a job that never was costs the node nothing.
    await expect(nameTransactions(names(job.id + 1), deps)).rejects.toThrow('unknown_job');
    expect(looks()).toBe(1);
  });

  it('are not shown without templates, be there someone to tell or not', async () => {
    const { deps } = await stand([]);
    await expect(nameTransactions(names(), { ledger: deps.ledger })).rejects.toThrow('unknown_job');
  });
});
