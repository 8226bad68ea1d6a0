import { assert } from '../base/assert.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { printAnswer, printRequest } from '../stratum/client-messages.ts';
import { type Extranonce, isSameExtranonce } from '../stratum/extranonce.ts';
import {
  parseConfigureResult,
  parseServerLine,
  parseSubscribeResult,
  type ServerMessage,
  sampleOf,
} from '../stratum/server-messages.ts';
import { JobAssembler } from './job-assembler.ts';
import { Outbox } from './outbox.ts';
import { PROFILES, type ShareTargetRule, type UpstreamProfile } from './profile.ts';
import type { UpstreamStats } from './stats.ts';
import type { SentShare, UpstreamShare, UpstreamVerdict, VerdictCallback } from './upstream-share.ts';
import type { VersionReadingTracker } from './version-reading.ts';

export type SessionOptions = {
  readonly worker: string;
  readonly password: string;
  readonly userAgent: string;
  readonly profile: UpstreamProfile;
  /** Version bits to ask for; 0 leaves `mining.configure` out. */
  readonly versionMask: number;
  readonly reading: VersionReadingTracker;
  readonly shareTarget: ShareTargetRule;
  readonly requestTimeoutMs: number;
  readonly submitTimeoutMs: number;
  readonly silenceMs: number;
  readonly jobsPerSecond: number;
  /** Send `mining.extranonce.subscribe` once authorised. */
  readonly extranonceSubscribe: boolean;
  /** Send `mining.suggest_difficulty` once authorised; undefined does not. */
  readonly suggestDifficulty: number | undefined;
  /** Shares older than this are not sent again after a resume; 0 resumes nothing. */
  readonly resumeMs: number;
  /** What an earlier connection left. */
  readonly resume: ResumePoint | undefined;
};

/** What is needed to go on with a session on another connection. */
export type ResumePoint = {
  readonly sessionId: string;
  readonly extranonce: Extranonce;
  /** Without an answer; oldest first. */
  readonly shares: readonly SentShare[];
  /** Connections that ended with this point unanswered. */
  readonly tries: number;
};

/** A server that hangs up twice on a session id does not know what it is. */
const RESUME_TRIES = 2;

/** What the shell of a session must do, in this order. */
export type SessionEffect =
  | { readonly type: 'send'; readonly line: string }
  | { readonly type: 'up' }
  | { readonly type: 'job'; readonly job: UpstreamJob }
  | { readonly type: 'difficulty'; readonly difficulty: number }
  | {
      readonly type: 'verdict';
      readonly share: UpstreamShare;
      readonly done: VerdictCallback | undefined;
      readonly verdict: UpstreamVerdict;
    }
  | { readonly type: 'rtt'; readonly rttMs: number }
  | { readonly type: 'message'; readonly text: string }
  /** A line that was dropped, as far as a log can show it. */
  | { readonly type: 'dropped'; readonly why: string; readonly sample: string }
  /** It granted these version bits; undefined: none. */
  | { readonly type: 'mask'; readonly mask: number | undefined }
  | {
      readonly type: 'reconnect';
      readonly host: string | undefined;
      readonly port: number | undefined;
      readonly waitMs: number;
    }
  | { readonly type: 'close'; readonly code: ErrorCode; readonly detail: string };

export type SessionPhase = 'idle' | 'configure' | 'subscribe' | 'authorize' | 'up' | 'closed';

type Handshake = Extract<SessionPhase, 'configure' | 'subscribe' | 'authorize'>;

/**
 * The miner's side of one connection to a pool or node: handshake, work, shares. Knows no socket and no
 * clock: methods take the monotonic time and return what to do.
 */
export class UpstreamSession {
  readonly #options: SessionOptions;
  readonly #stats: UpstreamStats;
  #effects: SessionEffect[] = [];
  #phase: SessionPhase = 'idle';
  #nextId = 1;
  #requestId: Record<Handshake, number> = { configure: 0, subscribe: 0, authorize: 0 };
  #requestAtMs = 0;
  #receivedAtMs = 0;
  #probeId = 0;
  #probedAtMs = Number.NEGATIVE_INFINITY;
  #garbage = 0;
  #courtesyIds: readonly number[] = [];
  #notifiedAtMs: number | undefined;
  #upAtMs = 0;
  #sessionId: string | undefined;
  #resume: ResumePoint | undefined;
  readonly #assembler: JobAssembler;
  readonly #outbox: Outbox;

  constructor(options: SessionOptions, deps: { readonly stats: UpstreamStats }) {
    this.#options = options;
    this.#stats = deps.stats;
    this.#resume = options.resume;
    this.#outbox = new Outbox(
      { ...options, unsent: options.resume?.shares ?? [] },
      {
        stats: deps.stats,
        send: (line) => this.#send(line),
        resolve: ({ share, done }, verdict) =>
          this.#effects.push({ type: 'verdict', share, done, verdict }),
      },
    );
    const { extranonceRepeatMs } = PROFILES[options.profile];
    this.#assembler = new JobAssembler({ ...options, extranonceRepeatMs }, deps);
  }

  get phase(): SessionPhase {
    return this.#phase;
  }

  get extranonce(): Extranonce | undefined {
    return this.#assembler.extranonce;
  }

  /** The difficulty in force for the jobs given out; undefined when the upstream never sent one. */
  get difficulty(): number | undefined {
    return this.#assembler.difficulty;
  }

  /** Version bits granted; undefined without version rolling. */
  get versionMask(): number | undefined {
    return this.#assembler.versionMask;
  }

  get sharesInFlight(): number {
    return this.#outbox.size;
  }

  /** When the last `mining.notify` came, repeated or not; undefined before the first. */
  get notifiedAtMs(): number | undefined {
    return this.#notifiedAtMs;
  }

  /** The connection is made. */
  start(monotonicMs: number): SessionEffect[] {
    assert(this.#phase === 'idle', 'session_started_once');
    this.#receivedAtMs = monotonicMs;
    if (this.#options.versionMask !== 0) this.#configure(monotonicMs);
    else this.#subscribe(monotonicMs);
    return this.#take();
  }

  /** A line arrived, without its newline. Garbage is counted and, past the limit, ends the connection. */
  receive(line: Uint8Array, monotonicMs: number): SessionEffect[] {
    if (this.#phase === 'closed' || line.length === 0) return [];
    this.#receivedAtMs = monotonicMs;
    let message: ServerMessage;
    try {
      message = parseServerLine(line);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#onGarbage(error.message, line);
      return this.#take();
    }
    this.#onMessage(message, monotonicMs, line);
    return this.#take();
  }

  /** Time passed: time-outs, silence, due repeats. */
  tick(monotonicMs: number): SessionEffect[] {
    if (this.#phase === 'closed' || this.#phase === 'idle') return [];
    const { requestTimeoutMs, submitTimeoutMs, silenceMs, profile } = this.#options;
    if (this.#phase !== 'up' && monotonicMs - this.#requestAtMs >= requestTimeoutMs) {
      if (this.#phase === 'configure') this.#subscribe(monotonicMs);
      else this.#close('upstream_timeout', `no answer to mining.${this.#phase}`);
    }
    const hasWork = this.#phase !== 'up' || this.#notifiedAtMs !== undefined;
    if (!hasWork && monotonicMs - this.#upAtMs >= silenceMs)
      this.#close('upstream_timeout', 'authorised, and sends no work');
    this.#outbox.timeOut(monotonicMs - submitTimeoutMs);
    this.#giveJob(this.#assembler.tick(monotonicMs));
    const silentMs = monotonicMs - this.#receivedAtMs;
    if (silentMs >= silenceMs)
      this.#close('upstream_timeout', `silent for ${Math.round(silentMs / 1000)} s`);
    else if (PROFILES[profile].probe && silentMs >= silenceMs / 2 && this.#probedAtMs < this.#receivedAtMs)
      this.#probe(monotonicMs);
    return this.#take();
  }

  /**
   * Sends a share, keeps it for a resume, or resolves it as lost. One for a job of another connection goes
   * only under the same extranonce1.
   */
  submit(share: UpstreamShare, done: VerdictCallback | undefined, monotonicMs: number): SessionEffect[] {
    assert(share.extranonce2.length === share.job.extranonce2Size, 'upstream_extranonce2_size');
    const sent: SentShare = { share, done, sentAtMs: monotonicMs, guess: undefined, isResent: false };
    if (this.#phase === 'up' && this.#assembler.isKnown(share.job)) this.#sendShare(sent);
    else if (this.#mayKeep(share.job)) this.#outbox.keep(sent);
    else this.#outbox.lose(sent);
    return this.#take();
  }

  /**
   * Takes what another connection can go on with, when there is hope that this server resumes sessions; to
   * be called before `closed`. A share is then in the one or in the other.
   */
  detach(): ResumePoint | undefined {
    const resume = this.#resume;
    const { extranonce } = this.#assembler;
    const { resumeMs } = this.#options;
    if (resume !== undefined) {
      const tries = resume.tries + (this.#requestId.subscribe === 0 ? 0 : 1);
      if (tries >= RESUME_TRIES) return undefined;
      return { ...resume, tries, shares: this.#outbox.takeAll() };
    }
    if (resumeMs === 0 || this.#sessionId === undefined || extranonce === undefined) return undefined;
    return { sessionId: this.#sessionId, extranonce, tries: 0, shares: this.#outbox.takeAll() };
  }

  /** The connection is gone: shares in flight are lost. */
  closed(): SessionEffect[] {
    this.#phase = 'closed';
    this.#outbox.loseAll();
    return this.#take();
  }

  /** True while the connection is not up but may take up the session this job is of. */
  #mayKeep(job: UpstreamJob): boolean {
    if (this.#phase === 'closed') return false;
    if (this.#resume !== undefined) return isSameExtranonce(job, this.#resume.extranonce);
    return this.#phase === 'authorize' && this.#assembler.isKnown(job);
  }

  #sendShare(sent: SentShare): void {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#outbox.send(id, sent, this.#assembler.versionMask);
  }

  #onMessage(message: ServerMessage, monotonicMs: number, line: Uint8Array): void {
    switch (message.type) {
      case 'reply':
        this.#onReply(message, monotonicMs, line);
        return;
      case 'notify':
        this.#notifiedAtMs = monotonicMs;
        this.#giveJob(this.#assembler.notify(message.job, monotonicMs));
        return;
      case 'difficulty':
        if (this.#assembler.setDifficulty(message.difficulty))
          this.#effects.push({ type: 'difficulty', difficulty: message.difficulty });
        return;
      case 'extranonce':
        this.#stats.extranonceChanges += 1;
        this.#assembler.setExtranonce(message.extranonce, monotonicMs);
        return;
      case 'versionMask':
        this.#giveJob(this.#assembler.setMask(message.mask, monotonicMs));
        return;
      case 'reconnect':
        this.#effects.push(message);
        return;
      case 'message':
        this.#effects.push(message);
        return;
      case 'getVersion':
        this.#send(printAnswer(message.id, this.#options.userAgent));
        return;
      case 'ping':
        this.#send(printAnswer(message.id, 'pong'));
        return;
      case 'other':
        this.#stats.unknownMethods += 1;
        this.#dropped(`unknown method ${message.method}`, line);
        return;
    }
  }

  #onReply(reply: Extract<ServerMessage, { type: 'reply' }>, monotonicMs: number, line: Uint8Array): void {
    if (reply.id === undefined) {
      if (reply.error !== undefined) this.#effects.push({ type: 'message', text: reply.error.text });
      return;
    }
    const { id } = reply;
    const rttMs = this.#outbox.resolveReply({ ...reply, id }, monotonicMs);
    if (rttMs !== undefined) {
      this.#effects.push({ type: 'rtt', rttMs });
      return;
    }
    const { configure, subscribe, authorize } = this.#requestId;
    if (id === configure) this.#onConfigured(reply.result, monotonicMs, line);
    else if (id === subscribe && this.#phase === 'subscribe') this.#onSubscribed(reply, monotonicMs, line);
    else if (id === authorize && this.#phase === 'authorize') this.#onAuthorized(reply, monotonicMs);
    else if (id !== this.#probeId && !this.#courtesyIds.includes(id)) this.#stats.unknownReplies += 1;
  }

  /** An error, a refusal and silence all mean: no version rolling. A late grant still counts. */
  #onConfigured(result: unknown, monotonicMs: number, line: Uint8Array): void {
    try {
      const mask = parseConfigureResult(result);
      if (mask !== undefined) this.#assembler.setGrantedMask(mask);
      this.#effects.push({ type: 'mask', mask: this.#assembler.versionMask });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#onGarbage(error.message, line);
    }
    if (this.#phase === 'configure') this.#subscribe(monotonicMs);
  }

  #onSubscribed(
    reply: Extract<ServerMessage, { type: 'reply' }>,
    monotonicMs: number,
    line: Uint8Array,
  ): void {
    if (reply.error !== undefined) {
      if (this.#resume === undefined)
        this.#close('upstream_refused', `mining.subscribe: ${reply.error.text}`);
      else this.#subscribeAgain(monotonicMs);
      return;
    }
    try {
      const { sessionId, ...extranonce } = parseSubscribeResult(reply.result);
      this.#sessionId = sessionId;
      this.#assembler.subscribed(extranonce);
      this.#onResumeAnswered(extranonce);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#stats.garbageLines += 1;
      this.#dropped(error.message, line);
      this.#close('upstream_protocol', error.message);
      return;
    }
    this.#rtt(monotonicMs);
    this.#phase = 'authorize';
    const { worker, password } = this.#options;
    this.#requestId.authorize = this.#request('mining.authorize', [worker, password], monotonicMs);
  }

  /** The server does not like the session id: once more without it. */
  #subscribeAgain(monotonicMs: number): void {
    this.#resume = undefined;
    this.#outbox.loseAll();
    this.#subscribe(monotonicMs);
  }

  /** The session goes on when the extranonce1 is the same, and then it holds all its shares. */
  #onResumeAnswered(extranonce: Extranonce): void {
    const resume = this.#resume;
    if (resume === undefined) return;
    this.#resume = undefined;
    if (isSameExtranonce(resume.extranonce, extranonce)) this.#stats.resumed += 1;
    else this.#outbox.loseAll();
  }

  #onAuthorized(reply: Extract<ServerMessage, { type: 'reply' }>, monotonicMs: number): void {
    if (reply.result !== true || reply.error !== undefined) {
      this.#close('upstream_refused', `mining.authorize: ${reply.error?.text ?? 'false'}`);
      return;
    }
    this.#rtt(monotonicMs);
    this.#phase = 'up';
    this.#upAtMs = monotonicMs;
    this.#effects.push({ type: 'up' });
    this.#sendUnsent(monotonicMs);
    this.#sendCourtesies();
    this.#giveJob(this.#assembler.open(monotonicMs));
  }

  #sendUnsent(monotonicMs: number): void {
    for (const sent of this.#outbox.takeUnsent()) {
      const isTooOld = monotonicMs - sent.sentAtMs > this.#options.resumeMs;
      if (isTooOld || !this.#assembler.isKnown(sent.share.job)) this.#outbox.lose(sent);
      else {
        this.#stats.resent += 1;
        this.#sendShare({ ...sent, sentAtMs: monotonicMs, isResent: true });
      }
    }
  }

  /** What only some servers know; whatever they answer is no news. */
  #sendCourtesies(): void {
    const { extranonceSubscribe, suggestDifficulty, profile } = this.#options;
    const requests: [method: string, params: readonly unknown[]][] = [];
    if (extranonceSubscribe) requests.push(['mining.extranonce.subscribe', []]);
    if (suggestDifficulty !== undefined && PROFILES[profile].takesSuggestion)
      requests.push(['mining.suggest_difficulty', [suggestDifficulty]]);
    this.#courtesyIds = requests.map(([method, params]) => {
      const id = this.#nextId++;
      this.#send(printRequest(id, method, params));
      return id;
    });
  }

  #giveJob(job: UpstreamJob | undefined): void {
    if (job !== undefined) this.#effects.push({ type: 'job', job });
  }

  #configure(monotonicMs: number): void {
    this.#phase = 'configure';
    const { versionMask, profile } = this.#options;
    const mask = versionMask.toString(16).padStart(8, '0');
    this.#requestId.configure = this.#request(
      'mining.configure',
      [
        ['version-rolling'],
        { 'version-rolling.mask': mask, 'version-rolling.min-bit-count': PROFILES[profile].minBitCount },
      ],
      monotonicMs,
    );
  }

  #subscribe(monotonicMs: number): void {
    this.#phase = 'subscribe';
    const { userAgent } = this.#options;
    const params = this.#resume === undefined ? [userAgent] : [userAgent, this.#resume.sessionId];
    this.#requestId.subscribe = this.#request('mining.subscribe', params, monotonicMs);
  }

  /** Answered with an error by Braidpool, which changes nothing and needs no new template. */
  #probe(monotonicMs: number): void {
    this.#probedAtMs = monotonicMs;
    this.#probeId = this.#nextId++;
    this.#send(printRequest(this.#probeId, 'mining.extranonce.subscribe', []));
  }

  #request(method: string, params: readonly unknown[], monotonicMs: number): number {
    const id = this.#nextId++;
    this.#requestAtMs = monotonicMs;
    this.#send(printRequest(id, method, params));
    return id;
  }

  #rtt(monotonicMs: number): void {
    this.#effects.push({ type: 'rtt', rttMs: monotonicMs - this.#requestAtMs });
  }

  #onGarbage(detail: string, line: Uint8Array): void {
    this.#stats.garbageLines += 1;
    this.#dropped(detail, line);
    this.#garbage += 1;
    if (this.#garbage >= LIMITS.upstreamGarbageLines) this.#close('upstream_protocol', detail);
  }

  #dropped(why: string, line: Uint8Array): void {
    this.#effects.push({ type: 'dropped', why, sample: sampleOf(line) });
  }

  #send(line: string): void {
    this.#effects.push({ type: 'send', line });
  }

  #close(code: ErrorCode, detail: string): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#effects.push({ type: 'close', code, detail });
  }

  #take(): SessionEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}
