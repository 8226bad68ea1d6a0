import { LIMITS } from '../base/limits.ts';
import type { FaultRange } from '../channel/fault-log.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { integer, listOf, nullable, object, text } from '../peer/codec.ts';
import { bodyOf, parseBody, REFUSALS_KIND } from '../settlement/records.ts';

const count = integer(0, Number.MAX_SAFE_INTEGER);
/** Null where there were too many to keep. */
const heardCodec = object({
  version: ['version', integer(1, 1)],
  heard: [
    'heard',
    nullable(
      listOf(
        object({ code: ['code', text(40)], first: ['first', count], count: ['count', count] }),
        LIMITS.faultRanges,
      ),
    ),
  ],
});

/** Consecutive shares that the maker refused with one code, by its answers to batches. */
type HeardRange = Omit<FaultRange, 'evidence'>;

/** What a maker answered that it refused since the newest commitment: its log cannot say otherwise. */
export class HeardRefusals {
  /** Ascending and disjoint; undefined after too many of them. */
  #ranges: readonly HeardRange[] | undefined;

  private constructor(ranges: readonly HeardRange[] | undefined) {
    this.#ranges = ranges;
  }

  static create(): HeardRefusals {
    return new HeardRefusals([]);
  }

  /** Loads them from the ledger. Throws `ledger_corrupt`. */
  static async load(ledger: Ledger, contractId: string): Promise<HeardRefusals> {
    const body = await ledger.get(REFUSALS_KIND, contractId);
    return new HeardRefusals(body === undefined ? [] : parseBody(REFUSALS_KIND, heardCodec, body).heard);
  }

  entry(contractId: string): LedgerEntry {
    const body = bodyOf(heardCodec, { version: 1, heard: this.#ranges });
    return { type: 'put', kind: REFUSALS_KIND, id: contractId, body };
  }

  /**
   * Takes the answer to a batch, instead of what was heard of the same shares before.
   * @param firstSeq of the batch
   * @param signedSeq up to which everything is signed, and need not be kept
   */
  take(
    firstSeq: number,
    signedSeq: number,
    refused: readonly { readonly seq: number; readonly code: string }[],
  ): void {
    const ranges = (this.#ranges ?? []).flatMap(({ code, first, count: size }) => {
      const end = Math.min(first + size, firstSeq);
      return end > Math.max(first, signedSeq) ? [{ code, first, count: end - first }] : [];
    });
    for (const { seq, code } of refused) {
      const last = ranges.at(-1);
      if (last !== undefined && seq < last.first + last.count) continue;
      if (last?.code === code && last.first + last.count === seq)
        ranges[ranges.length - 1] = { ...last, count: last.count + 1 };
      else ranges.push({ code, first: seq, count: 1 });
    }
    this.#ranges = ranges.length > LIMITS.faultRanges ? undefined : ranges;
  }

  /**
   * True where the faults have all that was heard of these shares, for the reasons that were heard. A maker
   * that lost its ledger has forgotten them.
   * @param faults ascending and disjoint
   */
  agrees(faults: readonly FaultRange[], from: number, to: number): boolean {
    let at = 0;
    for (const { code, first, count: size } of this.#ranges ?? []) {
      const end = Math.min(first + size, to);
      for (let seq = Math.max(first, from); seq < end; ) {
        while (at < faults.length && endOf(faults[at]!) <= seq) at += 1;
        const fault = faults[at];
        if (fault === undefined || fault.first > seq) return false;
        if (fault.evidence !== 'none' && fault.code !== code) return false;
        seq = endOf(fault);
      }
    }
    return true;
  }
}

function endOf({ first, count: size }: HeardRange): number {
  return first + size;
}
