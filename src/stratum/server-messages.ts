import { fromHex, isHex, toHex, u32hex } from '../base/bytes.ts';
import { CodedError, type ErrorCode, stratumNumber } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/text.ts';
import { swapWords } from '../bitcoin/header.ts';
import { targetOfCompact, targetOfDifficulty } from '../bitcoin/target.ts';
import { asciiJson, parsePositive, type RawId } from './envelope.ts';
import type { Extranonce } from './extranonce.ts';
import { parseVersionMask } from './version-rolling.ts';

/** Characters of any text an upstream sends that are kept for a log line or a reason. */
const TEXT_CHARS = 200;

/** Why an upstream said no. `code` is its number (20 to 25 in the field), undefined when it gave none. */
export type WireError = { readonly code: number | undefined; readonly text: string };

/** What `mining.notify` carries, in internal byte order. */
export type NotifyParams = {
  readonly jobId: string;
  readonly prevHash: Uint8Array;
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly version: number;
  readonly bits: number;
  readonly time: number;
  readonly clean: boolean;
};

/** One line from a pool or node. */
export type ServerMessage =
  | {
      readonly type: 'reply';
      readonly id: number | undefined;
      readonly result: unknown;
      readonly error: WireError | undefined;
    }
  | { readonly type: 'notify'; readonly job: NotifyParams }
  | { readonly type: 'difficulty'; readonly difficulty: number }
  | { readonly type: 'extranonce'; readonly extranonce: Extranonce }
  | { readonly type: 'versionMask'; readonly mask: number }
  | {
      readonly type: 'reconnect';
      readonly host: string | undefined;
      readonly port: number | undefined;
      readonly waitMs: number;
    }
  | { readonly type: 'message'; readonly text: string }
  | { readonly type: 'getVersion'; readonly id: RequestId }
  | { readonly type: 'ping'; readonly id: RequestId }
  | { readonly type: 'other'; readonly method: string };

/** The id of a request a server sends; echoed as it came. */
export type RequestId = number | string | null;

/**
 * Parses one line of a server, without its newline (`WIRE.md`). Every shape of error is folded into
 * `WireError`; unknown methods are `other`. Throws `malformed` for anything that is not Stratum v1.
 */
export function parseServerLine(line: Uint8Array): ServerMessage {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8'));
  } catch {
    throw malformed('not JSON');
  }
  if (!isRecord(value)) throw malformed('not a JSON object');
  const method = value['method'];
  if (typeof method === 'string') return parseCall(method, value['params'], requestId(value['id']));
  if (!('result' in value) && !('error' in value)) throw malformed('neither method nor result');
  return {
    type: 'reply',
    id: replyId(value['id']),
    result: value['result'],
    error: parseError(value['error'], value['reject-reason']),
  };
}

function parseCall(method: string, params: unknown, id: RequestId): ServerMessage {
  const list: readonly unknown[] = Array.isArray(params) ? params : [];
  switch (method) {
    case 'mining.notify':
      return { type: 'notify', job: parseNotify(list) };
    case 'mining.set_difficulty':
      return { type: 'difficulty', difficulty: parseDifficulty(list[0]) };
    case 'mining.set_extranonce':
      return { type: 'extranonce', extranonce: parseExtranonce(list[0], list[1]) };
    case 'mining.set_version_mask':
      return { type: 'versionMask', mask: parseMask(list[0]) };
    case 'client.reconnect':
      return parseReconnect(list);
    case 'client.show_message':
      return { type: 'message', text: cleanText(list[0]) };
    case 'client.get_version':
      return { type: 'getVersion', id };
    case 'mining.ping':
      return { type: 'ping', id };
    default:
      return { type: 'other', method: cleanText(method) };
  }
}

function parseNotify(params: readonly unknown[]): NotifyParams {
  const [jobId, prevHash, coinb1, coinb2, branches, version, bits, time, clean] = params;
  if (typeof jobId !== 'string' || jobId.length === 0 || jobId.length > LIMITS.upstreamJobIdChars)
    throw malformed('job id');
  if (!Array.isArray(branches) || branches.length > LIMITS.merkleBranches) throw malformed('branches');
  const job = {
    jobId,
    prevHash: swapWords(hexBytes(prevHash, 'prevhash', 32)),
    coinb1: hexBytes(coinb1, 'coinb1'),
    coinb2: hexBytes(coinb2, 'coinb2'),
    branches: branches.map((branch: unknown) => hexBytes(branch, 'branch', 32)),
    version: hexU32(version, 'version'),
    bits: hexU32(bits, 'nbits'),
    time: hexU32(time, 'ntime'),
    clean: parseClean(clean),
  };
  if (job.coinb1.length + job.coinb2.length > LIMITS.coinbaseBytes) throw malformed('coinbase too long');
  targetOfCompact(job.bits);
  return job;
}

/** Some pools leave it out or write a number; another prevhash ends earlier jobs whatever it says. */
function parseClean(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0) return false;
  if (value === true || value === 1) return true;
  throw malformed('clean_jobs');
}

/** A number, or the same as text. */
function parseDifficulty(value: unknown): number {
  const difficulty = parsePositive(value);
  if (difficulty === undefined) throw malformed('difficulty');
  if (targetOfDifficulty(difficulty) === 0n) throw malformed('difficulty beyond any hash');
  return difficulty;
}

/** `[extranonce1 hex, extranonce2 size]` of a subscribe result or `set_extranonce`. Throws `malformed`. */
export function parseExtranonce(extranonce1: unknown, extranonce2Size: unknown): Extranonce {
  const bytes = hexBytes(extranonce1, 'extranonce1');
  if (bytes.length > LIMITS.upstreamExtranonceBytes) throw malformed('extranonce1 too long');
  if (
    typeof extranonce2Size !== 'number' ||
    !Number.isInteger(extranonce2Size) ||
    extranonce2Size < 1 ||
    extranonce2Size > LIMITS.upstreamExtranonceBytes
  )
    throw malformed('extranonce2 size');
  return { extranonce1: bytes, extranonce2Size };
}

export type Subscription = Extranonce & {
  /** What a later `mining.subscribe` resumes this session by; undefined when the server gave none. */
  readonly sessionId: string | undefined;
};

/**
 * The result of `mining.subscribe`: `[subscriptions, extranonce1, extranonce2 size]`. Throws `malformed`.
 */
export function parseSubscribeResult(result: unknown): Subscription {
  if (!Array.isArray(result)) throw malformed('subscribe result');
  return { ...parseExtranonce(result[1], result[2]), sessionId: parseSessionId(result[0]) };
}

/** The id of the `mining.notify` subscription, or of the first; pairs come nested, or as one flat pair. */
function parseSessionId(subscriptions: unknown): string | undefined {
  if (!Array.isArray(subscriptions)) return undefined;
  const list: readonly unknown[] = subscriptions;
  const pairs = (typeof list[0] === 'string' ? [list] : list.slice(0, 8)).filter(isPair);
  const id = (pairs.find(([method]) => method === 'mining.notify') ?? pairs[0])?.[1];
  return id !== undefined && SESSION_ID.test(id) ? id : undefined;
}

function isPair(value: unknown): value is readonly [method: string, id: string] {
  return Array.isArray(value) && typeof value[0] === 'string' && typeof value[1] === 'string';
}

/** Printable, and as long as a job id may be. */
const SESSION_ID = /^[\x21-\x7e]{1,128}$/;

/**
 * The version mask a `mining.configure` result grants, undefined when it grants none (BIP310). Throws
 * `malformed` when it grants one that cannot be read.
 */
export function parseConfigureResult(result: unknown): number | undefined {
  if (!isRecord(result) || result['version-rolling'] !== true) return undefined;
  return parseMask(result['version-rolling.mask']);
}

function parseMask(value: unknown): number {
  const mask = parseVersionMask(value);
  if (mask === undefined) throw malformed('version mask');
  return mask;
}

function parseReconnect(params: readonly unknown[]): ServerMessage {
  const [host, port, wait] = params;
  const portNumber = decimal(port);
  const waitSeconds = decimal(wait);
  return {
    type: 'reconnect',
    host: typeof host === 'string' && host !== '' ? host.slice(0, 253) : undefined,
    port: Number.isInteger(portNumber) && portNumber > 0 && portNumber < 65_536 ? portNumber : undefined,
    waitMs: Number.isFinite(waitSeconds) && waitSeconds > 0 ? Math.min(waitSeconds, 3600) * 1000 : 0,
  };
}

/** A number, or decimal digits as text (ports and waits come as either); NaN for the rest. */
function decimal(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
}

function parseError(error: unknown, rejectReason: unknown): WireError | undefined {
  if (typeof rejectReason === 'string' && rejectReason !== '') {
    const inner = parseError(error, undefined);
    return { code: inner?.code, text: cleanText(rejectReason) };
  }
  if (error === undefined || error === null || error === false || error === '' || error === 0)
    return undefined;
  if (typeof error === 'string') return { code: undefined, text: cleanText(error) };
  if (Array.isArray(error)) {
    if (error.length === 0) return undefined;
    const code = errorCode(error[0]);
    const text = error.find((part, at) => typeof part === 'string' && (at > 0 || code === undefined));
    return { code, text: cleanText(text) };
  }
  if (isRecord(error)) return { code: errorCode(error['code']), text: cleanText(error['message']) };
  return { code: errorCode(error), text: '' };
}

function errorCode(value: unknown): number | undefined {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  return typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : undefined;
}

function requestId(id: unknown): RequestId {
  return typeof id === 'number' || (typeof id === 'string' && id.length <= TEXT_CHARS) ? id : null;
}

/** Our ids are integers; some servers give them back as strings. */
function replyId(id: unknown): number | undefined {
  if (id === undefined || id === null) return undefined;
  if (typeof id === 'number' && Number.isSafeInteger(id)) return id;
  if (typeof id === 'string' && /^\d{1,15}$/.test(id)) return Number(id);
  throw malformed('reply id');
}

/** What a line that makes no sense looked like, for a log. */
export function sampleOf(line: Uint8Array): string {
  return cleanText(Buffer.from(line.subarray(0, TEXT_CHARS)).toString('utf8'));
}

/** A bounded text without control characters; empty for anything but a string. */
function cleanText(value: unknown): string {
  return typeof value === 'string' ? printable(value.slice(0, TEXT_CHARS), ' ') : '';
}

function hexBytes(value: unknown, field: string, size?: number): Uint8Array {
  if (typeof value !== 'string' || value.length > 2 * LIMITS.coinbaseBytes || !isHex(value, size))
    throw malformed(field);
  return fromHex(value, size);
}

function hexU32(value: unknown, field: string): number {
  if (!isHex(value, 4)) throw malformed(field);
  return Number.parseInt(value, 16);
}

function malformed(what: string): CodedError {
  return new CodedError('malformed', `from upstream: ${what}`);
}

/** The line of `mining.notify`, newline included. */
export function printNotify(message: NotifyParams): string {
  const branches = message.branches.map((branch) => `"${toHex(branch)}"`).join(',');
  return (
    `{"id":null,"method":"mining.notify","params":[${asciiJson(message.jobId)},` +
    `"${toHex(swapWords(message.prevHash))}","${toHex(message.coinb1)}","${toHex(message.coinb2)}",` +
    `[${branches}],"${u32hex(message.version)}","${u32hex(message.bits)}","${u32hex(message.time)}",` +
    `${message.clean}]}\n`
  );
}

/** The line of `mining.set_difficulty`, newline included. */
export function printSetDifficulty(difficulty: number): string {
  return `{"id":null,"method":"mining.set_difficulty","params":[${difficulty}]}\n`;
}

/** The line of `mining.set_version_mask` (BIP310); the mask is a u32. */
export function printSetVersionMask(mask: number): string {
  return `{"id":null,"method":"mining.set_version_mask","params":["${u32hex(mask)}"]}\n`;
}

/** The line of `mining.set_extranonce`. */
export function printSetExtranonce({ extranonce1, extranonce2Size }: Extranonce): string {
  const params = `["${toHex(extranonce1)}",${extranonce2Size}]`;
  return `{"id":null,"method":"mining.set_extranonce","params":${params}}\n`;
}

/** The line of `client.reconnect`, to the same host and port. */
export function printReconnect(): string {
  return '{"id":null,"method":"client.reconnect","params":[]}\n';
}

/** The line of `client.get_version`; `id` is echoed by the answer. */
export function printGetVersion(id: RawId): string {
  return `{"id":${id},"method":"client.get_version","params":[]}\n`;
}

/** The line of `mining.ping`. */
export function printPing(id: RawId): string {
  return `{"id":${id},"method":"mining.ping","params":[]}\n`;
}

/** The line of `client.show_message`. */
export function printShowMessage(text: string): string {
  return `{"id":null,"method":"client.show_message","params":[${asciiJson(text)}]}\n`;
}

/** The line of a reply without error. */
export function printResult(id: RawId, result: unknown): string {
  return `{"id":${id},"result":${asciiJson(result)},"error":null}\n`;
}

/** The line of a reply with the error `[code,"text",null]`, with the Stratum number of the code. */
export function printError(id: RawId, code: ErrorCode): string {
  return `{"id":${id}${errorSuffix(code)}`;
}

/** Everything of an error reply after the id: prebuilt by the hot path. */
export function errorSuffix(code: ErrorCode): string {
  return `,"result":null,"error":[${stratumNumber(code)},"${errorText(code)}",null]}\n`;
}

/** Everything of the reply `true` after the id. */
export const TRUE_SUFFIX = ',"result":true,"error":null}\n';

/** What an ASIC shows its owner: the code in words, `low difficulty`. */
function errorText(code: ErrorCode): string {
  return code.replaceAll('_', ' ');
}
