import type { MinuteReport, MinuteRole } from '../contract/minutes.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, hexOf, integer, listOf, nullable, object } from '../peer/codec.ts';
import { minuteReportCodec } from '../peer/minute-codecs.ts';
import { bodyOf, parseBody } from './records.ts';

/** The kind of documents of the reports of one side in one hour; id `<contract>:<side>:<hour>`. */
export const MINUTES_KIND = 'minutes';
const HOUR_MINUTES = 60;

const hourCodec = object({
  version: ['version', integer(1, 1)],
  reports: ['reports', listOf(minuteReportCodec, HOUR_MINUTES, 1)],
  /** The newest signature of its side when this was written. */
  signature: ['signature', nullable(hexOf(64))],
});

const hourId = (contractId: string, role: MinuteRole, hour: number): string =>
  `${contractId}:${role}:${hour.toString().padStart(8, '0')}`;

const hourOf = (minute: number): number => Math.floor(minute / HOUR_MINUTES);

/**
 * The ledger entries of reports of one side: each hour in full, as it is known by now.
 * @param newest of them at the end, from the first of an hour on
 */
export function minuteEntries(
  contractId: string,
  role: MinuteRole,
  newest: readonly MinuteReport[],
  signature?: string,
): LedgerEntry[] {
  return [...Map.groupBy(newest, ({ minute }) => hourOf(minute))].map(([hour, reports]) => ({
    type: 'put',
    kind: MINUTES_KIND,
    id: hourId(contractId, role, hour),
    body: bodyOf(hourCodec, { version: 1, reports, signature }),
  }));
}

/** The first minute of the hour of a minute. */
export const firstOfHour = (minute: number): number => hourOf(minute) * HOUR_MINUTES;

/** An hour as it is stored. */
export type StoredHour = Pick<CodecValue<typeof hourCodec>, 'reports' | 'signature'>;

/** The stored hours of one side, oldest first. Throws `ledger_corrupt`. */
export async function loadHours(
  ledger: Pick<Ledger, 'list'>,
  contractId: string,
  role: MinuteRole,
): Promise<readonly StoredHour[]> {
  const documents = await ledger.list(MINUTES_KIND, `${contractId}:${role}:`);
  return documents
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ body }) => parseBody(MINUTES_KIND, hourCodec, body));
}

/** The stored reports of one side, oldest first. Throws `ledger_corrupt`. */
export async function loadMinutes(
  ledger: Pick<Ledger, 'list'>,
  contractId: string,
  role: MinuteRole,
): Promise<readonly MinuteReport[]> {
  return (await loadHours(ledger, contractId, role)).flatMap(({ reports }) => reports);
}

/**
 * The stored reports of one side from a minute on, at most so many hours of them, and the newest signature of
 * that side there. Throws `ledger_corrupt`.
 * @param until the last minute that may have one
 */
export async function readMinutes(
  ledger: Pick<Ledger, 'get'>,
  place: { readonly contractId: string; readonly role: MinuteRole },
  range: { readonly from: number; readonly until: number; readonly hours: number },
): Promise<StoredHour> {
  const reports: MinuteReport[] = [];
  let signature: string | undefined;
  let left = range.hours;
  for (let hour = hourOf(range.from); hour <= hourOf(range.until) && left > 0; hour += 1) {
    const body = await ledger.get(MINUTES_KIND, hourId(place.contractId, place.role, hour));
    if (body === undefined) continue;
    const stored = parseBody(MINUTES_KIND, hourCodec, body);
    const wanted = stored.reports.filter(({ minute }) => minute >= range.from);
    if (wanted.length === 0) continue;
    reports.push(...wanted);
    ({ signature } = stored);
    left -= 1;
  }
  return { reports, signature };
}

/** The first minute of which there is a stored report; undefined where there is none. */
export async function firstMinute(
  ledger: Pick<Ledger, 'list'>,
  contractId: string,
  role: MinuteRole,
): Promise<number | undefined> {
  const ids = (await ledger.list(MINUTES_KIND, `${contractId}:${role}:`)).map(({ id }) => id).toSorted();
  const hour = ids[0]?.split(':').at(-1);
  return hour === undefined ? undefined : Number(hour) * HOUR_MINUTES;
}
