import { once } from 'node:events';
import * as net from 'node:net';

/** The way of one program to a server on this machine, which can be cut. */
export class CutOff {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #isCut = false;

  private constructor(port: number) {
    this.#server = net.createServer((from) => this.#join(from, net.connect(port, '127.0.0.1')));
  }

  static async of(port: number): Promise<CutOff> {
    const way = new CutOff(port);
    way.#server.listen(0, '127.0.0.1');
    await once(way.#server, 'listening');
    return way;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** All connections end, and new ones too. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(from: net.Socket, to: net.Socket): void {
    for (const socket of [from, to]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        from.destroy();
        to.destroy();
      });
      if (this.#isCut) socket.destroy();
    }
    from.pipe(to);
    to.pipe(from);
  }
}
