/** What the kernel needs of a job, uploaded once. Byte strings as they are hashed. */
export type KernelJob = {
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly prevHash: Uint8Array;
  readonly bits: number;
  /** Bytes between coinb1 and coinb2, 0 to 32. */
  readonly extranonceSize: number;
};

/** A job inside a kernel's memory. */
export type KernelJobHandle = number;

/**
 * Hashes batches of shares: coinbase -> merkle root -> header -> SHA-256d. Synchronous, no allocation per
 * share. Use: `setShare(0..count-1)`, `run(count)`, then read `hashes` before the next `setShare`.
 */
export interface ShareKernel {
  /** For `build_info`: a `KernelKind`. */
  readonly name: string;
  /** Slots per batch. */
  readonly capacity: number;
  /**
   * 32 bytes a slot: header hashes in internal (little-endian) order, valid after `run` until the next
   * `setShare`.
   */
  readonly hashes: Uint8Array;
  addJob(job: KernelJob): KernelJobHandle;
  /** Frees the job's memory; the handle must not be used again. */
  removeJob(handle: KernelJobHandle): void;
  /**
   * Fills one slot.
   * @param extranonce exactly the job's extranonceSize bytes
   * @param version the version as hashed, u32
   */
  setShare(
    slot: number,
    job: KernelJobHandle,
    extranonce: Uint8Array,
    ntime: number,
    nonce: number,
    version: number,
  ): void;
  /** Hashes slots 0 to count-1. */
  run(count: number): void;
  /**
   * The digests of leaves or nodes of a tree of RFC 6962 section 2.1, at most `capacity` of them.
   * @param inputs one behind the other: 32 bytes a leaf, or the two digests below a node
   * @param digests takes 32 bytes for each; may be `inputs`
   */
  hashTree(inputs: Uint8Array, size: 32 | 64, digests: Uint8Array): void;
}
