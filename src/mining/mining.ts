import { isDeepStrictEqual } from 'node:util';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { USER_AGENT } from '../base/version.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import type { DestinationConfig, ProxyConfig } from '../config/config.ts';
import { DownstreamServer } from '../downstream/server/server.ts';
import type { SessionSubmission } from '../downstream/session/session.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import { JobTable } from '../jobs/job-table.ts';
import { limited } from '../log/limited.ts';
import type { Logger } from '../log/logger.ts';
import type { DuplicateSet } from '../shares/duplicates.ts';
import { ShareEngine } from '../shares/engine.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { RestingGenerations } from '../shares/resting-generations.ts';
import { meets } from '../shares/rules.ts';
import { type AcceptedShare, wordsOfTarget } from '../shares/share.ts';
import type { UpstreamClientOptions } from '../upstream/client.ts';
import {
  type Destination,
  type DestinationListener,
  upstreamExtranonce2,
} from '../upstream/destination.ts';
import { isUsable } from '../upstream/failover.ts';
import { PoolDestination } from '../upstream/pool-destination.ts';
import type { UpstreamVerdict } from '../upstream/upstream-share.ts';
import { BraidpoolNodeView } from './braidpool-view.ts';
import { ClockOffsets } from './clock-offsets.ts';
import { DedicatedUpstreams } from './dedicated-upstreams.ts';
import { downstreamOptions } from './downstream-options.ts';
import { MinerNews } from './miner-news.ts';
import { Router } from './router.ts';
import { NOWHERE } from './routing.ts';
import { failoverOptions, splitOptions, upstreamOptions } from './upstream-options.ts';
import {
  type ContractWork,
  type DestinationSetup,
  destinationOfRoute,
  type MinedDestination,
  unpaidReason,
  type WorkRoute,
  WorkRoutes,
  workFor,
} from './work-routes.ts';
import { WorkerLuck } from './worker-luck.ts';

/** Bytes of the session id and of the miner's own extranonce2 (`WIRE.md`, Extranonce). */
export const SESSION_ID_SIZE = 4;
export const EXTRANONCE2_SIZE = 4;

/**
 * A share of a replaced block is worth nothing upstream, but it was honest work while the news was on its
 * way.
 */
const STALE_GRACE_MS = 500;
const TICK_MS = 1_000;
const SHARES_WARN_MS = 10_000;
/** A pool that restarts, or a network that blinks, is back by then. */
const LET_GO_TICKS = 30;
/** A removed destination is kept for so long, since shares of its jobs may still come, ... */
const KEEP_MS = 2 * STALE_GRACE_MS;
/** ... and for so long at most, where it does not answer those that came. */
const LINGER_MS = 5_000;
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
  /** A share of so many hashes may be credited to a stream, and will be committed then. */
  readonly admits?: (stream: string, workHashes: bigint) => boolean;
  /** A share solves a block; told before it is durable, whatever becomes of it. */
  readonly onBlock?: (submission: SessionSubmission) => void;
  /** Resolves when the shares are durable. */
  readonly commit: (shares: readonly AcceptedShare[]) => Promise<void>;
  readonly observeBatch: (shares: number, seconds: number) => void;
  /** From the first submit of a batch to the answers. */
  readonly observeAck: (seconds: number) => void;
};

/**
 * The mining side of the proxy: upstreams, jobs, sessions and the share engine, wired. Hashrate goes where
 * the running contracts (`setContract`) and the health of the destinations say; both come and go at any time.
 * Everything about money is elsewhere.
 */
export class Mining {
  readonly server: DownstreamServer;
  readonly engine: ShareEngine<SessionSubmission>;
  readonly jobs: JobTable;
  readonly routes = new WorkRoutes();
  readonly router: Router;
  readonly linked: DedicatedUpstreams;
  readonly stats = { blocksFound: 0 };
  readonly clockOffsets: ClockOffsets;
  readonly luck = new WorkerLuck();
  readonly news: MinerNews;
  readonly #deps: MiningDeps;
  readonly #resting: RestingGenerations;
  /** The destinations of the configuration, by name. */
  readonly #pools = new Map<string, Reached>();
  #leaving: readonly Leaving[] = [];
  #isStarted = false;
  /** Why the jobs of contracts would not be paid, in words. */
  #unpaid: ReadonlyMap<string, string> = new Map();
  /** Ticks without a destination that gives work. */
  #workless = 0;
  #firstSubmitMs = 0;
  #timer: Timer | undefined;

  constructor(config: ProxyConfig, run: number, deps: MiningDeps) {
    this.#deps = deps;
    const { clock, timers, random, log } = deps;
    this.clockOffsets = new ClockOffsets(clock);
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
        // A disk that fails is said once in a while, not with each batch.
        log: limited(log.child({ part: 'shares' }), SHARES_WARN_MS, clock),
        isStale: (job) => this.jobs.isStale(job, clock.monotonicMs()),
        admits: ({ job, assigned }) => deps.admits?.(job.stream, assigned.workHashes) ?? true,
        forward: (submission, hash) => this.#forward(submission, hash),
        commit: (shares) => this.#commit(shares),
        settle: (submission, verdict) => {
          this.routes.destinationOf(submission.job)?.destination.judged(submission, verdict === 'accepted');
          this.server.settle(submission, verdict);
        },
        onSettled: () => this.server.flush(),
        observeBatch: deps.observeBatch,
      },
    );
    this.#resting = new RestingGenerations(
      {
        duplicates: deps.duplicates,
        isLive: (prevHash) => this.jobs.hasPrevHash(prevHash),
        drop: (generation) => this.engine.dropGeneration(generation),
      },
      clock.monotonicMs(),
    );
    this.news = new MinerNews({
      ...{ log: log.child({ part: 'downstream' }), monotonicMs: () => clock.monotonicMs() },
    });
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
        chooseRouting: (session, destination) => this.linked.chooseRouting(session, destination),
        onAuthorized: (session, worker) => this.news.came(session, worker),
        onClosed: (session, reason) => {
          this.news.went(session, reason);
          this.linked.closed(session);
        },
      },
    );
    this.router = this.#makeRouter(config);
    this.linked = new DedicatedUpstreams({
      ...{ jobs: this.jobs, server: () => this.server, clock, log: log.child({ part: 'upstream' }) },
      routes: this.routes,
      failover: () => this.router.options.failover,
      route: (session) => this.router.route(session),
    });
    for (const row of config.destinations) this.addPool(row);
  }

  /**
   * Other destinations, limits and rules of routing. A destination that is reached as before keeps its
   * connection.
   * @returns what puts them in force. Throws `config_invalid`, and for files that cannot be read
   */
  reloaded({ stratum, destinations, failover, split }: ProxyConfig): () => void {
    const limit = this.server.limits(downstreamOptions(stratum, this.#deps.env));
    const pools = destinations.map((row) => ({ row, reached: this.#reachedBy(row) }));
    for (const { name } of destinations) if (!this.#pools.has(name)) this.routes.assertFree(name);
    return () => {
      limit();
      this.router.setOptions({ failover: failoverOptions(failover), split: splitOptions(split) });
      this.#setPools(pools);
    };
  }

  /** The limits, rules and destinations that it goes by now. */
  get inForce(): Readonly<Record<string, unknown>> {
    const setups = this.routes.destinations.map(({ setup }) => setup);
    return { limits: this.server.options, rules: this.router.options, pools: this.#pools, setups };
  }

  #reachedBy(row: DestinationConfig): Reached {
    const { role, links, payoutMode, rpcUrl } = row;
    return { upstream: upstreamOptions(row, this.#deps.env), role, links, payoutMode, rpcUrl };
  }

  #setPools(pools: readonly { readonly row: DestinationConfig; readonly reached: Reached }[]): void {
    const others = pools.filter(
      ({ row, reached }) => !isDeepStrictEqual(this.#pools.get(row.name), reached),
    );
    // Those of new names first, so that sessions have somewhere to go.
    const [again, added] = [true, false].map((isKnown) =>
      others.filter(({ row }) => this.#pools.has(row.name) === isKnown),
    );
    for (const { row, reached } of added!) this.#addPool(row, reached);
    for (const name of [...this.#pools.keys()])
      if (!pools.some(({ row }) => row.name === name)) this.removeDestination(name);
    for (const { row, reached } of again!) {
      this.removeDestination(row.name);
      this.#addPool(row, reached);
    }
    this.routes.arrange(pools.map(({ row }) => setupOf(row)));
    this.#reroute();
  }

  /** Best first. */
  get destinations(): readonly Destination[] {
    return this.routes.destinations.map(({ destination }) => destination);
  }

  /** The names of the destinations that sessions mine to now, best first. */
  get activeDestinations(): readonly string[] {
    return [...new Set(this.router.routes.map(destinationOfRoute))];
  }

  /** Where sessions mine to now, of several the first; `none` when nowhere. */
  get destination(): string {
    return this.activeDestinations[0] ?? NOWHERE;
  }

  /** What is mined now, of several destinations that of the first. */
  get job(): Job | undefined {
    const [route] = this.router.routes;
    return route === undefined ? undefined : this.jobs.current(route);
  }

  /** Why jobs are not mined for a contract, in words: its buyer would not pay for them. */
  unpaidReason(contractId: string): string | undefined {
    return this.#unpaid.get(contractId);
  }

  /** Of the destinations that have one. */
  get braidpoolNodes(): readonly BraidpoolNodeView[] {
    return this.routes.destinations.flatMap(({ node }) => (node === undefined ? [] : [node]));
  }

  async start(): Promise<void> {
    await this.server.listen();
    this.#isStarted = true;
    for (const mined of this.routes.destinations) start(mined);
    this.#timer = this.#deps.timers.every(TICK_MS, () => this.#tick());
  }

  /** Answers what is in flight, then closes the miners' connections and the upstreams. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.server.close();
    await this.engine.drain();
    for (const mined of this.routes.destinations) stop(mined);
    for (const { mined } of this.#leaving) stop(mined);
  }

  /** A pool or node to mine to from now on. Throws `config_invalid` when the name is taken. */
  addPool(row: DestinationConfig): void {
    this.#addPool(row, this.#reachedBy(row));
  }

  #addPool(row: DestinationConfig, reached: Reached): void {
    const { clock, timers, random, log } = this.#deps;
    const { name, worker } = row;
    const { upstream, role, links, payoutMode, rpcUrl } = reached;
    const options = { ...upstream, links: { maxLinks: links.max, spareLinks: links.spare } };
    const deps = { clock, timers, random, log: log.child({ part: 'upstream' }) };
    const node =
      rpcUrl === undefined
        ? undefined
        : new BraidpoolNodeView(
            { name, worker, payoutMode, rpcUrl },
            { clock, timers, random, log: log.child({ part: 'braidpool' }) },
          );
    // Of jobs that are not sold nobody has to know what they commit to.
    const asked = node === undefined || role !== 'contract' ? {} : { askMetadata: node.askMetadata };
    this.addDestination(
      setupOf(row),
      (listener) => new PoolDestination(options, { ...deps, ...asked, listener }),
      node,
    );
    this.#pools.set(name, reached);
  }

  /**
   * A destination of any kind to mine to from now on. Throws `config_invalid` when the name is taken.
   * @param make called at once; it is started when mining is
   */
  addDestination(
    setup: DestinationSetup,
    make: (listener: DestinationListener) => Destination,
    node?: BraidpoolNodeView,
  ): void {
    const mined = { setup, destination: make(this.#listener()), node };
    this.routes.add(mined);
    // Shares of the one that had the name before go nowhere now, so it need not stay for their verdicts.
    this.#stopLeaving(({ mined: before }) => before.setup.name === setup.name);
    if (this.#isStarted) start(mined);
  }

  /**
   * Sessions that mine there move at once, and its contracts end. Shares in flight are still judged and sent
   * on; it is closed when they are answered, or after a few seconds.
   * @returns false when there is none of that name
   */
  removeDestination(name: string): boolean {
    const mined = this.routes.destinations.find(({ setup }) => setup.name === name);
    if (mined === undefined) return false;
    this.#pools.delete(name);
    const ended = this.routes.remove(mined);
    const monotonicMs = this.#deps.clock.monotonicMs();
    this.#leaving = [
      ...this.#leaving,
      { mined, keptUntilMs: monotonicMs + KEEP_MS, endAtMs: monotonicMs + LINGER_MS },
    ];
    this.#reroute();
    this.#end(ended);
    return true;
  }

  /**
   * A contract that is running, and whether it wants hashrate now; to be called whenever that changes. Throws
   * `config_invalid` when there is no such destination.
   */
  setContract(contract: ContractWork): void {
    const change = this.routes.setContract(contract);
    if (change === undefined) return;
    this.#reroute();
    if (change.ended !== undefined) this.#end([change.ended]);
  }

  /** Its hashrate goes elsewhere and its jobs end; their shares count as after another block. */
  endContract(contractId: string): void {
    const route = this.routes.endContract(contractId);
    if (route === undefined) return;
    this.#reroute();
    this.#end([route]);
  }

  #makeRouter({ failover, split }: ProxyConfig): Router {
    const { clock, log } = this.#deps;
    return new Router(
      { failover: failoverOptions(failover), split: splitOptions(split) },
      {
        ...{ server: () => this.server, clock, log },
        prepare: (name) => this.#prepare(name),
        routeOf: (session, destination) => this.linked.routeOf(session) ?? destination,
        contractShareHashes: (name) => shareHashesOf(this.routes.byName(name)),
        ownRoute: () => this.routes.sharedFallback()?.name,
        onNowhere: (left) => {
          for (const name of left) this.jobs.endDestination(name, clock.monotonicMs());
        },
      },
    );
  }

  #listener(): DestinationListener {
    return {
      onJob: (destination, job) => this.#onJob(destination, job),
      onGone: (destination, ids) => {
        const monotonicMs = this.#deps.clock.monotonicMs();
        for (const { name } of this.routes.of(destination)) this.jobs.endJobs(name, ids, monotonicMs);
      },
      onUp: () => this.#reroute(),
      onDown: (destination) => {
        const monotonicMs = this.#deps.clock.monotonicMs();
        for (const { name } of this.routes.of(destination)) this.jobs.endDestination(name, monotonicMs);
        this.#reroute();
      },
      links: this.linked.listener,
    };
  }

  #onJob(destination: Destination, upstream: UpstreamJob): void {
    this.clockOffsets.seen(destination.name, upstream.time);
    if (destination.mode !== 'per_session')
      for (const route of this.routes.of(destination)) this.#giveJob(route, upstream);
    this.#reroute();
  }

  /** Each route of a destination gets a job of its own for the same upstream work. */
  #giveJob(route: WorkRoute, upstream: UpstreamJob): void {
    const { name, stream } = route;
    const { clock, log } = this.#deps;
    if (unpaidReason(route, upstream) !== undefined) return;
    try {
      const difficulty = difficultyOf(route, upstream);
      const given = workFor(route, upstream);
      this.server.broadcast(this.jobs.add(name, stream, given, clock.monotonicMs(), difficulty));
    } catch (error) {
      log.warn({ code: codeOf(error), target: name, err: error }, 'job refused');
    }
  }

  /** Points every session at the destination that is right now. */
  #reroute(): void {
    this.#sayUnpaid();
    this.router.update(this.routes.routed());
  }

  /** The newest job of its destination, where it was not given when it came. */
  #giveLast(route: WorkRoute): void {
    const { lastJob } = route.at.destination;
    const current = this.jobs.current(route.name);
    if (lastJob !== undefined && current?.upstream.upstreamJobId !== lastJob.upstreamJobId)
      this.#giveJob(route, lastJob);
  }

  /** Says of each contract when its jobs would not be paid, and when they are again. */
  #sayUnpaid(): void {
    const unpaid = new Map<string, string>();
    for (const route of this.routes.contracts) {
      const why = unpaidReason(route);
      if (why === undefined || route.contract === undefined) continue;
      const { contractId: contract } = route.contract;
      unpaid.set(contract, why);
      if (this.#unpaid.get(contract) === why) continue;
      const fields = { code: 'share_unbound', contract, target: route.at.setup.name, why } as const;
      this.#deps.log.warn(fields, 'the buyer would not pay for this job: it is not mined for the contract');
    }
    const before = this.#unpaid;
    this.#unpaid = unpaid;
    for (const route of this.routes.contracts) {
      const contract = route.contract?.contractId ?? '';
      if (unpaid.has(contract) || !before.has(contract)) continue;
      this.#deps.log.info({ contract }, 'the buyer would pay for the job: it is mined again');
      this.#giveLast(route);
    }
  }

  /** Nobody mines by these any more: sessions that still do move, and their jobs are over. */
  #end(routes: readonly WorkRoute[]): void {
    const { clock } = this.#deps;
    const names = new Set(routes.map(({ name }) => name));
    for (const { id, destination } of this.server.sessions()) {
      const session = this.server.session(id);
      if (session === undefined || !names.has(this.linked.routeOf(id) ?? destination)) continue;
      this.server.assign(session, this.router.route(session));
    }
    for (const name of names) this.jobs.endDestination(name, clock.monotonicMs());
    this.routes.ended(routes, clock.monotonicMs());
  }

  /** Makes sure that the current job of a route is there, and is credited as it should be now. */
  #prepare(name: string): void {
    const route = this.routes.byName(name);
    const upstream = route?.at.destination.lastJob;
    if (route === undefined || upstream === undefined) return;
    if (route.at.destination.mode === 'per_session') {
      this.linked.renew(route);
      return;
    }
    const current = this.jobs.current(name);
    const isRight =
      current?.stream === route.stream && current.fixedDifficulty === difficultyOf(route, upstream);
    if (!isRight) this.#giveJob(route, upstream);
  }

  #stopLeaving(isDue: (leaving: Leaving) => boolean): void {
    if (this.#leaving.length === 0) return;
    const due = this.#leaving.filter(isDue);
    this.#leaving = this.#leaving.filter((one) => !due.includes(one));
    for (const { mined } of due) stop(mined);
  }

  #tick(): void {
    this.jobs.expire(this.#deps.clock.monotonicMs());
    this.#resting.sweep(this.#deps.clock.monotonicMs());
    this.#reroute();
    this.#letGoWithoutWork();
    this.router.balance();
    this.linked.tick();
    const monotonicMs = this.#deps.clock.monotonicMs();
    this.#stopLeaving(({ mined, keptUntilMs, endAtMs }) => {
      const isAnswered = monotonicMs >= keptUntilMs && mined.destination.figures.sharesInFlight === 0;
      return isAnswered || monotonicMs >= endAtMs;
    });
    this.routes.sweep(monotonicMs);
  }

  /** Firmware takes minutes to see that there is no work; a connection that ends it sees at once. */
  #letGoWithoutWork(): void {
    const hasWork = this.destinations.some(({ health }) => isUsable(health));
    this.#workless = hasWork ? 0 : this.#workless + 1;
    const { log } = this.#deps;
    if (this.#workless === LET_GO_TICKS) {
      log.error({ code: 'no_work' }, 'no destination gives work: miners are let go');
      this.server.letGo('upstream');
    }
    if (hasWork && this.server.takeBack('upstream'))
      log.info({}, 'a destination gives work again: miners are served');
  }

  #submit(submission: SessionSubmission): void {
    if (this.#firstSubmitMs === 0) this.#firstSubmitMs = this.#deps.clock.monotonicMs();
    this.linked.linkOf(submission.job)?.touch();
    this.engine.submit(submission);
  }

  async #commit(shares: readonly AcceptedShare<SessionSubmission>[]): Promise<void> {
    const startedMs = this.#firstSubmitMs;
    this.#firstSubmitMs = 0;
    await this.#deps.commit(shares);
    this.luck.add(shares);
    if (startedMs > 0) this.#deps.observeAck((this.#deps.clock.monotonicMs() - startedMs) / 1000);
  }

  #forward(submission: SessionSubmission, hash: Uint8Array): void {
    const { job, ntime, nonce, version, extranonce } = submission;
    const isBlock = meets(hash, 0, wordsOfTarget(job.networkTarget));
    if (isBlock) {
      this.stats.blocksFound += 1;
      this.#deps.onBlock?.(submission);
    }
    const share = {
      isBlock,
      job: job.upstream,
      extranonce2: upstreamExtranonce2(job.upstream, extranonce),
      ntime,
      nonce,
      versionBits: version & job.upstream.versionMask,
    };
    const at = this.routes.destinationOf(job);
    if (at === undefined) return;
    const { destination, node } = at;
    const onVerdict =
      node === undefined ? undefined : (verdict: UpstreamVerdict) => node.judged(hash, verdict);
    destination.submit(share, onVerdict, submission, this.linked.linkOf(job));
  }

  #onRetired(job: Job): void {
    this.engine.retire(job);
    this.#resting.retired(job, this.#deps.clock.monotonicMs());
  }
}

/** What makes another connection of a destination where it changes. */
type Reached = Pick<DestinationConfig, 'role' | 'links' | 'payoutMode' | 'rpcUrl'> & {
  readonly upstream: UpstreamClientOptions;
};

function setupOf({ name, role, priority, quota, links }: DestinationConfig): DestinationSetup {
  return { name, role, priority, quota, extranonce1: links.extranonce1 };
}

function shareHashesOf(route: WorkRoute | undefined): number | undefined {
  const difficulty = route === undefined ? undefined : difficultyOf(route, route.at.destination.lastJob);
  return difficulty === undefined ? undefined : Number(workOfTarget(targetOfDifficulty(difficulty)));
}

/** Of every share, where a buyer names it: with the job, or in its terms. */
function difficultyOf({ contract }: WorkRoute, job: UpstreamJob | undefined): number | undefined {
  return contract === undefined ? undefined : (job?.bought?.difficulty ?? contract.difficulty);
}

/** A destination that was removed, and is kept for the shares that are on their way. */
type Leaving = { readonly mined: MinedDestination; readonly keptUntilMs: number; readonly endAtMs: number };

function start({ destination, node }: MinedDestination): void {
  destination.start();
  node?.start();
}

function stop({ destination, node }: MinedDestination): void {
  destination.stop();
  node?.stop();
}
