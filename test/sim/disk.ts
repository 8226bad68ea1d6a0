import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LEASE_KIND, parseLeaseBody } from '../../src/ledger/lease.ts';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import { SHARE_KIND, unpackShares } from '../../src/work/evidence.ts';
import type { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

type Append = {
  readonly entries: readonly LedgerEntry[];
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
};

/**
 * The death of a process at one of its writes: `before` it is on the disk, with it `torn` from its answer, or
 * `after` what follows from the answer at once. Or the process lives, and its disk `fails` there, with the
 * write on it (as where it cannot be told, EIO) or not (`full`, ENOSPC), until the process starts anew.
 */
export type CrashPoint = { readonly write: number; readonly moment: (typeof CRASH_MOMENTS)[number] };
export const CRASH_MOMENTS = ['before', 'torn', 'after', 'fails', 'full'] as const;

/** `honest`, or a way in which a disk or a ledger may be wrong: the checks must find it. */
export type DiskNature = 'honest' | 'lies';

/**
 * The disk of one machine over all lives of its process, with durability exactly as a ledger promises it:
 * appends become durable in order, each as a whole, and are answered only then. A crash loses those that
 * were not durable; one may be durable and not yet answered.
 */
export class Disk {
  store: MemoryLedger;
  readonly nature: DiskNature;
  /** Every channel record that was to be written. */
  readonly askedChannels: string[] = [];
  /** The documents that are durable now: what would be read after a power cut. */
  readonly documents = new Map<string, string>();
  readonly #queue: Append[] = [];
  /** Durable appends whose process has not been answered. */
  readonly #unanswered: Append[] = [];
  #process: DiskLedger | undefined;
  /** The newest token, where several processes write: as a database, it takes nothing under another. */
  fence: (() => number) | undefined;
  refuseNext = false;
  /** No append fits any more, over all lives. */
  isFull = false;
  /** The first append with this kind fails the ledger. */
  failsAt: string | undefined;
  /** Appends so far, over all lives, and the one that is not taken: for too many that wait, or for good. */
  appends = 0;
  refusedAt: { readonly append: number; readonly why: 'overload' | 'ledger_io' } | undefined;
  /** Takes appends, and writes none. */
  isHanging = false;
  /** Writes so far, over all lives. */
  writes = 0;
  /** Where the process dies, and how: called with the appends that are written in time. */
  crashPoint: (CrashPoint & { readonly die: (written: number) => Promise<void> }) | undefined;
  /** Bytes of all bodies that were to be written, by kind. */
  readonly askedBytes = new Map<string, number>();
  /** Everything on it, in its order: a backup is a beginning of it. */
  #written: (readonly LedgerEntry[])[] = [];
  #backedUp = 0;
  /** Hashes of shares that a restore took from it. */
  readonly forgottenShares = new Set<string>();

  readonly #time: VirtualTime;

  constructor(nature: DiskNature, time: VirtualTime) {
    this.nature = nature;
    this.#time = time;
    this.store = this.#empty();
  }

  /** The ledger of a new life of the process. */
  mount(): Ledger {
    // The queue of a new process is empty.
    this.refuseNext = false;
    this.#process = new DiskLedger(this);
    return this.#process;
  }

  /** The process stands still: what it has not handed over comes when it wakes up, and so do answers. */
  sleep(): () => void {
    const process = this.#process;
    const asked = this.#queue.splice(0);
    const answers = this.#unanswered.splice(0);
    return () => {
      if (process?.isDead === true) return;
      for (const each of answers) each.resolve();
      this.#queue.push(...asked);
    };
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

  asked(entries: readonly LedgerEntry[]): void {
    for (const entry of entries) {
      const { kind, body } = entry;
      if (entry.type === 'put' && kind === 'channel') this.askedChannels.push(entry.body);
      this.askedBytes.set(kind, (this.askedBytes.get(kind) ?? 0) + body.length);
    }
  }

  /** The oldest append becomes durable. */
  async write(): Promise<boolean> {
    if (this.isHanging) return false;
    if (this.#queue.length === 0) return false;
    this.writes += 1;
    const moment = this.crashPoint?.write === this.writes ? this.crashPoint.moment : undefined;
    if (moment === 'before' || moment === 'torn') {
      await this.crashPoint!.die(moment === 'before' ? 0 : 1);
      return true;
    }
    if (moment === 'fails' || moment === 'full') {
      await this.fail(moment === 'fails');
      return true;
    }
    const append = this.#queue.shift()!;
    const conflict = await this.#keep(append.entries);
    if (conflict === undefined) this.#unanswered.push(append);
    else append.reject(conflict);
    if (moment === 'after') {
      this.answer();
      await this.#time.settle();
      await this.crashPoint!.die(0);
    }
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
      await this.#keep(first.entries);
    }
    this.#process.stats.failed = true;
    const error = (): CodedError => new CodedError('ledger_io', 'the disk failed');
    for (const append of [...this.#unanswered, ...(isWritten && first ? [first] : []), ...this.#queue]) {
      append.reject(error());
    }
    this.#unanswered.length = 0;
    this.#queue.length = 0;
  }

  backUp(): void {
    this.#backedUp = this.#written.length;
  }

  /** The backup takes the place of all that came after it; only while no process runs. */
  async restore(): Promise<void> {
    const kept = this.#written.slice(0, this.#backedUp);
    for (const entry of this.#written.slice(this.#backedUp).flat()) {
      if (entry.type !== 'log' || entry.kind !== SHARE_KIND) continue;
      for (const { hash } of unpackShares(entry.body)) this.forgottenShares.add(toHex(hash));
    }
    this.#written = [];
    this.documents.clear();
    this.store = this.#empty();
    for (const entries of kept) await this.#keep(entries);
  }

  /** The process dies with some of its appends written in time, in their order. */
  async crash(written: number): Promise<void> {
    if (this.#process !== undefined) this.#process.isDead = true;
    for (const append of this.#queue.splice(0).slice(0, written)) await this.#keep(append.entries);
    this.#unanswered.length = 0;
  }

  #empty(): MemoryLedger {
    return new MemoryLedger({}, { clock: this.#time.clock, timers: this.#time.timers });
  }

  async #keep(entries: readonly LedgerEntry[]): Promise<CodedError | undefined> {
    const lease = entries.find(({ kind }) => kind === LEASE_KIND);
    const token = lease === undefined ? undefined : parseLeaseBody(lease.body).token;
    if (this.fence !== undefined && token !== undefined && token !== this.fence())
      return new CodedError('lease_lost', `the lease ${token} is over`);
    let conflict: CodedError | undefined;
    this.store.append(entries).then(
      () => {
        this.#written.push(entries);
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
  readonly engine = 'simulated';
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
    this.#disk.asked(entries);
    this.#disk.appends += 1;
    const { refusedAt } = this.#disk;
    const refused = refusedAt?.append === this.#disk.appends ? refusedAt.why : undefined;
    const isHit = entries.some(({ kind }) => kind === this.#disk.failsAt) || refused === 'ledger_io';
    if (isHit) this.#disk.failsAt = undefined;
    if (isHit || this.#disk.isFull) this.stats.failed = true;
    if (this.stats.failed) return Promise.reject(new CodedError('ledger_io', 'the ledger failed before'));
    if (this.#disk.refuseNext || refused === 'overload') {
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

  recentLog(...words: Parameters<Ledger['recentLog']>): ReturnType<Ledger['recentLog']> {
    return this.isDead ? never() : this.#disk.store.recentLog(...words);
  }

  logRange(...words: Parameters<Ledger['logRange']>): ReturnType<Ledger['logRange']> {
    return this.isDead ? never() : this.#disk.store.logRange(...words);
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
