import type { Clock } from '../base/clock.ts';
import type { ChainSource, ChainTip } from '../chain/source.ts';

/** Where a block stands, as parent of new work. */
export type BlockStatus =
  | { readonly status: 'unknown' }
  | { readonly status: 'current'; readonly height: number; readonly bits: number }
  /** `sinceMs`: wall time when another block took its place; 0 when that cannot be told. */
  | {
      readonly status: 'superseded';
      readonly height: number;
      readonly bits: number;
      readonly sinceMs: number;
    };

const MAX_TIPS = 256;

/**
 * Which blocks work may build on, by the maker's own node. When a tip was replaced is when this program saw
 * it happen;
 * for what happened before it ran, the time in the header of the next block.
 */
export class ChainTipTracker {
  readonly #chain: ChainSource;
  readonly #clock: Clock;
  /** When each former tip was left, oldest first. */
  readonly #leftAtMs = new Map<string, number>();
  readonly #known = new Map<string, BlockStatus>();
  #tip: ChainTip | undefined;
  /** What was below this tip had been replaced by then. */
  #first: { readonly height: number; readonly atMs: number } | undefined;

  constructor(deps: { readonly chain: ChainSource; readonly clock: Clock }) {
    this.#chain = deps.chain;
    this.#clock = deps.clock;
  }

  get tip(): ChainTip | undefined {
    return this.#tip;
  }

  /** A new tip of the own node. */
  onTip(tip: ChainTip): void {
    if (this.#tip !== undefined && this.#tip.hash !== tip.hash) {
      this.#leftAtMs.set(this.#tip.hash, this.#clock.nowMs());
      if (this.#leftAtMs.size > MAX_TIPS) {
        const [oldest] = this.#leftAtMs.keys();
        this.#leftAtMs.delete(oldest!);
      }
    }
    this.#first ??= { height: tip.height, atMs: this.#clock.nowMs() };
    this.#tip = tip;
    this.#known.clear();
  }

  /** @param hash as displayed. Throws `chain_unreachable`, `chain_rpc`. */
  async standing(hash: string): Promise<BlockStatus> {
    const known = this.#known.get(hash);
    if (known !== undefined) return known;
    const tip = this.#tip ?? (await this.#chain.tip());
    const standing = await this.#lookUp(hash, tip);
    if (standing.status !== 'unknown' && this.#tip?.hash === tip.hash) {
      if (this.#known.size >= MAX_TIPS) this.#known.clear();
      this.#known.set(hash, standing);
    }
    return standing;
  }

  async #lookUp(hash: string, tip: ChainTip): Promise<BlockStatus> {
    const header = await this.#chain.header(hash);
    if (header === undefined) return { status: 'unknown' };
    const { height, bits } = header;
    if (hash === tip.hash) return { status: 'current', height, bits };
    // The node may be ahead of the tip we were told of: what has no successor on the best chain is current.
    if (header.confirmations === 1) return { status: 'current', height, bits };
    const leftAtMs = this.#leftAtMs.get(hash);
    if (leftAtMs !== undefined) return { status: 'superseded', height, bits, sinceMs: leftAtMs };
    const next = header.nextHash === undefined ? undefined : await this.#chain.header(header.nextHash);
    const isEarlier = this.#first !== undefined && height < this.#first.height;
    const latestMs = isEarlier ? this.#first!.atMs : this.#clock.nowMs();
    const sinceMs = next === undefined ? 0 : Math.min(next.timeSeconds * 1000, latestMs);
    return { status: 'superseded', height, bits, sinceMs };
  }
}
