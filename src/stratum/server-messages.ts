import { fromHex, isHex, toHex, u32hex } from '../base/bytes.ts';
import { CodedError, type ErrorCode, stratumNumber } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { swapWords } from '../bitcoin/header.ts';
import {
  asciiJson,
  type Envelope,
  parseEnvelope,
  parsePositive,
  parseU32Hex,
  type RawId,
} from './envelope.ts';

/** `mining.notify`. Byte strings as they are hashed: the word swap of prevhash is undone. */
export type NotifyMessage = {
  readonly kind: 'notify';
  readonly jobId: string;
  /** Internal order. */
  readonly prevHash: Uint8Array;
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly version: number;
  readonly bits: number;
  readonly time: number;
  readonly clean: boolean;
};

/** An error in any of the shapes the field sends; `code` is undefined where there is none. */
export type StratumError = { readonly code?: number; readonly message: string };

export type ResponseMessage = {
  readonly kind: 'response';
  readonly id: RawId;
  readonly result: unknown;
  readonly error?: StratumError;
};

/** What a pool sends (`stratum.md` 1.3), and what we send to an ASIC. */
export type ServerMessage =
  | NotifyMessage
  | ResponseMessage
  | { readonly kind: 'set_difficulty'; readonly difficulty: number }
  | { readonly kind: 'set_extranonce'; readonly extranonce1: Uint8Array; readonly extranonce2Size: number }
  | { readonly kind: 'set_version_mask'; readonly mask: number }
  | {
      readonly kind: 'reconnect';
      readonly host?: string;
      readonly port?: number;
      readonly waitSeconds?: number;
    }
  | { readonly kind: 'show_message'; readonly text: string }
  | { readonly kind: 'get_version'; readonly id: RawId }
  | { readonly kind: 'ping'; readonly id: RawId }
  | { readonly kind: 'unknown_method'; readonly id: RawId; readonly method: string }
  | { readonly kind: 'malformed'; readonly id: RawId; readonly detail: string };

/** One line of a server. Never throws: what cannot be understood is `malformed`. */
export function parseServerLine(text: string): ServerMessage {
  let id: RawId = 'null';
  try {
    const envelope = parseEnvelope(text);
    id = envelope.id;
    return messageOf(envelope);
  } catch (error) {
    if (error instanceof CodedError) return { kind: 'malformed', id, detail: error.message };
    throw error;
  }
}

function messageOf(envelope: Envelope): ServerMessage {
  const { id, method, params } = envelope;
  switch (method) {
    case undefined:
      return responseOf(envelope);
    case 'mining.notify':
      return notifyOf(params);
    case 'mining.set_difficulty': {
      const difficulty = parsePositive(params[0]);
      if (difficulty === undefined) throw new CodedError('malformed', 'difficulty must be positive');
      return { kind: 'set_difficulty', difficulty };
    }
    case 'mining.set_extranonce':
      return { kind: 'set_extranonce', ...extranonceOf(params[0], params[1]) };
    case 'mining.set_version_mask': {
      const mask = parseU32Hex(params[0]);
      if (mask === undefined) throw new CodedError('malformed', 'version mask must be hex');
      return { kind: 'set_version_mask', mask };
    }
    case 'client.reconnect':
      return reconnectOf(params);
    case 'client.show_message':
      return { kind: 'show_message', text: String(params[0] ?? '').slice(0, 500) };
    case 'client.get_version':
      return { kind: 'get_version', id };
    case 'mining.ping':
      return { kind: 'ping', id };
    default:
      return { kind: 'unknown_method', id, method: method.slice(0, 80) };
  }
}

function responseOf({ id, record }: Envelope): ResponseMessage {
  if (!Object.hasOwn(record, 'result') && !Object.hasOwn(record, 'error')) {
    throw new CodedError('malformed', 'neither a method nor a result');
  }
  const result = record['result'] ?? null;
  const error = errorOf(record['error'], record['reject-reason']);
  return error === undefined ? { kind: 'response', id, result } : { kind: 'response', id, result, error };
}

/**
 * `[code,"text",null]`, `{code,message}`, a bare string, string codes, ckpool's `reject-reason` beside a
 * false result.
 */
function errorOf(error: unknown, rejectReason: unknown): StratumError | undefined {
  if (error === undefined || error === null || error === false) {
    return typeof rejectReason === 'string' ? { message: rejectReason.slice(0, 500) } : undefined;
  }
  if (Array.isArray(error)) return errorFrom(error[0], error[1]);
  if (isRecord(error)) return errorFrom(error['code'], error['message']);
  return { message: textOf(error) };
}

function errorFrom(code: unknown, message: unknown): StratumError {
  const number = typeof code === 'string' && /^-?\d{1,6}$/.test(code) ? Number(code) : code;
  const text = textOf(message);
  return typeof number === 'number' && Number.isSafeInteger(number)
    ? { code: number, message: text }
    : { message: text };
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 500);
}

function notifyOf(params: readonly unknown[]): NotifyMessage {
  const [jobId, prevHash, coinb1, coinb2, branches, version, bits, time, clean] = params;
  if (typeof jobId !== 'string' && typeof jobId !== 'number') {
    throw new CodedError('malformed', 'a job id is a string');
  }
  if (!Array.isArray(branches)) throw new CodedError('malformed', 'merkle branches are a list');
  return {
    kind: 'notify',
    jobId: String(jobId),
    prevHash: swapWords(hexField(prevHash, 'prevhash', 32)),
    coinb1: hexField(coinb1, 'coinb1'),
    coinb2: hexField(coinb2, 'coinb2'),
    branches: branches.map((branch: unknown) => hexField(branch, 'merkle branch', 32)),
    version: u32Field(version, 'version'),
    bits: u32Field(bits, 'nbits'),
    time: u32Field(time, 'ntime'),
    clean: clean === true,
  };
}

function hexField(value: unknown, name: string, size?: number): Uint8Array {
  if (!isHex(value, size)) throw new CodedError('malformed', `${name} is not hex of the right size`);
  return fromHex(value);
}

function u32Field(value: unknown, name: string): number {
  const parsed = parseU32Hex(value);
  if (parsed === undefined) throw new CodedError('malformed', `${name} is not a u32 in hex`);
  return parsed;
}

export type Extranonce = { readonly extranonce1: Uint8Array; readonly extranonce2Size: number };

/** Sizes up to 32 bytes: anything larger would not fit a coinbase script beside the height. */
function extranonceOf(extranonce1: unknown, size: unknown): Extranonce {
  const bytes = hexField(extranonce1, 'extranonce1');
  const sizeNumber = typeof size === 'number' ? size : Number.NaN;
  if (bytes.length > 32 || !Number.isInteger(sizeNumber) || sizeNumber < 0 || sizeNumber > 32) {
    throw new CodedError('malformed', 'extranonce sizes are 0 to 32 bytes');
  }
  return { extranonce1: bytes, extranonce2Size: sizeNumber };
}

function reconnectOf(params: readonly unknown[]): ServerMessage {
  const [host, port, wait] = params;
  const portNumber = Number(port);
  return {
    kind: 'reconnect',
    ...(typeof host === 'string' && host !== '' ? { host } : {}),
    ...(port !== undefined && Number.isInteger(portNumber) && portNumber > 0 && portNumber < 65_536
      ? { port: portNumber }
      : {}),
    ...(typeof wait === 'number' && wait >= 0 ? { waitSeconds: wait } : {}),
  };
}

export type SubscribeResult = Extranonce & { readonly sessionId?: string };

/**
 * The result of `mining.subscribe`: `[[["mining.notify","<session>"]],"<extranonce1>",<size>]`. Throws
 * `malformed`.
 */
export function parseSubscribeResult(result: unknown): SubscribeResult {
  if (!Array.isArray(result) || result.length < 3) {
    throw new CodedError('malformed', 'a subscribe result has three elements');
  }
  const [subscriptions, extranonce1, size] = result as readonly unknown[];
  const sessionId = sessionIdOf(subscriptions);
  const extranonce = extranonceOf(extranonce1, size);
  return sessionId === undefined ? extranonce : { ...extranonce, sessionId };
}

/** Also the flat form `["mining.notify","<session>"]` of old pools. */
function sessionIdOf(subscriptions: unknown): string | undefined {
  if (!Array.isArray(subscriptions)) return undefined;
  const pairs = (Array.isArray(subscriptions[0]) ? subscriptions : [subscriptions]) as readonly unknown[];
  for (const pair of pairs) {
    if (Array.isArray(pair) && pair[0] === 'mining.notify' && typeof pair[1] === 'string') return pair[1];
  }
  return undefined;
}

/**
 * The version mask granted by the result of `mining.configure`, cut to what was requested (AntPool has
 * answered more than it was asked); 0 when version rolling was refused.
 */
export function parseConfigureResult(result: unknown, requestedMask: number): number {
  if (!isRecord(result) || result['version-rolling'] !== true) return 0;
  const mask = parseU32Hex(result['version-rolling.mask']);
  return ((mask ?? 0) & requestedMask) >>> 0;
}

/** The line of `mining.notify`, newline included. */
export function printNotify(message: Omit<NotifyMessage, 'kind'>): string {
  const branches = message.branches.map((branch) => `"${toHex(branch)}"`).join(',');
  return (
    `{"id":null,"method":"mining.notify","params":[${asciiJson(message.jobId)},` +
    `"${toHex(swapWords(message.prevHash))}","${toHex(message.coinb1)}","${toHex(message.coinb2)}",` +
    `[${branches}],"${u32hex(message.version)}","${u32hex(message.bits)}","${u32hex(message.time)}",` +
    `${message.clean}]}\n`
  );
}

export function printSetDifficulty(difficulty: number): string {
  return `{"id":null,"method":"mining.set_difficulty","params":[${difficulty}]}\n`;
}

export function printSetVersionMask(mask: number): string {
  return `{"id":null,"method":"mining.set_version_mask","params":["${u32hex(mask)}"]}\n`;
}

export function printSetExtranonce(extranonce1: Uint8Array, extranonce2Size: number): string {
  const params = `["${toHex(extranonce1)}",${extranonce2Size}]`;
  return `{"id":null,"method":"mining.set_extranonce","params":${params}}\n`;
}

export function printReconnect(): string {
  return '{"id":null,"method":"client.reconnect","params":[]}\n';
}

export function printShowMessage(text: string): string {
  return `{"id":null,"method":"client.show_message","params":[${asciiJson(text)}]}\n`;
}

/** A reply without error. */
export function printResult(id: RawId, result: unknown): string {
  return `{"id":${id},"result":${asciiJson(result)},"error":null}\n`;
}

/** A reply `[code,"text",null]` with the Stratum number of the code. */
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

/** Prints any message but `malformed`: the inverse of `parseServerLine`. */
export function printServerMessage(message: Exclude<ServerMessage, { kind: 'malformed' }>): string {
  switch (message.kind) {
    case 'notify':
      return printNotify(message);
    case 'set_difficulty':
      return printSetDifficulty(message.difficulty);
    case 'set_extranonce':
      return printSetExtranonce(message.extranonce1, message.extranonce2Size);
    case 'set_version_mask':
      return printSetVersionMask(message.mask);
    case 'show_message':
      return printShowMessage(message.text);
    case 'reconnect': {
      const { host, port, waitSeconds } = message;
      const params = host === undefined ? [] : [host, port ?? 0, waitSeconds ?? 0];
      return `{"id":null,"method":"client.reconnect","params":${asciiJson(params)}}\n`;
    }
    case 'get_version':
      return `{"id":${message.id},"method":"client.get_version","params":[]}\n`;
    case 'ping':
      return `{"id":${message.id},"method":"mining.ping","params":[]}\n`;
    case 'unknown_method':
      return `{"id":${message.id},"method":${asciiJson(message.method)},"params":[]}\n`;
    case 'response':
      return printResponse(message);
  }
}

function printResponse({ id, result, error }: ResponseMessage): string {
  const printed =
    error === undefined
      ? 'null'
      : asciiJson(error.code === undefined ? error.message : [error.code, error.message, null]);
  return `{"id":${id},"result":${asciiJson(result)},"error":${printed}}\n`;
}
