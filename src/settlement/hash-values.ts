import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type ChainSource, type ChainTip, optional } from '../chain/source.ts';
import { type BlockValue, hashValue144, VALUE_BLOCKS } from '../contract/hash-value.ts';
import { volatilityOf } from '../contract/quote-price.ts';
import type { Logger } from '../log/logger.ts';

/** Values of earlier days that the volatility is of. */
const DAYS = 7;

type KnownBlock = BlockValue & {
  readonly hash: string;
  readonly previousHash: string;
  /** Its 80 bytes; undefined where the node does not tell all of them. */
  readonly headerHex: string | undefined;
};

/**
 * The value of hashes from the headers and fees that the own node has. Blocks are read once each, and anew
 * where others replaced them. What is not read yet has no value.
 */
export class HashValues {
  readonly #deps: { readonly chain: ChainSource; readonly log: Logger };
  readonly #blocks = new Map<number, KnownBlock>();
  readonly #values = new Map<number, bigint | undefined>();
  #reading: Promise<void> | undefined;
  #wanted: { readonly tip: ChainTip; readonly from: number } | undefined;

  constructor(deps: { readonly chain: ChainSource; readonly log: Logger }) {
    this.#deps = deps;
  }

  /** The value at a height, msat per EH; undefined while its blocks are not known. */
  at(height: number): bigint | undefined {
    if (!this.#values.has(height)) {
      const blocks = this.#chainBelow(height, VALUE_BLOCKS);
      if (blocks === undefined) return undefined;
      this.#values.set(height, hashValue144(blocks));
    }
    return this.#values.get(height);
  }

  /** The blocks that the value at a height is of, the first first; undefined while some is not known. */
  basisAt(height: number): readonly { readonly header: string; readonly rewardSat: bigint }[] | undefined {
    const blocks = this.#chainBelow(height, VALUE_BLOCKS)?.flatMap(({ headerHex: header, rewardSat }) =>
      header === undefined ? [] : [{ header, rewardSat }],
    );
    return blocks?.length === VALUE_BLOCKS ? blocks.toReversed() : undefined;
  }

  /** How far the values of the last days are apart, ppm of the least; of those that are known. */
  volatilityPpm(height: number): bigint {
    const heights = Array.from({ length: DAYS + 1 }, (_, day) => height - day * VALUE_BLOCKS);
    return volatilityOf(heights.flatMap((each) => this.at(each) ?? []));
  }

  /** Reads the blocks of a tip's chain for the value at a height, and those of so many days before. */
  read(tip: ChainTip, height: number, days = DAYS): Promise<void> {
    const from = Math.max(0, height - (days + 1) * VALUE_BLOCKS);
    // Contracts of other epochs may have asked for more, and are not read yet.
    this.#wanted = { tip, from: Math.min(from, this.#wanted?.from ?? from) };
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    while (this.#wanted !== undefined) {
      const { tip, from } = this.#wanted;
      this.#wanted = undefined;
      await optional(
        () => this.#readChain(tip, from),
        ({ code, message: detail }) => this.#deps.log.info({ code, detail }, 'no value of hashes yet'),
      );
    }
  }

  async #readChain(tip: ChainTip, from: number): Promise<void> {
    const { chain } = this.#deps;
    if (chain.blockRewardSat === undefined) throw new CodedError('chain_rpc', 'the node tells no fees');
    let { hash } = tip;
    for (let height = tip.height; height >= from; height -= 1) {
      const known = this.#blocks.get(height);
      if (known?.hash === hash && this.#chainBelow(height + 1, height + 1 - from) !== undefined) break;
      const header = await chain.header(hash);
      if (header === undefined) return;
      if (known?.hash !== hash) {
        const rewardSat = await chain.blockRewardSat(hash);
        const { previousHash, bits, headerHex } = header;
        this.#blocks.set(height, { hash, previousHash, rewardSat, bits, headerHex });
        this.#forgetValues(height);
      }
      hash = header.previousHash;
    }
    for (const height of this.#blocks.keys())
      if (height > tip.height || height < tip.height - LIMITS.valuedBlocks) this.#blocks.delete(height);
  }

  /** So many blocks below a height, each the parent of the next; undefined where one is not known. */
  #chainBelow(height: number, count: number): readonly KnownBlock[] | undefined {
    const blocks: KnownBlock[] = [];
    for (let at = height - 1; blocks.length < count; at -= 1) {
      const block = this.#blocks.get(at);
      const child = blocks.at(-1);
      if (block === undefined || (child !== undefined && child.previousHash !== block.hash))
        return undefined;
      blocks.push(block);
    }
    return blocks;
  }

  #forgetValues(height: number): void {
    for (const at of this.#values.keys())
      if (at > height && at <= height + VALUE_BLOCKS) this.#values.delete(at);
  }
}
