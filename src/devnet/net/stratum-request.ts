import { isRecord } from '../../base/json.ts';

/** A request as a server gets it; `id` null and no parameters where there are none. */
export type StratumRequest = {
  readonly id: unknown;
  readonly method: string;
  readonly params: readonly unknown[];
};

/**
 * Undefined for what is no request.
 * @param strict takes only ids that are unsigned integers, and wants `params`
 */
export function parseStratumRequest(line: string, strict = false): StratumRequest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value['method'] !== 'string') return undefined;
  const { id = null, params } = value;
  if (strict) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) return undefined;
    if (params === undefined) return undefined;
  }
  return { id, method: value['method'], params: Array.isArray(params) ? params : [] };
}
