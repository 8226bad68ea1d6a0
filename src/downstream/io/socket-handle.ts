import { Socket } from 'node:net';

/** Of a write that the system did not take whole: kept by the runtime until it has. */
type WriteRequest = { oncomplete?: (status: number) => void };

/** What a plain socket reads and writes with; like the rest here not in Node's documentation. */
export type SocketHandle = {
  readonly writeQueueSize: number;
  /** What it returns takes the place of the buffer. */
  onread: (this: SocketHandle, ...words: never[]) => void;
  useUserBuffer(buffer: Buffer): void;
  /** @returns 0, or the code of an error */
  writeLatin1String(request: WriteRequest, text: string): number;
};

/** What the runtime says of the last read or write, of whichever socket. */
type StreamBinding = {
  readonly WriteWrap: new () => WriteRequest;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
  readonly streamBaseState: Int32Array;
};

/** Undefined where this runtime has none such: then everything goes through streams. */
const streamBinding: StreamBinding | undefined = bindingOf(process);

/** Of a plain connection; undefined for TLS, for one that has ended, and where Node has it otherwise. */
export function handleOf(socket: Socket): SocketHandle | undefined {
  if (streamBinding === undefined || socket.constructor !== Socket) return undefined;
  const { _handle: handle } = socket as unknown as { readonly _handle?: Partial<SocketHandle> | null };
  const isKnown =
    typeof handle?.useUserBuffer === 'function' &&
    typeof handle.writeLatin1String === 'function' &&
    typeof handle.onread === 'function' &&
    typeof handle.writeQueueSize === 'number';
  return isKnown ? (handle as SocketHandle) : undefined;
}

/** Bytes of the read that `onread` was called for; negative for an error, or the end. */
export function bytesRead(): number {
  const { streamBaseState, kReadBytesOrError } = streamBinding!;
  return streamBaseState[kReadBytesOrError]!;
}

/** Not in use by any write. */
let spare: WriteRequest | undefined;

/**
 * Writes past the stream of the socket, which must have nothing waiting.
 * @returns false when part of it waits: it leaves before anything that is written later
 */
export function writePastStream(handle: SocketHandle, text: string, socket: Socket): boolean {
  const { WriteWrap, streamBaseState, kLastWriteWasAsync } = streamBinding!;
  const request = spare ?? new WriteWrap();
  spare = undefined;
  if (handle.writeLatin1String(request, text) !== 0) {
    socket.destroy();
    return true;
  }
  if (streamBaseState[kLastWriteWasAsync] === 0) {
    spare = request;
    return true;
  }
  request.oncomplete = (status) => {
    if (status !== 0) socket.destroy();
  };
  return false;
}

function bindingOf(runtime: object): StreamBinding | undefined {
  try {
    const { binding } = runtime as { readonly binding: (name: string) => Partial<StreamBinding> };
    const found = binding('stream_wrap');
    const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
    const isKnown =
      typeof WriteWrap === 'function' &&
      streamBaseState instanceof Int32Array &&
      typeof kReadBytesOrError === 'number' &&
      typeof kLastWriteWasAsync === 'number';
    return isKnown ? (found as StreamBinding) : undefined;
  } catch {
    return undefined;
  }
}
