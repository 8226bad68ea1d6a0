import { assert } from '../base/assert.ts';
import { equal, toHex } from '../base/bytes.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { targetOfCompact, targetOfDifficulty } from '../bitcoin/target.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { rollableMask, type VersionReading } from '../stratum/version-rolling.ts';
import { PROFILES, type ShareTargetRule, type UpstreamProfile } from './profile.ts';
import type { UpstreamStats } from './stats.ts';
import {
  type SentShare,
  SentShares,
  type UpstreamShare,
  type UpstreamVerdict,
  type VerdictCallback,
  versionParam,
} from './verdict.ts';
import {
  answerLine,
  type Extranonce,
  type NotifyParams,
  parseConfigureResult,
  parseServerLine,
  parseSubscribeResult,
  requestLine,
  type ServerMessage,
  submitLine,
} from './wire.ts';

export type SessionOptions = {
  readonly worker: string;
  readonly password: string;
  readonly userAgent: string;
  readonly profile: UpstreamProfile;
  /** Version bits to ask for; 0 leaves `mining.configure` out. */
  readonly versionMask: number;
  readonly versionReading: VersionReading;
  readonly shareTarget: ShareTargetRule;
  readonly requestTimeoutMs: number;
  readonly submitTimeoutMs: number;
  readonly silenceMs: number;
};

/** What the shell of a session must do, in this order. */
export type SessionEffect =
  | { readonly type: 'send'; readonly line: string }
  | { readonly type: 'up' }
  | { readonly type: 'job'; readonly job: UpstreamJob }
  | { readonly type: 'difficulty'; readonly difficulty: number }
  | {
      readonly type: 'verdict';
      readonly share: UpstreamShare;
      readonly done: VerdictCallback | null;
      readonly verdict: UpstreamVerdict;
    }
  | { readonly type: 'rtt'; readonly rttMs: number }
  | { readonly type: 'message'; readonly text: string }
  | {
      readonly type: 'reconnect';
      readonly host: string | null;
      readonly port: number | null;
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
  readonly #workerJson: string;
  #effects: SessionEffect[] = [];
  #phase: SessionPhase = 'idle';
  #nextId = 1;
  #requestId: Record<Handshake, number> = { configure: 0, subscribe: 0, authorize: 0 };
  #requestAtMs = 0;
  #receivedAtMs = 0;
  #probeId = 0;
  #probedAtMs = Number.NEGATIVE_INFINITY;
  #garbage = 0;

  /** Null until version rolling was granted. */
  #mask: number | null = null;
  #difficulty: number | null = null;
  #nextDifficulty: number | null = null;
  #extranonce: Extranonce | null = null;
  #nextExtranonce: Extranonce | null = null;
  #repeatAtMs: number | null = null;
  #held: NotifyParams | null = null;
  #last: { readonly params: NotifyParams; readonly job: UpstreamJob } | null = null;
  #notifiedAtMs: number | null = null;
  readonly #jobs = new WeakSet<UpstreamJob>();
  readonly #sent = new SentShares(LIMITS.upstreamSharesInFlight);

  constructor(options: SessionOptions, deps: { readonly stats: UpstreamStats }) {
    this.#options = options;
    this.#stats = deps.stats;
    this.#workerJson = JSON.stringify(options.worker);
  }

  get phase(): SessionPhase {
    return this.#phase;
  }

  get extranonce(): Extranonce | null {
    return this.#extranonce;
  }

  /** The difficulty in force for the jobs given out; null when the upstream never sent one. */
  get difficulty(): number | null {
    return this.#difficulty;
  }

  /** Version bits granted; null without version rolling. */
  get versionMask(): number | null {
    return this.#mask;
  }

  get sharesInFlight(): number {
    return this.#sent.size;
  }

  /** When the last `mining.notify` came, repeated or not; null before the first. */
  get notifiedAtMs(): number | null {
    return this.#notifiedAtMs;
  }

  /** The connection is made. */
  start(nowMs: number): SessionEffect[] {
    assert(this.#phase === 'idle', 'session_started_once');
    this.#receivedAtMs = nowMs;
    if (this.#options.versionMask !== 0) this.#configure(nowMs);
    else this.#subscribe(nowMs);
    return this.#take();
  }

  /** A line arrived, without its newline. Garbage is counted and, past the limit, ends the connection. */
  receive(line: Uint8Array, nowMs: number): SessionEffect[] {
    if (this.#phase === 'closed' || line.length === 0) return [];
    this.#receivedAtMs = nowMs;
    let message: ServerMessage;
    try {
      message = parseServerLine(line);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#onGarbage(error.message);
      return this.#take();
    }
    this.#onMessage(message, nowMs);
    return this.#take();
  }

  /** Time passed: time-outs, silence, due repeats. */
  tick(nowMs: number): SessionEffect[] {
    if (this.#phase === 'closed' || this.#phase === 'idle') return [];
    const { requestTimeoutMs, submitTimeoutMs, silenceMs, profile } = this.#options;
    if (this.#phase !== 'up' && nowMs - this.#requestAtMs >= requestTimeoutMs) {
      if (this.#phase === 'configure') this.#subscribe(nowMs);
      else this.#close('upstream_timeout', `no answer to mining.${this.#phase}`);
    }
    for (const sent of this.#sent.takeSentBefore(nowMs - submitTimeoutMs))
      this.#resolve(sent, { outcome: 'timeout', code: null, reason: 'upstream_timeout', rttMs: null });
    if (this.#repeatAtMs !== null && nowMs >= this.#repeatAtMs && this.#last !== null)
      this.#giveJob(this.#last.params);
    const silentMs = nowMs - this.#receivedAtMs;
    if (silentMs >= silenceMs)
      this.#close('upstream_timeout', `silent for ${Math.round(silentMs / 1000)} s`);
    else if (PROFILES[profile].probe && silentMs >= silenceMs / 2 && this.#probedAtMs < this.#receivedAtMs)
      this.#probe(nowMs);
    return this.#take();
  }

  /**
   * Sends a share, or resolves it as lost. One for a job of another connection goes only under the same
   * extranonce1.
   */
  submit(share: UpstreamShare, done: VerdictCallback | null, nowMs: number): SessionEffect[] {
    const { job } = share;
    assert(share.extranonce2.length === job.extranonce2Size, 'upstream_extranonce2_size');
    const bits = versionParam(this.#options.versionReading, share);
    const sent: SentShare = { share, done, sentAtMs: nowMs };
    if (this.#phase !== 'up' || !this.#knows(job)) {
      this.#resolve(sent, LOST_CLOSED);
      return this.#take();
    }
    const id = this.#nextId++;
    const given = this.#sent.add(id, sent);
    if (given !== undefined) {
      this.#stats.evicted += 1;
      this.#resolve(given, { outcome: 'lost', code: null, reason: 'overload', rttMs: null });
    }
    const fields = {
      jobId: job.upstreamJobId,
      extranonce2: toHex(share.extranonce2),
      ntime: share.ntime,
      nonce: share.nonce,
    };
    this.#send(submitLine(id, this.#workerJson, fields, this.#mask === null ? null : bits));
    return this.#take();
  }

  /** The connection is gone: shares in flight are lost. */
  closed(): SessionEffect[] {
    this.#phase = 'closed';
    for (const sent of this.#sent.takeSentBefore(Number.POSITIVE_INFINITY))
      this.#resolve(sent, LOST_CLOSED);
    return this.#take();
  }

  #onMessage(message: ServerMessage, nowMs: number): void {
    switch (message.type) {
      case 'reply':
        this.#onReply(message, nowMs);
        return;
      case 'notify':
        this.#onNotify(message.job, nowMs);
        return;
      case 'difficulty':
        if (message.difficulty === this.#nextDifficulty) return;
        this.#nextDifficulty = message.difficulty;
        this.#effects.push({ type: 'difficulty', difficulty: message.difficulty });
        return;
      case 'extranonce':
        this.#onExtranonce(message.extranonce, nowMs);
        return;
      case 'versionMask':
        this.#onMask(message.mask);
        return;
      case 'reconnect':
        this.#effects.push(message);
        return;
      case 'message':
        this.#effects.push(message);
        return;
      case 'getVersion':
        this.#send(answerLine(message.id, this.#options.userAgent));
        return;
      case 'ping':
        this.#send(answerLine(message.id, 'pong'));
        return;
      case 'other':
        this.#stats.unknownMethods += 1;
        return;
    }
  }

  #onReply(reply: Extract<ServerMessage, { type: 'reply' }>, nowMs: number): void {
    if (reply.id === null) {
      if (reply.error !== null) this.#effects.push({ type: 'message', text: reply.error.text });
      return;
    }
    const sent = this.#sent.take(reply.id);
    if (sent !== undefined) {
      const rttMs = nowMs - sent.sentAtMs;
      this.#effects.push({ type: 'rtt', rttMs });
      if (reply.result === true && reply.error === null)
        this.#resolve(sent, { outcome: 'accepted', code: null, reason: '', rttMs });
      else {
        const reason = reply.error?.text || 'refused without a reason';
        this.#resolve(sent, { outcome: 'refused', code: reply.error?.code ?? null, reason, rttMs });
      }
      return;
    }
    const { configure, subscribe, authorize } = this.#requestId;
    if (reply.id === configure) this.#onConfigured(reply.result, nowMs);
    else if (reply.id === subscribe && this.#phase === 'subscribe') this.#onSubscribed(reply, nowMs);
    else if (reply.id === authorize && this.#phase === 'authorize') this.#onAuthorized(reply, nowMs);
    else if (reply.id !== this.#probeId) this.#stats.unknownReplies += 1;
  }

  /** An error, a refusal and silence all mean: no version rolling. A late grant still counts. */
  #onConfigured(result: unknown, nowMs: number): void {
    const mask = parseConfigureResult(result);
    if (mask !== null) this.#mask = (mask & this.#options.versionMask) >>> 0;
    if (this.#phase === 'configure') this.#subscribe(nowMs);
  }

  #onSubscribed(reply: Extract<ServerMessage, { type: 'reply' }>, nowMs: number): void {
    if (reply.error !== null) {
      this.#close('upstream_refused', `mining.subscribe: ${reply.error.text}`);
      return;
    }
    try {
      this.#extranonce = parseSubscribeResult(reply.result);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#stats.garbageLines += 1;
      this.#close('upstream_protocol', error.message);
      return;
    }
    this.#nextExtranonce ??= this.#extranonce;
    this.#rtt(nowMs);
    this.#phase = 'authorize';
    const { worker, password } = this.#options;
    this.#requestId.authorize = this.#request('mining.authorize', [worker, password], nowMs);
  }

  #onAuthorized(reply: Extract<ServerMessage, { type: 'reply' }>, nowMs: number): void {
    if (reply.result !== true || reply.error !== null) {
      this.#close('upstream_refused', `mining.authorize: ${reply.error?.text ?? 'false'}`);
      return;
    }
    this.#rtt(nowMs);
    this.#phase = 'up';
    this.#effects.push({ type: 'up' });
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#giveJob(held);
  }

  #onNotify(params: NotifyParams, nowMs: number): void {
    this.#notifiedAtMs = nowMs;
    if (this.#phase !== 'up') {
      const clean = params.clean || (this.#held?.clean ?? false);
      this.#held = { ...params, clean };
      return;
    }
    this.#giveJob(params);
  }

  #onExtranonce(extranonce: Extranonce, nowMs: number): void {
    this.#stats.extranonceChanges += 1;
    this.#nextExtranonce = extranonce;
    const { extranonceRepeatMs } = PROFILES[this.#options.profile];
    if (extranonceRepeatMs !== null && this.#last !== null) this.#repeatAtMs = nowMs + extranonceRepeatMs;
  }

  /** Immediate (BIP310). When bits are taken away, the last job is given out again without them. */
  #onMask(mask: number): void {
    if (this.#options.versionMask === 0) return;
    const before = this.#mask ?? 0;
    this.#mask = (mask & this.#options.versionMask) >>> 0;
    const last = this.#last;
    if (last !== null && (before & ~this.#mask) !== 0) this.#giveJob({ ...last.params, clean: true });
  }

  /** Difficulty and extranonce that came since the last job take effect here. */
  #giveJob(params: NotifyParams): void {
    const next = this.#nextExtranonce;
    assert(next !== null, 'job_after_subscribe');
    const last = this.#last;
    const moved = last !== null && !sameExtranonce(last.job, next);
    this.#difficulty = this.#nextDifficulty;
    this.#extranonce = next;
    this.#repeatAtMs = null;
    const job: UpstreamJob = {
      upstreamJobId: params.jobId,
      prevHash: params.prevHash,
      coinb1: params.coinb1,
      coinb2: params.coinb2,
      branches: params.branches,
      version: params.version,
      bits: params.bits,
      time: params.time,
      clean: params.clean || moved || last === null || !equal(last.job.prevHash, params.prevHash),
      extranonce1: next.extranonce1,
      extranonce2Size: next.extranonce2Size,
      target: this.#target(params.bits),
      versionMask: rollableMask(this.#options.versionReading, params.version, this.#mask ?? 0),
    };
    if (last !== null && !job.clean && sameWork(last.job, job)) {
      this.#stats.repeatedJobs += 1;
      return;
    }
    this.#last = { params, job };
    this.#jobs.add(job);
    this.#stats.jobs += 1;
    this.#effects.push({ type: 'job', job });
  }

  #target(bits: number): bigint {
    if (this.#difficulty !== null) return targetOfDifficulty(this.#difficulty);
    return this.#options.shareTarget === 'network' ? targetOfCompact(bits) : targetOfDifficulty(1);
  }

  #knows(job: UpstreamJob): boolean {
    return this.#jobs.has(job) || (this.#extranonce !== null && sameExtranonce(job, this.#extranonce));
  }

  #configure(nowMs: number): void {
    this.#phase = 'configure';
    const { versionMask, profile } = this.#options;
    const mask = versionMask.toString(16).padStart(8, '0');
    this.#requestId.configure = this.#request(
      'mining.configure',
      [
        ['version-rolling'],
        { 'version-rolling.mask': mask, 'version-rolling.min-bit-count': PROFILES[profile].minBitCount },
      ],
      nowMs,
    );
  }

  #subscribe(nowMs: number): void {
    this.#phase = 'subscribe';
    this.#requestId.subscribe = this.#request('mining.subscribe', [this.#options.userAgent], nowMs);
  }

  /** Answered with an error by Braidpool, which changes nothing and needs no new template. */
  #probe(nowMs: number): void {
    this.#probedAtMs = nowMs;
    this.#probeId = this.#nextId++;
    this.#send(requestLine(this.#probeId, 'mining.extranonce.subscribe', []));
  }

  #request(method: string, params: readonly unknown[], nowMs: number): number {
    const id = this.#nextId++;
    this.#requestAtMs = nowMs;
    this.#send(requestLine(id, method, params));
    return id;
  }

  #rtt(nowMs: number): void {
    this.#effects.push({ type: 'rtt', rttMs: nowMs - this.#requestAtMs });
  }

  #resolve(sent: SentShare, verdict: UpstreamVerdict): void {
    this.#stats[verdict.outcome] += 1;
    this.#effects.push({ type: 'verdict', share: sent.share, done: sent.done, verdict });
  }

  #onGarbage(detail: string): void {
    this.#stats.garbageLines += 1;
    this.#garbage += 1;
    if (this.#garbage >= LIMITS.upstreamGarbageLines) this.#close('upstream_protocol', detail);
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

const LOST_CLOSED: UpstreamVerdict = {
  outcome: 'lost',
  code: null,
  reason: 'upstream_closed',
  rttMs: null,
};

function sameExtranonce(a: Extranonce, b: Extranonce): boolean {
  return a.extranonce2Size === b.extranonce2Size && equal(a.extranonce1, b.extranonce1);
}

function sameWork(a: UpstreamJob, b: UpstreamJob): boolean {
  return (
    a.upstreamJobId === b.upstreamJobId &&
    a.version === b.version &&
    a.bits === b.bits &&
    a.time === b.time &&
    a.target === b.target &&
    a.versionMask === b.versionMask &&
    equal(a.coinb1, b.coinb1) &&
    equal(a.coinb2, b.coinb2) &&
    a.branches.length === b.branches.length &&
    a.branches.every((branch, at) => equal(branch, b.branches[at]!))
  );
}
