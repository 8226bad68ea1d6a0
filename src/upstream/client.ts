import * as net from 'node:net';
import * as tls from 'node:tls';
import { type Backoff, backoffMs } from '../base/backoff.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { type DialTarget, dial } from '../base/dial.ts';
import type { ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Logger } from '../log/logger.ts';
import { type Extranonce, isSameExtranonce } from '../stratum/extranonce.ts';
import { LineFramer, type LineSink } from '../stratum/framing.ts';
import { DEFAULT_VERSION_MASK } from '../stratum/version-rolling.ts';
import { PROFILES, type ShareTargetRule, type UpstreamProfile } from './profile.ts';
import { type ResumePoint, type SessionEffect, type SessionOptions, UpstreamSession } from './session.ts';
import { newUpstreamStats, type UpstreamStats } from './stats.ts';
import type { SentShare, UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';
import { type ReadingState, type VersionReadingOption, VersionReadingTracker } from './version-reading.ts';
import { WorkShape } from './work-shape.ts';

export type UpstreamTls = {
  /** Certificates to trust instead of the system's, PEM. */
  readonly caPem?: string;
  /** The name the certificate must carry; the host by default. */
  readonly serverName?: string;
  /** False accepts any certificate. */
  readonly verify?: boolean;
};

export type UpstreamTimeouts = {
  readonly connectMs: number;
  /** For configure, subscribe and authorize, each. */
  readonly requestMs: number;
  readonly submitMs: number;
  /** Without a line for this long the connection is taken for dead. */
  readonly silenceMs: number;
  /** A connection up for this long forgets earlier failures. */
  readonly stableMs: number;
  /** Shares unanswered for this long are not sent again after a resume. */
  readonly resumeMs: number;
  /** How often time-outs are looked at. */
  readonly tickMs: number;
};

export type UpstreamClientOptions = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: UpstreamTls;
  readonly worker: string;
  readonly password: string;
  readonly userAgent: string;
  readonly profile: UpstreamProfile;
  /**
   * Version bits to ask for; BIP320's by default. 0 leaves `mining.configure` out: old pools may hang up
   * on it.
   */
  readonly versionMask?: number;
  /** How this upstream reads version bits; `replace` (BIP310) by default, `auto` learns it. */
  readonly versionReading?: VersionReadingOption;
  /** Take up the session of a lost connection, with its unanswered shares; by default as the profile says. */
  readonly resume?: boolean;
  /** Ask for `set_extranonce`. Some pools hang up on the question, so not by default. */
  readonly extranonceSubscribe?: boolean;
  /** A difficulty to ask for; the upstream may ignore it. Never sent to a Braidpool node. */
  readonly suggestDifficulty?: number;
  /** Jobs given out per second; of what comes faster only the newest. */
  readonly jobsPerSecond?: number;
  /** Which shares are wanted while the upstream has sent no difficulty; the profile's by default. */
  readonly shareTarget?: ShareTargetRule;
  /** Follow `client.reconnect` to another host. */
  readonly allowRedirect?: boolean;
  readonly timeouts?: Partial<UpstreamTimeouts>;
  readonly backoff?: Partial<Backoff>;
};

/** What a client tells. Callbacks run in order and may call the client. */
export type UpstreamListener = {
  /** Authorised: shares can be sent. The first job follows. */
  readonly onUp?: () => void;
  /** No longer authorised; the client is trying again by itself unless it was stopped. */
  readonly onDown?: (code: ErrorCode, detail: string) => void;
  readonly onJob?: (job: UpstreamJob) => void;
  readonly onVerdict?: (verdict: UpstreamVerdict, share: UpstreamShare) => void;
  /** A new difficulty, in force from the next job. */
  readonly onDifficulty?: (difficulty: number) => void;
  /** A request was answered after this time. */
  readonly onRtt?: (rttMs: number) => void;
};

export type UpstreamClientDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly listener: UpstreamListener;
  /** Counted into; several clients of one destination may share it. */
  readonly stats?: UpstreamStats;
};

const TIMEOUTS: Omit<UpstreamTimeouts, 'silenceMs'> = {
  connectMs: 10_000,
  requestMs: 10_000,
  submitMs: 30_000,
  stableMs: 60_000,
  resumeMs: 120_000,
  tickMs: 250,
};

const BACKOFF: Backoff = { baseMs: 1_000, maxMs: 60_000 };

/** Log lines one connection may cause by what it sends; the counters show the rest. */
const NOTICES = 8;

type Connection = {
  /** Undefined until an address of the host answered. */
  socket: net.Socket | undefined;
  /** Gives up what is tried. */
  cancelDial: () => void;
  readonly session: UpstreamSession;
  readonly framer: LineFramer;
  readonly startedAtMs: number;
  isConnected: boolean;
  upAtMs: number | undefined;
  /** It gave out a job. */
  hasWork: boolean;
  out: string;
  /** Lines this upstream made us log. */
  notices: number;
};

/**
 * A miner towards one pool or node: keeps one connection, gives out its jobs, sends it shares. Reconnects
 * for ever with exponential back-off and jitter. Nothing here blocks or throws for what the other side
 * does.
 */
export class UpstreamClient {
  readonly stats: UpstreamStats;
  readonly #options: UpstreamClientOptions;
  readonly #timeouts: UpstreamTimeouts;
  readonly #backoff: Backoff;
  readonly #deps: UpstreamClientDeps;
  readonly #log: Logger;
  readonly #reading: VersionReadingTracker;
  readonly #shape = new WorkShape();
  #resume: ResumePoint | undefined;
  #ticker: Timer | undefined;
  #connection: Connection | undefined;
  #attempt = 0;
  #nextAttemptAtMs = 0;
  #redirect: DialTarget | undefined;
  #lastFailure: string | undefined;

  constructor(options: UpstreamClientOptions, deps: UpstreamClientDeps) {
    this.stats = deps.stats ?? newUpstreamStats();
    this.#options = options;
    this.#reading = new VersionReadingTracker(options.versionReading ?? 'replace');
    this.#timeouts = { ...TIMEOUTS, silenceMs: PROFILES[options.profile].silenceMs, ...options.timeouts };
    this.#backoff = { ...BACKOFF, ...options.backoff };
    this.#deps = deps;
    this.#log = deps.log.child({ upstream: options.name });
  }

  get name(): string {
    return this.#options.name;
  }

  /** Authorised and connected. */
  get up(): boolean {
    return this.#connection?.session.phase === 'up';
  }

  /** The extranonce of the jobs being given out; undefined before the subscribe reply. */
  get extranonce(): Extranonce | undefined {
    return this.#connection?.session.extranonce;
  }

  /** The difficulty of the jobs being given out; undefined when the upstream sent none. */
  get difficulty(): number | undefined {
    return this.#connection?.session.difficulty;
  }

  /** Version bits granted; undefined without version rolling. */
  get versionMask(): number | undefined {
    return this.#connection?.session.versionMask;
  }

  /** Without a verdict: sent, or waiting for the session to be resumed. */
  get sharesInFlight(): number {
    return this.#connection?.session.sharesInFlight ?? this.#resume?.shares.length ?? 0;
  }

  /** How version bits are read; under `auto`, what is assumed now. */
  get versionReading(): { readonly option: VersionReadingOption } & ReadingState {
    return { option: this.#reading.option, ...this.#reading.state };
  }

  /** Time since this connection's last `mining.notify`; undefined before the first. */
  get jobAgeMs(): number | undefined {
    const at = this.#connection?.session.notifiedAtMs;
    return at === undefined ? undefined : this.#now() - at;
  }

  /** How often its jobs took another shape lately, over all connections: see `WorkShape`. */
  get shapeChanges(): number {
    return this.#shape.changes(this.#now());
  }

  /** Why the last connection or attempt ended; undefined while nothing failed. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  /** Begins to connect. Idempotent. */
  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = this.#deps.timers.every(this.#timeouts.tickMs, () => this.#tick());
    this.#nextAttemptAtMs = this.#now();
    this.#tick();
  }

  /** Closes the connection for good; shares in flight are resolved as lost. Idempotent. */
  stop(): void {
    if (this.#ticker === undefined) return;
    this.#ticker.cancel();
    this.#ticker = undefined;
    const connection = this.#connection;
    if (connection !== undefined) this.#end(connection, 'upstream_closed', 'stopped');
    this.#loseResume(() => true);
    this.#resume = undefined;
  }

  /**
   * Sends a share at once; never blocks. `done` and `onVerdict` are called exactly once each, never from
   * within this call. A share that cannot be sent (no connection, or its job is of another one) is `lost`,
   * unless the session may yet be resumed: then it waits.
   */
  submit(share: UpstreamShare, done?: VerdictCallback): void {
    const connection = this.#connection;
    if (connection === undefined) {
      this.#submitLater({ share, done, sentAtMs: this.#now(), guess: undefined, isResent: false });
      return;
    }
    for (const effect of connection.session.submit(share, done, this.#now())) {
      if (effect.type === 'verdict') queueMicrotask(() => this.#run(connection, effect));
      else this.#run(connection, effect);
    }
  }

  #submitLater(sent: SentShare): void {
    const resume = this.#resume;
    const room = resume !== undefined && resume.shares.length < LIMITS.upstreamSharesInFlight;
    if (room && this.#ticker !== undefined && isSameExtranonce(sent.share.job, resume.extranonce))
      this.#resume = { ...resume, shares: [...resume.shares, sent] };
    else this.#lose(sent, queueMicrotask);
  }

  #loseResume(isLost: (sent: SentShare) => boolean): void {
    const resume = this.#resume;
    if (resume === undefined || !resume.shares.some(isLost)) return;
    this.#resume = { ...resume, shares: resume.shares.filter((sent) => !isLost(sent)) };
    for (const sent of resume.shares.filter(isLost)) this.#lose(sent);
  }

  #lose({ share, done }: SentShare, when = (run: () => void): void => run()): void {
    this.stats.lost += 1;
    const verdict = {
      outcome: 'lost',
      code: undefined,
      reason: 'upstream_closed',
      rttMs: undefined,
    } as const;
    when(() => this.#deliverVerdict(verdict, share, done));
  }

  #now(): number {
    return this.#deps.clock.monotonicMs();
  }

  #tick(): void {
    const now = this.#now();
    const connection = this.#connection;
    if (connection === undefined) {
      this.#loseResume((sent) => now - sent.sentAtMs > this.#timeouts.resumeMs);
      if (now >= this.#nextAttemptAtMs) this.#connect(now);
      return;
    }
    if (!connection.isConnected) {
      if (now - connection.startedAtMs >= this.#timeouts.connectMs)
        this.#end(connection, 'upstream_timeout', 'no connection');
      return;
    }
    this.#runAll(connection, connection.session.tick(now));
  }

  #connect(now: number): void {
    const { host, port, tls: secure } = this.#options;
    const address = this.#redirect ?? { host, port };
    this.#redirect = undefined;
    this.stats.connects += 1;
    const session = new UpstreamSession(this.#sessionOptions(), { stats: this.stats });
    const connection: Connection = {
      socket: undefined,
      cancelDial: () => {},
      session,
      framer: new LineFramer(LIMITS.upstreamLineBytes),
      startedAtMs: now,
      isConnected: false,
      upAtMs: undefined,
      hasWork: false,
      out: '',
      notices: 0,
    };
    this.#connection = connection;
    this.#resume = undefined;
    connection.cancelDial = dial(address, { timers: this.#deps.timers }, ({ socket, error }) => {
      if (socket === undefined) this.#end(connection, 'upstream_closed', error.message);
      else if (secure === undefined) {
        this.#attachHandlers(connection, socket);
        this.#onConnected(connection);
      } else {
        const outer = secureSocket(socket, host, secure);
        this.#attachHandlers(connection, outer);
        outer.once('secureConnect', () => this.#onConnected(connection));
      }
    });
  }

  #sessionOptions(): SessionOptions {
    const options = this.#options;
    const { worker, password, userAgent, profile } = options;
    const traits = PROFILES[profile];
    const { requestMs, submitMs, silenceMs, resumeMs } = this.#timeouts;
    return {
      worker,
      password,
      userAgent,
      profile,
      versionMask: options.versionMask ?? DEFAULT_VERSION_MASK,
      reading: this.#reading,
      shareTarget: options.shareTarget ?? traits.shareTarget,
      requestTimeoutMs: requestMs,
      submitTimeoutMs: submitMs,
      silenceMs,
      jobsPerSecond: options.jobsPerSecond ?? LIMITS.upstreamJobsPerSecond,
      extranonceSubscribe: options.extranonceSubscribe ?? false,
      suggestDifficulty: options.suggestDifficulty,
      resumeMs: (options.resume ?? traits.resumes) ? resumeMs : 0,
      resume: this.#resume,
    };
  }

  #onConnected(connection: Connection): void {
    if (this.#connection !== connection) return;
    connection.isConnected = true;
    this.#runAll(connection, connection.session.start(this.#now()));
  }

  #attachHandlers(connection: Connection, socket: net.Socket): void {
    connection.socket = socket;
    let failure = 'closed by the other side';
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    const sink = this.#lineSink(connection);
    socket.on('data', (chunk: Buffer) => {
      this.stats.bytesIn += chunk.length;
      if (this.#connection === connection) connection.framer.push(chunk, sink);
    });
    socket.on('error', (error) => {
      failure = error.message;
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#end(connection, 'upstream_closed', failure));
  }

  #lineSink(connection: Connection): LineSink {
    return {
      onLine: (bytes, start, end) => {
        const line = bytes.subarray(start, end);
        this.#runAll(connection, connection.session.receive(line, this.#now()));
        return this.#connection === connection;
      },
      onLineTooLong: () => {
        this.stats.garbageLines += 1;
        this.#onDropped(connection, { why: 'too long', sample: '' });
        this.#end(connection, 'upstream_protocol', `a line of more than ${LIMITS.upstreamLineBytes} bytes`);
        return false;
      },
    };
  }

  #runAll(connection: Connection, effects: readonly SessionEffect[]): void {
    for (const effect of effects) this.#run(connection, effect);
  }

  #run(connection: Connection, effect: SessionEffect): void {
    if (effect.type === 'verdict') this.#deliverVerdict(effect.verdict, effect.share, effect.done);
    else if (this.#connection === connection) this.#runLive(connection, effect);
  }

  #runLive(connection: Connection, effect: Exclude<SessionEffect, { type: 'verdict' }>): void {
    const { listener } = this.#deps;
    switch (effect.type) {
      case 'send':
        this.#send(connection, effect.line);
        return;
      case 'close':
        this.#end(connection, effect.code, effect.detail);
        return;
      case 'up':
        connection.upAtMs = this.#now();
        listener.onUp?.();
        return;
      case 'job':
        this.#onJob(connection, effect.job);
        return;
      case 'mask':
        this.#onMask(effect.mask);
        return;
      case 'dropped':
        this.#onDropped(connection, effect);
        return;
      case 'difficulty':
        listener.onDifficulty?.(effect.difficulty);
        return;
      case 'rtt':
        listener.onRtt?.(effect.rttMs);
        return;
      case 'message':
        if (this.#mayNotice(connection)) this.#log.info({ text: effect.text }, 'message from the upstream');
        return;
      case 'reconnect':
        this.#onReconnect(connection, effect);
        return;
    }
  }

  #onJob(connection: Connection, job: UpstreamJob): void {
    const { versionMask } = connection.session;
    if (!connection.hasWork) this.#log.info({ versionMask }, 'upstream is up');
    connection.hasWork = true;
    this.#shape.see(job.extranonce2Size, versionMask ?? 0, this.#now());
    this.#deps.listener.onJob?.(job);
  }

  /** Without version bits most machines hash slower: nobody should have to guess why. */
  #onMask(mask: number | undefined): void {
    const asked = this.#options.versionMask ?? DEFAULT_VERSION_MASK;
    if (mask === undefined || mask === 0)
      this.#log.warn({ code: 'upstream_protocol', asked }, 'the upstream grants no version rolling');
  }

  #onDropped(
    connection: Connection,
    { why, sample }: { readonly why: string; readonly sample: string },
  ): void {
    if (this.#mayNotice(connection))
      this.#log.warn({ code: 'upstream_protocol', why, sample }, 'a line of the upstream is dropped');
  }

  #deliverVerdict(verdict: UpstreamVerdict, share: UpstreamShare, done: VerdictCallback | undefined): void {
    if (verdict.outcome !== 'accepted')
      this.#log.debug(
        {
          outcome: verdict.outcome,
          code: verdict.code,
          reason: verdict.reason,
          job: share.job.upstreamJobId,
        },
        'upstream did not accept a share',
      );
    done?.(verdict);
    this.#deps.listener.onVerdict?.(verdict, share);
  }

  /** What is sent in one turn of the event loop leaves in one write. */
  #send(connection: Connection, line: string): void {
    if (connection.out === '') queueMicrotask(() => this.#flush(connection));
    connection.out += line;
  }

  #flush(connection: Connection): void {
    const { socket, out } = connection;
    connection.out = '';
    if (this.#connection !== connection || socket?.writable !== true) return;
    this.stats.bytesOut += out.length;
    socket.write(out);
    if (socket.writableLength > LIMITS.upstreamWriteBytes)
      this.#end(connection, 'upstream_timeout', 'does not read what it is sent');
  }

  #mayNotice(connection: Connection): boolean {
    connection.notices += 1;
    return connection.notices <= NOTICES;
  }

  #onReconnect(
    connection: Connection,
    to: { readonly host: string | undefined; readonly port: number | undefined; readonly waitMs: number },
  ): void {
    const { host, port, allowRedirect } = this.#options;
    const sameHost = to.host === undefined || to.host.toLowerCase() === host.toLowerCase();
    if (!sameHost && allowRedirect !== true) {
      this.stats.redirectsRefused += 1;
      if (this.#mayNotice(connection))
        this.#log.warn({ code: 'upstream_protocol', to: to.host }, 'redirect to another host not followed');
      return;
    }
    this.#end(connection, 'upstream_closed', 'client.reconnect');
    this.#redirect = { host: to.host ?? host, port: to.port ?? port };
    const waitMs = Math.min(to.waitMs, this.#backoff.maxMs);
    this.#nextAttemptAtMs = Math.max(this.#nextAttemptAtMs, this.#now() + waitMs);
  }

  #end(connection: Connection, code: ErrorCode, detail: string): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    const now = this.#now();
    const { session, socket, upAtMs } = connection;
    if (this.#ticker !== undefined) this.#resume = session.detach();
    const effects = session.closed();
    connection.cancelDial();
    socket?.destroy();
    if (upAtMs !== undefined && now - upAtMs >= this.#timeouts.stableMs) this.#attempt = 0;
    this.#nextAttemptAtMs = now + backoffMs(this.#backoff, this.#attempt, this.#deps.random);
    this.#attempt += 1;
    this.stats.disconnects[code] = (this.stats.disconnects[code] ?? 0) + 1;
    this.#report(code, detail, upAtMs !== undefined);
    this.#runAll(connection, effects);
    if (upAtMs !== undefined) this.#deps.listener.onDown?.(code, detail);
  }

  #report(code: ErrorCode, detail: string, wasUp: boolean): void {
    const failure = `${code}: ${detail}`;
    const news = wasUp || failure !== this.#lastFailure;
    this.#lastFailure = failure;
    if (news) this.#log.warn({ code, detail }, 'upstream is down');
    else this.#log.debug({ code, detail }, 'upstream is still down');
  }
}

function secureSocket(socket: net.Socket, host: string, options: UpstreamTls): tls.TLSSocket {
  const name = options.serverName ?? host;
  return tls.connect({
    socket,
    host,
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
    ...(options.caPem === undefined ? {} : { ca: options.caPem }),
    rejectUnauthorized: options.verify !== false,
  });
}
