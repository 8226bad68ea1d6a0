import type { Clock } from '../base/clock.ts';
import { ancestorOf } from './ancestor.ts';
import type { ChainHeader, ChainSource, ChainTip } from './source.ts';

/** The status of a block as parent of new work. */
export type BlockStatus =
  | { readonly status: 'unknown' }
  | { readonly status: 'current'; readonly height: number; readonly bits: number }
  /** Monotonic time in ms when another block replaced it; minus infinity where unknown. */
  | {
      readonly status: 'superseded';
      readonly height: number;
      readonly bits: number;
      readonly sinceMonotonicMs: number;
      /** True of a block as high as the tip: other nodes may have it for theirs. */
      readonly isRival?: true;
    };

const MAX_TIPS = 256;
/** Blocks that are asked for to date a rival that was replaced before the start. */
const MAX_DEPTH = 6;

/**
 * Time in ms that the header of a block may be older than the block was heard of here: the clock of its
 * finder and the own one may each be a minute wrong, and its template is as old.
 */
const HEADER_TIME_SLACK_MS = 180_000;

/**
 * The blocks that work may build on, by the own node. A tip was replaced when this program saw it;
 * for earlier blocks, the time in the header of the next block counts, and some minutes more, by the wall
 * clock at the start of this program.
 */
export class TipTracker {
  readonly #chain: ChainSource;
  readonly #clock: Clock;
  /** Wall time at the zero of the monotonic clock. */
  readonly #wallAtZeroMs: number;
  /** Monotonic time in ms when each former tip was replaced, oldest first. */
  readonly #leftAtMonotonicMs = new Map<string, number>();
  /** Monotonic time in ms of the first tip of each height, oldest first. */
  readonly #reachedAtMonotonicMs = new Map<number, number>();
  readonly #known = new Map<string, BlockStatus>();
  #tip: ChainTip | undefined;
  /** The first tip seen; what was below it had been replaced by then. */
  #first: { readonly height: number; readonly atMonotonicMs: number } | undefined;

  constructor(deps: { readonly chain: ChainSource; readonly clock: Clock }) {
    this.#chain = deps.chain;
    this.#clock = deps.clock;
    this.#wallAtZeroMs = deps.clock.nowMs() - deps.clock.monotonicMs();
  }

  get tip(): ChainTip | undefined {
    return this.#tip;
  }

  /** Takes a new tip of the own node. */
  onTip(tip: ChainTip): void {
    if (this.#tip !== undefined && this.#tip.hash !== tip.hash) {
      this.#leftAtMonotonicMs.set(this.#tip.hash, this.#clock.monotonicMs());
      if (this.#leftAtMonotonicMs.size > MAX_TIPS) {
        const [oldest] = this.#leftAtMonotonicMs.keys();
        this.#leftAtMonotonicMs.delete(oldest!);
      }
    }
    this.#first ??= { height: tip.height, atMonotonicMs: this.#clock.monotonicMs() };
    if (!this.#reachedAtMonotonicMs.has(tip.height))
      this.#reachedAtMonotonicMs.set(tip.height, this.#clock.monotonicMs());
    if (this.#reachedAtMonotonicMs.size > MAX_TIPS) {
      const [oldest] = this.#reachedAtMonotonicMs.keys();
      this.#reachedAtMonotonicMs.delete(oldest!);
    }
    this.#tip = tip;
    this.#known.clear();
  }

  /**
   * The status of a block. Throws `chain_unreachable`, `chain_rpc`.
   * @param hash as displayed
   */
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
    // Headers come before their blocks: the node does not build upon it yet.
    if (header.confirmations < 0 && height > tip.height) return { status: 'unknown' };
    // The node may be ahead of the newest tip seen here: a block without a successor is current.
    if (header.confirmations === 1) return { status: 'current', height, bits };
    const leftAt = this.#leftAtMonotonicMs.get(hash);
    if (leftAt !== undefined) return { status: 'superseded', height, bits, sinceMonotonicMs: leftAt };
    if (header.confirmations < 0) return this.#rival(height, bits, tip);
    const next = header.nextHash === undefined ? undefined : await this.#chain.header(header.nextHash);
    const sinceMonotonicMs = this.#heardMs(next, height);
    return { status: 'superseded', height, bits, sinceMonotonicMs };
  }

  /** A block that never was the tip here: replaced by the first tip that is higher. */
  async #rival(height: number, bits: number, tip: ChainTip): Promise<BlockStatus> {
    const reachedAtMs = this.#reachedAtMonotonicMs.get(height + 1);
    const sinceMonotonicMs = reachedAtMs ?? this.#heardMs(await this.#ancestor(tip, height + 1), height);
    const replaced = { status: 'superseded', height, bits, sinceMonotonicMs } as const;
    return height === tip.height ? { ...replaced, isRival: true } : replaced;
  }

  /** The ancestor of the tip at a height not far below it. */
  #ancestor(tip: ChainTip, height: number): Promise<ChainHeader | undefined> {
    return ancestorOf((hash) => this.#chain.header(hash), tip, height, MAX_DEPTH);
  }

  /** Monotonic time in ms at which the block that replaced one of this height was heard of, by its header. */
  #heardMs(next: ChainHeader | undefined, height: number): number {
    if (next === undefined) return Number.NEGATIVE_INFINITY;
    const isEarlier = this.#first !== undefined && height < this.#first.height;
    const latestMs = isEarlier ? this.#first!.atMonotonicMs : this.#clock.monotonicMs();
    return Math.min(next.timeSeconds * 1000 + HEADER_TIME_SLACK_MS - this.#wallAtZeroMs, latestMs);
  }
}
