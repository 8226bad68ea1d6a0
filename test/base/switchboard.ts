import type { AddressInfo } from 'node:net';
import * as net from 'node:net';

/** A port that stays while what is behind it is replaced by another process, and that can be cut from it. */
export class Switchboard {
  readonly #server: net.Server;
  readonly #open = new Set<net.Socket>();
  #isCut = false;
  targetPort = 0;

  private constructor() {
    this.#server = net.createServer((socket) => this.#connect(socket));
  }

  static async listen(targetPort = 0): Promise<Switchboard> {
    const board = new Switchboard();
    board.targetPort = targetPort;
    await new Promise<void>((resolve) => board.#server.listen(0, '127.0.0.1', resolve));
    return board;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** All that is open ends, and nobody is let in until it is mended. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#open) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #connect(socket: net.Socket): void {
    if (this.#isCut) return void socket.destroy();
    const target = net.connect(this.targetPort, '127.0.0.1');
    for (const [one, other] of [
      [socket, target],
      [target, socket],
    ] as const) {
      this.#open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
