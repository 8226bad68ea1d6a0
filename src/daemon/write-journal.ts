import type { WriteNews } from '../api/app.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';

/** The kind of the ledger documents; the id is the number within the ring, after the name of the instance. */
const WRITE_KIND = 'api_write';
/** Writes that can be read; the chain of the ledger has all. */
const WRITES_KEPT = 4096;
const DIGITS = 4;

/** What was asked for by the API, by whom, and what came of it. */
export type WriteRow = WriteNews & {
  /** Counted from 1. */
  readonly number: number;
  readonly at_ms: number;
  /** `done`, the code of why not, or `asked` where nobody knows: the daemon ended meanwhile. */
  readonly outcome: string;
};

export type WriteJournalDeps = {
  readonly ledger: Pick<Ledger, 'append' | 'list'>;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * Writes through the API as events of the ledger: first that it was asked for, so that this is before all
 * that comes of it, then the outcome. A ledger that cannot be written holds up no close: it is said in the
 * log.
 */
export class WriteJournal {
  readonly #deps: WriteJournalDeps;
  readonly #prefix: string;
  readonly #rows = new Map<number, WriteRow>();
  #last = 0;

  private constructor(instance: string | undefined, deps: WriteJournalDeps) {
    this.#prefix = instance === undefined ? '' : `${instance}/`;
    this.#deps = deps;
  }

  /** @param instance the name of this daemon where others share its ledger */
  static async open(instance: string | undefined, deps: WriteJournalDeps): Promise<WriteJournal> {
    const journal = new WriteJournal(instance, deps);
    const documents = await deps.ledger.list(WRITE_KIND, journal.#prefix);
    const rows = documents.flatMap(({ body }) => rowOf(body) ?? []).sort((a, b) => a.number - b.number);
    for (const row of rows) journal.#rows.set(row.number, row);
    journal.#last = rows.at(-1)?.number ?? 0;
    return journal;
  }

  /** Oldest first. */
  get rows(): readonly WriteRow[] {
    return [...this.#rows.values()];
  }

  /** @returns what is told the outcome */
  begin(news: WriteNews): (outcome: string) => void {
    this.#last += 1;
    const row = { number: this.#last, at_ms: this.#deps.clock.nowMs(), ...news };
    const put = (outcome: string): void => this.#put({ ...row, outcome });
    put('asked');
    return put;
  }

  #put(row: WriteRow): void {
    const { ledger, log } = this.#deps;
    this.#rows.set(row.number, row);
    this.#rows.delete(row.number - WRITES_KEPT);
    const id = `${this.#prefix}${String(row.number % WRITES_KEPT).padStart(DIGITS, '0')}`;
    const body = JSON.stringify({ version: 1, ...row });
    ledger.append([{ type: 'put', kind: WRITE_KIND, id, body }]).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      const { operation, outcome } = row;
      log.warn({ code: error.code, operation, outcome }, 'a write by the API is not in the ledger');
    });
  }
}

/** Undefined for what a later version wrote otherwise. */
function rowOf(body: string): WriteRow | undefined {
  const row: unknown = JSON.parse(body);
  if (!isRecord(row)) return undefined;
  const { number, at_ms, operation, role, address, contract, outcome } = row;
  if (typeof number !== 'number' || typeof at_ms !== 'number' || typeof outcome !== 'string')
    return undefined;
  if (typeof operation !== 'string' || typeof role !== 'string' || typeof address !== 'string')
    return undefined;
  return {
    number,
    at_ms,
    operation,
    role,
    address,
    contract: typeof contract === 'string' ? contract : null,
    outcome,
  };
}
