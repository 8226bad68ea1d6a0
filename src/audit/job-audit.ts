import type { ContractTerms } from '../contract/terms.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * Judges a job by itself, as far as evidence alone proves its binding: the fault of all its shares, undefined
 * when good. One implementation for each binding of the terms.
 */
export type JobAudit = (job: JobRecord) => ShareCode | undefined;

/**
 * The audit of the jobs of a contract. `payout` and `coinbase`: what the coinbase pays. `work`: that it is
 * the maker's own job is what the job set of each state says, which the maker signed; `bead` of profile
 * `spec`: what the coinbase commits to; other `bead` and `none`: that the coinbase is one.
 */
export function jobAuditOf(terms: ContractTerms): JobAudit {
  return (job) => checkJob(terms, job);
}
