import { CodedError } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import type { connectPeer, PeerLink, PeerListener, PeerServerDeps } from '../../src/peer/transport.ts';

type Handlers = Parameters<PeerLink['listen']>[0];

/** One end of a connection in memory: lines arrive in order, a turn later. */
class End implements PeerLink {
  readonly remoteAddress = 'memory:0';
  readonly exporter: Uint8Array;
  other: End | undefined;
  closed = false;
  #handlers: Handlers | undefined;
  #held: string[] = [];

  constructor(exporter: Uint8Array) {
    this.exporter = exporter;
  }

  /** There are places for all, and every line is read at once. */
  keepPlace(): void {}
  paceReads(): void {}

  listen(handlers: Handlers): void {
    this.#handlers = handlers;
    for (const line of this.#held.splice(0)) handlers.onLine(line);
  }

  send(text: string): void {
    const { other } = this;
    queueMicrotask(() => other?.receive(text));
  }

  receive(text: string): void {
    if (this.closed) return;
    if (this.#handlers === undefined) this.#held.push(text);
    else this.#handlers.onLine(text);
  }

  close(reason: CodedError = new CodedError('peer_closed')): void {
    if (this.closed) return;
    this.closed = true;
    this.#handlers?.onClose(reason);
    this.other?.close();
  }
}

/** A server in memory, and connections to it; nobody answers while it is not open. */
export class MemoryServer {
  readonly #ends = new Set<End>();
  #accept: PeerServerDeps['onConnection'] | undefined;
  #count = 0;

  open({ onConnection }: PeerServerDeps): PeerListener {
    return {
      listen: () => {
        this.#accept = onConnection;
        return Promise.resolve(1);
      },
      close: async () => this.kill(),
    };
  }

  /** It is gone, with all its connections. */
  kill(): void {
    this.#accept = undefined;
    for (const end of this.#ends) end.close();
    this.#ends.clear();
  }

  readonly connect: typeof connectPeer = async () => {
    const accept = this.#accept;
    if (accept === undefined) throw new CodedError('peer_closed', 'connection refused');
    this.#count += 1;
    const exporter = sha256(Uint8Array.of(this.#count));
    const [client, server] = [new End(exporter), new End(exporter)];
    client.other = server;
    server.other = client;
    this.#ends.add(server);
    accept(server);
    return client;
  };
}
