import type * as net from 'node:net';
import * as tls from 'node:tls';
import { assert, InvariantError } from '../base/assert.ts';
import type { Timer, Timers } from '../base/clock.ts';
import { dial } from '../base/dial.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS, type LimitHits } from '../base/limits.ts';
import { listen } from '../base/listen.ts';
import type { Logger } from '../log/logger.ts';
import { LineFramer } from '../stratum/framing.ts';
import type { TlsIdentity } from './certificate.ts';
import { Places } from './places.ts';

/**
 * Label of the TLS exporter (RFC 5705); its value, signed in `session.auth`, is unique to one connection.
 */
const EXPORTER_LABEL = 'EXPORTER-sharestream-auth-1';
const EXPORTER_SIZE = 32;

/** Limits of one connection. */
export type TransportOptions = {
  /** Time in ms without a byte from the peer after which the connection ends with `peer_timeout`. */
  readonly idleTimeoutMs: number;
  /** Most bytes waiting for a slow peer; beyond it the connection ends with `slow_reader`. */
  readonly writeBytes: number;
  /** Most bytes of a peer before `paceReads`; beyond it the connection ends. Default: any. */
  readonly newcomerBytes?: number;
};

export const DEFAULT_TRANSPORT: TransportOptions = {
  idleTimeoutMs: 45_000,
  writeBytes: 4 * LIMITS.peerLineBytes,
};

type LineHandlers = {
  readonly onLine: (line: string) => void;
  /** Called once, with the reason; nothing is delivered after it. */
  readonly onClose: (reason: CodedError) => void;
};

/**
 * A connection of newline-delimited UTF-8 text over TLS 1.3. Lines are bounded by `LIMITS.peerLineBytes`; a
 * longer line or invalid UTF-8 ends the connection.
 */
export class PeerConnection {
  readonly remoteAddress: string;
  /** Keeps the connection's place against newcomers, once its peer has proved a node key. */
  keepPlace: () => void = () => {};
  /** TLS exporter value: 32 bytes that both ends of this connection know, and nobody else. */
  readonly exporter: Uint8Array;
  readonly #socket: tls.TLSSocket;
  readonly #options: TransportOptions;
  readonly #framer = new LineFramer(LIMITS.peerLineBytes);
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  readonly #timers: Timers;
  /** Bytes that a peer without a proven key may send in all; undefined once it has one. */
  #newcomerBytes: number | undefined;
  #readPace: ReadPace | undefined;
  #lines = 0;
  #turnBytes = 0;
  #pause: Timer | undefined;
  #silence: Timer;
  #handlers: LineHandlers | undefined;
  #reason: CodedError | undefined;

  constructor(socket: tls.TLSSocket, options: TransportOptions, timers: Timers) {
    this.#timers = timers;
    assert(socket.getProtocol() === 'TLSv1.3', 'peer_tls_version', socket.getProtocol());
    this.#socket = socket;
    this.#options = options;
    this.#newcomerBytes = options.newcomerBytes;
    this.remoteAddress = nameOf(socket);
    const exported = socket.exportKeyingMaterial(EXPORTER_SIZE, EXPORTER_LABEL, Buffer.alloc(0));
    this.exporter = new Uint8Array(exported);
    socket.setNoDelay(true);
    this.#silence = this.#waitForBytes();
    socket.on('error', (error) => this.close(new CodedError('peer_closed', error.message)));
    socket.on('close', () => this.close(new CodedError('peer_closed')));
    socket.pause();
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  /** Goes on at the pace of its peer's node, which is known now. */
  paceReads(pace: ReadPace): void {
    this.#newcomerBytes = undefined;
    this.#readPace = pace;
  }

  /** Starts delivery of lines. Earlier ones wait in the socket. */
  listen(handlers: LineHandlers): void {
    assert(this.#handlers === undefined, 'peer_connection_listened_twice');
    this.#handlers = handlers;
    if (this.#reason !== undefined) {
      handlers.onClose(this.#reason);
      return;
    }
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.resume();
  }

  /** Sends one line; `text` has no newline. A closed connection drops it. */
  send(text: string): void {
    if (this.#reason !== undefined) return;
    if (Buffer.byteLength(text) + 1 > LIMITS.peerLineBytes) {
      this.close(new CodedError('line_too_long', 'an outgoing line exceeds the limit'));
      return;
    }
    this.#socket.write(`${text}\n`);
    if (this.#socket.writableLength > this.#options.writeBytes) this.close(new CodedError('slow_reader'));
  }

  /**
   * Ends the connection; pending output is flushed, or dropped for a peer that is silent or does not read.
   */
  close(reason = new CodedError('peer_closed')): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#silence.cancel();
    this.#pause?.cancel();
    this.#socket.removeAllListeners('data');
    if (reason.code === 'slow_reader' || reason.code === 'peer_timeout') this.#socket.destroy();
    else this.#socket.destroySoon();
    this.#handlers?.onClose(reason);
  }

  #waitForBytes(): Timer {
    return this.#timers.after(this.#options.idleTimeoutMs, () =>
      this.close(new CodedError('peer_timeout', 'silent')),
    );
  }

  #receive(chunk: Uint8Array): void {
    this.#silence.cancel();
    this.#silence = this.#waitForBytes();
    if (this.#newcomerBytes !== undefined) this.#newcomerBytes -= chunk.length;
    if (this.#newcomerBytes !== undefined && this.#newcomerBytes < 0) {
      this.close(new CodedError('unauthenticated', 'much was sent and no key proven'));
      return;
    }
    this.#lines = 0;
    this.#framer.push(chunk, {
      onLine: (bytes, start, end) => this.#deliver(bytes.subarray(start, end)),
      onLineTooLong: () => {
        this.close(new CodedError('line_too_long'));
        return false;
      },
    });
    this.#paceAfter(chunk.length);
  }

  /** Others have their turn after so much, and more of a peer that sends too much is read later. */
  #paceAfter(bytes: number): void {
    if (this.#reason !== undefined) return;
    const waitMs = this.#readPace?.(bytes, this.#lines) ?? 0;
    if (this.#turnBytes === 0) {
      this.#timers.afterTurn(() => {
        this.#turnBytes = 0;
        if (this.#pause === undefined) this.#resume();
      });
    }
    this.#turnBytes += bytes;
    if (waitMs > 0) {
      this.#pause?.cancel();
      this.#pause = this.#timers.after(waitMs, () => {
        this.#pause = undefined;
        this.#resume();
      });
    }
    if (waitMs > 0 || this.#turnBytes >= LIMITS.peerTurnBytes) this.#socket.pause();
  }

  #resume(): void {
    if (this.#reason === undefined && this.#socket.isPaused()) this.#socket.resume();
  }

  #deliver(line: Uint8Array): boolean {
    this.#lines += 1;
    let text: string;
    try {
      text = this.#decoder.decode(line);
    } catch {
      this.close(new CodedError('malformed', 'not UTF-8'));
      return false;
    }
    this.#handlers?.onLine(text);
    return this.#reason === undefined;
  }
}

/** The part of a connection that the RPC layer uses: bounded lines in order, and one end. */
export type PeerLink = Pick<
  PeerConnection,
  'remoteAddress' | 'exporter' | 'closed' | 'listen' | 'send' | 'close' | 'keepPlace' | 'paceReads'
>;

/** Counts what was read; the ms in which no more is to be read. */
type ReadPace = (bytes: number, lines: number) => number;

function nameOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress ?? '?'}:${remotePort ?? 0}`;
}

/** Undefined for a socket that was closed meanwhile: it has no exporter any more. */
function openConnection(
  socket: tls.TLSSocket,
  options: TransportOptions,
  timers: Timers,
): PeerConnection | undefined {
  try {
    return new PeerConnection(socket, options, timers);
  } catch (error) {
    if (error instanceof InvariantError) throw error;
    socket.on('error', () => {});
    socket.destroy();
    return undefined;
  }
}

/** A listener for peers; `PeerServer` unless another network is given. */
export type PeerListener = Pick<PeerServer, 'listen' | 'close'>;
export type PeerServerDeps = {
  readonly log: Logger;
  readonly timers: Timers;
  readonly onConnection: (connection: PeerLink) => void;
  /** Counter of limits that were reached. */
  readonly limitHits?: LimitHits;
};

export type PeerServerOptions = TransportOptions & {
  readonly host: string;
  /** TCP port; 0 lets the system choose. */
  readonly port: number;
  readonly maxConnections: number;
  /** Default: `LIMITS.peerConnectionsPerAddress`. */
  readonly perAddress?: number;
  /** Default: `LIMITS.peerNewcomersPerAddress`. */
  readonly newcomersPerAddress?: number;
  readonly tls: TlsIdentity;
};

/** How long a stop waits for what was sent to be read. */
const LINGER_MS = 1_000;

/** A server of TLS 1.3 connections; the handshake decides what a connection may do. */
export class PeerServer {
  readonly #server: tls.Server;
  readonly #options: PeerServerOptions;
  readonly #timers: Timers;
  readonly #connections = new Set<PeerConnection>();
  readonly #places: Places<net.Socket>;
  /** The sockets below TLS, by address and port. */
  readonly #raw = new Map<string, net.Socket>();
  readonly stats = { connections: 0, handshakeFailures: 0 };

  constructor(options: PeerServerOptions, deps: PeerServerDeps) {
    this.#options = options;
    this.#timers = deps.timers;
    const { peerConnectionsPerAddress: perAddress, peerNewcomersPerAddress } = LIMITS;
    this.#places = new Places(
      {
        connections: options.maxConnections,
        perAddress: options.perAddress ?? perAddress,
        newcomersPerAddress: options.newcomersPerAddress ?? peerNewcomersPerAddress,
      },
      deps.limitHits ?? {},
    );
    this.#server = tls.createServer(
      {
        key: options.tls.key,
        cert: options.tls.cert,
        minVersion: 'TLSv1.3',
        maxVersion: 'TLSv1.3',
        handshakeTimeout: 10_000,
      },
      (socket) => {
        const connection = openConnection(socket, options, deps.timers);
        if (connection === undefined) return;
        this.#connections.add(connection);
        this.stats.connections += 1;
        socket.on('close', () => this.#connections.delete(connection));
        const raw = this.#raw.get(connection.remoteAddress);
        if (raw !== undefined) connection.keepPlace = () => this.#places.keep(raw);
        deps.onConnection(connection);
      },
    );
    this.#server.prependListener('connection', (socket: net.Socket) => this.#admit(socket));
    this.#server.on('error', (error) => deps.log.warn({ error: error.message }, 'listener failed'));
    this.#server.on('tlsClientError', (error) => {
      this.stats.handshakeFailures += 1;
      deps.log.debug({ error: error.message }, 'tls handshake failed');
    });
  }

  /** Before TLS: a socket that stays silent has a place too, which the next newcomer may take. */
  #admit(socket: net.Socket): void {
    const name = nameOf(socket);
    const evicted = this.#places.take(socket, socket.remoteAddress ?? '');
    if (evicted === 'refused') {
      socket.destroy();
      return;
    }
    evicted?.destroy();
    this.#raw.set(name, socket);
    socket.on('close', () => {
      this.#places.leave(socket);
      if (this.#raw.get(name) === socket) this.#raw.delete(name);
    });
  }

  /** Resolves with the bound port. Throws as `listen`. */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    return (await listen(this.#server, { host, port })).port;
  }

  /** Ends every connection and the listener; those without TLS yet, or that do not read, after a moment. */
  async close(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    const cut = this.#timers.after(LINGER_MS, () => {
      for (const socket of this.#raw.values()) socket.destroy();
    });
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    cut.cancel();
  }
}

export type ConnectOptions = TransportOptions & {
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  readonly signal?: AbortSignal;
};

/**
 * Connects by TLS 1.3. The certificate is not checked: the peer proves its node key over the exporter of
 * this connection. Throws `peer_closed` or `peer_timeout`.
 */
export function connectPeer(
  options: ConnectOptions,
  { timers }: { readonly timers: Timers },
): Promise<PeerLink> {
  return new Promise((resolve, reject) => {
    let socket: tls.TLSSocket | undefined;
    const fail = (error: CodedError): void => {
      timer.cancel();
      options.signal?.removeEventListener('abort', onAbort);
      cancelDial();
      socket?.on('error', () => {});
      socket?.destroy();
      reject(error);
    };
    const onError = (error: Error): void => fail(new CodedError('peer_closed', error.message));
    const onClose = (): void => fail(new CodedError('peer_closed'));
    const onAbort = (): void => fail(new CodedError('peer_closed', 'shutting down'));
    const timer = timers.after(options.connectTimeoutMs, () =>
      fail(new CodedError('peer_timeout', 'no TLS connection')),
    );
    const cancelDial = dial(options, { timers }, (dialed) => {
      if (dialed.error !== undefined) {
        onError(dialed.error);
        return;
      }
      const secure = tls.connect({
        socket: dialed.socket,
        minVersion: 'TLSv1.3',
        maxVersion: 'TLSv1.3',
        rejectUnauthorized: false,
      });
      socket = secure;
      secure.once('error', onError);
      secure.once('close', onClose);
      secure.once('secureConnect', () => {
        timer.cancel();
        options.signal?.removeEventListener('abort', onAbort);
        secure.off('error', onError);
        secure.off('close', onClose);
        const connection = openConnection(secure, options, timers);
        if (connection === undefined) fail(new CodedError('peer_closed', 'no TLS exporter'));
        else resolve(connection);
      });
    });
    options.signal?.addEventListener('abort', onAbort);
    if (options.signal?.aborted === true) onAbort();
  });
}
