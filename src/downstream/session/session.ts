import type { Socket } from 'node:net';
import { toHex } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { Verdict } from '../../shares/share.ts';
import { parseClientLine } from '../../stratum/client-messages.ts';
import type { RawId } from '../../stratum/envelope.ts';
import type { Extranonce } from '../../stratum/extranonce.ts';
import type { LineFramer, LineSink } from '../../stratum/framing.ts';
import {
  printError,
  printGetVersion,
  printSetExtranonce,
  TRUE_SUFFIX,
} from '../../stratum/server-messages.ts';
import {
  fillSubmitFields,
  NO_VERSION_BITS,
  parseSubmitFast,
  type SubmitFields,
} from '../../stratum/submit-parser.ts';
import { SocketWriter } from '../io/socket-writer.ts';
import { sanctionOf } from './bans.ts';
import type { CloseReason } from './close-reason.ts';
import {
  type HandshakeEffect,
  type HandshakeRequest,
  type HandshakeState,
  transition as handshake,
  INITIAL_HANDSHAKE,
  isReady,
  VERSION_ID,
  withAgent,
} from './handshake.ts';
import type { Identity, SessionMemory } from './identities.ts';
import { extranonceKey, HeldRequests, type SessionFeed } from './job-routing.ts';
import { LastSent } from './last-sent.ts';
import type { PreparedJob } from './prepared-job.ts';
import type { SessionContext } from './session-context.ts';
import { SessionWork } from './session-work.ts';
import { DownstreamSubmission } from './submission.ts';
import { extranonceOf, NOT_SUBSCRIBED, refusalOf } from './submit-checks.ts';
import { ERROR_SUFFIXES, idPrefix, type SubmitCode } from './submit-errors.ts';
import { speedOfAgent, userAgentClass } from './user-agents.ts';
import type { VardiffOptions } from './vardiff.ts';
import { SessionWorker } from './worker.ts';

const NO_BYTES = new Uint8Array(0);
/** Bytes that count like a line: twice a submit. */
const BYTES_A_LINE = 256;
const ASK_VERSION = printGetVersion(VERSION_ID);
const FIRST_BYTES = new Set(Buffer.from('{ \t\n\r'));

/** A submit of a miner on its way through the share engine. */
export type SessionSubmission = DownstreamSubmission<Session>;

/** A job for a miner that has not read what came before it. */
type MissedJob = { readonly prepared: PreparedJob; readonly clean: boolean; readonly isAgain: boolean };

/**
 * One connection of a miner. What every share needs stands first: of thousands of sessions none is in a
 * cache when its turn comes, so that each line of memory less is time.
 */
export class Session implements LineSink {
  isClosed = false;
  /** Routed and given work (or waiting for the destination's first job). */
  isStarted = false;
  isDirty = false;
  /** Asked for a sign of life since it was last heard of. */
  isPinged = false;
  /** Monotonic. A small integer, so that it stands here and not in an object of its own. */
  #seenAtSeconds = 0;
  inFlight = 0;
  /** Holds the beginning of a line until its end comes. */
  #framer: LineFramer | undefined;
  readonly #context: SessionContext<Session>;
  #budget: TokenBucket | undefined;
  readonly #work: SessionWork;
  readonly #writer: SocketWriter<MissedJob>;
  #lastWorker: SessionWorker | undefined;
  #lastName = '';
  /** Of its identity, as a signed integer: that stands here, and an unsigned one may not. */
  #identityId = 0;
  #rollableMask = NOT_SUBSCRIBED;
  #invalidInRow = 0;
  #garbageInRow = 0;
  #sawLine = false;
  readonly id: number;
  readonly address: string;
  /** Index of the listener it came in by. */
  readonly listener: number;
  readonly connectedAtMonotonicMs: number;
  /** Where its work comes from; empty until it is ready. Changed by the server alone. */
  destination = '';
  rejected = 0;
  /** Undefined before subscribe. */
  identity: Identity | undefined;
  /** Where its work is its own. Changed by the server alone. */
  feed: SessionFeed | undefined;
  #workers: readonly SessionWorker[] = [];
  readonly #socket: Socket;
  #handshake: HandshakeState = INITIAL_HANDSHAKE;
  readonly #held = new HeldRequests();
  readonly #lastSent = new LastSent();

  constructor(
    options: Pick<Session, 'id' | 'address' | 'listener'> & { readonly vardiff: VardiffOptions },
    socket: Socket,
    context: SessionContext<Session>,
  ) {
    this.id = options.id;
    this.address = options.address;
    this.listener = options.listener;
    this.connectedAtMonotonicMs = context.monotonicMs;
    this.#seenAtSeconds = Math.floor(context.monotonicMs / 1000);
    this.#work = new SessionWork(options.vardiff, context);
    this.#budget = context.lineRate && new TokenBucket(context.lineRate, context.monotonicMs);
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    this.#context = context;
  }

  /** Other bounds of its difficulty, and of its lines as they are in the context now. */
  setBounds(vardiff: VardiffOptions): void {
    const { lineRate, monotonicMs } = this.#context;
    this.#work.setBounds(vardiff);
    this.#budget = lineRate && new TokenBucket(lineRate, monotonicMs);
  }

  get userAgent(): string {
    return this.#handshake.userAgent;
  }

  get userAgentClass(): string {
    return userAgentClass(this.#handshake.userAgent);
  }

  /** Or about to be. */
  get isSubscribed(): boolean {
    return this.#handshake.isSubscribed || this.#held.isWaiting;
  }

  /** Its miner asked to be told of other extranonces. */
  get canSetExtranonce(): boolean {
    return this.#handshake.canSetExtranonce;
  }

  /** Its miner can be told of another extranonce, or was told of none yet. */
  get canChangeExtranonce(): boolean {
    return this.#lastSent.extranonces === undefined || this.canSetExtranonce;
  }

  /** As its miner has to use them from the next job on. */
  get extranonce(): Extranonce {
    const extranonce1 = this.identity?.extranonce1 ?? NO_BYTES;
    return this.feed ?? { extranonce1, extranonce2Size: this.#context.extranonce2Size };
  }

  get isAuthorized(): boolean {
    return this.#workers.length > 0;
  }

  get workers(): readonly SessionWorker[] {
    this.#work.tally();
    return this.#workers;
  }

  get accepted(): number {
    return this.workers.reduce((sum, worker) => sum + worker.accepted, 0);
  }

  /** Monotonic, to the second. */
  get seenAtMonotonicMs(): number {
    return this.#seenAtSeconds * 1000;
  }

  get hasVersionRolling(): boolean {
    return this.#handshake.versionMask !== undefined;
  }

  /** As last sent; 0 before the first job. */
  get difficulty(): number {
    return this.#lastSent.difficulty;
  }

  /** When it was last sent a job, monotonic; minus infinity before the first. */
  get jobAtMonotonicMs(): number {
    return this.#work.jobAtMonotonicMs;
  }

  onData(chunk: Uint8Array): void {
    if (this.isClosed) return;
    const { stats, monotonicMs } = this.#context;
    this.#seenAtSeconds = Math.floor(monotonicMs / 1000);
    this.isPinged = false;
    if (!this.#sawLine && this.#framer === undefined && !FIRST_BYTES.has(chunk[0]!)) {
      this.close('not_stratum');
      return;
    }
    const linesBefore = stats.lines;
    this.#framer = this.#context.framer.push(this.#framer, chunk, this);
    if (this.#budget === undefined) return;
    const cost = Math.max(stats.lines - linesBefore, chunk.length / BYTES_A_LINE);
    if (!this.#budget.spend(cost, monotonicMs) && !this.isClosed) this.#context.onThrottled(this);
  }

  /** True when it may send again after it was throttled. */
  isInBudget(): boolean {
    return this.#budget?.spend(0, this.#context.monotonicMs) ?? true;
  }

  onLine(bytes: Uint8Array, start: number, end: number): boolean {
    const { fields, stats } = this.#context;
    stats.lines += 1;
    if (parseSubmitFast(bytes, start, end, fields)) {
      this.#sawLine = true;
      this.#submit(fields);
      return !this.isClosed;
    }
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    const request = parseClientLine(text);
    this.#sawLine = true;
    if (request.type === 'submit') {
      fillSubmitFields(request, fields);
      this.#submit(fields);
    } else this.#negotiate(request);
    return !this.isClosed;
  }

  onLineTooLong(): boolean {
    this.#context.stats.limitHits.downstreamLineBytes += 1;
    this.send(printError('null', 'line_too_long'));
    this.close('line_too_long');
    return false;
  }

  /** True when the miner has this job, or the same work with its time or a later one. */
  wasSent(prepared: PreparedJob): boolean {
    return this.#work.wasSent(prepared);
  }

  /**
   * Sends a job, and before it what changed: the version mask, the difficulty. A change of difficulty
   * leaves only here, since firmware that is sent the same work twice finds the same shares twice
   * (`WIRE.md`).
   * @param isAgain the same work may have been sent before: then its difficulty stays
   */
  sendJob(prepared: PreparedJob, clean: boolean, isAgain: boolean = prepared.isRepeat): void {
    if (this.isClosed) return;
    if (this.#writer.isFull) {
      this.#keepMissed({ prepared, clean, isAgain });
      return;
    }
    const { target, isClean } = this.#work.assignJob(prepared, isAgain);
    const { versionMask } = this.#handshake;
    const mask = versionMask === undefined ? undefined : (versionMask & prepared.job.versionMask) >>> 0;
    const before = this.#lastSent.beforeJob(target.difficulty, mask);
    this.#context.stats.notifies += 1;
    this.#writer.notify(before, clean || isClean ? prepared.cleanNotify : prepared.plainNotify);
    this.#checkReader();
  }

  /** A miner that does not read misses jobs, and gets the newest when it does. */
  #keepMissed(job: MissedJob): void {
    this.#context.stats.limitHits.sessionUnreadBytes += 1;
    const onRead = ({ prepared, clean, isAgain }: MissedJob): void =>
      this.sendJob(prepared, clean, isAgain);
    if (!this.#writer.keep(job, this.#context.monotonicMs, onRead)) this.#cutOff();
  }

  /**
   * Gives it work of its own, of another extranonce, or shared work again; answers the subscribe that waited
   * for it.
   * @returns false when its miner would have to be told of other extranonces and cannot be
   */
  changeFeed(feed: SessionFeed | undefined): boolean {
    this.feed = feed;
    this.#writer.forget();
    for (const request of this.#held.take()) if (!this.isClosed) this.#negotiate(request);
    const { extranonce } = this;
    const key = extranonceKey(extranonce);
    if ((this.#lastSent.extranonces ?? key) === key) return true;
    if (!this.canChangeExtranonce) return false;
    this.#lastSent.extranonces = key;
    this.send(printSetExtranonce(extranonce));
    return true;
  }

  /**
   * The outcome of a submit: counts it and queues the reply, which leaves at once when it is the last that
   * the miner waits for.
   */
  settle(submission: SessionSubmission, verdict: Verdict): void {
    this.inFlight -= 1;
    const { worker, requestId } = submission;
    if (verdict !== 'accepted') {
      this.#refuse(requestId, verdict, worker, this.inFlight > 0);
      return;
    }
    const { assigned } = submission;
    const { stats } = this.#context;
    stats.sharesAccepted += 1;
    stats.acceptedDifficulty += assigned.difficulty;
    this.#invalidInRow = 0;
    this.#work.accept(worker, assigned);
    if (this.isClosed) return;
    this.#writer.text += idPrefix(requestId) + TRUE_SUFFIX;
    if (this.inFlight > 0) this.#context.markDirty(this);
    else this.#write();
  }

  /** Ends the turn: first work where the handshake is complete, then everything queued, in one write. */
  flush(): void {
    this.isDirty = false;
    if (this.isClosed) return;
    if (!this.isStarted && isReady(this.#handshake)) {
      this.isStarted = true;
      this.#context.onReady(this);
      if (this.userAgent === '') this.#writer.text += ASK_VERSION;
    }
    this.#write();
  }

  foldHashrate(elapsedMs: number): void {
    for (const worker of this.workers) worker.fold(elapsedMs);
  }

  /** Stops reading: what is in flight is still answered. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Sends a line, newline included, at the end of the turn. */
  send(line: string): void {
    if (this.isClosed) return;
    this.#writer.text += line;
    this.#context.markDirty(this);
  }

  /** What it leaves behind for the miner's next connection. */
  memory(): SessionMemory {
    return this.#work.memory(this.accepted + this.inFlight > 0);
  }

  /** Writes what is queued and ends the connection; a slow reader is cut off at once. */
  close(reason: CloseReason): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { text } = this.#writer;
    this.#writer.text = '';
    if (reason === 'slow_reader' || reason === 'socket_error' || reason === 'not_stratum') {
      this.#socket.destroy();
    } else {
      this.#socket.end(text, 'latin1');
      this.#context.linger(this.#socket);
    }
    this.#context.onClosed(this, reason);
  }

  #negotiate(request: HandshakeRequest): void {
    const context = this.#context;
    if (this.#held.isWaiting) {
      if (!this.#held.add(request)) this.send(printError(request.id, 'overload'));
      return;
    }
    if (request.type === 'subscribe') {
      this.#expectSpeed(request.userAgent);
      this.#handshake = withAgent(this.#handshake, request.userAgent);
      if (this.identity === undefined && !this.#identify(request)) return;
      this.#lastSent.extranonces = extranonceKey(this.extranonce);
    }
    const { extranonce1, extranonce2Size } = this.extranonce;
    const before = this.#handshake.versionMask;
    const options = {
      extranonce1: toHex(extranonce1),
      sessionId: this.identity?.token ?? '',
      extranonce2Size,
      versionMask: context.versionMask,
      mayAuthorize:
        request.type !== 'authorize' || context.mayAuthorize(this, request.worker, request.password),
      version: context.agentVersion,
    };
    const { state, effects } = handshake(options, this.#handshake, request, context.monotonicMs);
    if (state.userAgent !== this.userAgent) this.#expectSpeed(state.userAgent);
    this.#handshake = state;
    if (state.isSubscribed) this.#rollableMask = state.versionMask ?? context.unaskedMask(this.listener);
    if (state.versionMask !== before) this.#lastSent.versionMask = state.versionMask ?? 0;
    for (const effect of effects) this.#apply(effect);
    if (!this.isStarted && isReady(this.#handshake)) context.markDirty(this);
  }

  #expectSpeed(userAgent: string): void {
    const speed = speedOfAgent(userAgent);
    if (speed !== undefined) this.#work.expectSpeed(speed);
  }

  #apply(effect: HandshakeEffect): void {
    switch (effect.type) {
      case 'reply':
        this.#garbageInRow = 0;
        this.send(effect.line);
        return;
      case 'refused':
        this.#context.stats.refused[effect.code] = (this.#context.stats.refused[effect.code] ?? 0) + 1;
        this.send(effect.line);
        if (effect.code === 'malformed') this.#countGarbage();
        return;
      case 'authorized':
        this.#workers = this.#workers.concat(new SessionWorker(effect.worker));
        this.#context.onAuthorized(this, effect.worker);
        return;
      case 'difficulty':
        this.#work.requestDifficulty(effect);
    }
  }

  /**
   * Before its subscribe is answered: who it is, and what extranonces it has. It has the same and its jobs as
   * before when it names a session that may be resumed. False: not now, or never.
   */
  #identify(request: Extract<HandshakeRequest, { type: 'subscribe' }>): boolean {
    const identified = this.#context.identify(this, request.sessionId);
    if (identified === undefined) {
      this.close('session_limit');
      return false;
    }
    this.identity = identified.identity;
    this.#identityId = identified.identity.id | 0;
    if (identified.memory !== undefined) this.#work.restore(identified.memory);
    if (this.#context.prepareSubscribe(this) !== 'waiting') return !this.isClosed;
    this.#held.begin();
    this.#held.add(request);
    return false;
  }

  #submit(fields: SubmitFields): void {
    const context = this.#context;
    context.stats.sharesSubmitted += 1;
    this.#garbageInRow = 0;
    const worker = this.#findWorker(fields);
    const sent = this.#work.find(fields.jobId);
    const refusal =
      refusalOf(fields, worker !== undefined, sent, this.#rollableMask, context) ?? this.#overload();
    if (refusal !== undefined || worker === undefined || sent === undefined) {
      this.#refuse(fields.id, refusal ?? 'malformed', worker);
      return;
    }
    const { job, target } = sent;
    const bits = fields.versionBits === NO_VERSION_BITS ? 0 : fields.versionBits;
    this.inFlight += 1;
    context.submit(
      new DownstreamSubmission(
        this,
        worker,
        fields.id,
        job,
        target,
        extranonceOf(job, this.#identityId, fields),
        fields.ntime,
        fields.nonce,
        (job.version | bits) >>> 0,
      ),
    );
  }

  #overload(): 'overload' | undefined {
    if (this.inFlight < this.#context.sharesInFlight) return undefined;
    this.#context.stats.limitHits.sessionSharesInFlight += 1;
    return 'overload';
  }

  /** @param mayWait the line may leave with the answer to a share that is still being judged or written */
  #refuse(id: number | RawId, code: SubmitCode, worker?: SessionWorker, mayWait = false): void {
    this.#context.stats.rejected[code] += 1;
    this.rejected += 1;
    if (worker !== undefined) worker.rejected += 1;
    const line = idPrefix(id) + ERROR_SUFFIXES[code];
    if (mayWait) this.#writer.text += line;
    else this.send(line);
    if (code !== 'stale' && code !== 'unknown_job' && code !== 'overload') this.#countInvalid();
  }

  /** A miner that sends nothing valid for so long costs without earning anything. */
  #countInvalid(): void {
    const { sanctions } = this.#context;
    if (this.#invalidInRow >= sanctions.banAfter) return;
    this.#invalidInRow += 1;
    const sanction = sanctionOf(this.#invalidInRow, sanctions);
    if (sanction !== 'none') this.#context.onInvalid(this, sanction);
  }

  #countGarbage(): void {
    this.#garbageInRow += 1;
    if (this.#garbageInRow < LIMITS.downstreamGarbageLines) this.#countInvalid();
    else this.#context.onInvalid(this, 'evict');
  }

  #findWorker(fields: SubmitFields): SessionWorker | undefined {
    if (this.#lastWorker !== undefined && fields.isWorker(this.#lastName)) return this.#lastWorker;
    const found = this.#workers.find(({ wireName }) => fields.isWorker(wireName));
    this.#lastWorker = found;
    this.#lastName = found?.wireName ?? '';
    return found;
  }

  #write(): void {
    if (!this.#writer.flush()) this.#checkReader();
  }

  #checkReader(): void {
    if (this.#writer.unreadBytes > this.#context.writeBytes) this.#cutOff();
  }

  #cutOff(): void {
    this.#context.stats.limitHits.sessionWriteBytes += 1;
    this.close('slow_reader');
  }
}
