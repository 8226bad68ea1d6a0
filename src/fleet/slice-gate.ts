import { larger } from '../base/bigints.ts';
import { mayMine } from './exposure-slices.ts';

/**
 * Where each share of one instance passes before it is sold: no more than the instance was granted is taken.
 * A share counts from here on, before it is on disk.
 */
export class SliceGate {
  #grantedHashes = 0n;
  #sliceHashes = 0n;
  #doneHashes = 0n;
  #inFlightHashes = 0n;
  #isOpen = false;
  #isShut = false;

  /** Work in hashes that was taken and is not on disk. */
  get inFlightHashes(): bigint {
    return this.#inFlightHashes;
  }

  get grantedHashes(): bigint {
    return this.#grantedHashes;
  }

  get doneHashes(): bigint {
    return this.#doneHashes;
  }

  /**
   * True while hashrate may come: until an eighth of a slice is left, for what is under way, and again from a
   * half on.
   */
  get isOpen(): boolean {
    const leftHashes = this.#grantedHashes - this.#doneHashes - this.#inFlightHashes;
    const leastHashes = this.#sliceHashes / (this.#isOpen ? 8n : 2n);
    this.#isOpen = !this.#isShut && leftHashes > 0n && leftHashes >= leastHashes;
    return this.#isOpen;
  }

  /** What is granted only rises. @param sliceHashes what it is to have in hand */
  grant(grantedHashes: bigint, sliceHashes: bigint): void {
    this.#grantedHashes = larger(this.#grantedHashes, grantedHashes);
    this.#sliceHashes = sliceHashes;
  }

  /** Takes a share of so much work, or not: then it is not sold. */
  admits(workHashes: bigint): boolean {
    const doneHashes = this.#doneHashes + this.#inFlightHashes + workHashes;
    if (this.#isShut || !mayMine(this.#grantedHashes, doneHashes)) return false;
    this.#inFlightHashes += workHashes;
    return true;
  }

  /** So much is on disk in all; of it `landedHashes` came by `admits`. */
  done(doneHashes: bigint, landedHashes: bigint): void {
    this.#doneHashes = larger(this.#doneHashes, doneHashes);
    this.lost(landedHashes);
  }

  /** What was taken will never be on disk. */
  lost(workHashes: bigint): void {
    this.#inFlightHashes = larger(this.#inFlightHashes - workHashes, 0n);
  }

  /** Nothing is taken any more. */
  shut(): void {
    this.#isShut = true;
  }
}
