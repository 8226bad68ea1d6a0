import * as net from 'node:net';
import * as tls from 'node:tls';

export type PoolRequest = { readonly id: unknown; readonly method: string; readonly params: unknown[] };

/** What a pool answers: a whole line, or nothing. */
export type Handler = (request: PoolRequest, peer: PoolPeer) => string | undefined;

export type PoolPeer = {
  readonly requests: PoolRequest[];
  send(...lines: readonly string[]): void;
  raw(bytes: string | Uint8Array): void;
  drop(): void;
  pause(): void;
};

export const ok = (request: PoolRequest, result: unknown): string =>
  JSON.stringify({ id: request.id, result, error: null });

/** A pool as most are. */
export const plainPool: Handler = (request) => {
  switch (request.method) {
    case 'mining.configure':
      return ok(request, { 'version-rolling': true, 'version-rolling.mask': '1fffe000' });
    case 'mining.subscribe':
      return ok(request, [[['mining.notify', 'ae68']], '0a0b0c0d', 8]);
    default:
      return ok(request, true);
  }
};

/**
 * A Braidpool node in normal mode (`WIRE.md`): no answer to an id that is not u64, exactly two configure
 * params, min-bit-count as eight hex digits, errors as strings, `false` for a share above nBits, work after
 * authorize.
 */
export function braidpoolNode(options: { readonly work: string; readonly solves: () => boolean }): Handler {
  let authorized = false;
  let mask: string | null = null;
  const fail = (request: PoolRequest, error: string): string =>
    JSON.stringify({ id: request.id, result: null, error });
  return (request, peer) => {
    const { id, method, params } = request;
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || !Array.isArray(params))
      return undefined;
    switch (method) {
      case 'mining.configure': {
        const wanted = params[1] as Record<string, unknown> | undefined;
        const bits = wanted?.['version-rolling.min-bit-count'];
        if (params.length !== 2) return fail(request, 'InvalidMethodParams');
        if (typeof bits !== 'string' || !/^[0-9a-f]{8}$/.test(bits)) return fail(request, 'ParamNotFound');
        mask = '1fffe000';
        return ok(request, {
          'minimum-difficulty': false,
          'version-rolling': true,
          'version-rolling.mask': mask,
          'version-rolling.min-bit-count': 0,
        });
      }
      case 'mining.subscribe':
        return ok(request, [
          [
            ['mining.set_difficulty', '34'],
            ['mining.notify', '12'],
          ],
          '0011223344556677',
          8,
        ]);
      case 'mining.authorize':
        authorized = true;
        peer.send(ok(request, true), options.work);
        return undefined;
      case 'mining.submit':
        if (!authorized) return fail(request, 'Unauthorized');
        if (mask !== null && !/^[0-9a-f]{8}$/.test(String(params[5])))
          return fail(request, 'VersionBitsMissing');
        return ok(request, options.solves());
      default:
        return fail(request, `InvalidMethod { method: "${method}" }`);
    }
  };
}

/** A TCP server that speaks to each connection by `handler`. */
export class FakePool {
  readonly peers: PoolPeer[] = [];
  handler: Handler;
  /** False closes every connection at once, as Braidpool does while it syncs. */
  accepting = true;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(handler: Handler, secure: tls.TlsOptions | undefined) {
    this.handler = handler;
    const onSocket = (socket: net.Socket): void => this.#accept(socket);
    this.#server = secure === undefined ? net.createServer(onSocket) : tls.createServer(secure, onSocket);
  }

  static async listen(handler: Handler = plainPool, secure?: tls.TlsOptions): Promise<FakePool> {
    const pool = new FakePool(handler, secure);
    await new Promise<void>((resolve) => pool.#server.listen(0, '127.0.0.1', resolve));
    return pool;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** The newest connection. */
  get peer(): PoolPeer {
    return this.peers.at(-1)!;
  }

  get methods(): string[] {
    return this.peer.requests.map((request) => request.method);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    const peer: PoolPeer = {
      requests: [],
      send: (...lines) => void socket.write(lines.map((line) => `${line}\n`).join('')),
      raw: (bytes) => void socket.write(bytes),
      drop: () => void socket.destroy(),
      pause: () => void socket.pause(),
    };
    this.peers.push(peer);
    if (!this.accepting) {
      socket.destroy();
      return;
    }
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const request = JSON.parse(line) as PoolRequest;
        peer.requests.push(request);
        const answer = this.handler(request, peer);
        if (answer !== undefined) peer.send(answer);
      }
    });
  }
}

/** Waits until `condition` holds; fails after twenty seconds. */
export async function until(condition: () => boolean, what = 'condition'): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline)
      throw new Error(`waited in vain for ${what}: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Long enough for anything sent over loopback to have arrived. */
export async function settle(ms = 30): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
