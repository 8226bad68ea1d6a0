import { epochBlocks, epochStart } from './hash-value.ts';
import type { MovingPrice } from './price.ts';
import { VIEW_BLOCKS } from './term-clock.ts';
import type { ContractTerms } from './terms.ts';
import type { Update } from './update.ts';
import { stepHashesOf, updatesOf } from './updated-terms.ts';

/**
 * The price of a contract that follows the value of hashes. Each segment of its work has the price of an
 * epoch, which both sides reckon by their own node and sign as an update: nothing is believed, and what is
 * owed follows from what is signed alone. `MARKET.md` has the rules.
 */

/** Confirmations of the last block that a value is of, from which on it is used: no usual fork changes it. */
const BURIED_BLOCKS = 6;

/** The rule of a price that moves; undefined where it does not. */
export function movingPriceOf(terms: ContractTerms): MovingPrice | undefined {
  return terms.version === 3 && terms.price.type !== 'fixed' ? terms.price : undefined;
}

/** The height whose value is the price at a tip: of the newest epoch that is buried. */
export function edgeAt({ epoch }: Pick<MovingPrice, 'epoch'>, tipHeight: number): number {
  return epochStart(epoch, Math.max(tipHeight - BURIED_BLOCKS + 2, 0));
}

/** The tip from which on the value at an edge is the price. */
export function dueHeight(edge: number): number {
  return edge + BURIED_BLOCKS - 2;
}

/** The price that both signed last; undefined before the first. */
export function signedPriceMsatPerEh(terms: ContractTerms): bigint | undefined {
  return updatesOf(terms).findLast(({ update }) => update.priceMsatPerEh !== undefined)?.update
    .priceMsatPerEh;
}

/** Steps, beside those that may be unpaid, within which a price has to hold. */
const SOON_STEPS = 4n;

/**
 * See `PriceView.latestHashes`; the first price is that of all work.
 * @param workHashes credited or delivered
 */
export function latestHashes(terms: ContractTerms, workHashes: bigint): bigint {
  if (signedPriceMsatPerEh(terms) === undefined) return 0n;
  return workHashes + (BigInt(terms.maxUnpaidSteps) + SOON_STEPS) * stepHashesOf(terms);
}

/** Epochs that a contract of so many blocks may see; each takes an update. */
export function epochsWithin({ epoch }: Pick<MovingPrice, 'epoch'>, blocks: number): number {
  return Math.ceil(blocks / epochBlocks(epoch)) + 1;
}

/** What a side knows of the price at a tip. */
export type PriceView = {
  readonly role: 'miner' | 'maker';
  readonly tipHeight: number;
  readonly edge: number;
  /** Tip at which this side first saw that this edge has no price yet. */
  readonly sinceHeight: number;
  /** By the own node; undefined while it does not tell. */
  readonly wantedMsatPerEh: bigint | undefined;
  readonly signedMsatPerEh: bigint | undefined;
  /** Hashes from which on a price has to hold at the latest: else a right one could come too late. */
  readonly latestHashes: bigint;
  /** The update that waits. */
  readonly pending: { readonly by: 'own' | 'peer'; readonly update: Update } | undefined;
};

/** What a side does about the price: `refuse` also takes back an own one that is of an epoch before. */
export type PriceStep = 'none' | 'propose' | 'confirm' | 'refuse';

/**
 * The next step of a side. Only the price that its own node says is proposed or confirmed, and any other is
 * refused, but for one that a tip which is two blocks ahead may call for. The maker proposes; where it does
 * not, the miner does two blocks later. Updates of something else are left to people.
 */
export function priceStep(view: PriceView, { epoch }: Pick<MovingPrice, 'epoch'>): PriceStep {
  const {
    role,
    tipHeight,
    edge,
    sinceHeight,
    wantedMsatPerEh: wanted,
    signedMsatPerEh: signed,
    pending,
  } = view;
  if (wanted === undefined) return 'none';
  if (pending === undefined) {
    const isTurn = role === 'maker' || tipHeight >= sinceHeight + VIEW_BLOCKS;
    return isTurn && signed !== wanted ? 'propose' : 'none';
  }
  const { priceMsatPerEh: asked, stepHashes, stopHeight } = pending.update;
  if (asked === undefined) return 'none';
  const isPriceAlone = stepHashes === undefined && stopHeight === undefined;
  const isSoon = pending.update.fromHashes <= view.latestHashes;
  const isWanted = isPriceAlone && isSoon && asked === wanted && asked !== signed;
  if (pending.by === 'own') return isWanted ? 'none' : 'refuse';
  if (isWanted) return 'confirm';
  // The other side may see the next edge, or not yet this one.
  const isNear = edgeAt({ epoch }, tipHeight + VIEW_BLOCKS) !== edge;
  const isYoung = tipHeight < dueHeight(edge) + VIEW_BLOCKS;
  return isPriceAlone && isSoon && (isNear || isYoung) ? 'none' : 'refuse';
}

/**
 * True where work has no price that may be used: none is signed yet, or the one signed was last found right
 * for an earlier edge, and `ttl_blocks` have passed since the newest was due.
 * @param goodEdge the edge for which the own node found the signed price right; undefined before one
 */
export function isUnpriced(
  terms: ContractTerms,
  { goodEdge, tipHeight }: { readonly goodEdge: number | undefined; readonly tipHeight: number },
): boolean {
  const price = movingPriceOf(terms);
  if (price === undefined) return false;
  if (signedPriceMsatPerEh(terms) === undefined) return true;
  const edge = edgeAt(price, tipHeight);
  // Work that is late is of an edge before.
  return (goodEdge ?? -1) < edge && tipHeight >= dueHeight(edge) + price.ttlBlocks;
}
