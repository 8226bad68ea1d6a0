import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxyStatus } from './proxy-status.ts';

/** What JSON makes of a status: bigints arrive as decimal strings. */
export type Wired<T> = T extends bigint
  ? string
  : T extends readonly (infer U)[]
    ? readonly Wired<U>[]
    : T extends object
      ? { readonly [K in keyof T]: Wired<T[K]> }
      : T;

/** The status page of a daemon on this machine; undefined while it does not answer. */
export async function readStatus(metricsUrl: string): Promise<Wired<ProxyStatus> | undefined> {
  try {
    const response = await fetch(`${metricsUrl}/api/v1/status`, { signal: AbortSignal.timeout(2_000) });
    return response.ok ? ((await response.json()) as Wired<ProxyStatus>) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * An administrative action; its token is read from the daemon's data directory. Throws when it is refused.
 */
export async function act(metricsUrl: string, dataDir: string, action: string): Promise<unknown> {
  const token = readFileSync(join(dataDir, 'api-token'), 'utf8').trim();
  const response = await fetch(`${metricsUrl}/api/v1/${action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`${action} was refused: ${await response.text()}`);
  return response.json();
}
