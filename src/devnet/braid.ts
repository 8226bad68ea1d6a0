/** A share the simulated node took into its braid. */
export type Bead = {
  /** Block hash, as displayed. */
  readonly hash: string;
  /** The whole worker name of the submit. */
  readonly payoutAddress: string;
  /** The braid's tips when the job was made, sorted; as displayed. */
  readonly parents: readonly string[];
  readonly minerIp: string;
  /** True when it meets the weak target only. */
  readonly weak: boolean;
  readonly height: number;
  readonly atMs: number;
};

const MAX_BEADS = 200_000;

/** The beads in order of arrival and the tips: those that are nobody's parent yet. */
export class Braid {
  readonly #beads = new Map<string, Bead>();
  readonly #tips = new Set<string>();

  get beads(): Bead[] {
    return [...this.#beads.values()];
  }

  get size(): number {
    return this.#beads.size;
  }

  get(hash: string): Bead | undefined {
    return this.#beads.get(hash);
  }

  tips(): string[] {
    return [...this.#tips].sort();
  }

  /** False when the bead is known already. */
  add(bead: Bead): boolean {
    if (this.#beads.has(bead.hash)) return false;
    this.#beads.set(bead.hash, bead);
    for (const parent of bead.parents) this.#tips.delete(parent);
    this.#tips.add(bead.hash);
    if (this.#beads.size > MAX_BEADS) {
      for (const oldest of this.#beads.keys()) {
        this.#beads.delete(oldest);
        break;
      }
    }
    return true;
  }
}
