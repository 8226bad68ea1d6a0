import { nameOf } from './admit.ts';
import { OP_CODES } from './frame.ts';
import { type JournalRow, rowMatches } from './journal-row.ts';

/** Where a replay begins: at genesis, or behind what was let go of. */
export type ReplayStart = { readonly seq: number; readonly hash: Uint8Array; readonly atMs: number };

/** Follows a journal row by row: every row's hash, its place, and that logs go on where they ended. */
export class ChainReplay {
  /** By kind and id: the row with the latest body. */
  readonly documents = new Map<string, number>();
  readonly logEnds = new Map<string, number>();
  /** Of the last good row. */
  #seq: number;
  #hash: Uint8Array;
  #atMs: number;

  constructor({ seq, hash, atMs }: ReplayStart) {
    this.#seq = seq;
    this.#hash = hash;
    this.#atMs = atMs;
  }

  get seq(): number {
    return this.#seq;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  /** @returns what is wrong with the next row; undefined where it is good, and taken */
  take(row: JournalRow): string | undefined {
    const seq = this.#seq + 1;
    if (row.seq !== seq) return `row ${seq} is missing`;
    if (!rowMatches(row, this.#hash)) return `row ${seq} does not match its hash`;
    if (row.atMs < this.#atMs) return `row ${seq} is older than the row before it`;
    const name = nameOf(row.kind, row.key);
    if (row.op === OP_CODES.log) {
      const end = this.logEnds.get(name) ?? 0;
      if (end !== row.first) return `row ${seq} leaves a gap in ${row.kind} ${row.key}`;
      this.logEnds.set(name, row.first + row.count);
    } else if (row.op === OP_CODES.insert && this.documents.has(name)) {
      return `row ${seq} inserts ${row.kind} ${row.key} again`;
    } else {
      this.documents.set(name, seq);
    }
    this.#seq = seq;
    this.#atMs = row.atMs;
    this.#hash = row.hash;
    return undefined;
  }
}
