import { once } from 'node:events';
import * as net from 'node:net';
import type { Logger } from '../../log/logger.ts';
import { FaultyReplies, noFaults, type ReplyFaults } from './reply-faults.ts';

/**
 * JSON lines over TCP, both directions, for everything the devnet plays. It shares no code with the
 * product's own framing, so that a mistake there cannot cancel itself out in a test.
 */
export type LinePeer = {
  readonly id: number;
  /** `ip:port` of the other side. */
  readonly address: string;
  send(message: unknown): void;
  /** Sends an answer, subject to the faults in force. */
  reply(message: unknown): void;
  close(): void;
  /** Sends a last message and closes. */
  end(message: unknown): void;
};

export type LineServerOptions = {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** A longer line closes the connection. */
  readonly maxLineBytes: number;
  readonly faults?: ReplyFaults;
  /** Draws the faults; from 0 up to 1. */
  readonly random?: () => number;
};

export type LineHandlers = {
  /** False drops the connection at once. */
  readonly onOpen: (peer: LinePeer) => boolean;
  readonly onLine: (peer: LinePeer, line: string) => void;
  readonly onClose: (peer: LinePeer) => void;
};

export type LineServer = {
  readonly host: string;
  readonly port: number;
  readonly replies: FaultyReplies['stats'];
  /** Closes all connections, not the port. */
  disconnectAll(): void;
  /** Closes port and connections, waits, and listens on the same port again. */
  restart(downMs: number): Promise<void>;
  close(): Promise<void>;
};

const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
const LISTEN_TRIES = 50;

/** Cuts a byte stream into lines. Returns undefined, for good, when a line is too long. */
export function createLineSplitter(maxLineBytes: number): (chunk: Buffer) => string[] | undefined {
  let pending = Buffer.alloc(0);
  return (chunk) => {
    const data = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const lines: string[] = [];
    let from = 0;
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, from)) {
      if (end - from > maxLineBytes) return undefined;
      lines.push(data.toString('utf8', from, end).trim());
      from = end + 1;
    }
    pending = Buffer.from(data.subarray(from));
    return pending.length > maxLineBytes ? undefined : lines;
  };
}

export async function startLineServer(
  options: LineServerOptions,
  handlers: LineHandlers,
  deps: { readonly log: Logger },
): Promise<LineServer> {
  const server = new Server(options, handlers, deps.log);
  await server.listen();
  return server;
}

/** Listens, trying again for a while when the port is not free yet: after a restart it has to be the same. */
export async function listenOn(server: net.Server, host: string, port: number): Promise<number> {
  for (let left = port === 0 ? 1 : LISTEN_TRIES; ; left -= 1) {
    try {
      await once(server.listen(port, host), 'listening');
      return (server.address() as net.AddressInfo).port;
    } catch (error) {
      if (left <= 1) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

class Server implements LineServer {
  readonly host: string;
  port: number;
  readonly #options: LineServerOptions;
  readonly #handlers: LineHandlers;
  readonly #log: Logger;
  readonly #sockets = new Set<net.Socket>();
  readonly #replies: FaultyReplies;
  #server: net.Server | undefined;
  #opened = 0;
  #closed = false;

  constructor(options: LineServerOptions, handlers: LineHandlers, log: Logger) {
    this.host = options.host ?? '127.0.0.1';
    this.port = options.port ?? 0;
    this.#options = options;
    this.#handlers = handlers;
    this.#log = log;
    this.#replies = new FaultyReplies(options.faults ?? noFaults(), options.random ?? Math.random);
  }

  get replies(): FaultyReplies['stats'] {
    return this.#replies.stats;
  }

  async listen(): Promise<void> {
    const server = net.createServer({ noDelay: true }, (socket) => this.#onSocket(socket));
    this.#server = server;
    this.port = await listenOn(server, this.host, this.port);
  }

  disconnectAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async restart(downMs: number): Promise<void> {
    await this.#shut();
    await new Promise((resolve) => setTimeout(resolve, downMs));
    if (!this.#closed) await this.listen();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#shut();
  }

  async #shut(): Promise<void> {
    this.#replies.clear();
    const server = this.#server;
    this.#server = undefined;
    const shut = new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
    this.disconnectAll();
    await shut;
  }

  #onSocket(socket: net.Socket): void {
    const peer = this.#peerOf(socket);
    socket.on('error', () => socket.destroy());
    if (this.#options.faults?.refusing === true || !this.#handlers.onOpen(peer)) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const split = createLineSplitter(this.#options.maxLineBytes);
    socket.on('data', (chunk: Buffer) => {
      const lines = split(chunk);
      if (lines === undefined) {
        this.#log.warn({ peer: peer.address }, 'line too long');
        socket.destroy();
        return;
      }
      for (const line of lines) if (line !== '' && !socket.destroyed) this.#handlers.onLine(peer, line);
    });
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#handlers.onClose(peer);
    });
  }

  #peerOf(socket: net.Socket): LinePeer {
    this.#opened += 1;
    const send = (message: unknown): void => {
      if (socket.destroyed || socket.writableEnded) return;
      socket.write(`${JSON.stringify(message)}\n`);
      if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
    };
    const close = (): void => {
      socket.destroy();
    };
    return {
      id: this.#opened,
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      send,
      reply: (message) => {
        this.#replies.answer(() => send(message), close);
      },
      close,
      end: (message) => {
        send(message);
        socket.end(() => socket.destroy());
      },
    };
  }
}
