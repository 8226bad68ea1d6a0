import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, decimal, integer, object, text } from '../peer/codec.ts';
import { commitmentOfferCodec } from '../peer/commitment-codecs.ts';
import { bodyOf, DISPUTED_KIND, parseBody } from './records.ts';

const disputed = {
  version: ['version', integer(1, 1)],
  n: ['n', integer(0, 2 ** 31)],
  workHashes: ['work', decimal],
  /** What the own evidence says otherwise. */
  why: ['why', text(300)],
  offer: ['offer', commitmentOfferCodec],
} as const;
const disputedCodec = object(disputed);

/** As evidence files have it: with how many shares of the stream come before and with it. */
export const disputedFrameCodec = object({
  ...disputed,
  logSeq: ['log_seq', integer(0, Number.MAX_SAFE_INTEGER)],
});

/**
 * A commitment that the maker signed and that the own evidence contradicts: with the export of the shares,
 * whoever recomputes them sees who is wrong.
 */
export type DisputedCommitment = Omit<CodecValue<typeof disputedCodec>, 'version'>;

/** The ledger entry of the first commitment of a contract that is disputed. */
export function disputedEntry(contractId: string, found: DisputedCommitment): LedgerEntry {
  const body = bodyOf(disputedCodec, { version: 1, ...found });
  return { type: 'put', kind: DISPUTED_KIND, id: contractId, body };
}

/** Loads the disputed commitment of a contract, if there is one. Throws `ledger_corrupt`. */
export async function loadDisputed(
  ledger: Pick<Ledger, 'get'>,
  contractId: string,
): Promise<DisputedCommitment | undefined> {
  const body = await ledger.get(DISPUTED_KIND, contractId);
  if (body === undefined) return undefined;
  const { version: _version, ...found } = parseBody(DISPUTED_KIND, disputedCodec, body);
  return found;
}
