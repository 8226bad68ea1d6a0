import { withTimeout } from '../base/clock.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { ProxyStatus } from './proxy-status.ts';

const TIMEOUT_MS = 2_000;

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
    return await withTimeout(systemTimers, TIMEOUT_MS, async (signal) => {
      const response = await fetch(`${metricsUrl}/api/v1/status`, { signal });
      return response.ok ? ((await response.json()) as Wired<ProxyStatus>) : undefined;
    });
  } catch {
    return undefined;
  }
}
