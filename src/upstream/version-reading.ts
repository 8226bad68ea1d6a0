import { assert } from '../base/assert.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import {
  bitsWithin,
  rollableMask,
  rolledVersion,
  upstreamVersionBits,
  type VersionReading,
} from '../stratum/version-rolling.ts';
import type { ReadingGuess, UpstreamShare, UpstreamVerdict } from './upstream-share.ts';

/** `auto` finds out from the verdicts. */
export type VersionReadingOption = VersionReading | 'auto';

export type ReadingState = {
  readonly guess: ReadingGuess;
  /** A share that only this reading explains was accepted. */
  readonly confirmed: boolean;
  /** Telling refusals since the last telling acceptance. */
  readonly strikes: number;
};

export const INITIAL_READING: ReadingState = { guess: 'kept', confirmed: false, strikes: 0 };

/** Telling refusals in a row before the other reading is tried: enough that chance alone seldom does it. */
export const STRIKES = 3;

/** The same once the reading has been confirmed: by then something else is the likelier reason. */
export const STRIKES_CONFIRMED = 16;

/** A wrong version passes by chance once in this many shares, at most, or the share tells nothing. */
const TELLING_TARGET = 1n << 240n;

/**
 * What a verdict on a share sent under `guess` says about the reading. Only shares of jobs that have bits
 * of the mask set are to be given: for all others the readings agree. Pure.
 */
export function nextReading(
  state: ReadingState,
  evidence: { readonly guess: ReadingGuess; readonly accepted: boolean },
): ReadingState {
  if (evidence.guess !== state.guess) return state;
  if (evidence.accepted) return { guess: state.guess, confirmed: true, strikes: 0 };
  const strikes = state.strikes + 1;
  if (strikes < (state.confirmed ? STRIKES_CONFIRMED : STRIKES)) return { ...state, strikes };
  return { guess: state.guess === 'kept' ? 'xor' : 'kept', confirmed: false, strikes: 0 };
}

/** Error numbers and words of refusals that have other reasons than a hash above the target. */
const OTHER_CODES = new Set([21, 22, 24, 25, 28, 29, 31, 32, 36, 37]);
const OTHER_WORDS = /stale|duplicate|job|worker|authori[sz]|subscri|time|banned/i;

/**
 * True when a wrong version may be behind a refusal: the hash did not meet the target, or no reason was
 * given.
 */
export function mayBeWrongVersion(verdict: UpstreamVerdict): boolean {
  if (verdict.outcome !== 'refused') return false;
  if (verdict.code !== null && OTHER_CODES.has(verdict.code)) return false;
  return verdict.code === 23 || !OTHER_WORDS.test(verdict.reason);
}

/** How one upstream reads version bits: told, or learnt over all its connections. */
export class ReadingBook {
  readonly option: VersionReadingOption;
  #state = INITIAL_READING;

  constructor(option: VersionReadingOption) {
    this.option = option;
  }

  /** What is assumed now; the option itself unless that is `auto`. */
  get state(): ReadingState {
    return this.#state;
  }

  /** The version bits of a job that may be rolled. `granted` is the mask the upstream allows. */
  mask(version: number, granted: number): number {
    return rollableMask(this.option === 'auto' ? 'or' : this.option, version, granted);
  }

  /**
   * The sixth param for a share, and under which guess it was made: null when it would be the same under
   * any, or the share's target is too easy for its verdict to tell.
   */
  param(
    share: UpstreamShare,
    granted: number,
  ): { readonly bits: number; readonly guess: ReadingGuess | null } {
    const { version, versionMask } = share.job;
    assert(bitsWithin(share.versionBits, versionMask), 'version_bits_within_mask', share.versionBits);
    const hashed = rolledVersion(version, versionMask, share.versionBits);
    if (this.option !== 'auto')
      return { bits: upstreamVersionBits(this.option, version, versionMask, hashed), guess: null };
    const { guess } = this.#state;
    const bits = (guess === 'xor' ? hashed ^ version : hashed & (granted | versionMask)) >>> 0;
    return { bits, guess: tells(share.job, granted) ? guess : null };
  }

  /** @returns true when the guess changed */
  judge(guess: ReadingGuess, verdict: UpstreamVerdict): boolean {
    const accepted = verdict.outcome === 'accepted';
    if (!accepted && !mayBeWrongVersion(verdict)) return false;
    const before = this.#state;
    this.#state = nextReading(before, { guess, accepted });
    return this.#state.guess !== before.guess;
  }
}

function tells(job: UpstreamJob, granted: number): boolean {
  return (job.version & granted) !== 0 && job.target < TELLING_TARGET;
}
