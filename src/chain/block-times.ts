import { LRUCache } from 'lru-cache';
import { ancestorOf } from './ancestor.ts';
import type { ChainSource } from './source.ts';

/** Blocks behind the tip that are walked to: four weeks. */
const MOST_BLOCKS = 4_032;

type Known = { readonly height: number; readonly previousHash: string; readonly timeSeconds: number };

/** The times of blocks by their headers, from the tip down; what was walked once is remembered. */
export class BlockTimes {
  readonly #chain: Pick<ChainSource, 'tip' | 'header'>;
  readonly #known = new LRUCache<string, Known>({ max: 2 * MOST_BLOCKS });

  constructor(chain: Pick<ChainSource, 'tip' | 'header'>) {
    this.#chain = chain;
  }

  /**
   * The height of the tip, and the time in ms of the best chain's block at a height; undefined for one that
   * is ahead, four weeks of blocks ago, or behind what the node has. Throws as the source.
   */
  async at(height: number): Promise<{ readonly tipHeight: number; readonly atMs: number | undefined }> {
    const tip = await this.#chain.tip();
    const known = await ancestorOf((hash) => this.#headerOf(hash), tip, height, MOST_BLOCKS);
    return { tipHeight: tip.height, atMs: known && known.timeSeconds * 1000 };
  }

  async #headerOf(hash: string): Promise<Known | undefined> {
    const known = this.#known.get(hash) ?? (await this.#chain.header(hash));
    if (known === undefined) return undefined;
    const { height, previousHash, timeSeconds } = known;
    this.#known.set(hash, { height, previousHash, timeSeconds });
    return known;
  }
}
