import type { Clock } from '../base/clock.ts';
import type { DestinationHealth } from './failover.ts';
import type { UpstreamVerdict } from './upstream-share.ts';

/** One verdict weighs 1/64: some seventy verdicts forget the past by two thirds. */
const REJECT_WEIGHT = 1 / 64;

/** After this time without an answer the past is forgotten, so that an avoided upstream is tried again. */
const MEMORY_MS = 10 * 60_000;

/** As TCP smooths its round-trip times (RFC 6298). */
const RTT_WEIGHT = 1 / 8;

/** The part of a destination's health that its verdicts tell. */
export class VerdictHealth {
  readonly #clock: Clock;
  #rttMs: number | undefined;
  #rttAtMs = Number.NEGATIVE_INFINITY;
  #rejectRatio = 0;
  #verdicts = 0;
  #verdictAtMs = Number.NEGATIVE_INFINITY;
  #lastRefusal: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get health(): Pick<DestinationHealth, 'rejectRatio' | 'verdicts' | 'rttMs'> {
    const monotonicMs = this.#clock.monotonicMs();
    const remembered = monotonicMs - this.#verdictAtMs < MEMORY_MS;
    return {
      rejectRatio: remembered ? this.#rejectRatio : 0,
      verdicts: remembered ? this.#verdicts : 0,
      rttMs: monotonicMs - this.#rttAtMs < MEMORY_MS ? this.#rttMs : undefined,
    };
  }

  /** Why the last refused share was refused. */
  get lastRefusal(): string | undefined {
    return this.#lastRefusal;
  }

  forget(): void {
    this.#rejectRatio = 0;
    this.#verdicts = 0;
  }

  answered(rttMs: number): void {
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#rttAtMs >= MEMORY_MS) this.#rttMs = undefined;
    this.#rttAtMs = monotonicMs;
    this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
  }

  /** A lost share says nothing about the upstream's judgement. The first verdicts weigh as a plain mean. */
  judged(verdict: Pick<UpstreamVerdict, 'outcome' | 'reason'>): void {
    if (verdict.outcome === 'refused') this.#lastRefusal = verdict.reason;
    if (verdict.outcome === 'lost') return;
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#verdictAtMs >= MEMORY_MS) this.forget();
    this.#verdictAtMs = monotonicMs;
    this.#verdicts += 1;
    const weight = Math.max(REJECT_WEIGHT, 1 / this.#verdicts);
    this.#rejectRatio += ((verdict.outcome === 'accepted' ? 0 : 1) - this.#rejectRatio) * weight;
  }
}
