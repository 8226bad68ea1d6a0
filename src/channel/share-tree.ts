import { concat, fromHex, isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { isRecord, type Json } from '../base/json.ts';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/**
 * A merkle tree over the hashes of the shares of a stream, in order, built one share at a time: the tree of
 * RFC 6962 section 2.1 with SHA-256, where prefixes tell leaves from nodes, so that no other list of shares
 * has the same root. Keeps one hash for each bit of the count.
 */
export class ShareTree {
  /** Roots of full subtrees, largest first: one for each bit that is set in the count. */
  readonly #peaks: Uint8Array[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /**
   * Appends a share.
   * @param hash of a share, 32 bytes in internal order
   */
  append(hash: Uint8Array): void {
    if (hash.length !== 32) throw new CodedError('malformed', 'a share hash has 32 bytes');
    let peak = sha256(concat(LEAF, hash));
    for (let rest = this.#count; rest % 2 === 1; rest = (rest - 1) / 2) {
      peak = sha256(concat(NODE, this.#peaks.pop()!, peak));
    }
    this.#peaks.push(peak);
    this.#count += 1;
  }

  /** The root, 32 bytes; for no shares the SHA-256 of nothing. */
  root(): Uint8Array {
    const [last, ...others] = this.#peaks.toReversed();
    if (last === undefined) return sha256(new Uint8Array(0));
    return others.reduce((root, peak) => sha256(concat(NODE, peak, root)), last);
  }

  toJson(): { readonly [key: string]: Json } {
    return { count: this.#count, peaks: this.#peaks.map(toHex) };
  }

  /** Parses the JSON of `toJson`. Throws `malformed`. */
  static parse(value: unknown): ShareTree {
    const { count, peaks } = isRecord(value) ? value : {};
    if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0 || !Array.isArray(peaks))
      throw new CodedError('malformed', 'a share tree is a count and its peaks');
    if (peaks.length !== bitsSet(count) || !peaks.every((peak): peak is string => isHex(peak, 32)))
      throw new CodedError('malformed', `${count} shares have ${bitsSet(count)} peaks of 32 bytes`);
    const tree = new ShareTree();
    tree.#count = count;
    tree.#peaks.push(...peaks.map((peak) => fromHex(peak, 32)));
    return tree;
  }
}

function bitsSet(count: number): number {
  return count.toString(2).replaceAll('0', '').length;
}
