import type { Clock, Random } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { DestinationConfig, DifficultyConfig, ProxyConfig } from '../config/config.ts';
import { readSecretFile } from '../config/secrets.ts';
import { DownstreamServer } from '../downstream/server.ts';
import type { DownstreamSubmission } from '../downstream/submission.ts';
import type { VardiffOptions } from '../downstream/vardiff.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import { JobTable } from '../jobs/job-table.ts';
import type { Logger } from '../log/logger.ts';
import type { DuplicateSet } from '../shares/duplicates.ts';
import { generationOf } from '../shares/duplicates.ts';
import { ShareEngine } from '../shares/engine.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets } from '../shares/rules.ts';
import { type AcceptedShare, wordsOfTarget } from '../shares/share.ts';
import { Destination, upstreamExtranonce2 } from '../upstream/destination.ts';
import { newFailover } from '../upstream/failover.ts';
import { NOWHERE, route } from './routing.ts';
import { USER_AGENT } from './version.ts';

/** Bytes of the session id and of the miner's own extranonce2 (architecture, Extranonce). */
export const SESSION_ID_SIZE = 4;
export const EXTRANONCE2_SIZE = 4;

/**
 * A share of a replaced block is worth nothing upstream, but it was honest work while the news was on its
 * way.
 */
const STALE_GRACE_MS = 500;
const TICK_MS = 1_000;

export type MiningDeps = {
  readonly kernel: ShareKernel;
  /** Filled from the ledger. */
  readonly duplicates: DuplicateSet;
  readonly clock: Clock;
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
  readonly engine: ShareEngine<DownstreamSubmission>;
  readonly jobs: JobTable;
  readonly destinations: readonly Destination[];
  readonly stats = { blocksFound: 0, failovers: 0 };
  readonly #deps: MiningDeps;
  readonly #contractName: string | undefined;
  #failover = newFailover();
  #destination = NOWHERE;
  #stream: string | undefined;
  #contractDifficulty: number | undefined;
  #isDelivering = false;
  #firstSubmitMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: ProxyConfig, run: number, deps: MiningDeps) {
    this.#deps = deps;
    const { clock, random, log } = deps;
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
    this.engine = new ShareEngine<DownstreamSubmission>(
      {},
      {
        kernel: deps.kernel,
        duplicates: deps.duplicates,
        clock,
        log: log.child({ part: 'shares' }),
        isStale: (job) => this.jobs.isStale(job, clock.nowMs()),
        forward: (submission, hash) => this.#forward(submission, hash),
        commit: (shares) => this.#commit(shares),
        settle: (submission, verdict) => this.server.settle(submission, verdict),
        observeBatch: deps.observeBatch,
      },
    );
    this.server = new DownstreamServer(
      {
        listeners: [
          {
            ...config.stratum.listen,
            reusePort: config.stratum.reusePort,
            difficulty: difficultyOptions(config.stratum.difficulty),
          },
        ],
        extranonce2Size: EXTRANONCE2_SIZE,
        versionMask: config.stratum.versionMask,
        sessions: config.stratum.maxSessions,
        agentVersion: USER_AGENT,
      },
      {
        jobs: this.jobs,
        engine: { submit: (submission) => this.#submit(submission) },
        clock,
        random,
        log: log.child({ part: 'downstream' }),
        route: () => this.#destination,
      },
    );
    this.destinations = config.destinations.map((row) => this.#makeDestination(row));
  }

  /** Where all sessions mine to now; `none` when nowhere. */
  get destination(): string {
    return this.#destination;
  }

  async start(): Promise<void> {
    await this.server.listen();
    for (const destination of this.destinations) destination.start();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Answers what is in flight, then closes the miners' connections and the upstreams. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.server.close();
    await this.engine.drain();
    for (const destination of this.destinations) destination.stop();
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

  #makeDestination(row: DestinationConfig): Destination {
    const { clock, random, log, env } = this.#deps;
    const { host, port, worker, profile } = row;
    const password =
      row.password.type === 'text' ? row.password.text : readSecretFile(row.password.file, env);
    const options = { name: row.name, host, port, worker, password, profile, userAgent: USER_AGENT };
    return new Destination(
      { ...options, stream: ownStream(row.name) },
      {
        clock,
        random,
        log: log.child({ part: 'upstream' }),
        listener: {
          onJob: (destination, job) => this.#onJob(destination, job),
          onUp: () => this.#reroute(),
          onDown: (destination) => {
            this.jobs.endDestination(destination.name, clock.nowMs());
            this.#reroute();
          },
        },
      },
    );
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
    if (this.#giveJob(destination, upstream)) this.#reroute();
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
        clock.nowMs(),
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
    const { clock, log } = this.#deps;
    const healths = this.destinations.map((destination) => destination.health);
    const wanted = route(
      this.#failover,
      {
        contract:
          this.#isDelivering && this.#stream !== undefined
            ? healths.find((health) => health.name === this.#contractName)
            : undefined,
        fallbacks: healths.filter((health) => health.name !== this.#contractName),
      },
      clock.monotonicMs(),
    );
    this.#failover = wanted.state;
    const to = wanted.destination;
    const target = this.destinations.find((destination) => destination.name === to);
    const current = this.jobs.current(to);
    if (target !== undefined && target.lastJob !== null && current?.stream !== this.#streamOf(to)) {
      this.#giveJob(target, target.lastJob);
    }
    if (to === this.#destination) return;
    log.info({ from: this.#destination, to }, 'hashrate moves');
    const left = this.#destination;
    this.#destination = to;
    this.stats.failovers += 1;
    this.server.assign('all', to);
    if (to === NOWHERE) this.jobs.endDestination(left, clock.nowMs());
  }

  #tick(): void {
    this.jobs.expire(this.#deps.clock.nowMs());
    this.#reroute();
  }

  #submit(submission: DownstreamSubmission): void {
    if (this.#firstSubmitMs === 0) this.#firstSubmitMs = this.#deps.clock.monotonicMs();
    this.engine.submit(submission);
  }

  async #commit(shares: readonly AcceptedShare[]): Promise<void> {
    const startedMs = this.#firstSubmitMs;
    this.#firstSubmitMs = 0;
    await this.#deps.commit(shares);
    if (startedMs > 0) this.#deps.observeAck((this.#deps.clock.monotonicMs() - startedMs) / 1000);
  }

  #forward(submission: DownstreamSubmission, hash: Uint8Array): void {
    const { job, ntime, nonce, version, extranonce } = submission;
    if (meets(hash, 0, wordsOfTarget(job.networkTarget))) this.stats.blocksFound += 1;
    const destination = this.destinations.find((candidate) => candidate.name === job.destination);
    destination?.submit({
      job: job.upstream,
      extranonce2: upstreamExtranonce2(job.upstream, extranonce),
      ntime,
      nonce,
      versionBits: version & job.upstream.versionMask,
    });
  }

  #onRetired(job: Job): void {
    this.engine.retire(job);
    if (!this.jobs.hasPrevHash(job.prevHash)) this.engine.dropGeneration(generationOf(job));
  }
}

/** Evidence of work for the miner's own destination. */
export function ownStream(name: string): string {
  return `own:${name}`;
}

function difficultyOptions({ mode, start, min, max, sharesPerMinute }: DifficultyConfig): VardiffOptions {
  const [floor, ceiling] = mode === 'fixed' ? [start, start] : [min, max];
  return { start, floor, ceiling, sharesPerMinute };
}
