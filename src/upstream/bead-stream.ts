import { type Backoff, backoffMs } from '../base/backoff.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { responseOf } from '../base/json-rpc-client.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../log/logger.ts';
import { type Bead, parseBead } from './bead.ts';
import { failureOf } from './braidpool-rpc.ts';
import { parseJsonBigint } from './json-bigint.ts';

export type BeadStreamOptions = {
  /** `ws://127.0.0.1:6682`: the port of the JSON-RPC. */
  readonly url: string;
  /** For the connection and the reply to `subscribebead`, and for the answer that proves life. */
  readonly answerMs?: number;
  /** After this much silence a request is sent; without an answer the connection is made anew. */
  readonly silenceMs?: number;
  readonly tickMs?: number;
  readonly backoff?: Partial<Backoff>;
};

export type BeadStreamDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** The latest bead. In a burst the node leaves beads out (`BRAIDPOOL.md`, A8). */
  readonly onBead: (bead: Bead) => void;
  /** Subscribed: beads of the time before have to be asked for. */
  readonly onUp?: () => void;
  readonly onDown?: (reason: string) => void;
};

export type BeadStreamStats = {
  connects: number;
  disconnects: number;
  beads: number;
  /** Messages that are neither an answer nor a bead. */
  garbage: number;
};

const BACKOFF: Backoff = { baseMs: 1_000, maxMs: 60_000 };
const TIMING = { answerMs: 10_000, silenceMs: 60_000, tickMs: 250 };
/** Messages that cannot be read, before the connection is given up. */
const MAX_GARBAGE = 16;

const SUBSCRIBE_ID = 1;
const PROBE_ID = 2;
const SUBSCRIBE = request(SUBSCRIBE_ID, 'subscribebead');
/** Whatever is answered: an answer is life. */
const PROBE = request(PROBE_ID, 'getbeadcount');

function request(id: number, method: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params: [] });
}

type Link = {
  readonly socket: WebSocket;
  readonly startedAtMs: number;
  /** As text, since the node's are random u64. Null until the reply. */
  subscription: string | undefined;
  receivedAtMs: number;
  probedAtMs: number | undefined;
  garbage: number;
};

/** The subscription `subscribebead` of a Braidpool node, kept up for ever with exponential back-off. */
export class BeadStream {
  readonly stats: BeadStreamStats = { connects: 0, disconnects: 0, beads: 0, garbage: 0 };
  readonly #options: BeadStreamOptions & typeof TIMING;
  readonly #backoff: Backoff;
  readonly #deps: BeadStreamDeps;
  readonly #log: Logger;
  #ticker: Timer | undefined;
  #link: Link | undefined;
  #attempt = 0;
  #nextAttemptAtMs = 0;
  #lastFailure: string | undefined;

  constructor(options: BeadStreamOptions, deps: BeadStreamDeps) {
    this.#options = { ...TIMING, ...options };
    this.#backoff = { ...BACKOFF, ...options.backoff };
    this.#deps = deps;
    this.#log = deps.log;
  }

  /** Subscribed: beads arrive. */
  get up(): boolean {
    return this.#link !== undefined && this.#link.subscription !== undefined;
  }

  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  /** Idempotent. */
  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = this.#deps.timers.every(this.#options.tickMs, () => this.#tick());
    this.#nextAttemptAtMs = this.#now();
    this.#tick();
  }

  /** Idempotent. */
  stop(): void {
    if (this.#ticker === undefined) return;
    this.#ticker.cancel();
    this.#ticker = undefined;
    if (this.#link !== undefined) this.#end(this.#link, 'stopped');
  }

  #now(): number {
    return this.#deps.clock.monotonicMs();
  }

  #tick(): void {
    const now = this.#now();
    const link = this.#link;
    const { answerMs, silenceMs } = this.#options;
    if (link === undefined) {
      if (now >= this.#nextAttemptAtMs) this.#connect(now);
    } else if (link.subscription === undefined) {
      if (now - link.startedAtMs >= answerMs) this.#end(link, 'no answer to subscribebead');
    } else if (link.probedAtMs !== undefined) {
      if (now - link.probedAtMs >= answerMs) this.#end(link, 'silent');
    } else if (now - link.receivedAtMs >= silenceMs) {
      link.probedAtMs = now;
      link.socket.send(PROBE);
    }
  }

  #connect(now: number): void {
    this.stats.connects += 1;
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.#options.url);
    } catch (error) {
      this.#fail(`${String(error)}`);
      return;
    }
    const link: Link = {
      socket,
      startedAtMs: now,
      subscription: undefined,
      receivedAtMs: now,
      probedAtMs: undefined,
      garbage: 0,
    };
    this.#link = link;
    socket.addEventListener('open', () => socket.send(SUBSCRIBE));
    socket.addEventListener('message', (event) => this.#onMessage(link, event.data));
    socket.addEventListener('error', () => this.#end(link, 'cannot connect, or the connection broke'));
    socket.addEventListener('close', () => this.#end(link, 'closed by the other side'));
  }

  /** At once, since the first bead may be right behind. */
  #onSubscribed(link: Link, answer: Record<string, unknown>): void {
    if (link.subscription !== undefined) return;
    const { error, result } = responseOf(SUBSCRIBE_ID, answer, 'braidpool_unreachable');
    const isId = typeof result === 'number' || typeof result === 'bigint' || typeof result === 'string';
    if (error !== undefined || !isId) {
      const reason = error === undefined ? 'no subscription id' : failureOf('subscribebead', error).message;
      this.#end(link, reason);
      return;
    }
    link.subscription = String(result);
    this.#attempt = 0;
    this.#lastFailure = undefined;
    this.#log.info({}, 'subscribed to beads');
    this.#deps.onUp?.();
  }

  #onMessage(link: Link, data: unknown): void {
    if (this.#link !== link) return;
    link.receivedAtMs = this.#now();
    link.probedAtMs = undefined;
    try {
      if (typeof data !== 'string' || data.length > LIMITS.braidpoolReplyBytes)
        throw new CodedError('braidpool_rpc', 'a message that is no text, or too long');
      this.#onValue(link, parseJsonBigint(data));
    } catch (error) {
      this.stats.garbage += 1;
      link.garbage += 1;
      if (link.garbage >= MAX_GARBAGE) this.#end(link, `garbage: ${String(error).slice(0, 200)}`);
    }
  }

  /** The name of the notification is not looked at: it differs between versions. */
  #onValue(link: Link, value: unknown): void {
    if (!isRecord(value)) throw new CodedError('braidpool_rpc', 'no JSON-RPC message');
    const { id, params } = value;
    if (id === SUBSCRIBE_ID) this.#onSubscribed(link, value);
    if (id === SUBSCRIBE_ID || id === PROBE_ID) return;
    if (
      !isRecord(params) ||
      link.subscription === undefined ||
      String(params['subscription']) !== link.subscription
    )
      throw new CodedError('braidpool_rpc', 'nothing that was asked for');
    const bead = parseBead(params['result']);
    this.stats.beads += 1;
    this.#deps.onBead(bead);
  }

  #end(link: Link, reason: string): void {
    if (this.#link !== link) return;
    const wasUp = link.subscription !== undefined;
    this.#link = undefined;
    this.stats.disconnects += 1;
    link.socket.close();
    this.#fail(reason);
    if (wasUp) this.#deps.onDown?.(reason);
  }

  #fail(reason: string): void {
    const news = reason !== this.#lastFailure;
    this.#lastFailure = reason;
    this.#nextAttemptAtMs = this.#now() + backoffMs(this.#backoff, this.#attempt, this.#deps.random);
    this.#attempt += 1;
    if (news) this.#log.warn({ code: 'braidpool_unreachable', reason }, 'no beads from the node');
  }
}
