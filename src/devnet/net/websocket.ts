import * as crypto from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** The server's side of a WebSocket (RFC 6455): text messages only, no extensions. */
export type WebSocketPeer = {
  readonly closed: boolean;
  /** Sends a text message. Returns false when bytes wait: ask again after `onDrain`. */
  send(text: string): boolean;
  ping(): void;
  /** Says goodbye with a close code and ends the connection. */
  close(code: number): void;
};

export type WebSocketHandlers = {
  readonly onText: (text: string) => void;
  readonly onDrain: () => void;
  readonly onClose: () => void;
};

const HANDSHAKE_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Close codes of RFC 6455, 7.4.1. */
export const WEBSOCKET_CLOSE = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupported: 1003,
  badText: 1007,
  tooBig: 1009,
} as const;

type CloseCode = (typeof WEBSOCKET_CLOSE)[keyof typeof WEBSOCKET_CLOSE];
type Frame = {
  readonly final: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
};

/**
 * Answers an upgrade request. Undefined, with the connection ended by status 400, when it asks for anything
 * but version 13.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  options: { readonly maxMessageBytes: number },
  handlers: WebSocketHandlers,
): WebSocketPeer | undefined {
  const key = request.headers['sec-websocket-key'];
  const isUpgrade = request.headers.upgrade?.toLowerCase() === 'websocket';
  if (!isUpgrade || key === undefined || request.headers['sec-websocket-version'] !== '13') {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return undefined;
  }
  const accept = crypto.hash('sha1', key + HANDSHAKE_SUFFIX, 'base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  return new Peer(socket, options.maxMessageBytes, handlers);
}

class Peer implements WebSocketPeer {
  closed = false;
  readonly #socket: Duplex;
  readonly #maxBytes: number;
  readonly #handlers: WebSocketHandlers;
  #pending: Buffer = Buffer.alloc(0);
  #parts: Buffer[] | undefined;
  #partBytes = 0;

  constructor(socket: Duplex, maxBytes: number, handlers: WebSocketHandlers) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    this.#handlers = handlers;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => handlers.onDrain());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.closed = true;
      handlers.onClose();
    });
  }

  send(text: string): boolean {
    return this.#write(OPCODE.text, Buffer.from(text));
  }

  ping(): void {
    this.#write(OPCODE.ping, Buffer.alloc(0));
  }

  close(code: number): void {
    if (this.closed) return;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#write(OPCODE.close, payload);
    this.closed = true;
    this.#socket.end(() => this.#socket.destroy());
  }

  #write(opcode: number, payload: Buffer): boolean {
    if (this.closed || this.#socket.destroyed) return false;
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#socket.destroy();
      return false;
    }
    return this.#socket.write(Buffer.concat([frameHeader(opcode, payload.length), payload]));
  }

  #onData(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (!this.closed) {
      const parsed = parseFrame(this.#pending, this.#maxBytes);
      if (parsed === 'incomplete') return;
      if (typeof parsed === 'number') {
        this.close(parsed);
        return;
      }
      this.#pending = this.#pending.subarray(parsed.bytes);
      this.#onFrame(parsed.frame);
    }
  }

  #onFrame(frame: Frame): void {
    switch (frame.opcode) {
      case OPCODE.text:
      case OPCODE.continuation:
        this.#onPart(frame);
        break;
      case OPCODE.ping:
        this.#write(OPCODE.pong, frame.payload);
        break;
      case OPCODE.pong:
        break;
      case OPCODE.close:
        this.close(frame.payload.length >= 2 ? frame.payload.readUInt16BE() : WEBSOCKET_CLOSE.normal);
        break;
      default:
        this.close(WEBSOCKET_CLOSE.unsupported);
    }
  }

  /** A message may come in several frames; the first names its kind, the last is marked. */
  #onPart({ opcode, final, payload }: Frame): void {
    if ((opcode === OPCODE.text) !== (this.#parts === undefined)) {
      this.close(WEBSOCKET_CLOSE.protocolError);
      return;
    }
    this.#parts ??= [];
    this.#parts.push(payload);
    this.#partBytes += payload.length;
    if (this.#partBytes > this.#maxBytes) {
      this.close(WEBSOCKET_CLOSE.tooBig);
      return;
    }
    if (!final) return;
    const bytes = Buffer.concat(this.#parts);
    this.#parts = undefined;
    this.#partBytes = 0;
    const text = decodeText(bytes);
    if (text === undefined) this.close(WEBSOCKET_CLOSE.badText);
    else this.#handlers.onText(text);
  }
}

function decodeText(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function frameHeader(opcode: number, size: number): Buffer {
  if (size < 126) return Buffer.from([0x80 | opcode, size]);
  if (size < 65_536) {
    const header = Buffer.from([0x80 | opcode, 126, 0, 0]);
    header.writeUInt16BE(size, 2);
    return header;
  }
  const header = Buffer.alloc(10);
  header[0] = 0x80 | opcode;
  header[1] = 127;
  header.writeBigUInt64BE(BigInt(size), 2);
  return header;
}

/** One frame from a client, unmasked; or the close code for bytes that are none. */
function parseFrame(
  data: Buffer,
  maxBytes: number,
): { readonly frame: Frame; readonly bytes: number } | 'incomplete' | CloseCode {
  if (data.length < 2) return 'incomplete';
  const [first, second] = [data[0]!, data[1]!];
  const opcode = first & 0x0f;
  const final = (first & 0x80) !== 0;
  if ((first & 0x70) !== 0 || (second & 0x80) === 0) return WEBSOCKET_CLOSE.protocolError;
  const short = second & 0x7f;
  if (opcode >= OPCODE.close && (!final || short > 125)) return WEBSOCKET_CLOSE.protocolError;
  const sizeBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
  const start = 2 + sizeBytes + 4;
  if (data.length < start) return 'incomplete';
  let size = short;
  if (short === 126) size = data.readUInt16BE(2);
  else if (short === 127) size = Number(data.readBigUInt64BE(2));
  if (size > maxBytes) return WEBSOCKET_CLOSE.tooBig;
  if (data.length < start + size) return 'incomplete';
  const mask = data.subarray(start - 4, start);
  const payload = Buffer.from(data.subarray(start, start + size));
  for (let at = 0; at < size; at += 1) payload[at] = payload[at]! ^ mask[at & 3]!;
  return { frame: { final, opcode, payload }, bytes: start + size };
}
