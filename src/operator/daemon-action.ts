import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withTimeout } from '../base/clock.ts';
import { CodedError, ERROR_TABLE, type ErrorCode } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemTimers } from '../base/system-timers.ts';

const ACTION_TIMEOUT_MS = 10_000;

/**
 * An administrative action; its token is read from the daemon's data directory. Throws `daemon_unreachable`
 * where nobody answers or the token is not taken, and what the daemon refused it with.
 */
export async function requestAction(
  metricsUrl: string,
  dataDir: string,
  action: string,
  input?: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const body =
    input === undefined
      ? {}
      : { body: JSON.stringify(input), headers: { 'content-type': 'application/json' } };
  const ask = async (signal: AbortSignal): Promise<{ status: number; text: string }> => {
    const response = await fetch(`${metricsUrl}/api/v1/${action}`, {
      ...body,
      method: 'POST',
      headers: { ...body.headers, authorization: `Bearer ${readToken(dataDir)}` },
      signal,
    });
    return { status: response.status, text: await response.text() };
  };
  let reply: { readonly status: number; readonly text: string };
  try {
    reply = await withTimeout(systemTimers, ACTION_TIMEOUT_MS, ask);
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new CodedError('daemon_unreachable', `${metricsUrl} does not answer`, {}, { cause });
  }
  const { status, text } = reply;
  if (status < 200 || status > 299) throw refusalOf(action, status, text);
  return JSON.parse(text) as unknown;
}

function readToken(dataDir: string): string {
  const file = join(dataDir, 'api-token');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CodedError('daemon_unreachable', `${file} cannot be read (${code}): it never ran here`);
  }
}

function refusalOf(action: string, status: number, text: string): CodedError {
  let error: unknown;
  try {
    const reply: unknown = JSON.parse(text);
    error = isRecord(reply) ? reply['error'] : undefined;
  } catch {
    error = undefined;
  }
  const { code, message } = isRecord(error) ? error : {};
  if (typeof code === 'string' && typeof message === 'string' && Object.hasOwn(ERROR_TABLE, code)) {
    return new CodedError(code as ErrorCode, message.replace(`${code}: `, ''));
  }
  return new CodedError('daemon_unreachable', `${action} was refused with ${status}: ${text.trim()}`);
}
