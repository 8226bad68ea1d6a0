import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

/** A ledger that can be copied as it was at any append, and whose disk can stop answering. */
export class RecordedLedger implements Ledger {
  readonly engine = 'recorded';
  readonly stats;
  /** Appends for which this holds are not answered until `release`. */
  holds: (entries: readonly LedgerEntry[]) => boolean = () => false;
  readonly #store = new MemoryLedger();
  readonly #written: (readonly LedgerEntry[])[] = [];
  #held: (() => void)[] = [];

  constructor() {
    this.stats = this.#store.stats;
  }

  /** How many appends there were: the name of a copy. */
  get appends(): number {
    return this.#written.length;
  }

  /** The ledger as it was after so many appends. */
  async copyAt(appends: number): Promise<RecordedLedger> {
    const copy = new RecordedLedger();
    for (const entries of this.#written.slice(0, appends)) await copy.append(entries);
    return copy;
  }

  release(): void {
    this.holds = () => false;
    for (const resume of this.#held.splice(0)) resume();
  }

  async append(entries: readonly LedgerEntry[]): Promise<void> {
    if (this.holds(entries)) await new Promise<void>((resolve) => this.#held.push(resolve));
    await this.#store.append(entries);
    this.#written.push(entries);
  }
  appendNow(entries: readonly LedgerEntry[]): Promise<void> {
    return this.append(entries);
  }
  get(kind: string, id: string): Promise<string | undefined> {
    return this.#store.get(kind, id);
  }
  list(kind: string, prefix?: string): ReturnType<Ledger['list']> {
    return this.#store.list(kind, prefix);
  }
  readLog(...args: Parameters<Ledger['readLog']>): ReturnType<Ledger['readLog']> {
    return this.#store.readLog(...args);
  }
  recentLog(...args: Parameters<Ledger['recentLog']>): ReturnType<Ledger['recentLog']> {
    return this.#store.recentLog(...args);
  }
  logRange(...args: Parameters<Ledger['logRange']>): ReturnType<Ledger['logRange']> {
    return this.#store.logRange(...args);
  }
  readLogSince(...args: Parameters<Ledger['readLogSince']>): ReturnType<Ledger['readLogSince']> {
    return this.#store.readLogSince(...args);
  }
  async close(): Promise<void> {}
}
