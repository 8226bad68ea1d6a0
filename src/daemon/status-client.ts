import { withTimeout } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemTimers } from '../base/system-timers.ts';
import { printable } from '../base/text.ts';
import type { ProxyStatus } from './proxy-status.ts';

const TIMEOUT_MS = 2_000;
/** For a person, who can wait, and another machine. */
const PATIENT_MS = 5_000;
/** A status of many miners is a few hundred KiB. */
const MAX_BYTES = 16 * 2 ** 20;

/** What JSON makes of a status: bigints arrive as decimal strings. */
export type Wired<T> = T extends bigint
  ? string
  : T extends readonly (infer U)[]
    ? readonly Wired<U>[]
    : T extends object
      ? { readonly [K in keyof T]: Wired<T[K]> }
      : T;

/** The status page of a proxy on this machine; undefined while it does not answer. */
export async function readStatus(metricsUrl: string): Promise<Wired<ProxyStatus> | undefined> {
  try {
    return (await askStatus(metricsUrl, TIMEOUT_MS)) as Wired<ProxyStatus>;
  } catch {
    return undefined;
  }
}

/** The status page of any daemon. Throws `daemon_unreachable`, which says what is there instead. */
export async function fetchStatus(metricsUrl: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await askStatus(metricsUrl, PATIENT_MS);
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError('daemon_unreachable', `${metricsUrl}: ${reasonOf(error)}`, {}, { cause: error });
  }
}

function askStatus(metricsUrl: string, timeoutMs: number): Promise<Readonly<Record<string, unknown>>> {
  return withTimeout(systemTimers, timeoutMs, async (signal) => {
    const response = await fetch(`${metricsUrl}/api/v1/status`, { signal, redirect: 'error' });
    const text = await boundedText(response);
    if (!response.ok) {
      const said = printable(text.slice(0, 120), ' ').trim();
      throw new CodedError('daemon_unreachable', `${metricsUrl} answers ${response.status}: ${said}`);
    }
    const status = jsonOf(text);
    if (isRecord(status) && typeof status['role'] === 'string') return status;
    throw new CodedError('daemon_unreachable', `what answers at ${metricsUrl} is no sharestream`);
  });
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return message;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  return code ?? (cause instanceof Error ? cause.message : message);
}
