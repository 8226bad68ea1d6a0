import { LIMITS } from '../base/limits.ts';
import { MAKER_SAYS, MINER_SAYS, type MinuteReport } from '../contract/minutes.ts';
import { type Codec, decimal, hexOf, integer, listOf, object, oneOf } from './codec.ts';

const minute = integer(0, 2 ** 40);
const height = integer(0, 500_000_000);
const notice = object({ fromHeight: ['from_height', height], blocks: ['blocks', integer(1, 52_560)] });

/** Codec of a report about a minute, on the wire and on disk. */
export const minuteReportCodec: Codec<MinuteReport> = object(
  {
    minute: ['minute', minute],
    height: ['height', height],
    workHashes: ['work', decimal],
    paidHashes: ['paid', decimal],
    heard: ['heard', minute],
    says: ['says', oneOf(...new Set([...MINER_SAYS, ...MAKER_SAYS]))],
  },
  { notice: ['notice', notice] },
);

/** Reports that the other side does not have; with any, the signature of the head behind them. */
const given = {
  /** First minute of the other side's reports that is not known here. */
  next: ['next', minute],
  reports: ['reports', listOf(minuteReportCodec, LIMITS.peerMinutes)],
} as const;
const signed = { signature: ['signature', hexOf(64)] } as const;

/** The methods of the minute log. */
export const minuteMethods = {
  /** To the maker, each minute: what the miner says of it; the answer is what the maker does. */
  'delivery.minutes': {
    params: object({ contractId: ['contract_id', hexOf(32)], ...given }, signed),
    result: object(given, signed),
  },
} as const;
