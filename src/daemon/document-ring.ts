import { CodedError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';

const DIGITS = 4;

export type RingOptions<Row> = {
  /** Of the ledger documents; the id is the number within the ring, after the name of the instance. */
  readonly kind: string;
  /** Rows that can be read, at most 10,000; the chain of the ledger has all. */
  readonly kept: number;
  /** The name of this daemon where others share its ledger. */
  readonly instance: string | undefined;
  /** Of a body; undefined for what a later version wrote otherwise. */
  readonly rowOf: (body: unknown) => Row | undefined;
  readonly numberOf: (row: Row) => number;
  /** Told of a row that the ledger did not take: it is shown all the same, until the daemon ends. */
  readonly onLost: (code: string, row: Row) => void;
};

/** The newest rows of something that a daemon keeps in its ledger, by their numbers. */
export class DocumentRing<Row extends object> {
  readonly #options: RingOptions<Row>;
  readonly #ledger: Pick<Ledger, 'append'>;
  readonly #prefix: string;
  readonly #rows = new Map<number, Row>();
  #last = 0;

  private constructor(options: RingOptions<Row>, ledger: Pick<Ledger, 'append'>) {
    this.#options = options;
    this.#ledger = ledger;
    this.#prefix = options.instance === undefined ? '' : `${options.instance}/`;
  }

  static async open<Row extends object>(
    options: RingOptions<Row>,
    ledger: Pick<Ledger, 'append' | 'list'>,
  ): Promise<DocumentRing<Row>> {
    const { kind, rowOf, numberOf } = options;
    const ring = new DocumentRing(options, ledger);
    const documents = await ledger.list(kind, ring.#prefix);
    const rows = documents.flatMap(({ body }) => rowOf(JSON.parse(body)) ?? []);
    for (const row of rows.sort((a, b) => numberOf(a) - numberOf(b))) ring.#keep(row);
    return ring;
  }

  /** Oldest first; one that was put again is where it was. */
  get rows(): readonly Row[] {
    return [...this.#rows.values()];
  }

  /** The highest number so far; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Puts a row, in the place of one of the same number. */
  put(row: Row): void {
    const { kind, kept, numberOf, onLost } = this.#options;
    this.#keep(row);
    const id = `${this.#prefix}${String(numberOf(row) % kept).padStart(DIGITS, '0')}`;
    const body = JSON.stringify({ version: 1, ...row });
    this.#ledger.append([{ type: 'put', kind, id, body }]).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      onLost(error.code, row);
    });
  }

  #keep(row: Row): void {
    const number = this.#options.numberOf(row);
    this.#last = Math.max(this.#last, number);
    this.#rows.set(number, row);
    const [oldest] = this.#rows.keys();
    if (this.#rows.size > this.#options.kept && oldest !== undefined) this.#rows.delete(oldest);
  }
}
