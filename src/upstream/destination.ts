import type { Clock } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { upstreamExtranonce2 as paddedExtranonce2 } from '../stratum/extranonce.ts';
import {
  UpstreamClient,
  type UpstreamClientDeps,
  type UpstreamClientOptions,
  type UpstreamListener,
} from './client.ts';
import type { DestinationHealth } from './failover.ts';
import { PROFILES } from './profile.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from './verdict.ts';

/** One verdict weighs 1/64: some seventy verdicts forget the past by two thirds. */
const REJECT_WEIGHT = 1 / 64;

/** After this time without a verdict the past is forgotten, so that an avoided upstream is tried again. */
const REJECT_MEMORY_MS = 10 * 60_000;

/** As TCP smooths its round-trip times (RFC 6298). */
const RTT_WEIGHT = 1 / 8;

export type DestinationOptions = UpstreamClientOptions & {
  /** The evidence stream of its shares: a contract id, or `own:<name>`. */
  readonly stream: string;
  /** Job age at which it counts as stuck; the profile's by default. */
  readonly jobAgeLimitMs?: number;
};

export type DestinationListener = {
  readonly onUp?: (destination: Destination) => void;
  readonly onDown?: (destination: Destination, code: ErrorCode, detail: string) => void;
  readonly onJob?: (destination: Destination, job: UpstreamJob) => void;
  readonly onVerdict?: (destination: Destination, verdict: UpstreamVerdict, share: UpstreamShare) => void;
  readonly onDifficulty?: (destination: Destination, difficulty: number) => void;
  /** For a histogram. */
  readonly observeRttSeconds?: (destination: Destination, seconds: number) => void;
};

export type DestinationDeps = Omit<UpstreamClientDeps, 'listener'> & {
  readonly listener: DestinationListener;
};

/**
 * A named place to mine to: an upstream, the account on it, the stream of evidence of its shares, its
 * health.
 */
export class Destination {
  readonly name: string;
  readonly stream: string;
  readonly client: UpstreamClient;
  readonly #jobAgeLimitMs: number;
  readonly #listener: DestinationListener;
  readonly #clock: Clock;
  #lastJob: UpstreamJob | null = null;
  #rttMs: number | null = null;
  #rejectRatio = 0;
  #verdicts = 0;
  #verdictAtMs = Number.NEGATIVE_INFINITY;
  #lastRefusal: string | null = null;

  constructor(options: DestinationOptions, deps: DestinationDeps) {
    this.name = options.name;
    this.stream = options.stream;
    this.#jobAgeLimitMs = options.jobAgeLimitMs ?? PROFILES[options.profile].jobAgeLimitMs;
    this.#listener = deps.listener;
    this.#clock = deps.clock;
    this.client = new UpstreamClient(options, { ...deps, listener: this.#clientListener() });
  }

  /** The newest job of the live connection; null while there is none. */
  get lastJob(): UpstreamJob | null {
    return this.#lastJob;
  }

  /** Why the last refused share was refused. */
  get lastRefusal(): string | null {
    return this.#lastRefusal;
  }

  get health(): DestinationHealth {
    const remembered = this.#clock.monotonicMs() - this.#verdictAtMs < REJECT_MEMORY_MS;
    return {
      name: this.name,
      up: this.client.up,
      jobAgeMs: this.client.jobAgeMs,
      jobAgeLimitMs: this.#jobAgeLimitMs,
      rejectRatio: remembered ? this.#rejectRatio : 0,
      verdicts: remembered ? this.#verdicts : 0,
      rttMs: this.#rttMs,
    };
  }

  start(): void {
    this.client.start();
  }

  stop(): void {
    this.client.stop();
  }

  /** See `UpstreamClient.submit`. */
  submit(share: UpstreamShare, done: VerdictCallback | null = null): void {
    this.client.submit(share, done);
  }

  #clientListener(): UpstreamListener {
    const listener = this.#listener;
    return {
      onUp: () => {
        this.#forget();
        listener.onUp?.(this);
      },
      onDown: (code, detail) => {
        this.#lastJob = null;
        listener.onDown?.(this, code, detail);
      },
      onJob: (job) => {
        this.#lastJob = job;
        listener.onJob?.(this, job);
      },
      onVerdict: (verdict, share) => {
        this.#weigh(verdict);
        listener.onVerdict?.(this, verdict, share);
      },
      onDifficulty: (difficulty) => listener.onDifficulty?.(this, difficulty),
      onRtt: (rttMs) => {
        this.#rttMs = this.#rttMs === null ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
        listener.observeRttSeconds?.(this, rttMs / 1000);
      },
    };
  }

  #forget(): void {
    this.#rejectRatio = 0;
    this.#verdicts = 0;
  }

  /** A lost share says nothing about the upstream's judgement. The first verdicts weigh as a plain mean. */
  #weigh(verdict: UpstreamVerdict): void {
    if (verdict.outcome === 'refused') this.#lastRefusal = verdict.reason;
    if (verdict.outcome === 'lost') return;
    const now = this.#clock.monotonicMs();
    if (now - this.#verdictAtMs >= REJECT_MEMORY_MS) this.#forget();
    this.#verdictAtMs = now;
    this.#verdicts += 1;
    const weight = Math.max(REJECT_WEIGHT, 1 / this.#verdicts);
    this.#rejectRatio += ((verdict.outcome === 'accepted' ? 0 : 1) - this.#rejectRatio) * weight;
  }
}

/**
 * The extranonce2 an upstream gets for a share of one of many sessions: `zeros || session id || miner's
 * extranonce2`. Throws `extranonce_too_small` when the upstream's does not hold both.
 * @param layout the upstream job the share belongs to
 */
export function upstreamExtranonce2(
  layout: { readonly extranonce2Size: number },
  sessionAndMinerExtranonce: Uint8Array,
): Uint8Array {
  const { extranonce2Size } = layout;
  if (sessionAndMinerExtranonce.length > extranonce2Size)
    throw new CodedError(
      'extranonce_too_small',
      `the upstream leaves ${extranonce2Size} bytes, ${sessionAndMinerExtranonce.length} are needed`,
    );
  return paddedExtranonce2(sessionAndMinerExtranonce, extranonce2Size);
}
