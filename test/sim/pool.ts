import { u32le } from '../../src/base/bytes.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import type { Destination, DestinationListener } from '../../src/upstream/destination.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from '../../src/upstream/upstream-share.ts';

/** What the pool of a maker does with a solution. */
export type PoolVerdict = 'accepted' | 'refused';

export type PoolDeps = {
  /** The newest job, but for its extranonce1. */
  readonly job: () => UpstreamJob;
  /** Calls back on each new block. */
  readonly onBlock: (tell: () => void) => void;
};

/** The pool of the maker, over all of its connections. */
export class Pool {
  readonly #deps: PoolDeps;
  readonly #connections = new Set<PoolConnection>();
  #opened = 0;
  verdict: PoolVerdict = 'accepted';
  /** What it makes of each job before it gives it. */
  change: (job: UpstreamJob) => UpstreamJob = (job) => job;
  /** Of its shares, where it is not that of its jobs. */
  target: bigint | undefined;
  #isUp = true;
  /** Every solution that came, in order. */
  readonly submitted: UpstreamShare[] = [];

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    deps.onBlock(() => this.giveJob());
  }

  /** A connection of its own extranonce1, which gives jobs from its start on. */
  readonly open = (listener: DestinationListener): Destination => {
    this.#opened += 1;
    const connection = new PoolConnection(this, u32le(this.#opened), listener);
    this.#connections.add(connection);
    return connection;
  };

  /** To everyone who is connected. */
  giveJob(): void {
    for (const each of this.#connections) each.giveJob();
  }

  job(extranonce1: Uint8Array): UpstreamJob {
    const job = { ...this.change(this.#deps.job()), extranonce1 };
    return this.target === undefined ? job : { ...job, target: this.target };
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** All of its connections break, or are there again. */
  setUp(isUp: boolean): void {
    this.#isUp = isUp;
    for (const each of this.#connections) each.follow();
  }

  left(connection: PoolConnection): void {
    this.#connections.delete(connection);
  }
}

class PoolConnection implements Destination {
  readonly name = 'pool';
  readonly mode = 'shared';
  readonly links = undefined;
  readonly #pool: Pool;
  readonly #extranonce1: Uint8Array;
  readonly #listener: DestinationListener;
  #isUp = false;
  #isStarted = false;
  lastJob: UpstreamJob | undefined;

  constructor(pool: Pool, extranonce1: Uint8Array, listener: DestinationListener) {
    this.#pool = pool;
    this.#extranonce1 = extranonce1;
    this.#listener = listener;
  }

  get health(): Destination['health'] {
    return {
      ...{ name: this.name, isUp: this.#isUp, jobAgeMs: this.#isUp ? 0 : undefined },
      ...{ jobAgeLimitMs: 600_000, rejectRatio: 0, verdicts: 0, rttMs: undefined, shapeChanges: 0 },
    };
  }

  get figures(): never {
    throw new Error('nobody asks for the figures of this pool');
  }

  start(): void {
    this.#isStarted = true;
    this.follow();
  }

  /** Is up while the pool is. */
  follow(): void {
    const isUp = this.#isStarted && this.#pool.isUp;
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (!isUp) {
      this.lastJob = undefined;
      this.#listener.onDown?.(this, 'upstream_closed', 'it went');
      return;
    }
    this.#listener.onUp?.(this);
    this.giveJob();
  }

  stop(): void {
    this.#isStarted = false;
    this.#isUp = false;
    this.#pool.left(this);
  }

  giveJob(): void {
    if (!this.#isUp) return;
    this.lastJob = this.#pool.job(this.#extranonce1);
    this.#listener.onJob?.(this, this.lastJob);
  }

  judged(): void {}

  submit(share: UpstreamShare, done?: VerdictCallback): void {
    this.#pool.submitted.push(share);
    const { verdict: outcome } = this.#pool;
    const reason = outcome === 'refused' ? 'the pool has its reasons' : '';
    const verdict: UpstreamVerdict = { outcome, code: undefined, reason, rttMs: 5 };
    queueMicrotask(() => done?.(verdict));
  }
}
