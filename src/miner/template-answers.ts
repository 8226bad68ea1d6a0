import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { shortIdOf } from '../bitcoin/short-id.ts';
import type { TemplateTransaction } from '../chain/block-template.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Params, Result } from '../peer/messages.ts';
import { JOB_KIND, type JobRecord, jobDocumentId, parseJobDocument } from '../work/evidence.ts';

/** Hex digits of transactions in one answer: half of a line. */
const ANSWER_CHARS = LIMITS.peerLineBytes / 2;

export type TemplateAnswerDeps = {
  readonly ledger: Ledger;
  /** Templates of the own node; absent where the jobs are of another. */
  readonly templates?: Pick<TemplateWatch, 'transactionsOf' | 'lookSoon'>;
  /** A job that may not be on disk yet. */
  readonly jobOf?: (jobId: number) => Pick<JobRecord, 'branches'> | undefined;
  /** A job cannot be shown: the maker pays no more of it. */
  readonly onUnshown?: (jobId: number) => void;
};

/** Answers `work.template`. Throws `unknown_job` where no template of the own node is that of the job. */
export async function nameTransactions(
  asked: Params<'work.template'>,
  deps: TemplateAnswerDeps,
): Promise<Result<'work.template'>> {
  const transactions = await transactionsOf(asked.jobId, deps);
  return { shortIds: transactions.map(({ txid }) => shortIdOf(txid)) };
}

/** Answers `work.transactions`. Throws as `nameTransactions`, and `protocol` for a place beyond them. */
export async function showTransactions(
  { jobId, places }: Params<'work.transactions'>,
  deps: TemplateAnswerDeps,
): Promise<Result<'work.transactions'>> {
  const all = await transactionsOf(jobId, deps);
  const shown: string[] = [];
  let chars = 0;
  for (const place of places) {
    const transaction = all[place];
    if (transaction === undefined) throw new CodedError('protocol', 'no transaction has that place');
    chars += transaction.hex.length;
    if (shown.length > 0 && chars > ANSWER_CHARS) break;
    shown.push(transaction.hex);
  }
  return { transactions: shown };
}

async function transactionsOf(
  jobId: number,
  { ledger, templates, jobOf, onUnshown }: TemplateAnswerDeps,
): Promise<readonly TemplateTransaction[]> {
  const body = await ledger.get(JOB_KIND, jobDocumentId(jobId));
  const job = jobOf?.(jobId) ?? (body === undefined ? undefined : parseJobDocument(body));
  if (job !== undefined && templates !== undefined) {
    const found = templates.transactionsOf(job.branches);
    if (found !== undefined) return found;
    // A job may come sooner than the own template of it.
    await templates.lookSoon();
    const newer = templates.transactionsOf(job.branches);
    if (newer !== undefined) return newer;
  }
  onUnshown?.(jobId);
  throw new CodedError('unknown_job', 'no template of the own node is that of the job');
}
