import type { AddressInfo, Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { assert } from '../../base/assert.ts';
import type { Timer } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Job } from '../../jobs/job.ts';
import { type ShareTarget, shareTargetOf, type Verdict } from '../../shares/share.ts';
import type { SessionIdRange } from '../../stratum/extranonce.ts';
import { SharedFramer } from '../../stratum/framing.ts';
import type { JobId } from '../../stratum/job-id.ts';
import { printPing, printReconnect, printShowMessage } from '../../stratum/server-messages.ts';
import { SubmitFields } from '../../stratum/submit-parser.ts';
import { WriteBatcher } from '../io/write-batcher.ts';
import { checkSanctionOptions, type Sanction } from '../session/bans.ts';
import type { CloseReason } from '../session/close-reason.ts';
import { Identities } from '../session/identities.ts';
import { JobRefresher } from '../session/job-refresher.ts';
import { type SessionFeed, SHARED } from '../session/job-routing.ts';
import { PreparedJob, type SentJob } from '../session/prepared-job.ts';
import { Session, type SessionSubmission } from '../session/session.ts';
import type { SessionContext } from '../session/session-context.ts';
import { dueTimeout } from '../session/session-timeouts.ts';
import { type DownstreamStats, emptyStats } from '../session/stats.ts';
import { checkVardiffOptions } from '../session/vardiff.ts';
import { WorkIdentity } from '../session/work-identity.ts';
import { addressGroup, addressList } from './addresses.ts';
import { Admission } from './admission.ts';
import { Departures } from './departures.ts';
import { HandshakeThrottle } from './handshake-throttle.ts';
import { Listeners } from './listeners.ts';
import {
  DEFAULT_SANCTIONS,
  type DownstreamDeps,
  type DownstreamOptions,
  type LetGoCause,
} from './options.ts';
import { SilentSessions } from './silent-sessions.ts';
import { type SessionSnapshot, snapshotOf } from './snapshot.ts';

const SESSION_ID_SIZE = 4;
const TICK_MS = 1000;
const FOLD_TICKS = 5;
const LINGER_MS = 2000;
const SHARE_TARGETS = 4096;
/** Miners leave after two minutes without a job, some after one. */
const KEEP_ALIVE_MS = 55_000;
/** A connection that said nothing for so long may be gone unseen. */
const SILENT_MS = 10_000;
/** Sessions that leave in a second of a drain, of many an eighth: others are not to be flooded. */
const DRAINED_LEAST = 100;
const DRAINED_PART = 8;
/** A machine that works has earned something after so long. */
const EARNING_MS = 10 * 60_000;
const PING = printPing('"ping"');

/** The side the miners see: sockets, sessions, the work they get and the answers to their shares. */
export class DownstreamServer {
  readonly stats: DownstreamStats = emptyStats();
  #options: DownstreamOptions;
  readonly #deps: DownstreamDeps;
  readonly #context: SessionContext<Session>;
  readonly #identities: Identities<Session>;
  readonly #admission: Admission;
  readonly #listeners: Listeners<Session>;
  readonly #jobRefresher: JobRefresher;
  readonly #workIdentity = new WorkIdentity();
  readonly #sessions = new Map<number, Session>();
  readonly #byDestination = new Map<string, Set<Session>>();
  readonly #prepared = new Map<string, PreparedJob>();
  readonly #shareTargets = new LRUCache<number, ShareTarget>({ max: SHARE_TARGETS });
  readonly #lingering = new Map<Socket, number>();
  readonly #throttled = new Set<Session>();
  readonly #departures = new Departures<Session>((session) => {
    const isLetGo = this.#letGo.has('drained');
    // Who is let go need not come back here, so the operator says whether he is told to come at once.
    const isTold = session.isStarted && (!isLetGo || this.#options.reconnectAtClose === true);
    if (isTold) session.send(printReconnect());
    session.close(isLetGo ? 'let_go' : 'moved');
  });
  readonly #silent = new SilentSessions<Session>({
    sessions: () => this.#sessions.values(),
    onFull: (facts) => {
      const { log } = this.#deps;
      log.warn({ code: 'session_limit', ...facts }, 'connections are at their limit: the silent ones go');
    },
  });
  readonly #writes: WriteBatcher<Session>;
  readonly #handshakes: HandshakeThrottle<Session>;
  #nextId = 1;
  #inFlight = 0;
  /** Names beyond one of each session. */
  #extraWorkers = 0;
  #ticks = 0;
  #foldedAtMs = 0;
  #timer: Timer | undefined;
  readonly #letGo = new Set<LetGoCause>();
  #isClosing = false;
  #onDrained: (() => void) | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: DownstreamOptions, deps: DownstreamDeps) {
    checkOptions(options);
    const { quarantineMs = LIMITS.jobAgeMs + 60_000, resumeMs, resumable } = options;
    this.#options = options;
    this.#deps = deps;
    this.#writes = new WriteBatcher(deps);
    this.#handshakes = new HandshakeThrottle({ timers: deps.timers, limitHits: this.stats.limitHits });
    this.#context = this.#makeContext();
    this.#identities = new Identities(
      {
        ...{ idSize: SESSION_ID_SIZE, quarantineMs },
        ...(resumeMs === undefined ? {} : { resumeMs }),
        ...(resumable === undefined ? {} : { resumable }),
      },
      { random: deps.random, monotonicMs: () => this.#context.monotonicMs },
    );
    this.#admission = new Admission(options, this.stats, this.#context.monotonicMs);
    this.#listeners = new Listeners(options.listeners, {
      log: deps.log,
      mayOpen: () => this.#mayOpen(),
      mayServe: (address) => this.#admission.mayServe(address, this.#context.monotonicMs),
      serve: (socket, address, listener) => this.#onConnection(socket, address, listener),
      onBytes: (session, chunk) => this.#handshakes.onData(session, chunk),
    });
    this.#jobRefresher = new JobRefresher(deps.jobs);
    this.#foldedAtMs = this.#context.monotonicMs;
  }

  /**
   * Other limits, difficulties and certificates. Addresses, masks and sizes stay.
   * @returns what puts them in force. Throws `config_invalid`
   */
  limits(given: Omit<DownstreamOptions, 'extranonce2Size'>): () => void {
    const options = { ...this.#options, ...given };
    checkOptions(options);
    for (const ranges of [options.allow, options.deny]) addressList(ranges ?? []);
    const certify = this.#listeners.certificates(options.listeners);
    return () => {
      const context = this.#readClock();
      this.#options = options;
      context.sanctions = { ...DEFAULT_SANCTIONS, ...options.sanctions };
      context.lineRate = options.lineRate;
      this.#identities.setResuming(options);
      this.#admission.setOptions(options, context.monotonicMs);
      certify();
      for (const session of this.#sessions.values())
        session.setBounds(options.listeners[session.listener]!.difficulty);
    };
  }

  /** The limits in force. */
  get options(): DownstreamOptions {
    return this.#options;
  }

  /** Opens all listeners. Throws as `listen`, or `config_invalid`; then none stays open. */
  async listen(): Promise<AddressInfo[]> {
    await this.#listeners.open();
    this.#timer = this.#deps.timers.every(TICK_MS, () => this.tick());
    return this.addresses();
  }

  /** Where it listens, in the order of the options. */
  addresses(): AddressInfo[] {
    return this.#listeners.addresses();
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  session(id: number): Session | undefined {
    return this.#sessions.get(id);
  }

  /**
   * Sends a job to every session of its destination. To be called once a job, right after the table made
   * it.
   */
  broadcast(job: Job): void {
    this.#readClock();
    const members = this.#byDestination.get(job.destination);
    if (members === undefined) return;
    const prepared = this.#prepare(job);
    for (const session of members) session.sendJob(prepared, job.clean);
  }

  /**
   * Moves one session or all to a destination, with its current job if there is one; else its next job,
   * which is clean, moves them. The shares of jobs they had stay valid as long as the table says so.
   * Sessions that are not ready yet will be routed when they are.
   */
  assign(which: Session | 'all', destination: string): void {
    this.#readClock();
    const sessions = which === 'all' ? [...this.#sessions.values()] : [which];
    for (const session of sessions) {
      if (session.isStarted && !session.isClosed && session.destination !== destination) {
        this.#move(session, destination);
      }
    }
  }

  /**
   * What a session waits for, or the same feed with another extranonce: its miner is told before the next
   * job. The feed's current job has to be in the table.
   * @returns true when the feed is new to the session, which got its current job or will when it is ready
   */
  feed(id: number, feed: SessionFeed): boolean {
    const session = this.#sessions.get(id);
    if (session === undefined) return false;
    this.#readClock();
    const isNew = session.feed?.name !== feed.name;
    if (isNew && session.isStarted) this.#join(session, feed.name, feed);
    else if (!session.changeFeed(feed)) this.reconnect(session);
    return isNew;
  }

  /** Ends a session whose miner is to come back by another connection, once its shares are answered. */
  reconnect(session: Session): void {
    this.#departures.begin(session, this.#readClock().monotonicMs);
  }

  /** The engine's verdict on a submission; the reply leaves with all others of the turn. */
  settle(submission: SessionSubmission, verdict: Verdict): void {
    this.#inFlight -= 1;
    const { session } = submission;
    session.settle(submission, verdict);
    this.#departures.answered(session);
    if (this.#inFlight === 0) this.#onDrained?.();
  }

  /** Writes what is queued now instead of at the end of the turn. */
  flush(): void {
    this.#writes.flush();
  }

  /** @param most so many at most, the oldest; default all */
  sessions(most = Number.POSITIVE_INFINITY): SessionSnapshot[] {
    const now = this.#readClock();
    const out: SessionSnapshot[] = [];
    for (const session of this.#sessions.values()) {
      if (out.length >= most) break;
      out.push(snapshotOf(session, now));
    }
    return out;
  }

  /** Shows a text to the owner of one miner or of all, where the firmware can. */
  showMessage(which: Session | 'all', text: string): void {
    const line = printShowMessage(text);
    for (const session of which === 'all' ? this.#sessions.values() : [which]) {
      if (session.isStarted) session.send(line);
    }
  }

  /** The one timer: timeouts, jobs for who waits, averages, lingering sockets. Runs every second. */
  tick(): void {
    const { monotonicMs } = this.#readClock();
    for (const session of this.#sessions.values()) {
      const timeout = dueTimeout(session, this.#options, monotonicMs);
      if (timeout === 'end') session.close('idle_timeout');
      else if (timeout === 'ping' && session.isStarted) {
        session.isPinged = true;
        session.send(PING);
      }
    }
    this.#keepAlive(monotonicMs);
    for (const session of this.#throttled) {
      if (this.#isClosing || !session.isInBudget()) continue;
      this.#throttled.delete(session);
      session.resume();
    }
    if (this.#letGo.has('drained')) this.#drainSome();
    this.#departures.tick(monotonicMs);
    this.#listeners.tick(monotonicMs);
    this.stats.badProxyHeaders = this.#listeners.stats.badProxyHeaders;
    this.#admission.tick(monotonicMs);
    this.#ticks += 1;
    if (this.#ticks % FOLD_TICKS === 0 && monotonicMs > this.#foldedAtMs) {
      for (const session of this.#sessions.values()) session.foldHashrate(monotonicMs - this.#foldedAtMs);
      this.#foldedAtMs = monotonicMs;
      this.#identities.expire();
      this.stats.limitHits.resumableSessions = this.#identities.stats.forgotten;
    }
    for (const [socket, untilMs] of this.#lingering) if (monotonicMs > untilMs) socket.destroy();
  }

  /**
   * Closes all connections, and every new one at once, so that miners go to their own backups; until
   * `takeBack` was called for each cause.
   */
  letGo(cause: LetGoCause): void {
    this.#letGo.add(cause);
    this.#readClock();
    this.flush();
    for (const session of [...this.#sessions.values()]) session.close('let_go');
  }

  /**
   * Takes no more connections, and has the sessions leave a few at a time, each once its shares are answered.
   * Resolves when the last is gone. It is for good.
   */
  async drain(): Promise<void> {
    this.#letGo.add('drained');
    this.#drainSome();
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#sessions.size === 0 || this.#isClosing) resolve();
    });
  }

  #drainSome(): void {
    const most = Math.max(DRAINED_LEAST, Math.ceil(this.#sessions.size / DRAINED_PART));
    for (const session of [...this.#sessions.values()].slice(0, most)) this.reconnect(session);
  }

  /**
   * New session ids, which are extranonce1s, are of this range from now on.
   * @param isLost somebody else may have the range before: sessions with ids of it leave
   */
  setSessionIds(range: SessionIdRange | undefined, isLost: boolean): void {
    const before = this.#identities.setRange(range);
    if (isLost) for (const session of before) this.reconnect(session);
  }

  /** Serves miners again, as far as this cause goes; false where they were not let go for it. */
  takeBack(cause: LetGoCause): boolean {
    return this.#letGo.delete(cause);
  }

  /** Why miners are not served; undefined while they are. */
  get letGoCause(): LetGoCause | undefined {
    return this.#letGo.values().next().value;
  }

  /**
   * Takes no more connections or shares, answers what is in flight (or gives up after `drainMs`), closes
   * all.
   */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const closed = this.#listeners.close();
    for (const session of this.#sessions.values()) session.pause();
    await this.#drained();
    this.#timer?.cancel();
    this.flush();
    for (const session of [...this.#sessions.values()]) {
      if (this.#options.reconnectAtClose === true) session.send(printReconnect());
      session.close('shutdown');
    }
    const cut = this.#deps.timers.after(LINGER_MS, () => {
      for (const socket of this.#lingering.keys()) socket.destroy();
    });
    await closed;
    cut.cancel();
  }

  async #drained(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      const giveUp = this.#deps.timers.after(this.#options.drainMs ?? 5000, resolve);
      this.#onDrained = () => {
        giveUp.cancel();
        resolve();
      };
    });
  }

  #makeContext(): SessionContext<Session> {
    const { clock, jobs, engine } = this.#deps;
    const options = this.#options;
    return {
      fields: new SubmitFields(),
      framer: new SharedFramer(options.lineBytes ?? LIMITS.downstreamLineBytes),
      stats: this.stats,
      jobs,
      versionMask: options.versionMask,
      unaskedMask: (listener) =>
        options.listeners[listener]!.takesUnaskedVersions === true ? options.versionMask : 0,
      extranonce2Size: options.extranonce2Size,
      writeBytes: options.writeBytes ?? LIMITS.sessionWriteBytes,
      sharesInFlight: options.sharesInFlight ?? LIMITS.sessionSharesInFlight,
      sanctions: { ...DEFAULT_SANCTIONS, ...options.sanctions },
      lineRate: options.lineRate,
      agentVersion: options.agentVersion ?? 'sharestream',
      ...{ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() },
      markDirty: (session) => this.#writes.mark(session),
      identify: (session, token) => this.#identify(session, token),
      prepareSubscribe: (session) => this.#prepareSubscribe(session),
      sentBefore: (jobId, difficulty) => this.#sentBefore(jobId, difficulty),
      shareTarget: (difficulty) => this.#shareTarget(difficulty),
      mayAuthorize: (session, worker, password) =>
        this.#hasRoomFor(session, worker) && (this.#deps.mayAuthorize?.(session, worker, password) ?? true),
      onAuthorized: (session, worker) => {
        if (session.workers.length > 1) this.#extraWorkers += 1;
        this.#deps.onAuthorized?.(session, worker);
      },
      onReady: (session) => this.#onReady(session),
      submit: (submission) => {
        this.#inFlight += 1;
        engine.submit(submission);
      },
      onInvalid: (session, step) => this.#onInvalid(session, step),
      onThrottled: (session) => {
        this.stats.limitHits.sessionLinesPerSecond += 1;
        this.#throttled.add(session);
        session.pause();
      },
      onClosed: (session, reason) => this.#onClosed(session, reason),
      linger: (socket) => {
        this.#lingering.set(socket, this.#context.monotonicMs + LINGER_MS);
        socket.destroySoon();
      },
    };
  }

  /** The first name of a session has room, and one it has already. */
  #hasRoomFor({ workers }: Session, worker: string): boolean {
    const isExtra = workers.length > 0 && workers.every(({ name }) => name !== worker);
    if (!isExtra || this.#extraWorkers < (this.#options.extraWorkers ?? LIMITS.extraWorkers)) return true;
    this.stats.limitHits.extraWorkers += 1;
    return false;
  }

  #readClock(): SessionContext<Session> {
    this.#context.nowMs = this.#deps.clock.nowMs();
    this.#context.monotonicMs = this.#deps.clock.monotonicMs();
    return this.#context;
  }

  #mayOpen(): boolean {
    this.stats.connections += 1;
    if (this.#isClosing) return false;
    if (this.#letGo.size > 0) {
      this.stats.connectionsRefused += 1;
      this.stats.refusedLetGo += 1;
      return false;
    }
    const open = (): number => this.#sessions.size + this.#listeners.pending;
    if (this.#admission.isFull(open())) this.#silent.makeRoom(this.#readClock().monotonicMs);
    return this.#admission.mayOpen(open());
  }

  #onConnection(socket: Socket, address: string, listener: number): Session {
    const id = this.#nextId;
    this.#nextId += 1;
    const vardiff = this.#options.listeners[listener]!.difficulty;
    const session = new Session({ id, address, listener, vardiff }, socket, this.#context);
    this.#sessions.set(id, session);
    this.#admission.addSession(address);
    socket.on('close', (hadError: boolean) => {
      session.close(hadError ? 'socket_error' : 'closed_by_miner');
      this.#lingering.delete(socket);
    });
    return session;
  }

  #onClosed(session: Session, reason: CloseReason): void {
    this.stats.closed[reason] = (this.stats.closed[reason] ?? 0) + 1;
    this.#sessions.delete(session.id);
    this.#extraWorkers -= Math.max(0, session.workers.length - 1);
    this.#leave(session);
    this.#throttled.delete(session);
    this.#departures.forget(session);
    this.#admission.removeSession(session.address);
    if (session.identity !== undefined) {
      const mayResume = session.isStarted && reason !== 'banned' && !this.#isClosing;
      this.#identities.leave(session.identity, mayResume ? session.memory() : undefined);
    }
    if (this.#sessions.size === 0) this.#onEmpty?.();
    if (reason !== 'not_stratum') {
      this.#deps.log.debug({ session: session.id, address: session.address, reason }, 'session closed');
    }
    this.#deps.onClosed?.(session, reason);
  }

  /**
   * A known session id gives back what the miner had: what an earlier connection left, or what one holds
   * that is silent, since its end may not have been seen. One that speaks keeps it.
   */
  #identify(session: Session, token: string | undefined): ReturnType<SessionContext<Session>['identify']> {
    if (token !== undefined) {
      const holder = this.#identities.holderOf(token);
      if (holder !== undefined && this.#context.monotonicMs - holder.seenAtMonotonicMs >= SILENT_MS)
        holder.close('resumed');
      const before = this.#identities.resume(token, session);
      if (before !== undefined) {
        this.stats.resumed += 1;
        return before;
      }
    }
    const identity = this.#identities.open(session);
    return identity === undefined ? undefined : { identity };
  }

  #sentBefore(jobId: JobId, difficulty: number): SentJob | undefined {
    const job = this.#deps.jobs.byId(jobId);
    if (job === undefined) return undefined;
    return { job, target: this.#shareTarget(difficulty), work: this.#workIdentity.keyOf(job) };
  }

  /** An address behind which others earn is not banned for one of its machines. */
  #onInvalid(session: Session, step: Exclude<Sanction, 'none'>): void {
    const { address } = session;
    const { monotonicMs } = this.#context;
    if (step === 'resend') {
      if (session.isStarted && !session.isClosed) this.#sendWork(session);
      return;
    }
    if (step === 'reconnect') session.send(printReconnect());
    if (step === 'evict') this.stats.limitHits.downstreamGarbageLines += 1;
    const isBanned = step === 'ban' || this.#admission.strike(address, monotonicMs);
    if (isBanned || step === 'evict') session.close('banned');
    if (!isBanned) return;
    const group = addressGroup(address);
    const isHonest = (other: Session): boolean =>
      other !== session && addressGroup(other.address) === group && this.#seemsHonest(other);
    if ([...this.#sessions.values()].some(isHonest)) this.#admission.forgive(address);
    else this.#admission.ban(address, monotonicMs);
  }

  /** It has earned, or has work, sent nothing that is wrong, and had no time to earn yet. */
  #seemsHonest(session: Session): boolean {
    if (session.accepted > 0) return true;
    const ageMs = this.#context.monotonicMs - session.connectedAtMonotonicMs;
    return session.isStarted && session.rejected === 0 && ageMs < EARNING_MS;
  }

  /** Those of a destination get the same job again at the same time, however long ago each got its last. */
  #keepAlive(monotonicMs: number): void {
    const waitMs = this.#options.keepAliveMs ?? KEEP_ALIVE_MS;
    for (const [destination, sessions] of this.#byDestination) {
      let oldestMs = monotonicMs;
      for (const session of sessions) oldestMs = Math.min(oldestMs, session.jobAtMonotonicMs);
      const isDue = monotonicMs - oldestMs >= waitMs;
      const job = isDue ? this.#jobRefresher.refresh(destination, monotonicMs) : undefined;
      if (job === undefined) continue;
      this.stats.keepAlives += 1;
      const prepared = this.#prepare(job);
      for (const session of sessions) session.sendJob(prepared, false);
    }
  }

  /** Who waits for a feed keeps its connection and nothing to do. */
  #move(session: Session, destination: string): void {
    const routing = this.#deps.chooseRouting?.(session, destination) ?? SHARED;
    switch (routing.type) {
      case 'shared':
        this.#join(session, destination);
        return;
      case 'fed':
        this.#join(session, routing.feed.name, routing.feed);
        return;
      case 'waiting':
        this.#leave(session);
        session.destination = destination;
        return;
      case 'reconnect':
        this.reconnect(session);
        return;
      case 'refused':
        if (routing.instead !== undefined) this.assign(session, routing.instead);
        return;
      case 'stay':
    }
  }

  #onReady(session: Session): void {
    const { feed } = session;
    if (feed === undefined) this.#move(session, this.#deps.route(session));
    else this.#join(session, feed.name, feed);
  }

  #prepareSubscribe(session: Session): 'ready' | 'waiting' {
    const routing = this.#deps.chooseRouting?.(session, this.#deps.route(session)) ?? SHARED;
    if (routing.type === 'fed') session.feed = routing.feed;
    if (routing.type === 'refused' && routing.instead === undefined) session.close('session_limit');
    return routing.type === 'waiting' ? 'waiting' : 'ready';
  }

  #join(session: Session, destination: string, feed?: SessionFeed): void {
    this.#leave(session);
    if (!session.changeFeed(feed)) {
      this.reconnect(session);
      return;
    }
    session.destination = destination;
    const members = this.#byDestination.get(destination) ?? new Set();
    this.#byDestination.set(destination, members.add(session));
    this.#sendWork(session);
  }

  /**
   * Work a session was already sent, by this job or by one of another destination for the same upstream work,
   * would make it find the same shares again, so it gets it with a later ntime where that is possible.
   */
  #sendWork(session: Session): void {
    const { destination } = session;
    const current = this.#deps.jobs.current(destination);
    if (current === undefined) return;
    const prepared = this.#prepare(current);
    const wasSent = session.wasSent(prepared);
    const refreshed = wasSent
      ? this.#jobRefresher.refresh(destination, this.#deps.clock.monotonicMs())
      : undefined;
    session.sendJob(refreshed === undefined ? prepared : this.#prepare(refreshed), true, wasSent);
  }

  #leave(session: Session): void {
    const members = this.#byDestination.get(session.destination);
    if (members === undefined) return;
    members.delete(session);
    if (members.size > 0) return;
    this.#byDestination.delete(session.destination);
    this.#prepared.delete(session.destination);
    if (session.destination === session.feed?.name) this.#jobRefresher.forget(session.destination);
  }

  #prepare(job: Job): PreparedJob {
    const known = this.#prepared.get(job.destination);
    if (known?.job === job) return known;
    assert(
      job.minerExtranonce1Size !== undefined ||
        job.extranonceSize === SESSION_ID_SIZE + this.#options.extranonce2Size,
      'job_extranonce_size',
      job.extranonceSize,
    );
    const work = { key: this.#workIdentity.keyOf(job), isRepeat: this.#workIdentity.isRepeat(job) };
    const prepared = new PreparedJob(job, work);
    this.#prepared.set(job.destination, prepared);
    return prepared;
  }

  #shareTarget(difficulty: number): ShareTarget {
    const known = this.#shareTargets.get(difficulty);
    if (known !== undefined) return known;
    const target = shareTargetOf(difficulty);
    this.#shareTargets.set(difficulty, target);
    return target;
  }
}

/** Throws unless bounds and steps are in order. */
function checkOptions({ listeners, sanctions }: DownstreamOptions): void {
  for (const { difficulty } of listeners) checkVardiffOptions(difficulty);
  checkSanctionOptions({ ...DEFAULT_SANCTIONS, ...sanctions });
}
