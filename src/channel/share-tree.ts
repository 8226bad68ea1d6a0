import { concat, fromHex, isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { isRecord, type Json } from '../base/json.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';

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

  /**
   * Appends many shares, their digests computed by a kernel: some ten times as fast as one by one.
   * @param hashes of the shares, 32 bytes each
   */
  appendAll(hashes: Uint8Array, kernel: Pick<ShareKernel, 'capacity' | 'hashTree'>): void {
    if (hashes.length % 32 !== 0) throw new CodedError('malformed', 'a share hash has 32 bytes');
    const added = hashes.length / 32;
    let row = digestsOf(kernel, hashes, 32);
    const peaks: Uint8Array[] = [];
    for (let rest = this.#count; row.length > 0; rest = Math.floor(rest / 2)) {
      // An odd one of this level waited for its neighbour.
      if (rest % 2 === 1) row = concat(this.#peaks.pop()!, row);
      const paired = row.length - (row.length % 64);
      if (paired < row.length) peaks.push(row.slice(paired));
      row = digestsOf(kernel, row.subarray(0, paired), 64);
    }
    this.#peaks.push(...peaks.toReversed());
    this.#count += added;
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

/** The digests of leaves (32 bytes each) or nodes (64). */
function digestsOf(
  kernel: Pick<ShareKernel, 'capacity' | 'hashTree'>,
  inputs: Uint8Array,
  size: 32 | 64,
): Uint8Array {
  const digests = new Uint8Array((inputs.length / size) * 32);
  const most = kernel.capacity * size;
  for (let at = 0; at < inputs.length; at += most) {
    const part = inputs.subarray(at, at + most);
    kernel.hashTree(part, size, digests.subarray((at / size) * 32));
  }
  return digests;
}

function bitsSet(count: number): number {
  return count.toString(2).replaceAll('0', '').length;
}
