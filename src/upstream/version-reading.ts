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
  readonly isConfirmed: boolean;
  /** Telling refusals since the last telling acceptance. */
  readonly strikes: number;
};

/** A verdict on a share sent under `guess`; of jobs that have bits of the mask set, others tell nothing. */
export type ReadingEvent = {
  readonly type: 'verdict';
  readonly guess: ReadingGuess;
  readonly accepted: boolean;
};

/** Shares go under this guess from now on. */
export type ReadingEffect = { readonly type: 'changed'; readonly guess: ReadingGuess };

export type ReadingTransition = {
  readonly state: ReadingState;
  readonly effects: readonly ReadingEffect[];
};

export const INITIAL_READING: ReadingState = { guess: 'kept', isConfirmed: false, strikes: 0 };

export type ReadingOptions = {
  /** Telling refusals in a row before the other reading is tried. */
  readonly strikes: number;
  /** The same once the reading has been confirmed: by then something else is the likelier reason. */
  readonly strikesConfirmed: number;
};

/** Enough that chance alone seldom does it. */
export const READING_OPTIONS: ReadingOptions = { strikes: 3, strikesConfirmed: 16 };

/** A wrong version passes by chance once in this many shares, at most, or the share tells nothing. */
const TELLING_TARGET = 1n << 240n;

/**
 * What a verdict says about the reading; pure.
 * @param _nowMs says nothing here: verdicts are counted, however long they take
 */
export function transition(
  options: ReadingOptions,
  state: ReadingState,
  event: ReadingEvent,
  _nowMs: number,
): ReadingTransition {
  if (event.guess !== state.guess) return { state, effects: [] };
  if (event.accepted) return { state: { guess: state.guess, isConfirmed: true, strikes: 0 }, effects: [] };
  const strikes = state.strikes + 1;
  if (strikes < (state.isConfirmed ? options.strikesConfirmed : options.strikes))
    return { state: { ...state, strikes }, effects: [] };
  const guess = state.guess === 'kept' ? 'xor' : 'kept';
  return { state: { guess, isConfirmed: false, strikes: 0 }, effects: [{ type: 'changed', guess }] };
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
  if (verdict.code !== undefined && OTHER_CODES.has(verdict.code)) return false;
  return verdict.code === 23 || !OTHER_WORDS.test(verdict.reason);
}

/** How one upstream reads version bits: told, or learnt over all its connections. */
export class VersionReadingTracker {
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
  mask(version: number, grantedMask: number): number {
    return rollableMask(this.option === 'auto' ? 'or' : this.option, version, grantedMask);
  }

  /**
   * The sixth param for a share, and under which guess it was made: undefined when it would be the same
   * under any, or the share's target is too easy for its verdict to tell.
   */
  param(
    share: UpstreamShare,
    granted: number,
  ): { readonly bits: number; readonly guess: ReadingGuess | undefined } {
    const { version, versionMask } = share.job;
    assert(bitsWithin(share.versionBits, versionMask), 'version_bits_within_mask', share.versionBits);
    const hashed = rolledVersion(version, versionMask, share.versionBits);
    if (this.option !== 'auto')
      return { bits: upstreamVersionBits(this.option, version, versionMask, hashed), guess: undefined };
    const { guess } = this.#state;
    const bits = (guess === 'xor' ? hashed ^ version : hashed & (granted | versionMask)) >>> 0;
    return { bits, guess: isTelling(share.job, granted) ? guess : undefined };
  }

  /** @returns true when the guess changed */
  learn(guess: ReadingGuess, verdict: UpstreamVerdict, nowMs: number): boolean {
    const accepted = verdict.outcome === 'accepted';
    if (!accepted && !mayBeWrongVersion(verdict)) return false;
    const event = { type: 'verdict', guess, accepted } as const;
    const { state, effects } = transition(READING_OPTIONS, this.#state, event, nowMs);
    this.#state = state;
    return effects.some(({ type }) => type === 'changed');
  }
}

function isTelling(job: UpstreamJob, granted: number): boolean {
  return (job.version & granted) !== 0 && job.target < TELLING_TARGET;
}
