import { isRecord } from '../../src/base/json.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import type { Side } from './network.ts';
import type { SimWorld } from './world.ts';

type Documents = ReadonlyMap<string, string>;
type Sold = Pick<SimWorld, 'terms' | 'contractId'>;
type Part = { readonly from: bigint; readonly msatPerEh: bigint };

/** The prices of a contract as a side has them on disk: read and reckoned apart from the program. */
function partsOf({ terms, contractId }: Sold, documents: Documents): readonly Part[] {
  const parts: Part[] = [{ from: 0n, msatPerEh: fixedPriceMsatPerEh(terms) }];
  const contract: unknown = JSON.parse(documents.get(`contract ${contractId}`) ?? 'null');
  const updates = isRecord(contract) && Array.isArray(contract['updates']) ? contract['updates'] : [];
  for (const { update } of updates as readonly { readonly update: Readonly<Record<string, string>> }[]) {
    const price = update['price_msat_per_eh'];
    if (price !== undefined) parts.push({ from: BigInt(update['from_hashes']!), msatPerEh: BigInt(price) });
  }
  return parts;
}

/** What so much work is worth in sats, by what is on the disk of a side. */
export function worthSat(sold: Sold, documents: Documents, workHashes: bigint): bigint {
  let left = workHashes;
  let msat = 0n;
  for (const { from, msatPerEh } of partsOf(sold, documents).toReversed()) {
    if (left <= from) continue;
    msat += (left - from) * msatPerEh;
    left = from;
  }
  return msat / 10n ** 21n;
}

/** The same by the disk of a side. */
export function worthAt(world: SimWorld, side: Side, workHashes: bigint): bigint {
  return worthSat(world, world.disks[side].documents, workHashes);
}

/** The highest price that work of the contract ever had at a side, msat per EH. */
export function highestPriceAt(world: SimWorld, side: Side): bigint {
  return partsOf(world, world.disks[side].documents).reduce(
    (most, { msatPerEh }) => (msatPerEh > most ? msatPerEh : most),
    0n,
  );
}
