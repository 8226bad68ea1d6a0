import { larger } from '../base/bigints.ts';
import type { Timers } from '../base/clock.ts';
import { owedMsat } from '../base/units.ts';
import type { ExposureShare, ExposureTotal } from './exposure-total.ts';

export type DeliveryGateOptions = { readonly contractId: string; readonly priceMsatPerEh: bigint };

export type DeliveryGateDeps = {
  readonly timers: Pick<Timers, 'afterTurn'>;
  /** The bound over all contracts of the proxy, if it has one. */
  readonly total?: ExposureTotal;
  /** The contract is to be looked at again: its room is used up, or the other contracts hold it. */
  readonly onChange: () => void;
};

/**
 * Where each share passes before it is sold under a contract: no more than may be unpaid is taken, however
 * many are found together. A share counts from here on, before it is on disk.
 */
export class DeliveryGate {
  readonly #deps: DeliveryGateDeps;
  readonly #total: ExposureShare | undefined;
  #priceMsatPerEh: bigint;
  #inFlightHashes = 0n;
  #roomHashes = 0n;
  #isTold = false;
  #lastWorkHashes = 0n;
  #lastMsat = 0n;

  constructor(options: DeliveryGateOptions, deps: DeliveryGateDeps) {
    this.#priceMsatPerEh = options.priceMsatPerEh;
    this.#deps = deps;
    this.#total = deps.total?.join(options.contractId, () => this.#tell());
  }

  /** Work in hashes that was taken and is not on disk. */
  get inFlightHashes(): bigint {
    return this.#inFlightHashes;
  }

  /** True while all contracts of the proxy together have too much unpaid. */
  get isHeld(): boolean {
    return this.#total?.isHeld() ?? false;
  }

  /**
   * Takes a share, or not: then it is not sold. The one that reaches the bound is the last.
   * @param workHashes of the share
   */
  admits(workHashes: bigint): boolean {
    if (this.#roomHashes <= 0n || this.#total?.take(this.#msatOf(workHashes)) === false) return false;
    this.#roomHashes -= workHashes;
    this.#inFlightHashes += workHashes;
    if (this.#roomHashes <= 0n) this.#tell();
    return true;
  }

  /** So much of what was taken is on disk, or will never be. */
  landed(workHashes: bigint): void {
    this.#inFlightHashes = larger(this.#inFlightHashes - workHashes, 0n);
  }

  /** Reckons by another price from here on. */
  setPrice(msatPerEh: bigint): void {
    if (msatPerEh === this.#priceMsatPerEh) return;
    this.#priceMsatPerEh = msatPerEh;
    this.#lastWorkHashes = 0n;
    this.#lastMsat = 0n;
  }

  /**
   * @param roomHashes work that may still be taken
   * @param exposedHashes work delivered, in flight too, that no state pays
   */
  set(roomHashes: bigint, exposedHashes: bigint): void {
    this.#roomHashes = roomHashes;
    this.#total?.set(owedMsat(exposedHashes, this.#priceMsatPerEh));
  }

  /** Not at once: a share is being judged. */
  #tell(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#deps.timers.afterTurn(() => {
      this.#isTold = false;
      this.#deps.onChange();
    });
  }

  /** All shares of a contract are of one difficulty. */
  #msatOf(workHashes: bigint): bigint {
    if (workHashes !== this.#lastWorkHashes) {
      this.#lastWorkHashes = workHashes;
      this.#lastMsat = owedMsat(workHashes, this.#priceMsatPerEh);
    }
    return this.#lastMsat;
  }
}
