import { LIMITS } from '../base/limits.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, decimal, hexOf, integer, listOf, nullable, object, text } from '../peer/codec.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';
import { type BeadCreditState, NO_BEADS } from './bead-credit.ts';

/** The ledger kind of the beads of a contract; the id is the contract's. */
const BEAD_COUNT_KIND = 'bead_count';

const whole = integer(0, Number.MAX_SAFE_INTEGER);

const countCodec = object({
  version: ['version', integer(1, 1)],
  /** Shares of the contract's stream that are in it. */
  seq: ['seq', whole],
  worthParts: ['worth', decimal],
  paidBeads: ['paid', whole],
  missingBeads: ['missing', whole],
  open: ['open', listOf(hexOf(32), LIMITS.watchedBeads)],
  stolen: ['stolen', nullable(object({ hash: ['hash', hexOf(32)], paid: ['paid', text(1024, /^/)] }))],
});

/** What a contract's beads had come to after so many shares. */
export type BeadCount = { readonly seq: number; readonly state: BeadCreditState };

/** The ledger entry of the beads of a contract. */
export function beadCountEntry(contractId: string, { seq, state }: BeadCount): LedgerEntry {
  const { open, ...rest } = state;
  const record: CodecValue<typeof countCodec> = {
    ...{ version: 1, seq, ...rest },
    open: [...open.keys()].slice(-LIMITS.watchedBeads),
  };
  return { type: 'put', kind: BEAD_COUNT_KIND, id: contractId, body: bodyOf(countCodec, record) };
}

/**
 * What the ledger holds of a contract's beads. Throws `ledger_corrupt`.
 * @param nowMs monotonic time from which those without an outcome are looked for anew
 */
export async function loadBeadCount(ledger: Ledger, contractId: string, nowMs: number): Promise<BeadCount> {
  const body = await ledger.get(BEAD_COUNT_KIND, contractId);
  if (body === undefined) return { seq: 0, state: NO_BEADS };
  const { seq, open, version: _version, ...rest } = parseBody(BEAD_COUNT_KIND, countCodec, body);
  return { seq, state: { ...rest, open: new Map(open.map((hash) => [hash, nowMs])) } };
}
