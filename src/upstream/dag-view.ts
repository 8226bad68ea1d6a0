import type { Clock, Timer, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Bead } from './bead.ts';
import { type BraidpoolRpc, kindOf } from './braidpool-rpc.ts';

export type DagBead = {
  readonly hash: string;
  readonly payoutAddress: string;
  /** Header time, seconds. */
  readonly time: number;
  readonly parents: readonly string[];
  /** Pays one of our addresses. */
  readonly ours: boolean;
};

/** The braid as far as a node shows it, ready to be printed as JSON. */
export type DagView = {
  /** The node answered the last time it was asked, if only with an error. */
  readonly reachable: boolean;
  /** Why not. */
  readonly error: string | undefined;
  /** Wall time of the last answer; undefined before the first. */
  readonly updatedAtMs: number | undefined;
  readonly beadCount: number;
  readonly cohortCount: number;
  readonly orphanCount: number;
  readonly tips: readonly string[];
  /** Expected hashes, decimal. From the nBits of the beads: no measure of pay (`BRAIDPOOL.md`, A11). */
  readonly totalWork: string;
  /** Newest last. */
  readonly cohorts: readonly { readonly id: number; readonly beads: readonly string[] }[];
  /** Newest last, as they were seen here. */
  readonly beads: readonly DagBead[];
};

export type DagPollerOptions = {
  readonly pollMs?: number;
  /** Cohorts shown. */
  readonly cohorts?: number;
  /** Beads shown. */
  readonly beads?: number;
  /** Addresses that are ours. */
  readonly addresses?: readonly string[];
};

export type DagPollerDeps = {
  readonly rpc: Pick<BraidpoolRpc, 'getBraidInfo' | 'getCohortById' | 'getBead'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

const EMPTY: DagView = {
  ...{ reachable: false, error: undefined, updatedAtMs: undefined },
  ...{ beadCount: 0, cohortCount: 0, orphanCount: 0, tips: [], totalWork: '0', cohorts: [], beads: [] },
};

const DEFAULTS = { pollMs: 5_000, cohorts: 10, beads: 100 };
/** Cohorts that may still grow: a bead that arrives late joins the last one or merges it with the next. */
const UNSETTLED_COHORTS = 2;

/** Keeps a view of a node's braid by asking every few seconds, and by the beads it is shown. */
export class DagPoller {
  readonly stats = { polls: 0, failures: 0 };
  readonly #options: typeof DEFAULTS;
  readonly #addresses: ReadonlySet<string>;
  readonly #deps: DagPollerDeps;
  readonly #beads = new Map<string, DagBead>();
  #view: DagView = EMPTY;
  #ticker: Timer | undefined;
  #polling: Promise<void> | undefined;
  #stopped = false;

  constructor(options: DagPollerOptions, deps: DagPollerDeps) {
    const { addresses = [], ...rest } = options;
    this.#options = { ...DEFAULTS, ...rest };
    this.#addresses = new Set(addresses);
    this.#deps = deps;
  }

  get view(): DagView {
    return { ...this.#view, beads: [...this.#beads.values()] };
  }

  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = this.#deps.timers.every(this.#options.pollMs, () => void this.poll());
    void this.poll();
  }

  stop(): void {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }

  /** A bead of the subscription. */
  addBead(bead: Bead): void {
    const { hash, payoutAddress, parents, header } = bead;
    const ours = this.#addresses.has(payoutAddress);
    this.#beads.delete(hash);
    this.#beads.set(hash, { hash, payoutAddress, time: header.time, parents, ours });
    for (const oldest of this.#beads.keys()) {
      if (this.#beads.size <= this.#options.beads) return;
      this.#beads.delete(oldest);
    }
  }

  /** Asks now; never rejects. While one is being asked, this waits for it. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #poll(): Promise<void> {
    this.stats.polls += 1;
    try {
      const { beadCount, cohortCount, orphanCount, tips, totalWork } = await this.#deps.rpc.getBraidInfo();
      const cohorts = await this.#cohorts(cohortCount);
      await this.#fetchTips(tips);
      this.#view = {
        ...{ reachable: true, error: undefined, updatedAtMs: this.#deps.clock.nowMs() },
        ...{
          beadCount,
          cohortCount,
          orphanCount,
          tips,
          totalWork: totalWork.toString(),
          cohorts,
          beads: [],
        },
      };
    } catch (error) {
      if (this.#stopped) return;
      this.stats.failures += 1;
      const reason = String(error).slice(0, 200);
      if (this.#view.error !== reason)
        this.#deps.log.warn({ code: codeOf(error), err: error }, 'the braid cannot be read');
      // One that answers with an error can still be asked for beads.
      this.#view = { ...this.#view, reachable: kindOf(error) !== undefined, error: reason };
    }
  }

  /** Only those that are new or may have changed are asked for. */
  async #cohorts(cohortCount: number): Promise<DagView['cohorts']> {
    const from = Math.max(0, cohortCount - this.#options.cohorts);
    const settled = cohortCount < this.#view.cohortCount ? 0 : this.#view.cohortCount - UNSETTLED_COHORTS;
    const cached = new Map(
      this.#view.cohorts.filter(({ id }) => id < settled).map((cohort) => [cohort.id, cohort]),
    );
    const cohorts: { id: number; beads: readonly string[] }[] = [];
    for (let id = from; id < cohortCount; id += 1) {
      const beads = cached.get(id)?.beads ?? (await this.#cohort(id));
      if (beads === undefined) break;
      cohorts.push({ id, beads });
    }
    return cohorts;
  }

  /** Null when it is gone: cohorts merge. */
  async #cohort(id: number): Promise<readonly string[] | undefined> {
    try {
      return await this.#deps.rpc.getCohortById(id);
    } catch (error) {
      const kind = kindOf(error);
      const isGone = kind === 'not_found' || kind === 'out_of_range' || kind === 'empty';
      // Nodes of before 2026 do not tell them.
      if (isGone || kind === 'unknown_method') return undefined;
      throw error;
    }
  }

  /** The subscription leaves beads out in a burst; the tips at least are to be shown. */
  async #fetchTips(tips: readonly string[]): Promise<void> {
    for (const tip of tips.slice(0, this.#options.cohorts)) {
      if (this.#beads.has(tip)) continue;
      const bead = await this.#deps.rpc.getBead(tip);
      if (bead !== undefined) this.addBead(bead);
    }
  }
}
