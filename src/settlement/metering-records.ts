import { CodedError } from '../base/errors.ts';
import {
  isMetering,
  METERING_ENDS,
  type MeteringEnd,
  type MeteringState,
  type MeteringTerms,
} from '../contract/metering.ts';
import { parseTerms, termsToJson } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type Codec, type CodecValue, hexOf, integer, nullable, object, oneOf } from '../peer/codec.ts';
import { STREAM_KIND } from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
import {
  bodyOf,
  DELIVERY_KIND,
  type DeliveryRecord,
  deliveryCodec,
  NOTHING_DELIVERED,
  parseBody,
} from './records.ts';

/** The kind of documents of what both signed, by contract id: no channel belongs to it. */
export const METERING_KIND = 'metering';
/** The kind of documents of where it stands. */
const METERED_KIND = 'metered';

const signature = hexOf(64);
const termsCodec: Codec<MeteringTerms> = {
  parse: (value) => {
    const terms = parseTerms(value);
    if (!isMetering(terms)) throw new CodedError('bad_terms', 'terms with a channel');
    return terms;
  },
  print: termsToJson,
};

const meteringCodec = object({
  version: ['version', integer(1, 1)],
  role: ['role', oneOf('miner', 'maker')],
  terms: ['terms', termsCodec],
  minerSignature: ['miner_signature', signature],
  makerSignature: ['maker_signature', signature],
});
/** Metering that both signed. */
export type MeteringRecord = CodecValue<typeof meteringCodec>;

const meteredCodec = object({
  version: ['version', integer(1, 1)],
  status: ['status', oneOf('live', 'ending', 'ended')],
  reason: ['reason', nullable(oneOf(...METERING_ENDS))],
  /** Number of the newest total on disk, signed by both or not. */
  n: ['n', integer(0, 2 ** 31)],
});
type MeteredRecord = CodecValue<typeof meteredCodec>;

/** What the ledger of either side holds of a metering. */
export type StoredMetering = {
  readonly contractId: string;
  readonly record: MeteringRecord;
  readonly status: MeteringState['status'];
  readonly reason: MeteringEnd | undefined;
  readonly n: number;
  readonly delivery: DeliveryRecord;
  /** Own shares: at the maker the credited ones. */
  readonly total: StreamTotal;
};

/** The ledger entry of a metering that both signed. */
export function meteringEntry(contractId: string, record: MeteringRecord): LedgerEntry {
  return { type: 'insert', kind: METERING_KIND, id: contractId, body: bodyOf(meteringCodec, record) };
}

/** The ledger entry of where a metering stands. */
export function meteredEntry(
  contractId: string,
  { status, reason }: Pick<MeteringState, 'status' | 'reason'>,
  n: number,
): LedgerEntry {
  const record: MeteredRecord = { version: 1, status, reason, n };
  return { type: 'put', kind: METERED_KIND, id: contractId, body: bodyOf(meteredCodec, record) };
}

/** Loads a metering; undefined where the ledger has none. Throws `ledger_corrupt`. */
export async function loadMetering(
  ledger: Ledger,
  contractId: string,
): Promise<StoredMetering | undefined> {
  const body = await ledger.get(METERING_KIND, contractId);
  if (body === undefined) return undefined;
  const [metered, delivery, total] = [
    await ledger.get(METERED_KIND, contractId),
    await ledger.get(DELIVERY_KIND, contractId),
    await ledger.get(STREAM_KIND, contractId),
  ];
  const at = metered === undefined ? undefined : parseBody(METERED_KIND, meteredCodec, metered);
  return {
    contractId,
    record: parseBody(METERING_KIND, meteringCodec, body),
    ...{ status: at?.status ?? 'live', reason: at?.reason, n: at?.n ?? 0 },
    delivery:
      delivery === undefined ? NOTHING_DELIVERED : parseBody(DELIVERY_KIND, deliveryCodec, delivery),
    total: total === undefined ? { seq: 0, workHashes: 0n } : parseStreamTotal(contractId, total),
  };
}
