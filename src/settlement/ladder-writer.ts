import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { replaceFileAsync } from '../channel/durable-file.ts';
import {
  type Ladder,
  type LadderMargins,
  makeLadder,
  makeRefundLadder,
  parseLadder,
  printLadder,
} from '../channel/ladder-file.ts';
import type { ChannelParams } from '../channel/params.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import type { Logger } from '../log/logger.ts';

/** The path of a contract's ladder file. */
export function ladderPath(directory: string, contractId: string): string {
  return join(directory, `${contractId}.ladder.json`);
}

/** Above all states: the file is gone for good. */
const REMOVED = Number.POSITIVE_INFINITY;

export type LadderWriterDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Logger that limits repeated warnings: see `limited`. */
  readonly log: Logger;
  /** Default: the file system. */
  readonly files?: Partial<LadderFileAccess>;
};

/** What is done with ladder files, by path. Throws the errors of the file system. */
export type LadderFileAccess = {
  readonly read: (path: string) => Promise<string>;
  /** Replaces a file atomically. */
  readonly replace: (path: string, text: string) => Promise<void>;
  readonly remove: (path: string) => Promise<void>;
};

/** Those of the file system. */
export const LADDER_FILES: LadderFileAccess = {
  read: (path) => readFile(path, 'utf8'),
  replace: async (path, text) => {
    await ensureDirectory(dirname(path));
    await replaceFileAsync(path, text);
  },
  remove: (path) => rm(path, { force: true }),
};

/** Makes a folder but not its parents, so as to write nothing where a disk is not mounted. */
async function ensureDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** A state whose ladder is to be written. */
export type LadderRequest = {
  readonly params: ChannelParams;
  readonly state: SignedState;
  readonly margins: LadderMargins;
  readonly signer: Signer;
  /** True once this side closes without the other. */
  readonly isClosing?: boolean;
};

/** A file that is to be written: the number of its state, and how it is made. */
type Waiting = { readonly n: number; readonly make: (nowMs: number) => Ladder };

/**
 * A writer of one ladder file for each channel, of the newest state. Nothing waits for it: a failed write
 * is counted and logged, and the next state tries again. One write of a file at a time; of states that came
 * meanwhile only the newest is written. A file of a newer state, from before a restore, is left alone.
 */
export class LadderWriter {
  readonly stats = { written: 0, failed: 0 };
  readonly #directory: string;
  readonly #deps: LadderWriterDeps;
  readonly #files: LadderFileAccess;
  /** By contract: the newest state taken, if it was not lost, and the one that waits for its write. */
  readonly #newest = new Map<string, number>();
  /** By contract: the state of the file; -1 for none. */
  readonly #onDisk = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting | 'remove'>();
  readonly #writing = new Map<string, Promise<void>>();

  constructor(directory: string, deps: LadderWriterDeps) {
    this.#directory = directory;
    this.#deps = deps;
    this.#files = { ...LADDER_FILES, ...deps.files };
  }

  /**
   * Queues the ladder of a verified state. Never throws. A state older than the newest is left out; the
   * same one again makes a fresh file.
   */
  write({ params, state, margins, signer, isClosing }: LadderRequest): void {
    const { contractId } = params;
    const { n } = state;
    if (n < (this.#newest.get(contractId) ?? -1)) return;
    this.#newest.set(contractId, n);
    const make = (nowMs: number): Ladder => makeLadder(params, state, margins, signer, nowMs, isClosing);
    this.#queue(contractId, { n, make });
  }

  /** Queues the refund of a channel, which never changes: once, and again where that failed. Never throws. */
  writeRefund(params: ChannelParams, signer: Signer): void {
    const { contractId } = params;
    if (this.#newest.has(contractId)) return;
    this.#newest.set(contractId, 0);
    this.#queue(contractId, { n: 0, make: (nowMs) => makeRefundLadder(params, signer, nowMs) });
  }

  /** Queues the removal of the file of a channel that is over: nothing can bring it back. Never throws. */
  remove(contractId: string): void {
    if (this.#newest.get(contractId) === REMOVED) return;
    this.#newest.set(contractId, REMOVED);
    this.#queue(contractId, 'remove');
  }

  #queue(contractId: string, request: Waiting | 'remove'): void {
    this.#waiting.set(contractId, request);
    if (this.#writing.has(contractId)) return;
    this.#writing.set(contractId, this.#drain(contractId));
  }

  /** Resolves once nothing is being written. */
  async idle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values());
  }

  async #drain(contractId: string): Promise<void> {
    // What the state leads to goes first.
    await new Promise<void>((resolve) => this.#deps.timers.afterTurn(resolve));
    for (;;) {
      const request = this.#waiting.get(contractId);
      if (request === undefined) break;
      this.#waiting.delete(contractId);
      if (request === 'remove') await this.#remove(contractId);
      else if (await this.#isNewest(contractId, request)) await this.#replace(contractId, request);
    }
    this.#writing.delete(contractId);
  }

  /** False where the file, of an earlier run too, has a newer state. */
  async #isNewest(contractId: string, { n }: Waiting): Promise<boolean> {
    if (!this.#onDisk.has(contractId)) {
      const text = await this.#files.read(ladderPath(this.#directory, contractId)).catch(() => '');
      this.#onDisk.set(contractId, newestIn(text));
    }
    return n >= this.#onDisk.get(contractId)!;
  }

  async #remove(contractId: string): Promise<void> {
    try {
      await this.#files.remove(ladderPath(this.#directory, contractId));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#deps.log.warn({ code, contract: contractId }, 'ladder file not removed');
    }
  }

  async #replace(contractId: string, { n, make }: Waiting): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      const text = printLadder(make(clock.nowMs()));
      await this.#files.replace(ladderPath(this.#directory, contractId), text);
      this.stats.written += 1;
      this.#onDisk.set(contractId, n);
    } catch (error) {
      this.stats.failed += 1;
      // A key that is elsewhere does not come.
      if (codeOf(error) !== 'cold_key' && this.#newest.get(contractId) === n)
        this.#newest.delete(contractId);
      const code = (error as NodeJS.ErrnoException).code ?? codeOf(error);
      log.warn({ code, detail: (error as Error).message, contract: contractId }, 'ladder file not written');
    }
  }
}

/** The number of the state in the text of a ladder file; -1 where it is none. */
function newestIn(text: string): number {
  try {
    return parseLadder(text).n;
  } catch {
    return -1;
  }
}
