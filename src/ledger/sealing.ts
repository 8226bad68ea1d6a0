import { rm } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { SealingResult } from './sealing-thread.ts';
import type { SealingTask } from './write-segment.ts';
import type { MaintainedLedger } from './writer-ledger.ts';
import type { SealedSegment, SealingPolicy } from './writer-messages.ts';

export type SealingOptions = Partial<SealingPolicy> & {
  readonly path: string;
  /** How long sealed rows are kept. */
  readonly keptMs: number;
  /** Bytes of rows in a segment, about. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Kinds of inserted documents that are of no use without the logs beside them, and go with them. */
  readonly evidenceKinds: readonly string[];
};

export type SealingDeps = {
  readonly ledger: Pick<MaintainedLedger, 'maintain'>;
  /** Streams that are kept however old they are. */
  readonly heldStreams: () => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** For tests; the default writes in a thread of its own. */
  readonly write?: (task: SealingTask) => Promise<SealedSegment>;
};

/**
 * Twice as much of the journal as is read to know duplicates at a start stays: an hour, and the newest rows
 * whatever their dates say.
 */
const DEFAULT_POLICY: SealingPolicy = {
  ...{ afterMs: 3_600_000, keptRows: 32_768 },
  ...{ fromRows: 65_536, waitMs: 24 * 3_600_000 },
};
const SEGMENT_BYTES = 64 * 1024 * 1024;
const EVERY_MS = 60_000;
/** A crowd of rows, such as that of a ledger of an older version, is sealed by and by. */
const SEGMENTS_PER_ROUND = 64;

/**
 * Moves old rows of a ledger into segments (`SEGMENTS.md`), and lets go of those that were kept for long
 * enough. What fails is tried again a minute later: nothing is lost by it, at any point.
 */
export class Sealing {
  readonly stats = { segments: 0, rows: 0, letGo: 0, failures: 0 };
  #options: SealingOptions;
  readonly #policy: SealingPolicy;
  readonly #deps: SealingDeps;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: SealingOptions, deps: SealingDeps) {
    const { afterMs, keptRows, fromRows, waitMs } = { ...DEFAULT_POLICY, ...options };
    this.#options = options;
    this.#policy = { afterMs, keptRows, fromRows, waitMs };
    this.#deps = deps;
  }

  /** From the next round on. */
  keepFor(keptMs: number): void {
    this.#options = { ...this.#options, keptMs };
  }

  get keptMs(): number {
    return this.#options.keptMs;
  }

  start(): void {
    this.#timer = this.#deps.timers.every(EVERY_MS, () => {
      this.#running ??= this.run().finally(() => {
        this.#running = undefined;
      });
    });
  }

  /** Before the ledger is closed. Resolves when the segment under way is finished. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** Seals and lets go of what is due. Never rejects: failures are counted and logged. */
  async run(): Promise<void> {
    try {
      await this.#prune();
      for (let count = 0; count < SEGMENTS_PER_ROUND && (await this.#sealNext()); count += 1)
        await this.#prune();
      await this.#letGo();
    } catch (error) {
      if (this.#isStopped) return;
      this.stats.failures += 1;
      const detail = (error as Error).message;
      this.#deps.log.warn({ code: codeOf(error), detail }, 'the ledger could not be sealed; tried again');
    }
  }

  async #sealNext(): Promise<boolean> {
    const { ledger, write = writeInThread, log } = this.#deps;
    const { path, evidenceKinds, segmentBytes = SEGMENT_BYTES } = this.#options;
    if (this.#isStopped) return false;
    const lastSeq = await ledger.maintain<number | undefined>({ type: 'sealable', policy: this.#policy });
    if (lastSeq === undefined) return false;
    const segment = await write({ path, lastSeq, segmentBytes, evidenceKinds });
    await ledger.maintain({ type: 'seal', segment });
    this.stats.segments += 1;
    this.stats.rows += segment.lastSeq - segment.firstSeq + 1;
    log.info({ from: segment.firstSeq, to: segment.lastSeq }, 'rows of the ledger sealed');
    return true;
  }

  /** In small steps: commits come between. */
  async #prune(): Promise<void> {
    const { evidenceKinds } = this.#options;
    while (!this.#isStopped && !(await this.#deps.ledger.maintain({ type: 'prune', evidenceKinds }))) {
      await new Promise<void>((resolve) => this.#deps.timers.afterTurn(resolve));
    }
  }

  async #letGo(): Promise<void> {
    const { ledger, heldStreams, clock, log } = this.#deps;
    const { keptMs, evidenceKinds } = this.#options;
    const nowMs = clock.nowMs();
    const beforeMs = nowMs - keptMs;
    if (this.#isStopped || !(await ledger.maintain({ type: 'is_old', beforeMs }))) return;
    const held = await heldStreams();
    const files = await ledger.maintain<readonly string[]>({
      ...{ type: 'let_go', beforeMs, held, evidenceKinds, nowMs },
    });
    for (const file of files) await rm(file, { force: true });
    this.stats.letGo += files.length;
    if (files.length > 0) log.info({ segments: files.length }, 'old segments of the ledger let go of');
  }
}

async function writeInThread(task: SealingTask): Promise<SealedSegment> {
  const file = import.meta.url.endsWith('.ts') ? './sealing-thread.ts' : './sealing-thread.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: task,
    execArgv: [],
    name: 'sealing',
  });
  const result = await new Promise<SealingResult>((resolve) => {
    const fail = (detail: string): void => resolve({ type: 'failed', code: 'ledger_io', detail });
    worker.once('message', resolve);
    worker.once('error', (error) => fail(String(error)));
    worker.once('exit', () => fail('the sealing thread ended'));
  });
  if (result.type === 'failed') throw new CodedError(result.code, result.detail);
  return result.segment;
}
