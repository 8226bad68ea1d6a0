import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { appendFrameSize, bodySize, entryKey, FrameWriter } from './frame.ts';
import type { LedgerEntry, LedgerStats } from './ledger.ts';
import type { Conflict } from './writer-messages.ts';

export type QueueLimits = {
  readonly maxQueuedWrites: number;
  readonly maxQueuedBytes: number;
  readonly maxRecordBytes: number;
};

type Append = {
  /** Index of the append of the frame that it is in, with others perhaps (`FrameWriter`). */
  readonly index: number;
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
};

type Group = { readonly appends: Append[]; bytes: number; writes: number };

/**
 * Appends waiting for their commit, in order: those being collected, then the groups handed to the
 * writer.
 */
export class AppendQueue {
  readonly #limits: QueueLimits;
  readonly #stats: LedgerStats;
  readonly #inFlight: Group[] = [];
  #waiting: Group = { appends: [], bytes: 0, writes: 0 };
  #frame: FrameWriter | undefined;
  #queuedBytes = 0;

  constructor(limits: QueueLimits, stats: LedgerStats) {
    this.#limits = limits;
    this.#stats = stats;
  }

  get waitingWrites(): number {
    return this.#waiting.writes;
  }

  get waitingBytes(): number {
    return this.#waiting.bytes;
  }

  /** True when a group could be taken, be it of empty appends. */
  get isWaiting(): boolean {
    return this.#waiting.appends.length > 0;
  }

  get groupsInFlight(): number {
    return this.#inFlight.length;
  }

  get isEmpty(): boolean {
    return this.#inFlight.length === 0 && this.#waiting.appends.length === 0;
  }

  /** Why these entries cannot be taken now: `overload`, with the limit that was hit as `meta.limit`. */
  refusal(entries: readonly LedgerEntry[]): CodedError | undefined {
    for (const entry of entries) {
      entryKey(entry);
      if (bodySize(entry) > this.#limits.maxRecordBytes) {
        return new CodedError('overload', `a ${entry.kind} record of ${bodySize(entry)} bytes`, {
          limit: 'ledgerRecordBytes',
        });
      }
    }
    if (this.#stats.queuedWrites + entries.length > this.#limits.maxQueuedWrites) {
      return new CodedError('overload', 'too many ledger writes wait', { limit: 'ledgerQueuedWrites' });
    }
    if (this.#queuedBytes > this.#limits.maxQueuedBytes) {
      return new CodedError('overload', 'too many bytes wait for the ledger', {
        limit: 'ledgerQueuedBytes',
      });
    }
    return undefined;
  }

  /** Copies the entries behind everything pushed before; settles with their commit. */
  push(entries: readonly LedgerEntry[], spareBuffers: ArrayBuffer[]): Promise<void> {
    const size = appendFrameSize(entries);
    this.#frame ??= new FrameWriter(spareBuffers.pop());
    const index = this.#frame.push(entries, size);
    this.#waiting.bytes += size;
    this.#waiting.writes += entries.length;
    this.#queuedBytes += size;
    this.#stats.queuedWrites += entries.length;
    return new Promise((resolve, reject) => {
      this.#waiting.appends.push({ index, resolve, reject });
    });
  }

  /** What waits becomes one group, to be sent to the writer. */
  takeGroup(): { readonly buffer: ArrayBuffer; readonly size: number } | undefined {
    if (this.#frame === undefined) return undefined;
    const frame = this.#frame.finish();
    this.#frame = undefined;
    this.#inFlight.push(this.#waiting);
    this.#waiting = { appends: [], bytes: 0, writes: 0 };
    return frame;
  }

  /** The oldest group is on disk, but for the appends that had a conflict. */
  settleGroup(conflicts: readonly Conflict[]): void {
    const group = this.#inFlight.shift();
    assert(group !== undefined, 'ledger_reply_without_group');
    this.#forget(group);
    const refused = new Map(conflicts.map((conflict) => [conflict.append, conflict]));
    for (const { index, resolve, reject } of group.appends) {
      const conflict = refused.get(index);
      if (conflict === undefined) resolve();
      else reject(new CodedError(conflict.code ?? 'ledger_conflict', conflict.detail));
    }
  }

  failAll(makeError: () => CodedError): void {
    const groups = [...this.#inFlight.splice(0), this.#waiting];
    this.#waiting = { appends: [], bytes: 0, writes: 0 };
    this.#frame = undefined;
    for (const group of groups) {
      this.#forget(group);
      for (const append of group.appends) append.reject(makeError());
    }
  }

  #forget(group: Group): void {
    this.#queuedBytes -= group.bytes;
    this.#stats.queuedWrites -= group.writes;
  }
}
