import type { DocumentNames } from '../ledger/postgres/fleet-reader.ts';
import { MINUTES_KIND } from './minute-records.ts';
import { NOTICES_KIND } from './notice-records.ts';
import { PRICE_BASIS_KIND } from './price-basis.ts';
import * as records from './records.ts';
import { TIPS_KIND } from './tip-log.ts';

/** Of each these many go along: those before them stay where they were written. */
const NEWEST = 256;

/** Of a contract there is one of these, or few. */
const WHOLE = [
  ...[records.CONTRACT_KIND, records.OPENING_KIND, records.FUNDING_KIND, records.CHANNEL_KIND],
  ...[records.BIDS_KIND, records.DELIVERY_KIND, records.ACK_KIND, records.REQUEST_KIND, records.SEAL_KIND],
  ...[records.BLOB_KIND, records.AWARD_KIND, records.REMAINS_KIND, records.WATCHED_KIND],
  ...[records.EQUIVOCATION_KIND, records.REFUSALS_KIND, records.UPDATES_KIND, records.DISPUTED_KIND],
  ...[MINUTES_KIND, NOTICES_KIND, PRICE_BASIS_KIND],
];
const GROWING = [records.STATE_KIND, records.COMMITMENT_KIND, TIPS_KIND];

/** What a new owner of a contract's channel has to have of the one before: ids begin with the contract. */
export function contractEstate(contractId: string): readonly DocumentNames[] {
  return [
    ...WHOLE.map((kind) => ({ kind, prefix: contractId })),
    ...GROWING.map((kind) => ({ kind, prefix: contractId, newest: NEWEST })),
  ];
}
