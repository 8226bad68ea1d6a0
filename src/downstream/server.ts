import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Clock, Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Job } from '../jobs/job.ts';
import type { JobTable } from '../jobs/job-table.ts';
import type { Logger } from '../log/logger.ts';
import { type ShareTarget, shareTargetOf, type Verdict } from '../shares/share.ts';
import { SessionIds } from '../stratum/extranonce.ts';
import { SubmitFields } from '../stratum/submit-parser.ts';
import { PreparedJob } from './prepared-job.ts';
import { Session } from './session.ts';
import type { CloseReason, SessionHost } from './session-host.ts';
import { type DownstreamStats, emptyStats } from './stats.ts';
import type { DownstreamSubmission } from './submission.ts';
import { checkVardiffOptions, type VardiffOptions } from './vardiff.ts';

export type ListenerOptions = {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly difficulty: VardiffOptions;
};

export type DownstreamOptions = {
  readonly listeners: readonly ListenerOptions[];
  /** What miners see; other sizes break firmware. The same as the job table's. */
  readonly extranonce2Size: 4 | 8;
  readonly versionMask: number;
  /** How far ntime may run ahead of its job or the clock, whichever is later. */
  readonly ntimeAheadSeconds?: number;
  readonly subscribeTimeoutMs?: number;
  readonly authorizeTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  /** Session ids rest as long as jobs of their sessions can live. */
  readonly quarantineMs?: number;
  readonly sessions?: number;
  readonly sessionsPerAddress?: number;
  readonly lineBytes?: number;
  readonly writeBytes?: number;
  readonly sharesInFlight?: number;
  /** Refusals without an accepted share between them after which a connection is closed. */
  readonly invalidInRow?: number;
  readonly drainMs?: number;
  /** Reply to `client.get_version`. */
  readonly agentVersion?: string;
};

export type DownstreamDeps = {
  readonly jobs: Pick<JobTable, 'current' | 'isKnown' | 'refresh'>;
  readonly engine: { submit(submission: DownstreamSubmission): void };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The destination of a session that just became ready. */
  readonly route: (session: Session) => string;
  /** Refuses a worker by returning false; all are taken without it. */
  readonly mayAuthorize?: (session: Session, worker: string, password: string) => boolean;
  readonly onAuthorized?: (session: Session, worker: string) => void;
  readonly onClosed?: (session: Session, reason: CloseReason) => void;
};

export type WorkerSnapshot = {
  readonly name: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly acceptedDifficulty: number;
  readonly hashesPerSecond: number;
  /** 0 before the first. */
  readonly lastShareAtMs: number;
};

export type SessionSnapshot = {
  readonly id: number;
  readonly address: string;
  readonly listener: number;
  readonly agentClass: string;
  readonly userAgent: string;
  readonly destination: string;
  readonly workers: readonly WorkerSnapshot[];
  readonly difficulty: number;
  readonly hashesPerSecond: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly inFlight: number;
  readonly versionRolling: boolean;
  readonly connectedAtMs: number;
  readonly lastSeenMs: number;
  readonly lastShareAtMs: number;
};

const SESSION_ID_SIZE = 4;
const TICK_MS = 1000;
const FOLD_TICKS = 5;
/** Bitcoin's own limit on the future of a block's time. */
const NTIME_AHEAD_SECONDS = 7200;
const LINGER_MS = 2000;
const SHARE_TARGETS = 4096;

/** The side the miners see: sockets, sessions, the work they get and the answers to their shares. */
export class DownstreamServer {
  readonly stats: DownstreamStats = emptyStats();
  readonly #options: DownstreamOptions;
  readonly #deps: DownstreamDeps;
  readonly #host: SessionHost;
  readonly #sessionIds: SessionIds;
  readonly #sessions = new Map<number, Session>();
  readonly #byDestination = new Map<string, Set<Session>>();
  readonly #prepared = new Map<string, PreparedJob>();
  readonly #perAddress = new Map<string, number>();
  readonly #shareTargets = new Map<number, ShareTarget>();
  readonly #lingering = new Map<Socket, number>();
  readonly #servers: Server[] = [];
  #dirty: Session[] = [];
  #flushScheduled = false;
  #nextId = 1;
  #inFlight = 0;
  #ticks = 0;
  #foldedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closing = false;
  #onDrained: (() => void) | undefined;

  constructor(options: DownstreamOptions, deps: DownstreamDeps) {
    for (const listener of options.listeners) checkVardiffOptions(listener.difficulty);
    this.#options = options;
    this.#deps = deps;
    this.#sessionIds = new SessionIds(
      { size: SESSION_ID_SIZE, quarantineMs: options.quarantineMs ?? LIMITS.jobAgeMs + 60_000 },
      deps.random,
    );
    this.#host = this.#makeHost();
    this.#foldedAtMs = this.#host.nowMs;
  }

  /** Opens all listeners. Throws `address_in_use`; then none stays open. */
  async listen(): Promise<AddressInfo[]> {
    try {
      for (const [index, listener] of this.#options.listeners.entries()) await this.#open(index, listener);
    } catch (error) {
      for (const server of this.#servers.splice(0)) server.close();
      throw error;
    }
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    return this.addresses();
  }

  /** Where it listens, in the order of the options. */
  addresses(): AddressInfo[] {
    return this.#servers.map((server) => server.address() as AddressInfo);
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

  /** Sends a job to every session of its destination. To be called once a job, right after the table made it. */
  broadcast(job: Job): void {
    this.#host.nowMs = this.#deps.clock.nowMs();
    const prepared = this.#prepare(job);
    for (const session of this.#byDestination.get(job.destination) ?? [])
      session.sendJob(prepared, job.clean);
  }

  /**
   * Moves one session or all to a destination, with its current job if there is one; else its next job moves them. The
   * shares of jobs they had stay valid as long as the table says so.
   */
  assign(which: Session | 'all', destination: string): void {
    this.#host.nowMs = this.#deps.clock.nowMs();
    const sessions = which === 'all' ? [...this.#sessions.values()] : [which];
    for (const session of sessions) {
      if (session.started && !session.closed && session.destination !== destination) {
        this.#move(session, destination);
      }
    }
  }

  /** The engine's verdict on a submission; the reply leaves with all others of the turn. */
  settle(submission: DownstreamSubmission, verdict: Verdict): void {
    this.#inFlight -= 1;
    submission.session.settle(submission, verdict);
    if (this.#inFlight === 0) this.#onDrained?.();
  }

  /** Writes what is queued now instead of at the end of the turn. */
  flush(): void {
    this.#flushScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const session of dirty) session.flush();
  }

  sessions(): SessionSnapshot[] {
    return Array.from(this.#sessions.values(), snapshotOf);
  }

  /** The one timer: timeouts, averages, lingering sockets. Runs every second; tests call it. */
  tick(): void {
    const nowMs = this.#deps.clock.nowMs();
    this.#host.nowMs = nowMs;
    for (const session of this.#sessions.values()) {
      if (this.#isOverdue(session, nowMs)) session.close('idle_timeout');
    }
    this.#ticks += 1;
    if (this.#ticks % FOLD_TICKS === 0 && nowMs > this.#foldedAtMs) {
      for (const session of this.#sessions.values()) session.foldHashrate(nowMs - this.#foldedAtMs);
      this.#foldedAtMs = nowMs;
    }
    for (const [socket, untilMs] of this.#lingering) if (nowMs > untilMs) socket.destroy();
  }

  /** Takes no more connections or shares, answers what is in flight (or gives up after `drainMs`), closes all. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const session of this.#sessions.values()) session.pause();
    await this.#drained();
    clearInterval(this.#timer);
    this.flush();
    for (const session of [...this.#sessions.values()]) session.close('shutdown');
    const cut = setTimeout(() => {
      for (const socket of this.#lingering.keys()) socket.destroy();
    }, LINGER_MS);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  async #drained(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(resolve, this.#options.drainMs ?? 5000);
      this.#onDrained = () => {
        clearTimeout(giveUp);
        resolve();
      };
    });
  }

  #makeHost(): SessionHost {
    const { clock, jobs, engine } = this.#deps;
    const options = this.#options;
    return {
      fields: new SubmitFields(),
      stats: this.stats,
      jobs,
      versionMask: options.versionMask,
      extranonce2Size: options.extranonce2Size,
      ntimeAheadSeconds: options.ntimeAheadSeconds ?? NTIME_AHEAD_SECONDS,
      writeBytes: options.writeBytes ?? LIMITS.sessionWriteBytes,
      sharesInFlight: options.sharesInFlight ?? LIMITS.sessionSharesInFlight,
      lineBytes: options.lineBytes ?? LIMITS.downstreamLineBytes,
      invalidInRow: options.invalidInRow ?? 1000,
      agentVersion: options.agentVersion ?? 'sharestream',
      nowMs: clock.nowMs(),
      markDirty: (session) => this.#markDirty(session),
      allocateSessionId: () => this.#allocateSessionId(),
      sessionIdBytes: (id) => this.#sessionIds.bytesOf(id),
      shareTarget: (difficulty) => this.#shareTarget(difficulty),
      mayAuthorize: (session, worker, password) =>
        this.#deps.mayAuthorize?.(session, worker, password) ?? true,
      onAuthorized: (session, worker) => this.#deps.onAuthorized?.(session, worker),
      onReady: (session) => this.#move(session, this.#deps.route(session)),
      submit: (submission) => {
        this.#inFlight += 1;
        engine.submit(submission);
      },
      onClosed: (session, reason) => this.#onClosed(session, reason),
      linger: (socket) => {
        this.#lingering.set(socket, this.#host.nowMs + LINGER_MS);
        socket.destroySoon();
      },
    };
  }

  async #open(index: number, listener: ListenerOptions): Promise<void> {
    const server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
      (socket) => this.#onConnection(socket, index, listener),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const where = `${listener.host}:${listener.port}`;
        reject(error.code === 'EADDRINUSE' ? new CodedError('address_in_use', where) : error);
      });
      server.listen({ host: listener.host, port: listener.port, backlog: 4096 }, resolve);
    });
    server.on('error', (error) => this.#deps.log.error({ error: error.message }, 'listener failed'));
    this.#servers.push(server);
  }

  #onConnection(socket: Socket, listener: number, options: ListenerOptions): void {
    this.stats.connections += 1;
    const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
    if (!this.#hasRoom(address)) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const session = new Session({ id, address, listener, vardiff: options.difficulty }, socket, this.#host);
    this.#sessions.set(id, session);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    socket.on('data', (chunk: Buffer) => session.onData(chunk));
    socket.on('error', () => session.close('socket_error'));
    socket.on('close', () => {
      session.close('closed_by_miner');
      this.#lingering.delete(socket);
    });
  }

  #hasRoom(address: string): boolean {
    if (this.#closing) return false;
    if (this.#sessions.size >= (this.#options.sessions ?? LIMITS.sessions)) {
      this.stats.limitHits.sessions += 1;
      return false;
    }
    const limit = this.#options.sessionsPerAddress ?? LIMITS.sessionsPerAddress;
    if ((this.#perAddress.get(address) ?? 0) < limit) return true;
    this.stats.limitHits.sessionsPerAddress += 1;
    return false;
  }

  #onClosed(session: Session, reason: CloseReason): void {
    this.stats.closed[reason] = (this.stats.closed[reason] ?? 0) + 1;
    this.#sessions.delete(session.id);
    this.#leave(session);
    const others = (this.#perAddress.get(session.address) ?? 1) - 1;
    if (others === 0) this.#perAddress.delete(session.address);
    else this.#perAddress.set(session.address, others);
    if (session.sessionId !== undefined) this.#sessionIds.release(session.sessionId, this.#host.nowMs);
    if (reason !== 'not_stratum') {
      this.#deps.log.debug({ session: session.id, address: session.address, reason }, 'session closed');
    }
    this.#deps.onClosed?.(session, reason);
  }

  #isOverdue(session: Session, nowMs: number): boolean {
    const { subscribeTimeoutMs, authorizeTimeoutMs, idleTimeoutMs } = this.#options;
    const ageMs = nowMs - session.connectedAtMs;
    if (!session.subscribed && ageMs > (subscribeTimeoutMs ?? 15_000)) return true;
    if (!session.authorized && ageMs > (authorizeTimeoutMs ?? 60_000)) return true;
    return nowMs - session.lastSeenMs > (idleTimeoutMs ?? 15 * 60_000);
  }

  #allocateSessionId(): number | undefined {
    try {
      return this.#sessionIds.allocate(this.#host.nowMs);
    } catch (error) {
      if (error instanceof CodedError) return undefined;
      throw error;
    }
  }

  #markDirty(session: Session): void {
    if (session.dirty) return;
    session.dirty = true;
    this.#dirty.push(session);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => this.flush());
  }

  /** Work a session was already sent would make it find the same shares again, so it gets it with a later ntime. */
  #move(session: Session, destination: string): void {
    this.#leave(session);
    session.destination = destination;
    session.needsClean = true;
    let members = this.#byDestination.get(destination);
    if (members === undefined) {
      members = new Set();
      this.#byDestination.set(destination, members);
    }
    members.add(session);
    const current = this.#deps.jobs.current(destination);
    if (current === undefined) return;
    const job = session.wasSent(current.id)
      ? (this.#deps.jobs.refresh(destination, this.#deps.clock.nowMs()) ?? current)
      : current;
    session.sendJob(this.#prepare(job), true);
  }

  #leave(session: Session): void {
    const members = this.#byDestination.get(session.destination);
    if (members === undefined) return;
    members.delete(session);
    if (members.size === 0) this.#byDestination.delete(session.destination);
  }

  #prepare(job: Job): PreparedJob {
    const known = this.#prepared.get(job.destination);
    if (known?.job === job) return known;
    assert(
      job.extranonceSize === SESSION_ID_SIZE + this.#options.extranonce2Size,
      'job_extranonce_size',
      job.extranonceSize,
    );
    const prepared = new PreparedJob(job);
    this.#prepared.set(job.destination, prepared);
    return prepared;
  }

  #shareTarget(difficulty: number): ShareTarget {
    const known = this.#shareTargets.get(difficulty);
    if (known !== undefined) return known;
    if (this.#shareTargets.size >= SHARE_TARGETS) this.#shareTargets.clear();
    const target = shareTargetOf(difficulty);
    this.#shareTargets.set(difficulty, target);
    return target;
  }
}

function snapshotOf(session: Session): SessionSnapshot {
  const { id, address, listener, userAgent, destination, difficulty, hashesPerSecond } = session;
  const { accepted, rejected, inFlight, versionRolling, connectedAtMs, lastSeenMs, lastShareAtMs } =
    session;
  return {
    ...{ id, address, listener, agentClass: session.agentClass, userAgent, destination },
    workers: session.workers.map((worker) => ({
      name: worker.name,
      accepted: worker.accepted,
      rejected: worker.rejected,
      acceptedDifficulty: worker.acceptedDifficulty,
      hashesPerSecond: worker.hashesPerSecond,
      lastShareAtMs: worker.lastShareAtMs,
    })),
    ...{ difficulty, hashesPerSecond, accepted, rejected, inFlight, versionRolling },
    ...{ connectedAtMs, lastSeenMs, lastShareAtMs },
  };
}
