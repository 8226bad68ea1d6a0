import { CodedError } from '../../src/base/errors.ts';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import type { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

type Append = {
  readonly entries: readonly LedgerEntry[];
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
};

/** `honest`, or a way in which a disk or a ledger may be wrong: the checks must find it. */
export type DiskNature = 'honest' | 'lies';

/**
 * The disk of one machine over all lives of its process, with durability exactly as a ledger promises it:
 * appends become durable in order, each as a whole, and are answered only then. A crash loses those that
 * were not durable; one may be durable and not yet answered.
 */
export class Disk {
  readonly store: MemoryLedger;
  readonly nature: DiskNature;
  /** The documents that are durable now: what would be read after a power cut. */
  /** Every channel record that was to be written. */
  readonly askedChannels: string[] = [];
  readonly documents = new Map<string, string>();
  readonly #queue: Append[] = [];
  /** Durable appends whose process has not been answered. */
  readonly #unanswered: Append[] = [];
  #process: DiskLedger | undefined;
  refuseNext = false;

  readonly #time: VirtualTime;

  constructor(nature: DiskNature, time: VirtualTime) {
    this.nature = nature;
    this.#time = time;
    this.store = new MemoryLedger({}, { clock: time.clock, timers: time.timers });
  }

  /** The ledger of a new life of the process. */
  mount(): Ledger {
    // The queue of a new process is empty.
    this.refuseNext = false;
    this.#process = new DiskLedger(this);
    return this.#process;
  }

  get waiting(): number {
    return this.#queue.length + this.#unanswered.length;
  }

  get isFailed(): boolean {
    return this.#process?.stats.failed === true;
  }

  push(append: Append): void {
    this.#queue.push(append);
    if (this.nature === 'lies') append.resolve();
  }

  /** Whether it was asked to keep this close, and be it in vain. */
  wasAskedFor(closeTx: string): boolean {
    return this.askedChannels.some(
      (body) => (JSON.parse(body) as { close_tx: unknown }).close_tx === closeTx,
    );
  }

  /** The oldest append becomes durable. */
  async write(): Promise<boolean> {
    const append = this.#queue.shift();
    if (append === undefined) return false;
    const conflict = await this.#store(append);
    if (conflict === undefined) this.#unanswered.push(append);
    else append.reject(conflict);
    return true;
  }

  /** The oldest durable append is answered. */
  answer(): boolean {
    const append = this.#unanswered.shift();
    append?.resolve();
    return append !== undefined;
  }

  /** The disk fails under the oldest append, which may be on it or not; nothing is written from then on. */
  async fail(isWritten: boolean): Promise<void> {
    if (this.#process === undefined || this.isFailed) return;
    const [first] = this.#queue;
    if (isWritten && first !== undefined) {
      this.#queue.shift();
      await this.#store(first);
    }
    this.#process.stats.failed = true;
    const error = (): CodedError => new CodedError('ledger_io', 'the disk failed');
    for (const append of [...this.#unanswered, ...(isWritten && first ? [first] : []), ...this.#queue]) {
      append.reject(error());
    }
    this.#unanswered.length = 0;
    this.#queue.length = 0;
  }

  /** The process dies with some of its appends written in time, in their order. */
  async crash(written: number): Promise<void> {
    if (this.#process !== undefined) this.#process.isDead = true;
    for (const append of this.#queue.splice(0).slice(0, written)) await this.#store(append);
    this.#unanswered.length = 0;
  }

  async #store({ entries }: Append): Promise<CodedError | undefined> {
    let conflict: CodedError | undefined;
    this.store.append(entries).then(
      () => {
        for (const entry of entries) {
          if (entry.type !== 'log') this.documents.set(`${entry.kind} ${entry.id}`, entry.body);
        }
      },
      (error: CodedError) => {
        conflict = error;
      },
    );
    await this.#time.settle();
    return conflict;
  }
}

/** What one life of a process sees of its disk. A dead process is never answered. */
class DiskLedger implements Ledger {
  readonly engine = 'fuzz';
  readonly stats = {
    ...{ commits: 0, rows: 0, queuedWrites: 0, failed: false },
    ...{ lastCommitAtMs: 0, lastCommitAtMonotonicMs: 0 },
  };
  readonly #disk: Disk;
  isDead = false;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  append(entries: readonly LedgerEntry[]): Promise<void> {
    if (this.isDead) return never();
    for (const entry of entries) {
      if (entry.type === 'put' && entry.kind === 'channel') this.#disk.askedChannels.push(entry.body);
    }
    if (this.stats.failed) return Promise.reject(new CodedError('ledger_io', 'the ledger failed before'));
    if (this.#disk.refuseNext) {
      this.#disk.refuseNext = false;
      return Promise.reject(new CodedError('overload', 'too many ledger writes wait'));
    }
    return new Promise((resolve, reject) => {
      this.#disk.push({
        entries: entries.map((each) => ({ ...each })),
        resolve: () => (this.isDead ? undefined : resolve()),
        reject: (error) => (this.isDead ? undefined : reject(error)),
      });
    });
  }

  appendNow(entries: readonly LedgerEntry[]): Promise<void> {
    return this.append(entries);
  }

  get(...words: Parameters<Ledger['get']>): ReturnType<Ledger['get']> {
    return this.isDead ? never() : this.#disk.store.get(...words);
  }

  list(...words: Parameters<Ledger['list']>): ReturnType<Ledger['list']> {
    return this.isDead ? never() : this.#disk.store.list(...words);
  }

  readLog(...words: Parameters<Ledger['readLog']>): ReturnType<Ledger['readLog']> {
    return this.isDead ? never() : this.#disk.store.readLog(...words);
  }

  readLogSince(...words: Parameters<Ledger['readLogSince']>): ReturnType<Ledger['readLogSince']> {
    return this.isDead ? never() : this.#disk.store.readLogSince(...words);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
