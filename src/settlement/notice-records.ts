import type { MinuteRole } from '../contract/minutes.ts';
import { NO_NOTICES, NOTICE_WORDS, type Notices, type SaidNotice } from '../contract/notices.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import {
  type Codec,
  decimal,
  flag,
  hexOf,
  integer,
  listOf,
  nullable,
  object,
  oneOf,
} from '../peer/codec.ts';
import { pauseCodec } from '../peer/notice-codecs.ts';
import { bodyOf, parseBody } from './records.ts';

/** The kind of documents of what the sides of a contract gave notice of. */
export const NOTICES_KIND = 'notices';

const height = integer(0, 500_000_000);
const blocks = integer(0, 500_000_000);
const bySide = <T>(codec: T) => ({ miner: ['miner', codec], maker: ['maker', codec] }) as const;
const end = object({
  ...{ height: ['height', height], signature: ['signature', hexOf(64)] },
  isTaken: ['taken', flag],
});
const saidCodec: Codec<SaidNotice> = object(
  {
    ...{ what: ['what', oneOf(...NOTICE_WORDS)], by: ['by', oneOf('miner', 'maker')] },
    ...{ atHeight: ['at_height', height], atMs: ['at_ms', integer(0, Number.MAX_SAFE_INTEGER)] },
  },
  {
    pause: ['pause', pauseCodec],
    end: ['end', object({ height: ['height', height], signature: ['signature', hexOf(64)] })],
    writtenOffSat: ['written_off_sat', decimal],
  },
);
const noticesCodec = object(
  {
    version: ['version', integer(1, 1)],
    pauses: ['pauses', object(bySide(nullable(pauseCodec)))],
    untold: [
      'untold',
      nullable(object({ fromHeight: ['from_height', height], blocks: ['blocks', blocks] })),
    ],
    noticedBlocks: ['noticed_blocks', blocks],
    noticedUntil: ['noticed_until', height],
    curtailedBlocks: ['curtailed_blocks', blocks],
    ends: ['ends', object(bySide(nullable(end)))],
    writtenOffSat: ['written_off_sat', nullable(decimal)],
  },
  { said: ['said', listOf(saidCodec, 256)] },
);

/** The ledger entry of the notices of a contract. */
export function noticesEntry(contractId: string, notices: Notices): LedgerEntry {
  const body = bodyOf(noticesCodec, { version: 1, ...notices });
  return { type: 'put', kind: NOTICES_KIND, id: contractId, body };
}

/**
 * The stored notices of a contract, without what the other side says of itself on each connection. Throws
 * `ledger_corrupt`.
 */
export async function loadNotices(ledger: Ledger, contractId: string, role: MinuteRole): Promise<Notices> {
  const body = await ledger.get(NOTICES_KIND, contractId);
  if (body === undefined) return NO_NOTICES;
  const { version: _version, pauses, said = [], ...notices } = parseBody(NOTICES_KIND, noticesCodec, body);
  return { ...notices, said, pauses: { ...NO_NOTICES.pauses, [role]: pauses[role] } };
}
