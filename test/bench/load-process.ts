import { serveParent, usage } from './child.ts';
import type { HashedShape } from './floor.ts';
import { LoadConnection, LoadCounts } from './load-connection.ts';

export type LoadShape = {
  readonly connections: number;
  readonly window: number;
  /** Default 0. */
  readonly pauseMs?: number;
  /** Of the first, in the names of workers. Default 0. */
  readonly firstIndex?: number;
  /** Searches a valid nonce for every submit, so that jobs may come as they like. Default false. */
  readonly findsNonces?: boolean;
};

export type LoadSample = {
  /** Since the sample before. */
  readonly accepted: number;
  readonly rejected: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
};

/** Since the start. */
export type LoadTotals = { readonly submitted: number; readonly unanswered: number };

const CONNECTING_AT_ONCE = 64;

/**
 * The load of the bench: many connections, a window of submits in flight on each, the next as soon as one
 * is answered.
 */
class Load {
  readonly #counts = new LoadCounts();
  readonly #connections: LoadConnection[] = [];

  /** Connects all and resolves when each has its first job. */
  async connect({
    port,
    connections,
    window,
    pauseMs = 0,
    firstIndex = 0,
    findsNonces = false,
  }: LoadShape & { readonly port: number }): Promise<void> {
    const waiting = Array.from({ length: connections }, (_, index) => firstIndex + index);
    const connectSome = async (): Promise<void> => {
      for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
        const connection = new LoadConnection({ port, index, window, pauseMs, findsNonces }, this.#counts);
        this.#connections.push(connection);
        await connection.ready;
      }
    };
    await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connectSome));
  }

  /**
   * Finds, before anything is timed, a nonce for each of the next `shares` submits that meets the share
   * target.
   */
  prepare({ shares }: { readonly shares: number }): void {
    const each = Math.ceil(shares / this.#connections.length);
    for (const connection of this.#connections) connection.prepare(each);
  }

  start(): void {
    for (const connection of this.#connections) connection.start();
  }

  sample(): LoadSample {
    return this.#counts.take();
  }

  /** Sends no more; resolves when everything sent is answered. */
  async stop(): Promise<LoadSample> {
    for (const connection of this.#connections) connection.stop();
    while (this.#connections.some((connection) => connection.inFlight > 0)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return this.#counts.take();
  }

  totals(): LoadTotals {
    const sum = (of: (connection: LoadConnection) => number): number =>
      this.#connections.reduce((total, connection) => total + of(connection), 0);
    return { submitted: sum(({ submitted }) => submitted), unanswered: sum(({ inFlight }) => inFlight) };
  }

  /** Of the jobs that the first connection has. */
  hashed(): HashedShape {
    return this.#connections[0]!.hashed;
  }

  /** Resolves when `count` more notifies arrived, with the arrival of the last in ms of `hrtime`. */
  notified({ count }: { readonly count: number }): Promise<number> {
    return this.#counts.notified(count);
  }

  async disconnect(): Promise<void> {
    const closed = this.#connections.splice(0).map((connection) => connection.close());
    await Promise.all(closed);
  }
}

if (import.meta.main) {
  const load = new Load();
  serveParent(
    {
      connect: (shape: LoadShape & { port: number }) => load.connect(shape),
      prepare: (wanted: { shares: number }) => load.prepare(wanted),
      start: () => load.start(),
      sample: () => load.sample(),
      stop: () => load.stop(),
      totals: () => load.totals(),
      hashed: () => load.hashed(),
      notified: (wanted: { count: number }) => load.notified(wanted),
      disconnect: () => load.disconnect(),
      usage,
    },
    () => load.disconnect(),
  );
}
