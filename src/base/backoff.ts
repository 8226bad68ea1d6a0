import type { Random } from './clock.ts';

export type Backoff = {
  /** The first delay. */
  readonly baseMs: number;
  readonly maxMs: number;
};

/**
 * The delay before attempt `attempt` (0 is the first retry): between half and all of `min(maxMs, baseMs *
 * 2^attempt)`, so that many proxies do not come back at the same moment.
 */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const ceiling = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(attempt, 30));
  const bytes = random.bytes(4);
  const fraction = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
  return ceiling / 2 + (ceiling / 2) * fraction;
}
