import { Socket } from 'node:net';

/** What the runtime reads at most at once. */
const READ_BYTES = 64 * 1024;
/** Most reads of miners are one line or a few. */
const VIEWS = 2048;

/**
 * One buffer for the reads of all plain connections. Otherwise the runtime takes 64 KiB for each read, copies
 * what came into an array of its own and passes that through a stream: a quarter of what a bare server spends
 * on a connection that sends one short line at a time.
 *
 * `net.Socket` has this as its option `onread`, but a server makes its sockets without it. So the handle of
 * an accepted connection is moved to a socket made with it: `_handle` and the option `handle` are used by
 * Node's own modules and are not in its documentation. Where they are not as expected, `adopt` does nothing.
 */
export class SharedReads {
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Of the first so many bytes; made once, used for each read of that size. */
  readonly #views: Buffer[] = [];

  /**
   * Takes over a connection that was accepted paused and not read from.
   * @param onBytes what is read; valid during the call only
   * @returns the socket to use instead, already reading; undefined when this one has to be used as it is
   */
  adopt(accepted: Socket, onBytes: (chunk: Buffer) => void): Socket | undefined {
    const inner = accepted as unknown as { _handle?: unknown };
    const handle = inner._handle;
    if (accepted.constructor !== Socket || accepted.bytesRead > 0 || !isHandle(handle)) return undefined;
    const callback = (size: number): boolean => {
      onBytes(this.#view(size));
      return true;
    };
    const options = {
      handle,
      onread: { buffer: this.#buffer, callback },
      writableHighWaterMark: accepted.writableHighWaterMark,
    };
    inner._handle = null;
    const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
    accepted.destroy();
    return socket;
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

function isHandle(handle: unknown): boolean {
  return typeof (handle as { useUserBuffer?: unknown } | null | undefined)?.useUserBuffer === 'function';
}
