import * as net from 'node:net';

export type Message = { readonly [key: string]: unknown };

/** A bare JSON-line client: sends what it is told and remembers every line. */
export class RawClient {
  readonly messages: Message[] = [];
  closed = false;
  readonly #socket: net.Socket;
  readonly #wakers = new Set<() => void>();
  #pending = '';

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#pending += chunk;
      const lines = this.#pending.split('\n');
      this.#pending = lines.pop()!;
      for (const line of lines) this.messages.push(JSON.parse(line) as Message);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  send(message: unknown): void {
    this.sendText(`${JSON.stringify(message)}\n`);
  }

  sendText(text: string): void {
    this.#socket.write(text);
  }

  /** Sends a request and waits for the message with its id. */
  async call(id: number, method: string, params: readonly unknown[]): Promise<Message> {
    this.send({ id, method, params });
    return this.first((message) => message['id'] === id);
  }

  /** The first message, already here or still to come, that fits. */
  async first(fits: (message: Message) => boolean): Promise<Message> {
    let found: Message | undefined;
    await this.until(() => {
      found = this.messages.find(fits);
      return found !== undefined;
    });
    return found!;
  }

  notifications(method: string): Message[] {
    return this.messages.filter((message) => message['method'] === method);
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      if (this.closed) throw new Error('the connection closed');
      await new Promise<void>((resolve) => {
        const waker = (): void => {
          this.#wakers.delete(waker);
          resolve();
        };
        this.#wakers.add(waker);
      });
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  close(): void {
    this.#socket.destroy();
  }

  #wake(): void {
    for (const waker of [...this.#wakers]) waker();
  }
}
