import type { Socket } from 'node:net';
import { bytesRead, handleOf, type SocketHandle } from './socket-handle.ts';

/** What the runtime reads at most at once. */
const READ_BYTES = 64 * 1024;
/** Most reads of miners are one line or a few. */
const VIEWS = 2048;

/** Where a handle keeps whose bytes it reads. */
const READER = Symbol('reader');

type ReadingHandle<R> = SocketHandle & { [READER]?: R };

/**
 * One buffer for the reads of all plain connections. Otherwise the runtime takes 64 KiB for each read, copies
 * what came into an array of its own and passes that through a stream: a tenth of what a bare server spends
 * on a connection that sends one short line at a time.
 *
 * `net.Socket` has this as its option `onread`, but a server makes its sockets without options. So it is set
 * afterwards, and one step nearer to the system: of thousands of sockets the streams' state is in no cache.
 * Where Node is not as expected nothing is changed, and the socket emits `data` as ever.
 */
export class SharedReads<R> {
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Of the first so many bytes; made once, used for each read of that size. */
  readonly #views: Buffer[] = [];
  readonly #onBytes: (reader: R, chunk: Buffer) => void;
  /** One function for all sockets: of thousands, those of each would be in no cache. */
  #onRead: SocketHandle['onread'] | undefined;
  #bufferKey: symbol | undefined;

  /** @param onBytes gets what a reader's socket brought, valid during the call only */
  constructor(onBytes: (reader: R, chunk: Buffer) => void) {
    this.#onBytes = onBytes;
  }

  /**
   * To be called for a connection that was accepted paused and not read from, before it is resumed.
   * @returns false when this socket has to be listened to for `data`
   */
  take(socket: Socket, reader: R): boolean {
    const handle: ReadingHandle<R> | undefined = handleOf(socket);
    this.#bufferKey ??= bufferKeyOf(socket);
    if (handle === undefined || this.#bufferKey === undefined || socket.bytesRead > 0) return false;
    Object.assign(socket, { [this.#bufferKey]: this.#buffer });
    handle.useUserBuffer(this.#buffer);
    this.#onRead ??= this.#reads(handle.onread);
    handle[READER] = reader;
    handle.onread = this.#onRead;
    return true;
  }

  /** @param onEnd what the runtime does with a read; it is left the end, and errors */
  #reads(onEnd: SocketHandle['onread']): SocketHandle['onread'] {
    const onBytes = this.#onBytes;
    const view = (size: number): Buffer => this.#view(size);
    return function (this: ReadingHandle<R>, ...words) {
      const size = bytesRead();
      if (size > 0) onBytes(this[READER] as R, view(size));
      else onEnd.apply(this, words);
    };
  }

  #view(size: number): Buffer {
    if (size >= VIEWS) return this.#buffer.subarray(0, size);
    let view = this.#views[size];
    if (view === undefined) {
      view = this.#buffer.subarray(0, size);
      this.#views[size] = view;
    }
    return view;
  }
}

/** Where a socket keeps a buffer of its own: with one, pausing it stops its handle. */
function bufferKeyOf(socket: Socket): symbol | undefined {
  return Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'kBuffer');
}
