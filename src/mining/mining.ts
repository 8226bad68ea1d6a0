import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { USER_AGENT } from '../base/version.ts';
import type { DestinationConfig, ProxyConfig } from '../config/config.ts';
import { DownstreamServer } from '../downstream/server/server.ts';
import type { SessionSubmission } from '../downstream/session/session.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import { JobTable } from '../jobs/job-table.ts';
import type { Logger } from '../log/logger.ts';
import type { DuplicateSet } from '../shares/duplicates.ts';
import { generationOf } from '../shares/duplicates.ts';
import { ShareEngine } from '../shares/engine.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets } from '../shares/rules.ts';
import { type AcceptedShare, wordsOfTarget } from '../shares/share.ts';
import { type Destination, upstreamExtranonce2 } from '../upstream/destination.ts';
import { type FailoverPolicy, isUsable } from '../upstream/failover.ts';
import { PoolDestination } from '../upstream/pool-destination.ts';
import { destinationOfLink } from '../upstream/session-links.ts';
import type { UpstreamVerdict } from '../upstream/upstream-share.ts';
import { type BraidpoolNodeView, braidpoolNodes } from './braidpool-view.ts';
import { DedicatedUpstreams } from './dedicated-upstreams.ts';
import { ownStream } from './destination-work.ts';
import { downstreamOptions } from './downstream-options.ts';
import { Router } from './router.ts';
import { NOWHERE, type RoutedDestination } from './routing.ts';
import { failoverPolicy, splitPolicy, upstreamOptions } from './upstream-options.ts';

/** Bytes of the session id and of the miner's own extranonce2 (architecture, Extranonce). */
export const SESSION_ID_SIZE = 4;
export const EXTRANONCE2_SIZE = 4;

/**
 * A share of a replaced block is worth nothing upstream, but it was honest work while the news was on its
 * way.
 */
const STALE_GRACE_MS = 500;
const TICK_MS = 1_000;
/** Longer than any job that a session was sent can live after it: its id must not find the same work. */
const SESSION_ID_REST_MS = LIMITS.jobAgeMs + 120_000;

export type MiningDeps = {
  readonly kernel: ShareKernel;
  /** Filled from the ledger. */
  readonly duplicates: DuplicateSet;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Resolves when the shares are durable. */
  readonly commit: (shares: readonly AcceptedShare[]) => Promise<void>;
  readonly observeBatch: (shares: number, seconds: number) => void;
  /** From the first submit of a batch to the answers. */
  readonly observeAck: (seconds: number) => void;
};

/**
 * The mining side of the proxy: upstreams, jobs, sessions and the share engine, wired. Hashrate goes where
 * `setContract` and the health of the destinations say; everything about money is elsewhere.
 */
export class Mining {
  readonly server: DownstreamServer;
  readonly engine: ShareEngine<SessionSubmission>;
  readonly jobs: JobTable;
  readonly destinations: readonly Destination[];
  readonly router: Router;
  readonly linked: DedicatedUpstreams;
  /** By destination. */
  readonly braidpool: ReadonlyMap<string, BraidpoolNodeView>;
  readonly stats = { blocksFound: 0 };
  readonly #deps: MiningDeps;
  readonly #contractName: string | undefined;
  readonly #rows: readonly DestinationConfig[];
  readonly #byName: ReadonlyMap<string, Destination>;
  #stream: string | undefined;
  #contractDifficulty: number | undefined;
  #isDelivering = false;
  #firstSubmitMs = 0;
  #timer: Timer | undefined;

  constructor(config: ProxyConfig, run: number, deps: MiningDeps) {
    this.#deps = deps;
    const { clock, timers, random, log } = deps;
    this.#rows = config.destinations;
    this.#contractName = config.destinations.find((row) => row.role === 'contract')?.name;
    this.jobs = new JobTable(
      {
        run,
        sessionIdSize: SESSION_ID_SIZE,
        minerExtranonce2Size: EXTRANONCE2_SIZE,
        versionMask: config.stratum.versionMask,
        staleGraceMs: STALE_GRACE_MS,
      },
      { onRetired: (job) => this.#onRetired(job) },
    );
    this.engine = new ShareEngine<SessionSubmission>(
      {},
      {
        kernel: deps.kernel,
        duplicates: deps.duplicates,
        clock,
        timers,
        log: log.child({ part: 'shares' }),
        isStale: (job) => this.jobs.isStale(job, clock.monotonicMs()),
        forward: (submission, hash) => this.#forward(submission, hash),
        commit: (shares) => this.#commit(shares),
        settle: (submission, verdict) => {
          this.#destinationOf(submission.job)?.judged(submission, verdict === 'accepted');
          this.server.settle(submission, verdict);
        },
        onSettled: () => this.server.flush(),
        observeBatch: deps.observeBatch,
      },
    );
    this.server = new DownstreamServer(
      {
        ...downstreamOptions(config.stratum, deps.env),
        extranonce2Size: EXTRANONCE2_SIZE,
        quarantineMs: SESSION_ID_REST_MS,
        agentVersion: USER_AGENT,
      },
      {
        jobs: this.jobs,
        engine: { submit: (submission) => this.#submit(submission) },
        clock,
        timers,
        random,
        log: log.child({ part: 'downstream' }),
        route: (session) => this.router.route(session),
        place: (session, destination) => this.linked.place(session, destination),
        onClosed: (session) => this.linked.closed(session),
      },
    );
    this.router = this.#makeRouter(config);
    this.linked = this.#linkSessions(failoverPolicy(config.failover));
    this.braidpool = braidpoolNodes(this.#rows, {
      clock,
      timers,
      random,
      log: log.child({ part: 'braidpool' }),
    });
    this.destinations = config.destinations.map((row) => this.#makeDestination(row));
    this.#byName = new Map(this.destinations.map((destination) => [destination.name, destination]));
  }

  /** Where sessions mine to now, of several the first; `none` when nowhere. */
  get destination(): string {
    return this.router.destinations[0] ?? NOWHERE;
  }

  async start(): Promise<void> {
    await this.server.listen();
    for (const destination of this.destinations) destination.start();
    for (const node of this.braidpool.values()) node.start();
    this.#timer = this.#deps.timers.every(TICK_MS, () => this.#tick());
  }

  /** Answers what is in flight, then closes the miners' connections and the upstreams. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.server.close();
    await this.engine.drain();
    for (const destination of this.destinations) destination.stop();
    for (const node of this.braidpool.values()) node.stop();
  }

  /**
   * The contract that is running, and whether it wants hashrate now.
   * @param stream the contract id: shares of its destination's jobs are credited to it
   * @param difficulty of all of them
   */
  setContract(stream: string, difficulty: number, isDelivering: boolean): void {
    if (stream === this.#stream && isDelivering === this.#isDelivering) return;
    this.#stream = stream;
    this.#contractDifficulty = difficulty;
    this.#isDelivering = isDelivering;
    this.#reroute();
  }

  #makeRouter({ failover, split }: ProxyConfig): Router {
    const { clock, log } = this.#deps;
    return new Router(
      { failover: failoverPolicy(failover), split: splitPolicy(split) },
      {
        ...{ server: () => this.server, clock, log },
        prepare: (name) => this.#prepare(name),
        onNowhere: (left) => {
          for (const name of left) this.jobs.endDestination(name, clock.monotonicMs());
        },
      },
    );
  }

  #linkSessions(policy: FailoverPolicy): DedicatedUpstreams {
    const { clock, log } = this.#deps;
    return new DedicatedUpstreams({
      ...{ jobs: this.jobs, server: () => this.server, clock, log: log.child({ part: 'upstream' }) },
      policy,
      streamOf: (name) => this.#streamOf(name),
      difficultyOf: (stream) => this.#difficultyOf(stream),
      isUrgent: (from, to) => from === this.#contractName || to === this.#contractName,
      route: (session) => this.router.route(session),
      instead: () => this.#sharedFallback()?.name,
    });
  }

  #makeDestination(row: DestinationConfig): Destination {
    const { clock, timers, random, log, env } = this.#deps;
    const links = { maxLinks: row.links.max, spareLinks: row.links.spare };
    const destination = new PoolDestination(
      { ...upstreamOptions(row, env), links },
      {
        clock,
        timers,
        random,
        log: log.child({ part: 'upstream' }),
        listener: {
          onJob: (destination, job) => this.#onJob(destination, job),
          onUp: () => this.#reroute(),
          onDown: (destination) => {
            this.jobs.endDestination(destination.name, clock.monotonicMs());
            this.#reroute();
          },
          links: this.linked.listener,
        },
      },
    );
    this.linked.add(destination, row.links);
    return destination;
  }

  /** Work for a contract is asked for at the one difficulty that its terms name. */
  #difficultyOf(stream: string): number | undefined {
    return stream === this.#stream ? this.#contractDifficulty : undefined;
  }

  /** The evidence stream of a destination's work; undefined while nobody would be credited for it. */
  #streamOf(name: string): string | undefined {
    return name === this.#contractName ? this.#stream : ownStream(name);
  }

  #onJob(destination: Destination, upstream: UpstreamJob): void {
    if (destination.mode === 'per_session' || this.#giveJob(destination, upstream)) this.#reroute();
  }

  #giveJob(destination: Destination, upstream: UpstreamJob): boolean {
    const { clock, log } = this.#deps;
    const stream = this.#streamOf(destination.name);
    if (stream === undefined) return false;
    try {
      const job = this.jobs.add(
        destination.name,
        stream,
        upstream,
        clock.monotonicMs(),
        this.#difficultyOf(stream),
      );
      this.server.broadcast(job);
      return true;
    } catch (error) {
      log.warn({ code: codeOf(error), target: destination.name, err: error }, 'job refused');
      return false;
    }
  }

  /** Points every session at the destination that is right now. */
  #reroute(): void {
    const routed = this.#rows.map((row): RoutedDestination & { readonly isContract: boolean } => ({
      health: this.#byName.get(row.name)!.health,
      quota: row.quota,
      isContract: row.role === 'contract',
    }));
    const isWanted = this.#isDelivering && this.#stream !== undefined;
    this.router.update({
      contracts: isWanted ? routed.filter(({ isContract }) => isContract) : [],
      fallbacks: routed.filter(({ isContract }) => !isContract),
    });
  }

  /** The best of the miner's own that works and takes any number of sessions. */
  #sharedFallback(): Destination | undefined {
    return this.destinations.find(
      ({ name, mode, health }) => name !== this.#contractName && mode === 'shared' && isUsable(health),
    );
  }

  /** Makes sure that a destination's current job is credited to the stream of now. */
  #prepare(name: string): void {
    const destination = this.#byName.get(name);
    const upstream = destination?.lastJob;
    if (destination === undefined || upstream === undefined) return;
    if (destination.mode === 'per_session') this.linked.renew(destination);
    else if (this.jobs.current(name)?.stream !== this.#streamOf(name)) this.#giveJob(destination, upstream);
  }

  #tick(): void {
    this.jobs.expire(this.#deps.clock.monotonicMs());
    this.#reroute();
    this.router.balance();
  }

  #submit(submission: SessionSubmission): void {
    if (this.#firstSubmitMs === 0) this.#firstSubmitMs = this.#deps.clock.monotonicMs();
    this.linked.linkOf(submission.job)?.touch();
    this.engine.submit(submission);
  }

  async #commit(shares: readonly AcceptedShare[]): Promise<void> {
    const startedMs = this.#firstSubmitMs;
    this.#firstSubmitMs = 0;
    await this.#deps.commit(shares);
    if (startedMs > 0) this.#deps.observeAck((this.#deps.clock.monotonicMs() - startedMs) / 1000);
  }

  #forward(submission: SessionSubmission, hash: Uint8Array): void {
    const { job, ntime, nonce, version, extranonce } = submission;
    if (meets(hash, 0, wordsOfTarget(job.networkTarget))) this.stats.blocksFound += 1;
    const share = {
      job: job.upstream,
      extranonce2: upstreamExtranonce2(job.upstream, extranonce),
      ntime,
      nonce,
      versionBits: version & job.upstream.versionMask,
    };
    const destination = this.#destinationOf(job);
    if (destination === undefined) return;
    const node = this.braidpool.get(destination.name);
    const onVerdict =
      node === undefined ? undefined : (verdict: UpstreamVerdict) => node.judged(hash, verdict);
    destination.submit(share, onVerdict, submission, this.linked.linkOf(job));
  }

  #destinationOf(job: Job): Destination | undefined {
    return this.#byName.get(job.destination) ?? this.#byName.get(destinationOfLink(job.destination));
  }

  #onRetired(job: Job): void {
    this.engine.retire(job);
    if (!this.jobs.hasPrevHash(job.prevHash)) this.engine.dropGeneration(generationOf(job));
  }
}
