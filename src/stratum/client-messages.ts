import { isHex, u32hex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { type Envelope, parseEnvelope, parsePositive, parseU32Hex, type RawId } from './envelope.ts';
import type { RequestId } from './server-messages.ts';

export type ConfigureRequest = {
  readonly type: 'configure';
  readonly id: RawId;
  /** As requested, in order; the reply answers each of them and nothing else. */
  readonly extensions: readonly string[];
  /** Undefined when the client names none, which means any bits. */
  readonly versionMask?: number;
  /** A number in BIP310, a string from some firmware and for Braidpool (8 hex digits). */
  readonly minBitCount?: number | string;
  readonly minimumDifficulty?: number;
};

/**
 * The parameters as text; `submit-parser.ts` gives them meaning. `versionBits` is absent without version
 * rolling.
 */
export type SubmitRequest = {
  readonly type: 'submit';
  readonly id: RawId;
  readonly worker: string;
  readonly jobId: string;
  readonly extranonce2: string;
  readonly ntime: string;
  readonly nonce: string;
  readonly versionBits?: string;
};

/** What an ASIC sends (`WIRE.md`), and what our upstream client sends to a pool. */
export type ClientRequest =
  | ConfigureRequest
  | SubmitRequest
  | {
      readonly type: 'subscribe';
      readonly id: RawId;
      readonly userAgent: string;
      readonly sessionId?: string;
    }
  | { readonly type: 'authorize'; readonly id: RawId; readonly worker: string; readonly password: string }
  | { readonly type: 'suggest_difficulty'; readonly id: RawId; readonly difficulty: number }
  | { readonly type: 'suggest_target'; readonly id: RawId; readonly target: bigint }
  | { readonly type: 'extranonce_subscribe'; readonly id: RawId }
  | { readonly type: 'multi_version'; readonly id: RawId; readonly versions: number }
  | { readonly type: 'get_transactions'; readonly id: RawId; readonly jobId: string }
  | { readonly type: 'get_version'; readonly id: RawId }
  | { readonly type: 'ping'; readonly id: RawId }
  | { readonly type: 'capabilities'; readonly id: RawId }
  /** An answer to a request of ours, ESP-Miner's `"method":"pong"` included. */
  | { readonly type: 'response'; readonly id: RawId; readonly result?: string }
  | { readonly type: 'unknown_method'; readonly id: RawId; readonly method: string }
  | { readonly type: 'malformed'; readonly id: RawId; readonly detail: string };

/**
 * One line of a client. Never throws: what cannot be understood is `malformed`, with its id when it has
 * one.
 */
export function parseClientLine(text: string): ClientRequest {
  let id: RawId = 'null';
  const stackTraceLimit = Error.stackTraceLimit;
  // A stack costs more than the rest of the line, and says nothing that the detail does not.
  Error.stackTraceLimit = 0;
  try {
    const envelope = parseEnvelope(text);
    id = envelope.id;
    return requestOf(envelope);
  } catch (error) {
    if (error instanceof CodedError) return { type: 'malformed', id, detail: error.message };
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function requestOf(envelope: Envelope): ClientRequest {
  const { id, method, params } = envelope;
  if (method === undefined) return responseOf(envelope);
  switch (method) {
    case 'mining.submit':
      return submitOf(id, params);
    case 'mining.configure':
      return configureOf(id, params);
    case 'mining.subscribe':
      return subscribeOf(id, params);
    case 'mining.authorize':
      return {
        type: 'authorize',
        id,
        worker: text(params[0], 'worker'),
        password: typeof params[1] === 'string' ? params[1] : '',
      };
    case 'mining.suggest_difficulty':
      return { type: 'suggest_difficulty', id, difficulty: difficulty(params[0]) };
    case 'mining.suggest_target':
      return { type: 'suggest_target', id, target: target(params[0]) };
    case 'mining.extranonce.subscribe':
      return { type: 'extranonce_subscribe', id };
    case 'mining.multi_version':
      return { type: 'multi_version', id, versions: difficulty(params[0]) };
    case 'mining.get_transactions':
    case 'mining.get_txnhashes':
      return { type: 'get_transactions', id, jobId: typeof params[0] === 'string' ? params[0] : '' };
    case 'client.get_version':
      return { type: 'get_version', id };
    case 'mining.ping':
      return { type: 'ping', id };
    case 'mining.capabilities':
      return { type: 'capabilities', id };
    case 'pong':
    case 'mining.pong':
      return { type: 'response', id };
    default:
      return callFormOf(id, method);
  }
}

function responseOf({ id, record }: Envelope): ClientRequest {
  if (!Object.hasOwn(record, 'result') && !Object.hasOwn(record, 'error')) {
    throw new CodedError('malformed', 'neither a method nor a result');
  }
  const { result } = record;
  return typeof result === 'string' ? { type: 'response', id, result } : { type: 'response', id };
}

const CALL_FORM = /^mining\.(suggest_difficulty|get_transactions)\((.{0,80})\)$/;

/** Old clients write the parameter into the method: `mining.suggest_difficulty(512)`. */
function callFormOf(id: RawId, method: string): ClientRequest {
  const match = CALL_FORM.exec(method);
  if (match === null) return { type: 'unknown_method', id, method: method.slice(0, 80) };
  if (match[1] === 'get_transactions') return { type: 'get_transactions', id, jobId: match[2]! };
  return { type: 'suggest_difficulty', id, difficulty: difficulty(match[2]) };
}

function submitOf(id: RawId, params: readonly unknown[]): SubmitRequest {
  if (params.length !== 5 && params.length !== 6) {
    throw new CodedError('malformed', `mining.submit has 5 or 6 parameters, got ${params.length}`);
  }
  const request = {
    type: 'submit',
    id,
    worker: text(params[0], 'worker'),
    jobId: text(params[1], 'job id'),
    extranonce2: text(params[2], 'extranonce2'),
    ntime: text(params[3], 'ntime'),
    nonce: text(params[4], 'nonce'),
  } as const;
  const bits = params[5];
  return bits === undefined || bits === null
    ? request
    : { ...request, versionBits: text(bits, 'version bits') };
}

function configureOf(id: RawId, params: readonly unknown[]): ConfigureRequest {
  const names = params[0];
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw new CodedError('malformed', 'mining.configure names its extensions in a list');
  }
  const options = isRecord(params[1]) ? params[1] : {};
  const mask = parseU32Hex(options['version-rolling.mask']);
  const count = options['version-rolling.min-bit-count'];
  const minimum = parsePositive(options['minimum-difficulty.value']);
  return {
    type: 'configure',
    id,
    extensions: names as readonly string[],
    ...(mask === undefined ? {} : { versionMask: mask }),
    ...(typeof count === 'number' || typeof count === 'string' ? { minBitCount: count } : {}),
    ...(minimum === undefined ? {} : { minimumDifficulty: minimum }),
  };
}

function subscribeOf(id: RawId, params: readonly unknown[]): ClientRequest {
  const [agent, session] = params;
  const userAgent = typeof agent === 'string' ? agent : '';
  return typeof session === 'string'
    ? { type: 'subscribe', id, userAgent, sessionId: session }
    : { type: 'subscribe', id, userAgent };
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new CodedError('malformed', `${name} must be a string`);
  return value;
}

function difficulty(value: unknown): number {
  const parsed = parsePositive(value);
  if (parsed === undefined) throw new CodedError('malformed', 'expected a positive number');
  return parsed;
}

/** 64 hex digits, big-endian. */
function target(value: unknown): bigint {
  if (!isHex(value, 32)) throw new CodedError('malformed', 'a target has 64 hex digits');
  const parsed = BigInt(`0x${value}`);
  if (parsed === 0n) throw new CodedError('malformed', 'target must not be zero');
  return parsed;
}

/** A request line with its newline. Ids are integers: Braidpool answers no other. */
export function printRequest(id: number, method: string, params: readonly unknown[]): string {
  return `${JSON.stringify({ id, method, params })}\n`;
}

/** The answer to a request a server sent, with its newline. */
export function printAnswer(id: RequestId, result: string): string {
  return `${JSON.stringify({ id, result, error: null })}\n`;
}

/**
 * `mining.submit`. `versionBits` is left out (five params) when version rolling was not negotiated.
 * @param workerJson the worker name, already as JSON text
 */
export function printSubmit(
  id: number,
  workerJson: string,
  share: {
    readonly jobId: string;
    readonly extranonce2: string;
    readonly ntime: number;
    readonly nonce: number;
  },
  versionBits: number | undefined,
): string {
  const sixth = versionBits === undefined ? '' : `,"${u32hex(versionBits)}"`;
  return (
    `{"id":${id},"method":"mining.submit","params":[${workerJson},${JSON.stringify(share.jobId)},` +
    `"${share.extranonce2}","${u32hex(share.ntime)}","${u32hex(share.nonce)}"${sixth}]}\n`
  );
}
