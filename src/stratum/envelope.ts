import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';

/**
 * The JSON text of a message id: `7`, `"auth"`, `null`. Echoed so that a client finds the value it sent,
 * whatever its type; numbers beyond the safe integers keep their spelling.
 */
export type RawId = string;

/** Longest id text that is echoed; bfgminer's `"txlist<job>"` is the longest seen in the field. */
export const MAX_ID_CHARS = 64;

export type Envelope = {
  readonly id: RawId;
  readonly method?: string;
  readonly params: readonly unknown[];
  readonly record: Readonly<Record<string, unknown>>;
};

/**
 * The envelope of one line: a JSON object with an id that can be echoed. Throws `malformed`; tolerates
 * absent id and params.
 */
export function parseEnvelope(text: string): Envelope {
  const record = parseObject(text);
  const id = idText(record['id'], text);
  const method = record['method'];
  const params = record['params'];
  const list = Array.isArray(params) ? (params as readonly unknown[]) : [];
  return typeof method === 'string' ? { id, method, params: list, record } : { id, params: list, record };
}

const BRACES = /^[ \t\r\n]*\{[\s\S]*\}[ \t\r\n]*$/;

/** What cannot be an object is not parsed: an exception of the parser costs as much as ten shares. */
function parseObject(text: string): Record<string, unknown> {
  if (!BRACES.test(text)) throw new CodedError('malformed', 'not a JSON object');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CodedError('malformed', 'not JSON');
  }
  if (!isRecord(value)) throw new CodedError('malformed', 'not a JSON object');
  return value;
}

function idText(id: unknown, text: string): RawId {
  if (id === undefined || id === null) return 'null';
  if (typeof id === 'string') return short(asciiJson(id));
  if (typeof id !== 'number') throw new CodedError('malformed', 'id must be a number, a string or null');
  if (Number.isSafeInteger(id) && !Object.is(id, -0)) return String(id);
  return short(sourceOfId(text));
}

function short(id: string): string {
  if (id.length > MAX_ID_CHARS) throw new CodedError('malformed', `id exceeds ${MAX_ID_CHARS} characters`);
  return id;
}

/** The spelling of the top-level number `id`, by the source text that JSON.parse shows its reviver. */
function sourceOfId(text: string): string {
  const sources = new Map<unknown, string>();
  const reviver = function (this: unknown, key: string, value: unknown, context?: { source?: string }) {
    if (key === 'id' && context?.source !== undefined) sources.set(this, context.source);
    return value;
  };
  try {
    const root: unknown = JSON.parse(text, reviver);
    return sources.get(root) ?? 'null';
  } catch {
    throw new CodedError('malformed', 'nested too deep');
  }
}

/**
 * JSON text with everything outside ASCII escaped, so that what is written to a socket is one byte a
 * character.
 */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const U32_HEX = /^[0-9a-fA-F]{1,8}$/;

/**
 * A u32 from 1 to 8 hex digits, big-endian. Short forms are taken as padded left: NerdMiner does not pad
 * its nonce.
 * @returns undefined for anything else
 */
export function parseU32Hex(text: unknown): number | undefined {
  return typeof text === 'string' && U32_HEX.test(text) ? Number.parseInt(text, 16) : undefined;
}

/**
 * A positive finite number, also from a decimal string as some firmware sends it; undefined for anything
 * else.
 */
export function parsePositive(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number > 0 ? number : undefined;
}
