import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../.ci/bitcoind-from-debian', import.meta.url));
const FETCH_TIMEOUT_MS = 10 * 60_000;

/** Puts a bitcoind in place unless `BITCOIND_PROGRAM` names one. Throws with what the script says. */
export function fetchBitcoind(): string {
  const given = process.env['BITCOIND_PROGRAM'];
  if (given !== undefined && given !== '') return given;
  const { status, error, stdout, stderr } = spawnSync(SCRIPT, [], {
    encoding: 'utf8',
    timeout: FETCH_TIMEOUT_MS,
  });
  if (status === 0) return stdout.trim();
  const why = error === undefined ? stderr : String(error);
  throw new Error(`no bitcoind; BITCOIND_PROGRAM=PATH names one of 28 or newer: ${why}`);
}
