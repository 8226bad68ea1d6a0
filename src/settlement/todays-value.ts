import type { ChainSource, ChainTip } from '../chain/source.ts';
import { VALUE_BLOCKS } from '../contract/hash-value.ts';
import { edgeAt } from '../contract/index-price.ts';
import type { Logger } from '../log/logger.ts';
import { HashValues } from './hash-values.ts';

/**
 * The value of hashes of the newest day that is buried, by the own node: what a contract whose price follows
 * it from day to day would have for a price.
 */
export class TodaysValue {
  readonly #chain: ChainSource;
  readonly #values: HashValues;
  #edge: number | undefined;
  #stopTip: (() => void) | undefined;

  constructor(deps: { readonly chain: ChainSource; readonly log: Logger }) {
    this.#chain = deps.chain;
    this.#values = new HashValues(deps);
  }

  /** Undefined while the node does not tell, and on a chain of less than a day. */
  get msatPerEh(): bigint | undefined {
    return this.#edge === undefined ? undefined : this.#values.at(this.#edge);
  }

  start(): void {
    this.#stopTip ??= this.#chain.watchTip((tip) => this.#onTip(tip));
  }

  stop(): void {
    this.#stopTip?.();
    this.#stopTip = undefined;
  }

  #onTip(tip: ChainTip): void {
    const edge = edgeAt({ epoch: 'day' }, tip.height);
    this.#edge = edge;
    // Of days before nothing is asked here.
    if (edge >= VALUE_BLOCKS && this.#values.at(edge) === undefined) void this.#values.read(tip, edge, 0);
  }
}
