import type { z } from 'zod';
import type { Row } from '../api/feed.ts';
import { wired } from '../api/wire.ts';
import { isRecord } from '../base/json.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { DocumentRing } from './document-ring.ts';

const HOUR_KIND = 'history_hour';
/** Ninety days. */
const HOURS_KEPT = 90 * 24;

/** How a daemon was at the end of each hour, kept in its ledger. */
export class HourJournal {
  readonly #ring: DocumentRing<Row>;

  private constructor(ring: DocumentRing<Row>) {
    this.#ring = ring;
  }

  /**
   * @param sample what a row has beside its number and time: one of an earlier version that lacks any is
   *   left out
   * @param instance the name of this daemon where others share its ledger
   */
  static async open(
    sample: z.ZodObject,
    instance: string | undefined,
    { ledger, log }: { readonly ledger: Pick<Ledger, 'append' | 'list'>; readonly log: Logger },
  ): Promise<HourJournal> {
    const rowOf = (body: unknown): Row | undefined => {
      if (!isRecord(body)) return undefined;
      const { sequence, at_ms, ...rest } = body;
      if (!Number.isSafeInteger(sequence) || !Number.isFinite(at_ms)) return undefined;
      const shown = wired(sample, rest) as object;
      if (!sample.safeParse(shown).success) return undefined;
      return { sequence: sequence as number, at_ms: at_ms as number, ...shown };
    };
    const ring = await DocumentRing.open<Row>(
      {
        ...{ kind: HOUR_KIND, kept: HOURS_KEPT, instance, rowOf, numberOf: ({ sequence }) => sequence },
        onLost: (code) => log.warn({ code }, 'an hour of the history is not in the ledger'),
      },
      ledger,
    );
    return new HourJournal(ring);
  }

  /** Oldest first; their numbers are hours of Unix time. */
  get rows(): readonly Row[] {
    return this.#ring.rows;
  }

  keep(row: Row): void {
    this.#ring.put(row);
  }
}
