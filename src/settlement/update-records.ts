import { LIMITS } from '../base/limits.ts';
import type { UpdatesState } from '../contract/update-course.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { hexOf, integer, listOf, nullable, object, oneOf } from '../peer/codec.ts';
import { updateCodec } from '../peer/update-codecs.ts';
import { bodyOf, parseBody, UPDATES_KIND } from './records.ts';

const signature = hexOf(64);

const updatesCodec = object({
  version: ['version', integer(1, 1)],
  pending: [
    'pending',
    nullable(
      object({
        update: ['update', updateCodec],
        by: ['by', oneOf('own', 'peer')],
        signature: ['signature', signature],
      }),
    ),
  ],
  revoked: [
    'revoked',
    listOf(
      object({ hashHex: ['hash', hexOf(32)] }, { own: ['own', signature], peer: ['peer', signature] }),
      LIMITS.contractUpdates,
    ),
  ],
});

/** What of the updates of a contract is no part of its record. */
export type OpenUpdates = Pick<UpdatesState, 'pending' | 'revoked'>;

/** The ledger entry of the update that waits, and of those that were taken back. */
export function updatesEntry(contractId: string, { pending, revoked }: OpenUpdates): LedgerEntry {
  const body = bodyOf(updatesCodec, { version: 1, pending, revoked });
  return { type: 'put', kind: UPDATES_KIND, id: contractId, body };
}

/** Loads what waits. Throws `ledger_corrupt`. */
export async function loadUpdates(ledger: Pick<Ledger, 'get'>, contractId: string): Promise<OpenUpdates> {
  const body = await ledger.get(UPDATES_KIND, contractId);
  if (body === undefined) return { revoked: [] };
  const { pending, revoked } = parseBody(UPDATES_KIND, updatesCodec, body);
  return { revoked, ...(pending === undefined ? {} : { pending }) };
}
