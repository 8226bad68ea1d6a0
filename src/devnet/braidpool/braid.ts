import { compareHashes } from '../../bitcoin/header.ts';
import { targetOfCompact, workOfTarget } from '../../bitcoin/target.ts';
import { type Bead, beadHash } from './bead.ts';
import { ancestorCounts, type CutNode, cutPositions } from './cohorts.ts';

/** A bead of the braid, with what tests ask for most at hand. */
export type BraidBead = {
  /** Block hash, as displayed. */
  readonly hash: string;
  readonly payoutAddress: string;
  readonly parents: readonly string[];
  readonly minerIp: string;
  /** True when it meets the weak target only. */
  readonly weak: boolean;
  readonly bead: Bead;
};

/** The node's own words for what became of a bead. */
export type AddBeadStatus =
  | 'DagAlreadyContainsBead'
  | 'InvalidBead'
  | 'BeadAdded'
  | 'ParentsNotYetReceived';

type Node = {
  readonly entry: BraidBead;
  /** Counts up in the order of arrival. */
  readonly order: number;
  readonly parents: readonly Node[];
  readonly children: Node[];
  cohort: number;
};

const MAX_BEADS = 200_000;
const MAX_ORPHANS = 10_000;

/**
 * The beads as a directed graph: each refers to the tips its miner saw. Cohorts are the parts between graph
 * cuts; a new bead has them computed again from the earliest cut it affects.
 */
export class Braid {
  readonly #nodes = new Map<string, Node>();
  readonly #tips = new Map<string, Node>();
  readonly #genesis: string[] = [];
  readonly #cohorts: Node[][] = [];
  readonly #listeners = new Set<(entry: BraidBead) => void>();
  #orphans: { readonly bead: Bead; readonly weak: boolean }[] = [];
  #workOf: (bead: Bead) => bigint;
  #totalWork = 0n;
  #arrived = 0;
  #latest: BraidBead | undefined;

  /** @param work what a bead counts for: as the node has it the header's nBits, or its weak target */
  constructor(options: { readonly work: 'network' | 'weak' } = { work: 'network' }) {
    this.#workOf = ({ block_header, committed_metadata }) =>
      workOfTarget(
        targetOfCompact(options.work === 'network' ? block_header.bits : committed_metadata.weak_target),
      );
  }

  /** In order of arrival. */
  get beads(): BraidBead[] {
    return [...this.#nodes.values()].map((node) => node.entry);
  }

  get size(): number {
    return this.#nodes.size;
  }

  get orphanCount(): number {
    return this.#orphans.length;
  }

  get cohortCount(): number {
    return this.#cohorts.length;
  }

  /** Expected hashes of all beads. */
  get totalWork(): bigint {
    return this.#totalWork;
  }

  /** The last one added. */
  get latest(): BraidBead | undefined {
    return this.#latest;
  }

  get(hash: string): BraidBead | undefined {
    return this.#nodes.get(hash)?.entry;
  }

  workOf(bead: Bead): bigint {
    return this.#workOf(bead);
  }

  genesis(): readonly string[] {
    return this.#genesis;
  }

  /** Beads that are nobody's parent yet, sorted as a new bead lists its parents. */
  tips(): string[] {
    return [...this.#tips.keys()].sort(compareHashes);
  }

  children(hash: string): string[] {
    return this.#nodes.get(hash)?.children.map((child) => child.entry.hash) ?? [];
  }

  /** The hashes of a cohort; 0 is the one of the genesis beads. */
  cohort(id: number): string[] | undefined {
    return this.#cohorts[id]?.map((node) => node.entry.hash);
  }

  /** Calls back after each bead added, until the returned function is called. */
  onBead(listener: (entry: BraidBead) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Adds a bead whose shape and work were checked, and then the orphans that waited for it. */
  add(bead: Bead, weak = false): AddBeadStatus {
    const status = this.#extend(bead, weak);
    if (status === 'BeadAdded') this.#adoptOrphans();
    return status;
  }

  #extend(bead: Bead, weak: boolean): AddBeadStatus {
    const hashes = bead.committed_metadata.parents;
    const isFirst = this.#nodes.size === 0;
    if (hashes.length === 0 && !isFirst) return 'InvalidBead';
    const parents = hashes.map((parent) => this.#nodes.get(parent)).filter((node) => node !== undefined);
    if (parents.length !== hashes.length) {
      this.#orphans.push({ bead, weak });
      if (this.#orphans.length > MAX_ORPHANS) this.#orphans.shift();
      return 'ParentsNotYetReceived';
    }
    const hash = beadHash(bead);
    if (this.#nodes.has(hash)) return 'DagAlreadyContainsBead';
    const entry: BraidBead = {
      hash,
      payoutAddress: bead.committed_metadata.payout_address,
      parents: hashes,
      minerIp: bead.committed_metadata.miner_ip,
      weak,
      bead,
    };
    this.#insert({ entry, order: this.#arrived, parents, children: [], cohort: 0 });
    return 'BeadAdded';
  }

  #insert(node: Node): void {
    const { entry, parents } = node;
    this.#arrived += 1;
    this.#nodes.set(entry.hash, node);
    this.#totalWork += this.#workOf(entry.bead);
    if (parents.length === 0) this.#genesis.push(entry.hash);
    this.#recut(node);
    for (const parent of parents) {
      parent.children.push(node);
      this.#tips.delete(parent.entry.hash);
    }
    this.#tips.set(entry.hash, node);
    this.#latest = entry;
    if (this.#nodes.size > MAX_BEADS) this.#forgetOldest();
    for (const listener of this.#listeners) listener(entry);
  }

  /** Takes away the cohorts that the new bead does not build upon as a whole, and cuts them anew. */
  #recut(node: Node): void {
    const latest = Math.max(-1, ...node.parents.map((parent) => parent.cohort));
    const parents = new Set(node.parents);
    const isTip = (other: Node): boolean => !other.children.some((child) => child.cohort === latest);
    const buildsOnAll = (this.#cohorts[latest] ?? []).every((other) => parents.has(other) || !isTip(other));
    const from = buildsOnAll ? latest + 1 : latest;
    const loose = [...this.#cohorts.splice(from).flat(), node].sort((a, b) => a.order - b.order);
    for (const start of cohortStarts(loose)) {
      const cohort = loose.slice(start.from, start.to);
      for (const member of cohort) member.cohort = this.#cohorts.length;
      this.#cohorts.push(cohort);
    }
  }

  #adoptOrphans(): void {
    for (let progress = true; progress; ) {
      progress = false;
      const waiting = this.#orphans;
      this.#orphans = [];
      for (const { bead, weak } of waiting) {
        if (this.#extend(bead, weak) === 'BeadAdded') progress = true;
      }
    }
  }

  #forgetOldest(): void {
    for (const hash of this.#nodes.keys()) {
      this.#nodes.delete(hash);
      return;
    }
  }

  /**
   * From a genesis bead to a tip, always to the child with the most work after it, then before it, then the
   * one that came first. Each bead counts one.
   */
  highestWorkPath(): string[] {
    const { before, after } = this.#workAround();
    const best = (nodes: readonly Node[]): Node | undefined =>
      [...nodes].sort(
        (a, b) => after.get(b)! - after.get(a)! || before.get(b)! - before.get(a)! || a.order - b.order,
      )[0];
    const path: string[] = [];
    const roots = (this.#cohorts[0] ?? []).filter((node) => node.parents.length === 0);
    for (let node = best(roots); node !== undefined; node = best(node.children)) path.push(node.entry.hash);
    return path;
  }

  /** How many beads come before and after each: whole cohorts, and some of its own. */
  #workAround(): { before: Map<Node, number>; after: Map<Node, number> } {
    const before = new Map<Node, number>();
    const after = new Map<Node, number>();
    let earlier = 0;
    for (const cohort of this.#cohorts) {
      const later = this.#nodes.size - earlier - cohort.length;
      const ancestors = ancestorCounts(cutNodes(cohort, (node) => node.parents));
      const backward = [...cohort].reverse();
      const descendants = ancestorCounts(cutNodes(backward, (node) => node.children));
      for (const [index, node] of cohort.entries()) before.set(node, earlier + ancestors[index]!);
      for (const [index, node] of backward.entries()) after.set(node, later + descendants[index]!);
      earlier += cohort.length;
    }
    return { before, after };
  }
}

function cohortStarts(nodes: readonly Node[]): { readonly from: number; readonly to: number }[] {
  const cuts = cutPositions(cutNodes(nodes, (node) => node.parents));
  return cuts.map((from, index) => ({ from, to: cuts[index + 1] ?? nodes.length }));
}

/** Refers to nodes by their positions; those not in the list are left out. */
function cutNodes(nodes: readonly Node[], before: (node: Node) => readonly Node[]): CutNode[] {
  const positions = new Map(nodes.map((node, index) => [node, index]));
  return nodes.map((node) => ({
    parents: before(node)
      .map((other) => positions.get(other))
      .filter((position) => position !== undefined),
  }));
}
