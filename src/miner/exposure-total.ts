/** What a contract has to know of the others: see `ExposureTotal`. */
export type ExposureShare = {
  /** True while nothing more may be delivered. */
  isHeld(): boolean;
  /** False where all together are at the bound; counts pay in msat that is about to be earned. */
  take(msat: bigint): boolean;
  /** Sets the unpaid pay of this contract in msat, with all that was taken. */
  set(msat: bigint): void;
};

/**
 * One bound on the unpaid pay of all contracts of a proxy, whoever their makers are. At the bound all of them
 * are held, and until a quarter of it is free again: a share more or less moves no hashrate.
 */
export class ExposureTotal {
  readonly #maxMsat: bigint;
  readonly #parts = new Map<string, bigint>();
  readonly #listeners = new Map<string, () => void>();
  #msat = 0n;
  #isHeld = false;

  constructor(maxSat: bigint) {
    this.#maxMsat = maxSat * 1000n;
  }

  /** Unpaid pay of all contracts in sats. */
  get sat(): bigint {
    return this.#msat / 1000n;
  }

  /** @param onHeld called when `isHeld` changes; may not change the total at once */
  join(contractId: string, onHeld: () => void): ExposureShare {
    this.#listeners.set(contractId, onHeld);
    return {
      isHeld: () => this.#isHeld,
      take: (msat) => {
        if (this.#msat >= this.#maxMsat) return false;
        this.#change(contractId, (this.#parts.get(contractId) ?? 0n) + msat);
        return true;
      },
      set: (msat) => this.#change(contractId, msat),
    };
  }

  #change(contractId: string, msat: bigint): void {
    this.#msat += msat - (this.#parts.get(contractId) ?? 0n);
    this.#parts.set(contractId, msat);
    const isHeld = this.#isHeld ? this.#msat * 4n > this.#maxMsat * 3n : this.#msat >= this.#maxMsat;
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    for (const tell of this.#listeners.values()) tell();
  }
}
