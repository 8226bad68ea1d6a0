import { Worker } from 'node:worker_threads';
import { workerUrl } from '../net/worker-url.ts';
import type { AsicCommand, AsicMessage, AsicReport, AsicSpec, AsicThreadData } from './asic-spec.ts';

export type AsicFleetOptions = {
  /** Keep the header hashes of accepted and of unanswered shares. Default false. */
  readonly trackAccepted?: boolean;
  /** Default 250. */
  readonly reportIntervalMs?: number;
  /**
   * All together hash no faster than this, for real: rates are cut in proportion. Default 2 000 000, half a
   * core of an ordinary machine.
   */
  readonly maxHashesPerSecond?: number;
  /** They connect one after the other over this time. Default 0: all at once. */
  readonly rampMs?: number;
  readonly onReport?: (reports: readonly AsicReport[]) => void;
};

export type AsicFleet = {
  /** The last reports, in the order of the specs. */
  reports(): readonly AsicReport[];
  /** Asks the thread and returns what is true now. */
  refresh(): Promise<readonly AsicReport[]>;
  /**
   * Header hashes (displayed) of the accepted shares so far, of one ASIC or of all; needs
   * `trackAccepted`.
   */
  acceptedHashes(index?: number): readonly string[];
  /** The same of submits whose connection died before the answer: the server may have taken them. */
  unansweredHashes(index?: number): readonly string[];
  setRate(index: number, hashesPerSecond: number): void;
  /** Disconnects all and returns the final reports. */
  stop(): Promise<readonly AsicReport[]>;
};

/**
 * Starts simulated ASICs in one worker thread. Each hashes for real at its own rate and speaks Stratum
 * over TCP.
 */
export async function startAsics(
  specs: readonly AsicSpec[],
  options: AsicFleetOptions = {},
): Promise<AsicFleet> {
  const data: AsicThreadData = {
    specs,
    trackAccepted: options.trackAccepted ?? false,
    reportIntervalMs: options.reportIntervalMs ?? 250,
    maxHashesPerSecond: options.maxHashesPerSecond ?? 2_000_000,
    rampMs: options.rampMs ?? 0,
  };
  const worker = new Worker(workerUrl('./asic-worker.ts', import.meta.url), { workerData: data });
  const fleet = new Fleet(worker, specs.length, options);
  await fleet.refresh();
  return fleet;
}

class Fleet implements AsicFleet {
  readonly #worker: Worker;
  readonly #accepted: string[][];
  readonly #unanswered: string[][];
  readonly #options: AsicFleetOptions;
  readonly #waiting = new Map<
    number,
    { resolve: (reports: readonly AsicReport[]) => void; reject: (error: Error) => void }
  >();
  #reports: readonly AsicReport[] = [];
  #requests = 0;
  #stopped: Promise<readonly AsicReport[]> | undefined;
  #failure: Error | undefined;

  constructor(worker: Worker, size: number, options: AsicFleetOptions) {
    this.#worker = worker;
    this.#options = options;
    this.#accepted = Array.from({ length: size }, () => []);
    this.#unanswered = Array.from({ length: size }, () => []);
    worker.on('message', (message: AsicMessage) => this.#onMessage(message));
    worker.on('error', (error: unknown) => this.#fail(error));
    worker.on('exit', () => this.#fail(new Error('the ASIC thread ended')));
  }

  reports(): readonly AsicReport[] {
    return this.#reports;
  }

  refresh(): Promise<readonly AsicReport[]> {
    return this.#stopped ?? this.#ask('report');
  }

  acceptedHashes(index?: number): readonly string[] {
    return index === undefined ? this.#accepted.flat() : [...(this.#accepted[index] ?? [])];
  }

  unansweredHashes(index?: number): readonly string[] {
    return index === undefined ? this.#unanswered.flat() : [...(this.#unanswered[index] ?? [])];
  }

  setRate(index: number, hashesPerSecond: number): void {
    this.#send({ type: 'rate', index, hashesPerSecond });
  }

  stop(): Promise<readonly AsicReport[]> {
    this.#stopped ??= this.#ask('stop').then(async (reports) => {
      await this.#worker.terminate();
      return reports;
    });
    return this.#stopped;
  }

  #send(command: AsicCommand): void {
    this.#worker.postMessage(command);
  }

  #ask(type: 'report' | 'stop'): Promise<readonly AsicReport[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#requests += 1;
    const request = this.#requests;
    return new Promise((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      this.#send({ type, request });
    });
  }

  #onMessage(message: AsicMessage): void {
    this.#reports = message.reports;
    for (const [index, hashes] of message.accepted.entries()) this.#accepted[index]!.push(...hashes);
    for (const [index, hashes] of message.unanswered.entries()) this.#unanswered[index]!.push(...hashes);
    this.#options.onReport?.(message.reports);
    if (message.request === undefined) return;
    this.#waiting.get(message.request)?.resolve(message.reports);
    this.#waiting.delete(message.request);
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
