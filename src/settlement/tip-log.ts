import { concat, fromHex } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, hexOf, integer, listOf, object, oneOf } from '../peer/codec.ts';
import { bodyOf, parseBody } from './records.ts';

/**
 * The tip log of a contract at one side: which block its node had for its best, from when on, and how far the
 * shares were then. Entries are chained by their hashes, and the side signs the newest head as it writes.
 */

const hash = hexOf(32);
const count = integer(0, Number.MAX_SAFE_INTEGER);

const entryCodec = object({
  /**
   * `start`: a run of the program found this tip: since when is not known. `tip`: it replaced the one before.
   * `settled`, of the maker: it was the tip for so long that what was judged before is on disk. `grace`: the
   * grace of a block that was replaced is over.
   */
  type: ['type', oneOf('start', 'tip', 'settled', 'grace')],
  /** Wall time of the side, ms since the epoch. */
  atMs: ['at_ms', count],
  /** Shares of the side's stream that were on disk: delivered (miner), credited (maker). */
  seq: ['seq', count],
  /** The block, as displayed. */
  hash: ['hash', hash],
  height: ['height', integer(0, 500_000_000)],
  /** Headers that were not logged before, up to that of the tip, each upon the one before. */
  headers: ['headers', listOf(hexOf(80), LIMITS.tipLogHeaders)],
});

export type TipEntry = CodecValue<typeof entryCodec>;
export type TipLogRole = 'miner' | 'maker';

/** Entries of one document. */
export const TIPS_PER_DOCUMENT = 16;

/** Some entries, and the signature of the head behind the last, where there is one. */
export const tipsCodec = object(
  { version: ['version', integer(1, 1)], entries: ['entries', listOf(entryCodec, TIPS_PER_DOCUMENT, 1)] },
  { signature: ['signature', hexOf(64)] },
);
export type Tips = CodecValue<typeof tipsCodec>;

/** The head of a log without entries. */
export function firstTipHead(contractId: string, role: TipLogRole): Uint8Array {
  return taggedHash('sharestream/tips/1', concat(fromHex(contractId, 32), new TextEncoder().encode(role)));
}

/** The head after one more entry. */
export function tipHeadAfter(head: Uint8Array, entry: TipEntry): Uint8Array {
  const text = canonicalJson(entryCodec.print(entry) as Json);
  return taggedHash('sharestream/tip/1', concat(head, new TextEncoder().encode(text)));
}

/** The digest of a head that its side signs by its node key. */
export function tipHeadDigest(head: Uint8Array): Uint8Array {
  return taggedHash('sharestream/tips/head/1', head);
}

/** The ledger kind of tip logs; id `<contract>:<document>`. */
export const TIPS_KIND = 'tips';

/** The ledger entry of a document of a tip log. */
export function tipsEntry(contractId: string, document: number, tips: Tips): LedgerEntry {
  const id = `${contractId}:${document.toString().padStart(8, '0')}`;
  return { type: 'put', kind: TIPS_KIND, id, body: bodyOf(tipsCodec, tips) };
}

/** The documents of the tip log of a contract, oldest first. Throws `ledger_corrupt`. */
export async function loadTips(ledger: Pick<Ledger, 'list'>, contractId: string): Promise<readonly Tips[]> {
  const documents = await ledger.list(TIPS_KIND, `${contractId}:`);
  return documents.map(({ body }) => parseBody(TIPS_KIND, tipsCodec, body));
}
