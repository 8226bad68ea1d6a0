import type { ErrorCode } from '../../base/errors.ts';
import type { RawId } from '../../stratum/envelope.ts';
import { errorSuffix } from '../../stratum/server-messages.ts';

/** Everything a submit can be refused with. */
export type SubmitCode = Extract<
  ErrorCode,
  | 'malformed'
  | 'not_subscribed'
  | 'not_authorized'
  | 'unknown_job'
  | 'bad_extranonce2'
  | 'bad_ntime'
  | 'bad_version'
  | 'overload'
  | 'stale'
  | 'low_difficulty'
  | 'duplicate'
>;

/** Everything after the id of the reply to a refused submit, made once. */
export const ERROR_SUFFIXES: Readonly<Record<SubmitCode, string>> = {
  malformed: errorSuffix('malformed'),
  not_subscribed: errorSuffix('not_subscribed'),
  not_authorized: errorSuffix('not_authorized'),
  unknown_job: errorSuffix('unknown_job'),
  bad_extranonce2: errorSuffix('bad_extranonce2'),
  bad_ntime: errorSuffix('bad_ntime'),
  bad_version: errorSuffix('bad_version'),
  overload: errorSuffix('overload'),
  stale: errorSuffix('stale'),
  low_difficulty: errorSuffix('low_difficulty'),
  duplicate: errorSuffix('duplicate'),
};

/** How the line of an answer begins. */
export function idPrefix(id: number | RawId): string {
  return `{"id":${id}`;
}
