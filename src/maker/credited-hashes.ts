import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { DuplicateSet } from '../shares/duplicates.ts';

/** Generations closed for want of room that are remembered; a day has some 144 blocks. */
const CLOSED_KEPT = 1024;

/**
 * The hashes of credited shares of all contracts, by generation (`generationOf`): a share is paid once,
 * whoever sells it. Where there is no more room, the oldest generation is closed, so that nothing on it is
 * credited again; and where one block alone fills the memory, a contract that holds more than its part is
 * refused, and no other. At most `2 * maxHashes` are held.
 */
export class CreditedHashes {
  readonly #maxHashes: number;
  readonly #set: DuplicateSet;
  /** Hashes of each contract in each generation, oldest first. */
  readonly #generations = new Map<string, Map<string, number>>();
  readonly #held = new Map<string, number>();
  readonly #closed = new Set<string>();

  constructor(maxHashes: number = LIMITS.peerDuplicateHashes) {
    this.#maxHashes = maxHashes;
    this.#set = new DuplicateSet({ maxHashes: 2 * maxHashes });
  }

  /** Hashes held, over all generations. */
  get size(): number {
    return this.#set.size;
  }

  /** Oldest first. */
  get generations(): readonly string[] {
    return [...this.#generations.keys()];
  }

  /** True where hashes of a generation were given up for want of room: nothing on it may be credited. */
  isClosed(generation: string): boolean {
    return this.#closed.has(generation);
  }

  /**
   * Makes room for so many hashes of a contract. Throws `overload` where the contract holds more than its
   * part of the memory.
   * @param wanted their generations, which are not closed
   */
  makeRoom(contractId: string, count: number, wanted: ReadonlySet<string>): void {
    for (const generation of this.generations.slice(0, -1)) {
      if (this.size + count <= this.#maxHashes) return;
      if (!wanted.has(generation)) this.#close(generation);
    }
    if (this.size + count <= this.#maxHashes) return;
    const held = this.#held.get(contractId) ?? 0;
    const others = this.#held.size - (held > 0 ? 1 : 0);
    const isWithinPart = (held + count) * (others + 1) <= this.#maxHashes;
    if (isWithinPart && this.size + count <= this.#set.maxHashes) return;
    const limit = { limit: 'peerDuplicateHashes' };
    throw new CodedError('overload', 'too many hashes of this contract are remembered', limit);
  }

  /** See `DuplicateSet.prepare`. */
  prepare(generation: string, hashes: Uint8Array, count: number): void {
    this.#set.prepare(generation, hashes, count);
  }

  /**
   * Adds a hash; what is full closes its oldest generation first.
   * @returns false where it was known
   */
  add(contractId: string, generation: string, hash: Uint8Array, offset = 0): boolean {
    if (this.#set.isFull) this.#close(this.#generations.keys().next().value!);
    if (!this.#set.add(generation, hash, offset)) return false;
    let counts = this.#generations.get(generation);
    if (counts === undefined) {
      counts = new Map<string, number>();
      this.#generations.set(generation, counts);
    }
    counts.set(contractId, (counts.get(contractId) ?? 0) + 1);
    this.#hold(contractId, 1);
    return true;
  }

  delete(contractId: string, generation: string, hash: Uint8Array, offset = 0): void {
    if (!this.#set.delete(generation, hash, offset)) return;
    const counts = this.#generations.get(generation);
    counts?.set(contractId, (counts.get(contractId) ?? 1) - 1);
    this.#hold(contractId, -1);
  }

  /** Forgets a generation on which nothing can be credited any more. */
  drop(generation: string): void {
    this.#set.dropGeneration(generation);
    for (const [contractId, count] of this.#generations.get(generation) ?? [])
      this.#hold(contractId, -count);
    this.#generations.delete(generation);
  }

  #close(generation: string): void {
    this.drop(generation);
    this.#closed.add(generation);
    if (this.#closed.size > CLOSED_KEPT) this.#closed.delete(this.#closed.values().next().value!);
  }

  #hold(contractId: string, by: number): void {
    const held = (this.#held.get(contractId) ?? 0) + by;
    if (held > 0) this.#held.set(contractId, held);
    else this.#held.delete(contractId);
  }
}
