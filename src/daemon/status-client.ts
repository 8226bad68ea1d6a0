import { ok } from '@oazapfts/runtime';
import { z } from 'zod';
import { apiFetch, type CallOptions, misfitOf } from '../api/client.ts';
import { BASE } from '../api/document.ts';
import type { Operation } from '../api/operation.ts';
import { READS } from '../api/operations.ts';
import { getStatus, type ProxyGetStatusAnswer } from '../api/status.client.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';

const TIMEOUT_MS = 2_000;
/** For a person, who can wait, and another machine. */
const PATIENT_MS = 5_000;

const { proxy, maker, auditor, watch } = READS;
const anyStatus = {
  ...proxy.getStatus,
  answer: z.discriminatedUnion(
    'role',
    [proxy, maker, auditor, watch].map(({ getStatus: { answer } }) => answer) as [
      typeof proxy.getStatus.answer,
      typeof maker.getStatus.answer,
      typeof auditor.getStatus.answer,
      typeof watch.getStatus.answer,
    ],
  ),
} as const satisfies Operation;

export type ProxyStatusAnswer = ProxyGetStatusAnswer;

/** The status of a proxy on this machine; undefined while it does not answer. */
export async function readStatus(metricsUrl: string): Promise<ProxyStatusAnswer | undefined> {
  try {
    return (await askStatus(metricsUrl, { timeoutMs: TIMEOUT_MS })) as ProxyStatusAnswer;
  } catch {
    return undefined;
  }
}

/**
 * The status of any daemon, also of another version: `onMisfit` hears what of it is not as ours. Throws
 * `daemon_unreachable`, which says what is there instead, and `unauthorized`.
 */
export async function fetchStatus(
  metricsUrl: string,
  options: { readonly token?: string | undefined; readonly onMisfit?: (why: string) => void } = {},
): Promise<Readonly<Record<string, unknown>>> {
  return await askStatus(metricsUrl, { timeoutMs: PATIENT_MS, ...options });
}

async function askStatus(
  url: string,
  { onMisfit, ...options }: Omit<CallOptions, 'onMisfit'> & { readonly onMisfit?: (why: string) => void },
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await ok(getStatus({}, { baseUrl: `${url}${BASE}`, fetch: apiFetch(url, options) }));
  const status: unknown = answer;
  if (!isRecord(status) || typeof status['role'] !== 'string')
    throw new CodedError('daemon_unreachable', `what answers at ${url} is no sharestream`);
  const why = misfitOf(url, anyStatus, status);
  if (why !== undefined) onMisfit?.(why);
  return answer;
}
