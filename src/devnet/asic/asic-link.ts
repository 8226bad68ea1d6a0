import * as net from 'node:net';
import { isRecord } from '../../base/json.ts';
import { createLineSplitter } from '../net/line-server.ts';

export type AsicLinkHandlers = {
  /** Connected: the handshake goes here. */
  readonly onUp: () => void;
  readonly onDown: () => void;
  readonly onReply: (id: number, reply: Record<string, unknown>) => void;
  readonly onNotification: (method: string, params: readonly unknown[]) => void;
};

const MAX_LINE_BYTES = 256 * 1024;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** Firmware gives up a connection that brought nothing for this long. */
const SILENCE_MS = 120_000;

/** The TCP side of a simulated ASIC: connects, and after a loss connects again with growing pauses. */
export class AsicLink {
  connections = 0;
  connected = false;
  readonly #address: { readonly host: string; readonly port: number };
  readonly #handlers: AsicLinkHandlers;
  /** From 0 to 1. */
  readonly #random: () => number;
  #socket: net.Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #requests = 0;
  #closed = false;

  constructor(
    address: { readonly host: string; readonly port: number },
    deps: { readonly handlers: AsicLinkHandlers; readonly random: () => number },
  ) {
    this.#address = address;
    this.#handlers = deps.handlers;
    this.#random = deps.random;
  }

  connect(): void {
    const { host, port } = this.#address;
    const socket = net.connect({ host, port, noDelay: true });
    const split = createLineSplitter(MAX_LINE_BYTES);
    this.#socket = socket;
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.on('connect', () => {
      this.connections += 1;
      this.connected = true;
      this.#handlers.onUp();
    });
    socket.on('data', (chunk: Buffer) => {
      const lines = split(chunk);
      if (lines === undefined) socket.destroy();
      else for (const line of lines) this.#onLine(line);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#onClose());
  }

  /** Sends a request and returns its id. */
  request(method: string, params: readonly unknown[]): number {
    this.#requests += 1;
    this.#write({ id: this.#requests, method, params });
    return this.#requests;
  }

  /** Sends bytes that are no request. */
  sendText(text: string): void {
    if (this.#socket?.writable === true) this.#socket.write(text);
  }

  /** Reads no more until `resume`; what the server sends piles up on its side. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** The server works as it should: the next pause starts small again. */
  settled(): void {
    this.#retryMs = FIRST_RETRY_MS;
  }

  /** Drops the connection; it is made anew after a pause. */
  drop(): void {
    this.#socket?.destroy();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #write(message: object): void {
    this.sendText(`${JSON.stringify(message)}\n`);
  }

  #onClose(): void {
    if (this.connected) this.#handlers.onDown();
    this.connected = false;
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.connect(), this.#retryMs * (0.5 + this.#random()));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #onLine(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      return;
    }
    if (!isRecord(message)) return;
    const { id, method, params } = message;
    if (typeof method === 'string')
      this.#handlers.onNotification(method, Array.isArray(params) ? params : []);
    else if (typeof id === 'number') this.#handlers.onReply(id, message);
  }
}
