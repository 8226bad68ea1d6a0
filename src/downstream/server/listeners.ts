import { constants } from 'node:crypto';
import { type AddressInfo, type BlockList, createServer, isIPv4, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { CodedError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { listen } from '../../base/listen.ts';
import type { Logger } from '../../log/logger.ts';
import { SharedReads } from '../io/shared-reads.ts';
import type { VardiffOptions } from '../session/vardiff.ts';
import { addressList, isListed, plainAddress } from './addresses.ts';
import { MAX_PROXY_HEADER_BYTES, parseProxyHeader } from './proxy-protocol.ts';

export type ListenerOptions = {
  /** `0.0.0.0`, `::` (also IPv4 unless another listener has that port for it) or one address. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /**
   * Other processes may listen here too, and the kernel spreads connections over all; an upstream of each
   * one's own keeps their extranonces apart.
   */
  readonly reusePort?: boolean;
  readonly difficulty: VardiffOptions;
  /** Version bits are taken from miners that did not ask to roll them, as some rented ones do. */
  readonly takesUnaskedVersions?: boolean;
  /** TLS instead of plain TCP; PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /**
   * Addresses and CIDR ranges of load balancers: their connections must begin with a header of the PROXY
   * protocol (1 or 2), which says whom they bring; those of others may not.
   */
  readonly proxies?: readonly string[];
};

export type ListenersDeps<R> = {
  readonly log: Logger;
  /** Before anything is read, for every connection. */
  readonly mayOpen: () => boolean;
  /** Of the address behind the balancer, where there is one. */
  readonly mayServe: (address: string) => boolean;
  /** A miner's connection, its errors taken care of. @returns who reads what it sends */
  readonly serve: (socket: Socket, address: string, listener: number) => R;
  /** @param chunk valid during the call only */
  readonly onBytes: (reader: R, chunk: Buffer) => void;
};

type Listening = {
  readonly server: Server;
  secureContext: SecureContext | undefined;
  readonly proxies: BlockList;
};

/** How long a balancer may take for its header. */
const HEADER_MS = 5000;
const BACKLOG = 4096;

/** The ports that miners connect to: plain or TLS, direct or behind a balancer. */
export class Listeners<R> {
  readonly #options: readonly ListenerOptions[];
  readonly #deps: ListenersDeps<R>;
  readonly #listening: Listening[] = [];
  /** Connections of balancers that have not said whom they bring, and until when they may. */
  readonly #pending = new Map<Socket, number>();
  readonly #reads: SharedReads<R>;
  readonly stats = { badProxyHeaders: 0 };

  constructor(options: readonly ListenerOptions[], deps: ListenersDeps<R>) {
    this.#options = options;
    this.#deps = deps;
    this.#reads = new SharedReads(deps.onBytes);
  }

  /** Opens all. Throws as `listen`, or `config_invalid`; then none stays open. */
  async open(): Promise<void> {
    try {
      for (const [index, listener] of this.#options.entries()) await this.#open(index, listener);
    } catch (error) {
      for (const { server } of this.#listening.splice(0)) server.close();
      throw error;
    }
  }

  /**
   * Certificates of connections from now on, in the order of the listeners; the rest stays.
   * @returns what puts them in force. Throws `config_invalid`
   */
  certificates(options: readonly ListenerOptions[]): () => void {
    const contexts = options.map(({ tls }) => (tls === undefined ? undefined : secureContextOf(tls)));
    return () => {
      for (const [index, listening] of this.#listening.entries()) listening.secureContext = contexts[index];
    };
  }

  addresses(): AddressInfo[] {
    return this.#listening.map(({ server }) => server.address() as AddressInfo);
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Cuts off balancers that do not say whom they bring. */
  tick(monotonicMs: number): void {
    for (const [socket, untilMs] of this.#pending) {
      if (untilMs === 0) this.#pending.set(socket, monotonicMs + HEADER_MS);
      else if (monotonicMs > untilMs) socket.destroy();
    }
  }

  /** Takes no more; resolves when the last connection has ended. */
  async close(): Promise<void> {
    for (const socket of this.#pending.keys()) socket.destroy();
    await Promise.all(
      this.#listening.map(({ server }) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  async #open(index: number, listener: ListenerOptions): Promise<void> {
    const { host, port, reusePort = false, tls, proxies = [] } = listener;
    const server = createServer(
      {
        ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
        highWaterMark: LIMITS.sessionUnreadBytes,
        pauseOnConnect: tls === undefined,
      },
      (socket) => this.#onConnection(socket, index),
    );
    const secureContext = tls === undefined ? undefined : secureContextOf(tls);
    const listening = { server, secureContext, proxies: addressList(proxies) };
    const ipv6Only = this.#sharesPort(listener);
    await listen(server, { host, port, reusePort, backlog: BACKLOG, ipv6Only });
    server.on('error', (error) => this.#deps.log.error({ error: error.message }, 'listener failed'));
    this.#listening.push(listening);
  }

  /** Another listener has the same port for IPv4. */
  #sharesPort({ host, port }: ListenerOptions): boolean {
    return host.includes(':') && this.#options.some((other) => other.port === port && isIPv4(other.host));
  }

  #onConnection(socket: Socket, index: number): void {
    socket.on('error', ignore);
    const { mayOpen } = this.#deps;
    const address = plainAddress(socket.remoteAddress);
    if (!mayOpen()) socket.destroy();
    else if (isListed(this.#listening[index]!.proxies, address)) this.#awaitHeader(socket, address, index);
    else this.#serve(socket, address, index);
  }

  #awaitHeader(socket: Socket, balancer: string, index: number): void {
    let bytes: Buffer = Buffer.alloc(0);
    this.#pending.set(socket, 0);
    const onData = (chunk: Buffer): void => {
      const before = bytes.length;
      bytes = Buffer.concat([bytes, chunk.subarray(0, MAX_PROXY_HEADER_BYTES)]);
      const header = parseProxyHeader(bytes);
      if (header.type === 'incomplete') return;
      this.#pending.delete(socket);
      if (header.type === 'invalid') {
        this.stats.badProxyHeaders += 1;
        socket.destroy();
        return;
      }
      socket.off('data', onData);
      socket.pause();
      const rest = chunk.subarray(header.size - before);
      if (rest.length > 0) socket.unshift(rest);
      this.#serve(socket, header.source?.address ?? balancer, index);
    };
    socket.on('data', onData);
    socket.once('close', () => this.#pending.delete(socket));
    socket.resume();
  }

  #serve(socket: Socket, address: string, index: number): void {
    if (!this.#deps.mayServe(address)) {
      socket.destroy();
      return;
    }
    const { secureContext } = this.#listening[index]!;
    const stream =
      secureContext === undefined ? socket : new TLSSocket(socket, { isServer: true, secureContext });
    if (stream !== socket) stream.on('error', ignore);
    const { serve, onBytes } = this.#deps;
    const reader = serve(stream, address, index);
    if (!this.#reads.take(stream, reader)) stream.on('data', (chunk: Buffer) => onBytes(reader, chunk));
    stream.resume();
  }
}

/** `close` follows. */
function ignore(): void {}

function secureContextOf({ cert, key }: { readonly cert: string; readonly key: string }): SecureContext {
  try {
    return createSecureContext({
      cert,
      key,
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
  } catch (error) {
    throw new CodedError(
      'config_invalid',
      'the TLS certificate or key cannot be used',
      {},
      { cause: error },
    );
  }
}
