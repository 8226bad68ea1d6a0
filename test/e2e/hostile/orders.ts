import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What is told to a hostile side, and what it answers. */
export type Order = Readonly<Record<string, unknown>> & { readonly do: string };
export type TakeOrder = (order: Order) => unknown;

/** Takes orders in a hostile process: a line of JSON each, answered by one. */
export function serveOrders(path: string, take: TakeOrder): void {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    createInterface({ input: socket }).on('line', (line) => {
      void (async () => {
        try {
          socket.write(`${JSON.stringify({ answer: await take(JSON.parse(line) as Order) })}\n`);
        } catch (error) {
          socket.write(`${JSON.stringify({ error: String((error as Error).stack) })}\n`);
        }
      })();
    });
  });
  server.listen(path).unref();
}

/** The orders to one hostile process, from the test. */
export class Orders {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async connect(path: string): Promise<Orders> {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return new Orders(socket);
  }

  async give<T>(order: Order): Promise<T> {
    this.#socket.write(`${JSON.stringify(order)}\n`);
    const { value } = await this.#lines.next();
    const { answer, error } = JSON.parse(value as string) as { answer: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return answer;
  }

  end(): void {
    this.#socket.destroy();
  }
}
