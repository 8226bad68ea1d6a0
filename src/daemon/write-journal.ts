import type { WriteNews } from '../api/app.ts';
import type { Clock } from '../base/clock.ts';
import { isRecord } from '../base/json.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { DocumentRing } from './document-ring.ts';

const WRITE_KIND = 'api_write';
const WRITES_KEPT = 4096;

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
  readonly #clock: Clock;
  readonly #ring: DocumentRing<WriteRow>;

  private constructor(ring: DocumentRing<WriteRow>, clock: Clock) {
    this.#ring = ring;
    this.#clock = clock;
  }

  /** @param instance the name of this daemon where others share its ledger */
  static async open(
    instance: string | undefined,
    { ledger, clock, log }: WriteJournalDeps,
  ): Promise<WriteJournal> {
    const ring = await DocumentRing.open<WriteRow>(
      {
        ...{ kind: WRITE_KIND, kept: WRITES_KEPT, instance, rowOf, numberOf: ({ number }) => number },
        onLost: (code, { operation, outcome }) =>
          log.warn({ code, operation, outcome }, 'a write by the API is not in the ledger'),
      },
      ledger,
    );
    return new WriteJournal(ring, clock);
  }

  /** Oldest first. */
  get rows(): readonly WriteRow[] {
    return this.#ring.rows;
  }

  /** @returns what is told the outcome */
  begin(news: WriteNews): (outcome: string) => void {
    const row = { number: this.#ring.last + 1, at_ms: this.#clock.nowMs(), ...news };
    const put = (outcome: string): void => this.#ring.put({ ...row, outcome });
    put('asked');
    return put;
  }
}

/** Undefined for what a later version wrote otherwise. */
function rowOf(row: unknown): WriteRow | undefined {
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
