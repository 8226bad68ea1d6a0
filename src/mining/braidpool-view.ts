import type { Clock, Random, Timers } from '../base/clock.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { DestinationConfig } from '../config/config.ts';
import { limited } from '../log/limited.ts';
import type { Logger } from '../log/logger.ts';
import { BeadStream } from '../upstream/bead-stream.ts';
import { type BeadOutcome, BeadWatch, beadPayoutAddress } from '../upstream/bead-watch.ts';
import { BraidpoolRpc } from '../upstream/braidpool-rpc.ts';
import { type DagBead, DagPoller, type DagView } from '../upstream/dag-view.ts';
import type { UpstreamVerdict } from '../upstream/upstream-share.ts';

/** A node that loses or misdirects every share is worth one line in a while. */
const WARN_EVERY_MS = 10_000;
/** Time in ms that a new job waits for its metadata. */
const JOB_WAIT_MS = 2_000;

export type BraidpoolStatus = {
  readonly name: string;
  /** It answered the last time it was asked. */
  readonly reachable: boolean;
  readonly error: string | null;
  /** Unix milliseconds of its last answer. */
  readonly updated_at_ms: number | null;
  /** New beads arrive by themselves. */
  readonly subscribed: boolean;
  readonly payout_address: string;
  /** What became of the shares it accepted. */
  readonly shares: Readonly<Record<BeadOutcome | 'pending', number>>;
  readonly beads: number;
  readonly cohorts: number;
  readonly orphans: number;
  readonly tips: readonly string[];
  /** Expected hashes of all beads, from their nBits: no measure of pay. */
  readonly total_work_hashes: string;
};

export type BraidpoolDag = BraidpoolStatus & {
  readonly newest_cohorts: DagView['cohorts'];
  readonly newest_beads: readonly (Omit<DagBead, 'payoutAddress'> & { readonly payout_address: string })[];
};

type Deps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
};

/** The JSON-RPC of the Braidpool node behind a destination: what became of our shares, and its braid. */
export class BraidpoolNodeView {
  readonly name: string;
  readonly watch: BeadWatch;
  readonly dag: DagPoller;
  readonly stream: BeadStream;
  readonly rpc: BraidpoolRpc;
  readonly #jobRpc: BraidpoolRpc;
  readonly #payoutAddress: string;

  constructor(
    row: Pick<DestinationConfig, 'name' | 'worker' | 'payoutMode'> & { readonly rpcUrl: string },
    { clock, timers, random, log: parent }: Deps,
  ) {
    const log = limited(parent.child({ target: row.name }), WARN_EVERY_MS, clock);
    this.name = row.name;
    this.#payoutAddress = beadPayoutAddress(row.worker, row.payoutMode);
    this.rpc = new BraidpoolRpc({ url: row.rpcUrl }, { timers });
    this.#jobRpc = new BraidpoolRpc({ url: row.rpcUrl, timeoutMs: JOB_WAIT_MS }, { timers });
    this.watch = new BeadWatch({}, { getBead: (hash) => this.rpc.getBead(hash), clock, timers, log });
    this.dag = new DagPoller({ addresses: [this.#payoutAddress] }, { rpc: this.rpc, clock, timers, log });
    this.stream = new BeadStream(
      { url: row.rpcUrl.replace(/^http/, 'ws') },
      {
        ...{ clock, timers, random, log },
        onBead: (bead) => {
          this.watch.seen(bead);
          this.dag.addBead(bead);
        },
      },
    );
  }

  start(): void {
    this.watch.start();
    this.dag.start();
    this.stream.start();
  }

  stop(): void {
    this.stream.stop();
    this.dag.stop();
    this.watch.stop();
    this.rpc.close();
    this.#jobRpc.close();
  }

  /** What a job commits to, encoded, which is not waited for long: the job waits for it. */
  readonly askMetadata = (commitment: Uint8Array): Promise<Uint8Array> =>
    this.#jobRpc.getCommittedMetadata(commitment);

  /** A share the node was sent was judged by it. @param hash internal byte order */
  judged(hash: Uint8Array, { outcome }: UpstreamVerdict): void {
    if (outcome === 'accepted') this.watch.forwarded(displayHash(hash), this.#payoutAddress);
  }

  get status(): BraidpoolStatus {
    const { confirmed, wrong_payout, missing, unknown } = this.watch.stats;
    const view = this.dag.view;
    return {
      name: this.name,
      reachable: view.reachable,
      error: view.error ?? null,
      updated_at_ms: view.updatedAtMs ?? null,
      subscribed: this.stream.up,
      payout_address: this.#payoutAddress,
      shares: { confirmed, wrong_payout, missing, unknown, pending: this.watch.pending },
      beads: view.beadCount,
      cohorts: view.cohortCount,
      orphans: view.orphanCount,
      tips: view.tips,
      total_work_hashes: view.totalWork,
    };
  }

  /** The status with its newest cohorts and beads, newest last. */
  get newest(): BraidpoolDag {
    const { cohorts, beads } = this.dag.view;
    return {
      ...this.status,
      newest_cohorts: cohorts,
      newest_beads: beads.map(({ payoutAddress, ...bead }) => ({ ...bead, payout_address: payoutAddress })),
    };
  }
}

/** Where the metrics of Braidpool nodes are read at a scrape. */
export function braidpoolSources(nodes: () => readonly BraidpoolNodeView[]) {
  const byName =
    <T>(value: (node: BraidpoolNodeView) => T) =>
    () =>
      Object.fromEntries(nodes().map((node) => [node.name, value(node)]));
  return {
    braidpool_up: byName(({ dag }) => (dag.view.reachable ? 1 : 0)),
    braidpool_subscribed: byName(({ stream }) => (stream.up ? 1 : 0)),
    braidpool_shares_total: byName(({ watch: { stats } }) => {
      const { confirmed, wrong_payout, missing, unknown } = stats;
      return { confirmed, wrong_payout, missing, unknown };
    }),
    braidpool_beads: byName(({ dag }) => dag.view.beadCount),
    braidpool_cohorts: byName(({ dag }) => dag.view.cohortCount),
    braidpool_tips: byName(({ dag }) => dag.view.tips.length),
    braidpool_orphans: byName(({ dag }) => dag.view.orphanCount),
  };
}
