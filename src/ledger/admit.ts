import { equal } from '../base/bytes.ts';
import { type JournalRecord, OP_CODES } from './frame.ts';

/** What a ledger holds already, appends before this one of the same commit included. */
export type Held = {
  /** Items of a log: where it goes on. */
  readonly logEnd: (kind: string, stream: string, name: string) => number;
  readonly body: (kind: string, id: string, name: string) => Uint8Array | undefined;
};

export type Admitted = {
  /** What is to be written: without inserts that are already there. */
  readonly records: readonly JournalRecord[];
  /** Where logs end behind them, by `nameOf`. */
  readonly ends: ReadonlyMap<string, number>;
};

const NO_LOGS: ReadonlyMap<string, number> = new Map();

/** Kind, and key or stream, as one text: kinds hold no NUL. */
export function nameOf(kind: string, key: string): string {
  return `${kind}\0${key}`;
}

/** One append, as a whole, against what is held; or why it is refused. */
export function admit(records: readonly JournalRecord[], held: Held): Admitted | string {
  if (records.every((record) => record.op === OP_CODES.put)) return { records, ends: NO_LOGS };
  const ends = new Map<string, number>();
  const bodies = new Map<string, Uint8Array>();
  const accepted: JournalRecord[] = [];
  for (const record of records) {
    const name = nameOf(record.kind, record.key);
    if (record.op === OP_CODES.log) {
      const end = ends.get(name) ?? held.logEnd(record.kind, record.key, name);
      if (end !== record.first) {
        return `${record.kind} ${record.key} continues at ${end}, not ${record.first}`;
      }
      ends.set(name, record.first + record.count);
    } else {
      if (record.op === OP_CODES.insert) {
        const stored = bodies.get(name) ?? held.body(record.kind, record.key, name);
        if (stored !== undefined && !equal(stored, record.body)) {
          return `${record.kind} ${record.key} is stored with another body`;
        }
        if (stored !== undefined) continue;
      }
      bodies.set(name, record.body);
    }
    accepted.push(record);
  }
  return { records: accepted, ends };
}
