import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { call } from '../api/client.ts';
import type { Operation } from '../api/operation.ts';
import { WRITES, type Write, writeOperation } from '../api/operations.ts';
import { CodedError } from '../base/errors.ts';

const ACTION_TIMEOUT_MS = 10_000;

const ROWS: Readonly<Record<string, Write>> = { ...WRITES.proxy, ...WRITES.maker };
export type ActionName =
  | keyof typeof WRITES.proxy
  | keyof typeof WRITES.maker
  | keyof typeof WRITES.auditor;

/**
 * An administrative action; its token is read from the daemon's data directory. Throws `daemon_unreachable`
 * where nobody answers, `unauthorized`, `usage` for what does not fit, and what the daemon refused it with.
 */
export async function requestAction(
  metricsUrl: string,
  dataDir: string,
  action: ActionName,
  input?: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const operation = writeOperation(action, ROWS[action]!);
  const options = { timeoutMs: ACTION_TIMEOUT_MS, token: tokenIn(dataDir), onMisfit: () => {} };
  try {
    return await call(metricsUrl, operation, input === undefined ? {} : { body: input }, options);
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'bad_request') throw error;
    // To whoever typed it the schema is that of a command.
    throw new CodedError('usage', error.message.replace(/^bad_request: (?:body\.)?/, ''));
  }
}

/** What a daemon says when asked to, with the token of its data directory. Throws as `requestAction`. */
export function requestRead<O extends Operation>(metricsUrl: string, dataDir: string, operation: O) {
  const options = { timeoutMs: ACTION_TIMEOUT_MS, token: tokenIn(dataDir), onMisfit: () => {} };
  return call(metricsUrl, operation, {}, options);
}

/** The token of whoever may do everything. Throws `daemon_unreachable`. */
function tokenIn(dataDir: string): string {
  const file = join(dataDir, 'api-token');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CodedError('daemon_unreachable', `${file} cannot be read (${code}): it never ran here`);
  }
}
