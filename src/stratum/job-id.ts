/** The id of a job: unique for the life of a ledger, at most 2^53 - 1. */
export type JobId = number;

/** A job id on the wire, in evidence and between peers: lower-case hex without leading zeros. */
export function printJobId(id: JobId): string {
  return id.toString(16);
}

const JOB_ID = /^(?:0|[1-9a-f][0-9a-f]{0,13})$/;

/** The inverse of `printJobId`; undefined for anything else. */
export function parseJobId(text: unknown): JobId | undefined {
  if (typeof text !== 'string' || !JOB_ID.test(text)) return undefined;
  const id = Number.parseInt(text, 16);
  return Number.isSafeInteger(id) ? id : undefined;
}
