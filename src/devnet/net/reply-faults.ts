/** Faults of a server that a test switches on and off while it runs. */
export type ReplyFaults = {
  /** New connections are dropped at once, as by a node during its initial block download. */
  refusing: boolean;
  /** Requests are read and neither acted upon nor answered. */
  silent: boolean;
  /** A pool refuses each share, and makes no block of it. */
  refuseShares: boolean;
  /** A pool takes shares that solve a block, and makes none of them. */
  withholdBlocks: boolean;
  /** Each answer waits this long. */
  delayMs: number;
  /** The share of answers, from 0 to 1, that is never sent although the request was acted upon. */
  missing: number;
  /** The share of answers sent twice. */
  duplicate: number;
  /** The share of answers in whose place the connection is dropped. */
  dropped: number;
};

export function noFaults(): ReplyFaults {
  return {
    ...{ refusing: false, silent: false, refuseShares: false, withholdBlocks: false },
    ...{ delayMs: 0, missing: 0, duplicate: 0, dropped: 0 },
  };
}

/** Sends answers the way the faults in force say. */
export class FaultyReplies {
  readonly stats = { delayed: 0, missing: 0, duplicate: 0, dropped: 0 };
  readonly #faults: ReplyFaults;
  readonly #random: () => number;
  readonly #timers = new Set<NodeJS.Timeout>();

  /** @param random from 0 up to 1; seeded where a run is to be repeated */
  constructor(faults: ReplyFaults, random: () => number) {
    this.#faults = faults;
    this.#random = random;
  }

  /** Sends one answer by `write`, or does something worse. */
  answer(write: () => void, drop: () => void): void {
    const { delayMs, missing, duplicate, dropped } = this.#faults;
    if (delayMs === 0 && missing === 0 && duplicate === 0 && dropped === 0) {
      write();
      return;
    }
    const chance = this.#random();
    if (chance < missing) {
      this.stats.missing += 1;
    } else if (chance < missing + dropped) {
      this.stats.dropped += 1;
      drop();
    } else {
      const twice = chance < missing + dropped + duplicate;
      if (twice) this.stats.duplicate += 1;
      this.#later(delayMs, twice ? () => [write(), write()] : write);
    }
  }

  /** Forgets answers that still wait. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #later(delayMs: number, send: () => unknown): void {
    if (delayMs === 0) {
      send();
      return;
    }
    this.stats.delayed += 1;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, delayMs);
    this.#timers.add(timer);
  }
}
