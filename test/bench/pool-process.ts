import { createServer, type Socket } from 'node:net';
import { toHex, u32hex } from '../../src/base/bytes.ts';
import { serveParent } from './child.ts';
import { seededBytes } from './kernel-bench.ts';

/** Mainnet's of a block of 2026: nothing the bench hashes solves it. */
const BITS = '1702f128';
const DIFFICULTY = 1e9;
const FIRST_EXTRANONCE1 = 0x5eed0000;

/**
 * The upstream of the bench, in a process of its own so that nothing of it counts as the proxy's: gives
 * jobs with a coinbase of 260 bytes and as many branches as asked, wants no share, takes all.
 */
export class BenchPool {
  readonly #bytes = seededBytes(7);
  readonly #branches: number;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  #prevHash = '';
  #jobs = 0;
  #connections = 0;

  constructor(branches: number) {
    this.#branches = branches;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  /** A job on a new block, to all. @returns when it left, on the clock all processes share, in ms */
  newBlock(): number {
    this.#prevHash = toHex(this.#bytes(32));
    return this.#announce(true);
  }

  /** A job on the same block, which ends no other, to all. @returns as `newBlock` */
  newJob(): number {
    return this.#announce(false);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #announce(clean: boolean): number {
    const line = this.#notify(clean);
    const leftAtMs = Number(process.hrtime.bigint()) / 1e6;
    for (const socket of this.#sockets) socket.write(line);
    return leftAtMs;
  }

  #serve(socket: Socket): void {
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#answer(socket, JSON.parse(line) as { id: unknown; method: string });
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #answer(socket: Socket, { id, method }: { id: unknown; method: string }): void {
    const say = (message: object): void => void socket.write(`${JSON.stringify(message)}\n`);
    say({
      id,
      result: method === 'mining.subscribe' ? this.#extranonce() : (RESULTS[method] ?? true),
      error: null,
    });
    if (method !== 'mining.authorize') return;
    say({ id: null, method: 'mining.set_difficulty', params: [DIFFICULTY] });
    this.#sockets.add(socket);
    this.#prevHash ||= toHex(this.#bytes(32));
    socket.write(this.#notify(true));
  }

  /** Another extranonce1 for each connection, as every pool gives. */
  #extranonce(): readonly unknown[] {
    this.#connections += 1;
    return [[['mining.notify', '1']], u32hex(FIRST_EXTRANONCE1 + this.#connections), 8];
  }

  #notify(clean: boolean): string {
    this.#jobs += 1;
    const branches = Array.from({ length: this.#branches }, () => toHex(this.#bytes(32)));
    const time = u32hex(Math.floor(Date.now() / 1000));
    const [coinb1, coinb2] = [toHex(this.#bytes(86)), toHex(this.#bytes(162))];
    const params = [this.#jobs.toString(16), this.#prevHash, coinb1, coinb2, branches];
    return `${JSON.stringify({
      id: null,
      method: 'mining.notify',
      params: [...params, '20000000', BITS, time, clean],
    })}\n`;
  }
}

const RESULTS: Readonly<Record<string, unknown>> = {
  'mining.configure': { 'version-rolling': true, 'version-rolling.mask': '1fffe000' },
};

if (import.meta.main) {
  const pool = new BenchPool(Number(process.argv[2]));
  const port = pool.listen();
  serveParent({ port: () => port, newBlock: () => pool.newBlock(), newJob: () => pool.newJob() }, () =>
    pool.close(),
  );
}
