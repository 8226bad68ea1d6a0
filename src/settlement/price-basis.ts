import { VALUE_BLOCKS } from '../contract/hash-value.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type CodecValue, decimal, hexOf, integer, listOf, object } from '../peer/codec.ts';
import { bodyOf, parseBody } from './records.ts';

/**
 * What a side reckoned the price of an epoch by, as its own node told it: kept for whoever audits the
 * contract, and shown to nobody else.
 */
export const priceBasisCodec = object({
  version: ['version', integer(1, 1)],
  /** The first block of the epoch; the blocks are those before it. */
  edge: ['edge', integer(VALUE_BLOCKS, 500_000_000)],
  /** That both had signed when it was found right, msat per EH. */
  priceMsatPerEh: ['price_msat_per_eh', decimal],
  /** Each upon the one before. The header is what proves difficulty; the reward is the node's word. */
  blocks: [
    'blocks',
    listOf(
      object({ header: ['header', hexOf(80)], rewardSat: ['reward_sat', decimal] }),
      VALUE_BLOCKS,
      VALUE_BLOCKS,
    ),
  ],
});
export type PriceBasis = CodecValue<typeof priceBasisCodec>;

/** The ledger kind of these; id `<contract>:<edge>`. */
export const PRICE_BASIS_KIND = 'price_basis';

export function priceBasisEntry(contractId: string, basis: PriceBasis): LedgerEntry {
  const id = `${contractId}:${basis.edge.toString().padStart(9, '0')}`;
  return { type: 'put', kind: PRICE_BASIS_KIND, id, body: bodyOf(priceBasisCodec, basis) };
}

/** Those of a contract by their epochs, the first first. Throws `ledger_corrupt`. */
export async function loadPriceBases(
  ledger: Pick<Ledger, 'list'>,
  contractId: string,
): Promise<readonly PriceBasis[]> {
  const documents = await ledger.list(PRICE_BASIS_KIND, `${contractId}:`);
  return documents
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ body }) => parseBody(PRICE_BASIS_KIND, priceBasisCodec, body));
}
