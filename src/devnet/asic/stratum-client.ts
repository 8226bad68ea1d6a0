import * as net from 'node:net';
import { isRecord } from '../../base/json.ts';
import { createLineSplitter } from '../net/line-server.ts';

export type StratumReply = { readonly result: unknown; readonly error: unknown };

export type StratumClientHandlers = {
  readonly onUp: () => void;
  readonly onDown: () => void;
  readonly onNotification: (method: string, params: readonly unknown[]) => void;
};

const MAX_LINE_BYTES = 64 * 1024;
const RETRY_MS = 200;
const REQUEST_TIMEOUT_MS = 60_000;

/** The miner's end of a Stratum connection, made anew whenever it is lost. */
export class StratumClient {
  connected = false;
  readonly #address: { readonly host: string; readonly port: number };
  readonly #handlers: StratumClientHandlers;
  readonly #waiting = new Map<number, (reply: StratumReply | undefined) => void>();
  #socket: net.Socket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #requests = 0;
  #closed = false;

  constructor(address: { readonly host: string; readonly port: number }, handlers: StratumClientHandlers) {
    this.#address = address;
    this.#handlers = handlers;
  }

  connect(): void {
    const { host, port } = this.#address;
    const socket = net.connect({ host, port, noDelay: true });
    const split = createLineSplitter(MAX_LINE_BYTES);
    this.#socket = socket;
    socket.on('connect', () => {
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

  /** Resolves to undefined when the connection ends or a minute passes without an answer. */
  request(method: string, params: readonly unknown[]): Promise<StratumReply | undefined> {
    this.#requests += 1;
    const id = this.#requests;
    if (this.#socket?.writable !== true) return Promise.resolve(undefined);
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(id, undefined), REQUEST_TIMEOUT_MS);
      this.#waiting.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
    });
  }

  drop(): void {
    this.#socket?.destroy();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
    this.#settleAll();
  }

  #settle(id: number, reply: StratumReply | undefined): void {
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(reply);
  }

  #settleAll(): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, undefined);
  }

  #onClose(): void {
    const wasUp = this.connected;
    this.connected = false;
    this.#settleAll();
    if (wasUp) this.#handlers.onDown();
    if (!this.#closed) this.#retry = setTimeout(() => this.connect(), RETRY_MS);
  }

  #onLine(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      return;
    }
    if (!isRecord(message)) return;
    const { id, method, params, result, error = null } = message;
    if (typeof method === 'string') {
      this.#handlers.onNotification(method, Array.isArray(params) ? params : []);
    } else if (typeof id === 'number') {
      this.#settle(id, { result, error });
    }
  }
}
