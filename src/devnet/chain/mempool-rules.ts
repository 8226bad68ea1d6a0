import { refusal } from './chain-rules.ts';
import { type FeeChunk, improvesDiagram, pairChunks } from './fee-diagram.ts';
import type { MempoolEntry, MempoolGraph } from './mempool-graph.ts';

/**
 * A transaction before it enters. The rules here are those of Bitcoin Core 28 and 29 for what waits, beyond
 * those of a transaction by itself. Sources: BIP125 (rules 2 to 5, and the rate of direct conflicts), BIP431
 * with the eviction of a sibling, and Core's own texts on policy: limits of chains with their carve-out, and
 * packages of a parent and its child. A test holds them against a bitcoind (`mempool.node-test.ts`).
 */
export type Candidate = MempoolEntry & {
  /** What it puts out by spending the same coin, or as its sibling; what spends from those not counted. */
  readonly conflicts: readonly MempoolEntry[];
};

/** May be made good by a child that pays: the other refusals are for good. */
const RECONSIDERABLE = { reconsiderable: true };

/** BIP431: sizes of a version 3 transaction, and of one that has an unconfirmed parent. */
const TRUC_MAX_VSIZE = 10_000;
const TRUC_CHILD_MAX_VSIZE = 1_000;
/** BIP125 rule 5. */
const MAX_REPLACED = 100;
const MAX_CHAIN = 25;
const MAX_CHAIN_VSIZE = 101_000;
/** One child more for a transaction with one parent alone, up to this size. */
const CARVE_OUT_VSIZE = 10_000;

/** Fee in sats of `vsize` virtual bytes, rounded up. */
export function relayFee(vsize: number, satPerKvb: bigint): bigint {
  return (BigInt(vsize) * satPerKvb + 999n) / 1000n;
}

/** Core takes no version below 3 under this rate, whatever a child would pay. */
export function checkOwnFee(candidate: Candidate, satPerKvb: bigint, isAlone: boolean): void {
  const minimum = relayFee(candidate.vsize, satPerKvb);
  if (candidate.feeSat >= minimum) return;
  const isVersion3 = candidate.transaction.version === 3;
  if (isVersion3 && !isAlone) return;
  const meta = isVersion3 ? RECONSIDERABLE : {};
  throw refusal(`min relay fee not met, ${candidate.feeSat} < ${minimum}`, undefined, meta);
}

/**
 * Ancestors and descendants of all that it would join.
 * @param isOfPackage no allowance is made for what comes with another, not even where it is judged by itself
 */
export function checkChains(candidate: Candidate, graph: MempoolGraph, isOfPackage: boolean): void {
  const { conflicts, vsize, transaction } = candidate;
  // What a single conflict takes away is given back, roughly.
  const [only] = conflicts.length === 1 && !isOfPackage ? conflicts : [];
  const freed = only === undefined ? 0 : 1;
  const freedVsize = only === undefined ? 0 : sizeOf(graph.withDescendants([only]));
  const fits = (ancestors: number, descendants: number, descendantsVsize: number): boolean =>
    fitsChains([candidate], graph, { ancestors, descendants, descendantsVsize });
  if (fits(MAX_CHAIN, MAX_CHAIN + freed, MAX_CHAIN_VSIZE + freedVsize)) return;
  const carvesOut = vsize <= CARVE_OUT_VSIZE && transaction.version !== 3 && !isOfPackage;
  if (carvesOut && fits(2, MAX_CHAIN + freed + 1, MAX_CHAIN_VSIZE + freedVsize + CARVE_OUT_VSIZE)) return;
  throw refusal('too-long-mempool-chain');
}

/** A parent and a child of it, both of which are not there yet. */
export function checkPackageChains(pair: readonly Candidate[], graph: MempoolGraph): void {
  const limits = { ancestors: MAX_CHAIN, descendants: MAX_CHAIN, descendantsVsize: MAX_CHAIN_VSIZE };
  if (!fitsChains(pair, graph, limits)) throw refusal('package-mempool-limits');
}

type ChainLimits = {
  readonly ancestors: number;
  readonly descendants: number;
  readonly descendantsVsize: number;
};

function fitsChains(added: readonly Candidate[], graph: MempoolGraph, limits: ChainLimits): boolean {
  const vsize = sizeOf(added);
  const ancestors = graph.ancestorsOf(added);
  if (ancestors.length + added.length > limits.ancestors) return false;
  if (sizeOf(ancestors) + vsize > MAX_CHAIN_VSIZE) return false;
  return ancestors.every((ancestor) => {
    const descendants = graph.withDescendants([ancestor]);
    const isFew = descendants.length + added.length <= limits.descendants;
    return isFew && sizeOf(descendants) + vsize <= limits.descendantsVsize;
  });
}

/** BIP431. Returns the sibling that the candidate would have to put out. */
export function checkTruc(candidate: Candidate, graph: MempoolGraph): MempoolEntry | undefined {
  const isVersion3 = candidate.transaction.version === 3;
  const ancestors = graph.ancestorsOf([candidate]);
  if (ancestors.some((ancestor) => (ancestor.transaction.version === 3) !== isVersion3)) {
    throw refusal('TRUC-violation, version 3 and other versions mixed');
  }
  if (!isVersion3) return undefined;
  if (candidate.vsize > TRUC_MAX_VSIZE) throw refusal('TRUC-violation, too large');
  const [parent, ...others] = ancestors;
  if (parent === undefined) return undefined;
  if (others.length > 0) throw refusal('TRUC-violation, too many ancestors');
  if (candidate.vsize > TRUC_CHILD_MAX_VSIZE) throw refusal('TRUC-violation, child too large');
  const children = graph.childrenOf(parent);
  const isReplaced = children.some(({ txid }) => candidate.conflicts.some((each) => each.txid === txid));
  const [sibling] = children;
  if (sibling === undefined || isReplaced) return undefined;
  // After a reorganisation there may be several: then none can be put out.
  const isOnly = graph.withDescendants([parent]).length === 2 && graph.ancestorsOf([sibling]).length === 1;
  if (!isOnly) throw refusal('TRUC-violation, parent has children already');
  return sibling;
}

/** BIP431 for a child whose parent comes with it. */
export function checkPackageTruc(parent: Candidate, child: Candidate, graph: MempoolGraph): void {
  const isVersion3 = child.transaction.version === 3;
  if ((parent.transaction.version === 3) !== isVersion3) {
    throw refusal('TRUC-violation, version 3 and other versions mixed');
  }
  if (!isVersion3) return;
  if (graph.ancestorsOf([parent, child]).length > 0) throw refusal('TRUC-violation, too many ancestors');
  if (child.vsize > TRUC_CHILD_MAX_VSIZE) throw refusal('TRUC-violation, child too large');
}

/** What is put out is not what it spends from. */
export function checkDisjoint(candidate: Candidate, graph: MempoolGraph): void {
  const out = new Set(candidate.conflicts.map(({ txid }) => txid));
  if (graph.ancestorsOf([candidate]).some(({ txid }) => out.has(txid))) {
    throw refusal('bad-txns-spends-conflicting-tx');
  }
}

/** Returns everything that leaves. */
export function checkReplacement(
  candidate: Candidate,
  graph: MempoolGraph,
  satPerKvb: bigint,
): readonly MempoolEntry[] {
  const { conflicts, feeSat, vsize } = candidate;
  if (conflicts.length === 0) return [];
  const beatsRates = conflicts.every((entry) => rateOf(candidate) > rateOf(entry));
  if (!beatsRates) throw refusal('insufficient fee', undefined, RECONSIDERABLE);
  const leaving = replacedBy(conflicts, graph);
  const known = new Set(leaving.flatMap(({ parents }) => [...parents]));
  if (graph.parentsOf(candidate).some(({ txid }) => !known.has(txid))) {
    throw refusal('replacement-adds-unconfirmed');
  }
  if (feeSat < feesOf(leaving) + relayFee(vsize, satPerKvb)) {
    throw refusal('insufficient fee', undefined, RECONSIDERABLE);
  }
  return leaving;
}

/** A parent and its child pay together for everything that either puts out. Returns what leaves. */
export function checkPackageReplacement(
  [parent, child]: readonly [Candidate, Candidate],
  graph: MempoolGraph,
  satPerKvb: bigint,
): readonly MempoolEntry[] {
  const conflicts = [...parent.conflicts, ...child.conflicts];
  if (conflicts.length === 0) return [];
  const refuse = (why: string): never => {
    throw refusal(`package RBF failed: ${why}`);
  };
  if (graph.ancestorsOf([parent, child]).length > 0) refuse('it has ancestors that wait');
  const leaving = replacedBy([...new Set(conflicts)], graph);
  const feeSat = parent.feeSat + child.feeSat;
  const vsize = parent.vsize + child.vsize;
  if (feeSat < feesOf(leaving) + relayFee(vsize, satPerKvb)) refuse('insufficient fee');
  if (rateOf({ feeSat, vsize }) <= rateOf(parent)) refuse('the parent pays more alone');
  if (!leaving.every((entry) => isOfPair(entry, graph))) refuse('it puts out more than pairs');
  if (!improvesDiagram(oldChunks(leaving, graph), newChunks({ feeSat, vsize }, leaving, graph))) {
    refuse('blocks earn no more by it');
  }
  return leaving;
}

function replacedBy(conflicts: readonly MempoolEntry[], graph: MempoolGraph): readonly MempoolEntry[] {
  // Counted once for each conflict, as Core does.
  const counts = conflicts.map((entry) => graph.withDescendants([entry]).length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total > MAX_REPLACED) throw refusal('too many potential replacements');
  return graph.withDescendants(conflicts);
}

/** Alone, or one of two that have nobody else. */
function isOfPair(entry: MempoolEntry, graph: MempoolGraph): boolean {
  const ancestors = graph.ancestorsOf([entry]);
  const [, ...descendants] = graph.withDescendants([entry]);
  if (ancestors.length + descendants.length > 1) return false;
  if (descendants.some((child) => graph.ancestorsOf([child]).length > 1)) return false;
  return ancestors.every((parent) => graph.withDescendants([parent]).length === 2);
}

function oldChunks(leaving: readonly MempoolEntry[], graph: MempoolGraph): readonly FeeChunk[] {
  return leaving.flatMap((entry) => {
    // A parent is told of with its child.
    if (graph.childrenOf(entry).length > 0) return [];
    const [parent] = graph.parentsOf(entry);
    return parent === undefined ? [entry] : pairChunks(parent, entry);
  });
}

/** The pair that comes, and parents that stay without their child. */
function newChunks(
  pair: FeeChunk,
  leaving: readonly MempoolEntry[],
  graph: MempoolGraph,
): readonly FeeChunk[] {
  const left = leaving.flatMap((entry) => graph.parentsOf(entry)).filter((each) => !leaving.includes(each));
  return [pair, ...left];
}

/** sat per 1000 virtual bytes, without the fraction, which Core does not compare. */
function rateOf({ feeSat, vsize }: FeeChunk): bigint {
  return (feeSat * 1000n) / BigInt(vsize);
}

function sizeOf(entries: readonly { readonly vsize: number }[]): number {
  return entries.reduce((sum, { vsize }) => sum + vsize, 0);
}

function feesOf(entries: readonly { readonly feeSat: bigint }[]): bigint {
  return entries.reduce((sum, { feeSat }) => sum + feeSat, 0n);
}
