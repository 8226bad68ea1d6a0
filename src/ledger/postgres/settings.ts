import { CodedError } from '../../base/errors.ts';
import type { Row, Session } from './session.ts';

/** The oldest that still gets fixes at the end of 2026; numbered as `server_version_num`. */
const OLDEST_VERSION = 150_000;
/** What has to be as it is by default; other values lose commits or hide damage. */
const SAFE: Readonly<Record<string, readonly string[]>> = {
  fsync: ['on'],
  full_page_writes: ['on'],
  zero_damaged_pages: ['off'],
  server_encoding: ['UTF8'],
  synchronous_commit: ['on', 'remote_apply'],
};
const NAMES = ['server_version_num', 'server_version', 'synchronous_standby_names', ...Object.keys(SAFE)];

/**
 * The version of a server that keeps what it acknowledged, e.g. "15.18". Throws `ledger_version` and
 * `ledger_settings`, which say what to change.
 */
export async function checkSettings(session: Session, isSingle: boolean): Promise<string> {
  const columns = NAMES.map((name) => `current_setting('${name}') AS ${name}`).join(', ');
  const [row = {}] = await session.query(`SELECT ${columns}`);
  const problem = settingsProblem(row, isSingle);
  if (problem !== undefined) throw problem;
  return String(row['server_version']).split(' ')[0]!;
}

/** What makes a server unsafe; undefined for nothing. */
export function settingsProblem(row: Row, isSingle: boolean): CodedError | undefined {
  const version = Number(row['server_version_num']);
  if (!(version >= OLDEST_VERSION))
    return new CodedError('ledger_version', `PostgreSQL ${String(row['server_version'])}, below 15`);
  for (const [name, safe] of Object.entries(SAFE)) {
    const value = String(row[name]);
    if (!safe.includes(value))
      return new CodedError('ledger_settings', `PostgreSQL has ${name} = ${value}: set it to ${safe[0]}`);
  }
  if (!isSingle && String(row['synchronous_standby_names']).trim() === '')
    return new CodedError(
      'ledger_settings',
      'PostgreSQL has no synchronous_standby_names: name a standby, or set ledger.single_server where this one may be lost',
    );
  return undefined;
}
