import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KernelKind } from '../shares/kernel/create-kernel.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { BlockHasher, type HashedBlock } from './block-hasher.ts';
import type { Frame, FrameKind } from './frames.ts';
import type { HashingReply, HashingRequest, HashingThread } from './hashing-worker.ts';

/** What became of a frame: its block, the error that it is, or neither for one without shares. */
export type Hashed = HashedBlock | Error | undefined;

/** Takes the frames of one file in their order. */
export type FileHashing = (frame: Frame) => Hashed | Promise<Hashed>;

/** Where the shares of files are hashed. What comes of it is the same everywhere. */
export type Hashing = {
  /** Frames of a file that are taken before what becomes of the first of them is waited for. */
  readonly ahead: number;
  /** Begins a file. */
  readonly open: () => FileHashing;
  readonly close: () => Promise<void>;
};

/** Hashing in this thread, each block when it is due. @param kernel of at least `LIMITS.peerBatchShares` */
export function hashingHere(kernel: ShareKernel): Hashing {
  const open = (): FileHashing => {
    const hasher = new BlockHasher(kernel);
    return (frame) => hasher.take(frame);
  };
  return { ahead: 0, open, close: async () => {} };
}

/**
 * Blocks that a thread is given before it answers, and those that this thread then hashes itself before it
 * waits: as much as it has time for.
 */
const BLOCKS = { ofThread: 12, here: 4 };
/** More threads than that would wait for the audit. */
const MOST_THREADS = 4;

/** Threads that a machine has to spare beside the audit itself; none where it has one processor. */
export function spareThreads(): number {
  return Math.min(availableParallelism() - 1, MOST_THREADS);
}

/**
 * Hashing beside the audit: jobs go to all threads, a block to the one that has least to do, and to this one
 * where they all have enough. Which it was shows nowhere.
 * @param kernel as of `hashingHere`
 */
export function hashingInThreads(count: number, kernelKind: KernelKind, kernel: ShareKernel): Hashing {
  const threads = Array.from({ length: count }, () => new HashingThreadLink(kernelKind));
  let files = 0;
  const open = (): FileHashing => {
    const file = files;
    files += 1;
    const hasher = new BlockHasher(kernel);
    return (frame) => {
      if (frame.kind === 'shares') {
        const thread = leastBusy(threads);
        return thread.waiting < BLOCKS.ofThread ? thread.ask(file, frame) : hasher.take(frame);
      }
      hasher.take(frame);
      return BY_ALL.has(frame.kind) ? askAll(threads, file, frame) : undefined;
    };
  };
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.stop()));
  };
  return { ahead: BLOCKS.ofThread * count + BLOCKS.here, open, close };
}

const BY_ALL: ReadonlySet<FrameKind> = new Set(['contract', 'job', 'end']);

async function askAll(
  threads: readonly HashingThreadLink[],
  file: number,
  frame: Frame,
): Promise<Error | undefined> {
  const answers = await Promise.all(threads.map((thread) => thread.ask(file, frame)));
  return answers.find((answer) => answer instanceof Error);
}

function leastBusy(threads: readonly HashingThreadLink[]): HashingThreadLink {
  return threads.reduce((best, each) => (each.waiting < best.waiting ? each : best));
}

/** One thread, which answers in the order in which it is asked. */
class HashingThreadLink {
  readonly #worker: Worker;
  readonly #asked: ((hashed: Hashed) => void)[] = [];
  #failure: Error | undefined;

  constructor(kernelKind: KernelKind) {
    const file = import.meta.url.endsWith('.ts') ? './hashing-worker.ts' : './hashing-worker.js';
    const workerData: HashingThread = { kernelKind, capacity: LIMITS.peerBatchShares };
    this.#worker = new Worker(new URL(file, import.meta.url), {
      ...{ workerData, execArgv: [], name: 'hashing' },
    });
    this.#worker.on('message', (reply: HashingReply) => {
      const answer = this.#asked.shift();
      assert(answer !== undefined, 'hashing_answer_unasked');
      answer(reply.type === 'bad' ? new CodedError('bad_evidence', reply.words) : reply.block);
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('a hashing thread ended')));
  }

  /** Frames that it was asked about and has not answered. */
  get waiting(): number {
    return this.#asked.length;
  }

  ask(file: number, { kind, payload }: Frame): Promise<Hashed> {
    if (this.#failure !== undefined) return Promise.resolve(this.#failure);
    // A copy, and not the whole chunk that it is a part of.
    const request: HashingRequest = { file, kind, payload: new Uint8Array(payload) };
    this.#worker.postMessage(request, [request.payload.buffer]);
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Whoever waits hears of it: an audit without its thread cannot go on. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const answer of this.#asked.splice(0)) answer(this.#failure);
  }
}
