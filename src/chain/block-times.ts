import { LRUCache } from 'lru-cache';
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
    const isNear = height <= tip.height && height >= tip.height - MOST_BLOCKS;
    let [hash, at] = [tip.hash, isNear ? tip.height : height - 1];
    while (at >= height) {
      const known = await this.#headerOf(hash);
      if (known === undefined) break;
      if (known.height === height) return { tipHeight: tip.height, atMs: known.timeSeconds * 1000 };
      [hash, at] = [known.previousHash, known.height - 1];
    }
    return { tipHeight: tip.height, atMs: undefined };
  }

  async #headerOf(hash: string): Promise<Known | undefined> {
    const known = this.#known.get(hash) ?? (await this.#chain.header(hash));
    if (known === undefined) return undefined;
    const { height, previousHash, timeSeconds } = known;
    this.#known.set(hash, { height, previousHash, timeSeconds });
    return known;
  }
}
