import { LIMITS } from '../base/limits.ts';
import type { UpstreamOutcome } from './upstream-share.ts';

/**
 * Forwarded shares by both verdicts. A share is counted once, when both are known. `Silent` is a time-out
 * or a share lost on the way: no verdict of theirs.
 */
export type VerdictMatrix = {
  weAcceptedTheyAccepted: number;
  weAcceptedTheyRejected: number;
  weAcceptedTheySilent: number;
  weRejectedTheyAccepted: number;
  weRejectedTheyRejected: number;
  weRejectedTheySilent: number;
  /** Forgotten with one verdict only, since too many waited for the other. */
  incomplete: number;
};

type Theirs = 'TheyAccepted' | 'TheyRejected' | 'TheySilent';

const THEIRS: Readonly<Record<UpstreamOutcome, Theirs>> = {
  accepted: 'TheyAccepted',
  refused: 'TheyRejected',
  timeout: 'TheySilent',
  lost: 'TheySilent',
};

/** Joins our verdict and the upstream's on each forwarded share, in whichever order they come. Bounded. */
export class VerdictMatrixCounter {
  readonly counts: VerdictMatrix = {
    weAcceptedTheyAccepted: 0,
    weAcceptedTheyRejected: 0,
    weAcceptedTheySilent: 0,
    weRejectedTheyAccepted: 0,
    weRejectedTheyRejected: 0,
    weRejectedTheySilent: 0,
    incomplete: 0,
  };
  readonly #waiting = new Map<object, { ours: boolean | undefined; theirs: Theirs | undefined }>();

  /** Shares with one verdict or none. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param token stands for the share; any object, compared by identity */
  forwarded(token: object): void {
    this.#waiting.set(token, { ours: undefined, theirs: undefined });
    if (this.#waiting.size <= 2 * LIMITS.upstreamSharesInFlight) return;
    for (const oldest of this.#waiting.keys()) {
      this.#waiting.delete(oldest);
      this.counts.incomplete += 1;
      return;
    }
  }

  /** Our verdict. Ignored for a token that was not forwarded, or was judged before. */
  judged(token: object, accepted: boolean): void {
    const pair = this.#waiting.get(token);
    if (pair === undefined || pair.ours !== undefined) return;
    pair.ours = accepted;
    this.#count(token, pair);
  }

  /** Theirs. */
  resolved(token: object, outcome: UpstreamOutcome): void {
    const pair = this.#waiting.get(token);
    if (pair === undefined || pair.theirs !== undefined) return;
    pair.theirs = THEIRS[outcome];
    this.#count(token, pair);
  }

  #count(token: object, { ours, theirs }: { ours: boolean | undefined; theirs: Theirs | undefined }): void {
    if (ours === undefined || theirs === undefined) return;
    this.#waiting.delete(token);
    this.counts[`${ours ? 'weAccepted' : 'weRejected'}${theirs}` as const] += 1;
  }
}
