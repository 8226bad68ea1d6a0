import * as net from 'node:net';
import type { Logger } from '../log/logger.ts';

/**
 * JSON lines over TCP, both directions, for everything the devnet plays. It shares no code with the
 * product's own framing,
 * so that a mistake there cannot cancel itself out in a test.
 */
export type LinePeer = {
  readonly id: number;
  /** `ip:port` of the other side. */
  readonly address: string;
  send(message: unknown): void;
  close(): void;
};

export type LineServerOptions = {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** A longer line closes the connection. */
  readonly maxLineBytes: number;
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
  /** Closes all connections, not the port. */
  disconnectAll(): void;
  close(): Promise<void>;
};

const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

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
  const sockets = new Set<net.Socket>();
  let opened = 0;
  const server = net.createServer({ noDelay: true }, (socket) => {
    opened += 1;
    const peer: LinePeer = {
      id: opened,
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      send: (message) => {
        if (socket.destroyed) return;
        socket.write(`${JSON.stringify(message)}\n`);
        if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
      },
      close: () => socket.destroy(),
    };
    if (!handlers.onOpen(peer)) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    const split = createLineSplitter(options.maxLineBytes);
    socket.on('data', (chunk: Buffer) => {
      const lines = split(chunk);
      if (lines === undefined) {
        deps.log.warn({ peer: peer.address }, 'line too long');
        socket.destroy();
        return;
      }
      for (const line of lines) if (line !== '' && !socket.destroyed) handlers.onLine(peer, line);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      handlers.onClose(peer);
    });
  });
  const host = options.host ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const disconnectAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    host,
    port: (server.address() as net.AddressInfo).port,
    disconnectAll,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        disconnectAll();
      }),
  };
}
