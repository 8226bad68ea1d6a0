import { Socket } from 'node:net';

/** What the runtime reads at most at once. */
const READ_BYTES = 64 * 1024;
/** Most reads of miners are one line or a few. */
const VIEWS = 2048;

/** Where a socket keeps its option `onread`, by the names Node gives its symbols. */
type OnRead = { readonly buffer: symbol; readonly callback: symbol };
type Inner = Record<symbol, unknown> & { readonly _handle?: { useUserBuffer?: (buffer: Buffer) => void } };

/** Where a socket keeps whose bytes it reads. */
const READER = Symbol('reader');

/**
 * One buffer for the reads of all plain connections. Otherwise the runtime takes 64 KiB for each read, copies
 * what came into an array of its own and passes that through a stream: a tenth of what a bare server spends
 * on a connection that sends one short line at a time.
 *
 * `net.Socket` has this as its option `onread`, but a server makes its sockets without options. So it is set
 * afterwards, as the constructor would: `_handle` and the two symbols are not in Node's documentation. Where
 * they are not as expected nothing is changed, and the socket emits `data` as ever.
 */
export class SharedReads<R> {
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Of the first so many bytes; made once, used for each read of that size. */
  readonly #views: Buffer[] = [];
  /** One function for all sockets: of thousands, those of each would be in no cache. */
  readonly #callback: (this: Inner, size: number) => boolean;
  #onRead: OnRead | undefined;

  /** @param onBytes gets what a reader's socket brought, valid during the call only */
  constructor(onBytes: (reader: R, chunk: Buffer) => void) {
    const view = (size: number): Buffer => this.#view(size);
    this.#callback = function (this: Inner, size: number): boolean {
      onBytes(this[READER] as R, view(size));
      return true;
    };
  }

  /**
   * To be called for a connection that was accepted paused and not read from, before it is resumed.
   * @returns false when this socket has to be listened to for `data`
   */
  take(socket: Socket, reader: R): boolean {
    if (socket.constructor !== Socket || socket.bytesRead > 0) return false;
    const inner = socket as unknown as Inner;
    this.#onRead ??= onReadOf(socket);
    const handle = inner._handle;
    if (this.#onRead === undefined || typeof handle?.useUserBuffer !== 'function') return false;
    inner[this.#onRead.buffer] = this.#buffer;
    inner[this.#onRead.callback] = this.#callback;
    inner[READER] = reader;
    handle.useUserBuffer(this.#buffer);
    return true;
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

function onReadOf(socket: Socket): OnRead | undefined {
  const symbols = Object.getOwnPropertySymbols(socket);
  const buffer = symbols.find(({ description }) => description === 'kBuffer');
  const callback = symbols.find(({ description }) => description === 'kBufferCb');
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}
