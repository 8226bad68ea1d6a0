import type { Socket } from 'node:net';
import { handleOf, type SocketHandle, writePastStream } from './socket-handle.ts';

/** How long a miner may leave unread what it was sent, while there are new jobs for it. */
const UNREAD_MS = 60_000;

/**
 * What leaves for one miner. Jobs do not pile up behind what a miner has not read: it misses those that are
 * stale by then, and gets the newest.
 *
 * Answers leave past the stream: of thousands of sockets the state of none is in a cache. While anything
 * waits they go through it, so that the order stays and what waits is counted.
 */
export class SocketWriter<MissedJob extends { readonly clean: boolean }> {
  /** Lines for the end of the turn. */
  text = '';
  /** Something may wait in the stream, or in the handle. */
  #mayWait = false;
  readonly #handle: SocketHandle | undefined;
  readonly #socket: Socket;
  #missed: MissedJob | undefined;
  #missedSinceMs = 0;
  #isWaiting = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#handle = handleOf(socket);
  }

  /** `LIMITS.sessionUnreadBytes` wait, or did and are not all gone: no more jobs should. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** Bytes that the system does not take, since the miner does not. */
  get unreadBytes(): number {
    return this.#socket.writableLength;
  }

  /** All lines in one write. @returns false when it is full by then */
  flush(): boolean {
    if (this.text === '') return true;
    const { text } = this;
    this.text = '';
    const handle = this.#handle;
    if (handle === undefined || (this.#mayWait && this.#waits(handle))) {
      return this.#socket.write(text, 'latin1');
    }
    this.#mayWait = !writePastStream(handle, text, this.#socket);
    return true;
  }

  #waits(handle: SocketHandle): boolean {
    return this.#socket.writableLength > 0 || handle.writeQueueSize > 0;
  }

  /** At once and in order: what is queued, then the changes, then the line that all sessions share. */
  notify(before: string, line: Buffer): void {
    const text = this.text + before;
    this.text = '';
    this.#mayWait = true;
    if (text === '') this.#socket.write(line);
    else {
      this.#socket.cork();
      this.#socket.write(text, 'latin1');
      this.#socket.write(line);
      this.#socket.uncork();
    }
  }

  /**
   * Keeps a job while it is full.
   * @param onRead called with the newest of them once the miner has read what came before
   * @returns false when the miner has not read for too long
   */
  keep(job: MissedJob, monotonicMs: number, onRead: (job: MissedJob) => void): boolean {
    const before = this.#missed;
    this.#missed = before?.clean === true ? { ...job, clean: true } : job;
    if (this.#isWaiting) return monotonicMs - this.#missedSinceMs <= UNREAD_MS;
    this.#isWaiting = true;
    this.#missedSinceMs = monotonicMs;
    this.#socket.once('drain', () => {
      const missed = this.#missed;
      this.#missed = undefined;
      this.#isWaiting = false;
      if (missed !== undefined) onRead(missed);
    });
    return true;
  }

  /** What it has missed is not its work any more. */
  forget(): void {
    this.#missed = undefined;
  }
}
