import type { SubmitRequest } from './client-messages.ts';
import { MAX_ID_CHARS, type RawId } from './envelope.ts';

/** A field that is there but not what it should be. */
export const BAD_FIELD = -1;
/** Version bits that were not sent. */
export const NO_VERSION_BITS = -2;

/** Most bytes of extranonce2 that are decoded; more has no meaning here. */
export const MAX_EXTRANONCE2 = 16;

/**
 * The parameters of one `mining.submit`, parsed. One object is filled again for every line, so that a
 * share costs no allocation here; nothing of it may be kept but the numbers and the id.
 */
export class SubmitFields {
  /** The id for the reply: a safe integer as a number, anything else as JSON text. */
  id: number | RawId = 'null';
  /** The worker name in UTF-8: `workerBytes[workerStart, workerEnd)`. */
  workerBytes: Uint8Array = new Uint8Array(0);
  workerStart = 0;
  workerEnd = 0;
  /** The job id as a number; BAD_FIELD unless it is lower-case hex without leading zeros, as our ids are. */
  jobId = BAD_FIELD;
  /**
   * `extranonce2[0, extranonce2Size)`; the size is BAD_FIELD for odd length, other characters or too
   * many.
   */
  readonly extranonce2 = new Uint8Array(MAX_EXTRANONCE2);
  extranonce2Size = BAD_FIELD;
  /** u32 from 1 to 8 hex digits, or BAD_FIELD. */
  ntime = BAD_FIELD;
  nonce = BAD_FIELD;
  /** u32, BAD_FIELD or NO_VERSION_BITS. */
  versionBits = NO_VERSION_BITS;

  /** The worker has this name. @param wireName its UTF-8 bytes, each as one character */
  isWorker(wireName: string): boolean {
    const { workerBytes, workerStart } = this;
    const size = wireName.length;
    if (size !== this.workerEnd - workerStart) return false;
    for (let at = 0; at < size; at += 1) {
      if (wireName.charCodeAt(at) !== workerBytes[workerStart + at]) return false;
    }
    return true;
  }
}

const QUOTE = 0x22;
const COLON = 0x3a;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;
const MINUS = 0x2d;

const NIBBLES = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value += 1) {
  const digit = value.toString(16);
  NIBBLES[digit.charCodeAt(0)] = value;
  NIBBLES[digit.toUpperCase().charCodeAt(0)] = value;
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const ID_KEY = ascii('"id"');
const METHOD_KEY = ascii('"method"');
const PARAMS_KEY = ascii('"params"');
const NULL = ascii('null');
const METHOD = ascii('"mining.submit"');

/** Where a cursor stands after something that has not the common shape. */
const FAILED = -1;
const MAX_ID_DIGITS = 15;

/**
 * Reads `mining.submit` in the shapes firmware prints: the keys `id`, `method` and `params` once each in
 * any order, an id that is an integer, a plain string or null, and 5 or 6 plain ASCII strings.
 * @returns false when the line is anything else, which then takes the way through `JSON.parse`; `out` is
 * then undefined
 */
export function parseSubmitFast(bytes: Uint8Array, start: number, end: number, out: SubmitFields): boolean {
  let at = start;
  if (bytes[at] !== OPEN_BRACE) return false;
  let seen = 0;
  for (let key = 0; key < 3; key += 1) {
    at = skipSpaces(bytes, at + 1, end);
    const mark = bytes[at + 1];
    if (mark === 0x69 && at + ID_KEY.length < end && matches(bytes, at, ID_KEY)) {
      at = parseId(bytes, valueAfter(bytes, at + ID_KEY.length, end), end, out);
      seen |= 1;
    } else if (mark === 0x6d && at + METHOD_KEY.length < end && matches(bytes, at, METHOD_KEY)) {
      at = valueAfter(bytes, at + METHOD_KEY.length, end);
      if (at === FAILED || at + METHOD.length >= end || !matches(bytes, at, METHOD)) return false;
      at += METHOD.length;
      seen |= 2;
    } else if (mark === 0x70 && at + PARAMS_KEY.length < end && matches(bytes, at, PARAMS_KEY)) {
      at = parseParams(bytes, valueAfter(bytes, at + PARAMS_KEY.length, end), end, out);
      seen |= 4;
    } else return false;
    if (at === FAILED) return false;
    at = skipSpaces(bytes, at, end);
    if (at >= end || bytes[at] !== (key === 2 ? CLOSE_BRACE : COMMA)) return false;
  }
  return seen === 7 && skipSpaces(bytes, at + 1, end) === end;
}

function skipSpaces(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] === SPACE) at += 1;
  return at;
}

function matches(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index += 1) {
    if (bytes[at + index] !== expected[index]) return false;
  }
  return true;
}

/** The start of the value behind `:`. */
function valueAfter(bytes: Uint8Array, from: number, end: number): number {
  const at = skipSpaces(bytes, from, end);
  return at < end && bytes[at] === COLON ? skipSpaces(bytes, at + 1, end) : FAILED;
}

function parseId(bytes: Uint8Array, start: number, end: number, out: SubmitFields): number {
  if (start === FAILED || start >= end) return FAILED;
  const first = bytes[start]!;
  if (first === QUOTE) return parseStringId(bytes, start, end, out);
  if (first === NULL[0]) {
    if (start + NULL.length >= end || !matches(bytes, start, NULL)) return FAILED;
    out.id = 'null';
    return start + NULL.length;
  }
  return parseIntegerId(bytes, start, end, out);
}

function parseIntegerId(bytes: Uint8Array, start: number, end: number, out: SubmitFields): number {
  const negative = bytes[start] === MINUS;
  const digits = negative ? start + 1 : start;
  let at = digits;
  let value = 0;
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) {
    value = value * 10 + bytes[at]! - 0x30;
    at += 1;
  }
  const count = at - digits;
  if (count === 0 || count > MAX_ID_DIGITS) return FAILED;
  if (bytes[digits] === 0x30 && (count > 1 || negative)) return FAILED;
  out.id = negative ? -value : value;
  return at;
}

function parseStringId(bytes: Uint8Array, start: number, end: number, out: SubmitFields): number {
  const close = closingQuote(bytes, start + 1, end);
  if (close === FAILED || close + 1 - start > MAX_ID_CHARS) return FAILED;
  let id = '';
  for (let at = start; at <= close; at += 1) id += String.fromCharCode(bytes[at]!);
  out.id = id;
  return close + 1;
}

/** The end of a string of printable ASCII without escapes. */
function closingQuote(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end; at += 1) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH || byte < SPACE || byte > 0x7e) return FAILED;
  }
  return FAILED;
}

function parseParams(bytes: Uint8Array, start: number, end: number, out: SubmitFields): number {
  if (start === FAILED || bytes[start] !== OPEN_BRACKET) return FAILED;
  let at = start;
  out.versionBits = NO_VERSION_BITS;
  for (let index = 0; index < 6; index += 1) {
    at = skipSpaces(bytes, at + 1, end);
    if (at >= end || bytes[at] !== QUOTE) return FAILED;
    const close = closingQuote(bytes, at + 1, end);
    if (close === FAILED) return FAILED;
    setField(index, bytes, at + 1, close, out);
    at = skipSpaces(bytes, close + 1, end);
    if (at >= end) return FAILED;
    if (bytes[at] === CLOSE_BRACKET) return index >= 4 ? at + 1 : FAILED;
    if (bytes[at] !== COMMA) return FAILED;
  }
  return FAILED;
}

function setField(index: number, bytes: Uint8Array, start: number, end: number, out: SubmitFields): void {
  switch (index) {
    case 0:
      out.workerBytes = bytes;
      out.workerStart = start;
      out.workerEnd = end;
      return;
    case 1:
      out.jobId = jobIdFrom(bytes, start, end);
      return;
    case 2:
      out.extranonce2Size = decodeHex(bytes, start, end, out.extranonce2);
      return;
    case 3:
      out.ntime = u32From(bytes, start, end);
      return;
    case 4:
      out.nonce = u32From(bytes, start, end);
      return;
    default:
      out.versionBits = u32From(bytes, start, end);
  }
}

/** Thirteen hex digits are 52 bits: all exact in a double. */
function jobIdFrom(bytes: Uint8Array, start: number, end: number): number {
  const size = end - start;
  if (size === 0 || size > 13 || (bytes[start] === 0x30 && size > 1)) return BAD_FIELD;
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at]!;
    const nibble = NIBBLES[byte]!;
    if (nibble < 0 || (byte >= 0x41 && byte <= 0x46)) return BAD_FIELD;
    value = value * 16 + nibble;
  }
  return value;
}

function u32From(bytes: Uint8Array, start: number, end: number): number {
  const size = end - start;
  if (size === 0 || size > 8) return BAD_FIELD;
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const nibble = NIBBLES[bytes[at]!]!;
    if (nibble < 0) return BAD_FIELD;
    value = (value << 4) | nibble;
  }
  return value >>> 0;
}

function decodeHex(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  const size = (end - start) >> 1;
  if (((end - start) & 1) !== 0 || size > MAX_EXTRANONCE2) return BAD_FIELD;
  for (let index = 0; index < size; index += 1) {
    const high = NIBBLES[bytes[start + 2 * index]!]!;
    const low = NIBBLES[bytes[start + 2 * index + 1]!]!;
    if (high < 0 || low < 0) return BAD_FIELD;
    out[index] = (high << 4) | low;
  }
  return size;
}

/** The same fields from a request that went through `JSON.parse`. */
export function fillSubmitFields(request: SubmitRequest, out: SubmitFields): void {
  const { id, worker, jobId, extranonce2, ntime, nonce, versionBits } = request;
  out.id = INTEGER.test(id) ? Number(id) : id;
  out.versionBits = NO_VERSION_BITS;
  const texts = [worker, jobId, extranonce2, ntime, nonce];
  if (versionBits !== undefined) texts.push(versionBits);
  for (let index = 0; index < texts.length; index += 1) {
    const bytes = Buffer.from(texts[index]!, 'utf8');
    setField(index, bytes, 0, bytes.length, out);
  }
}

/** Integers whose decimal text is their only spelling. */
const INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/;
