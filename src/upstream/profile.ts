import { LIMITS } from '../base/limits.ts';

/** What is on the other side: a pool as the field knows them, or a Braidpool node with its habits (A12). */
export type UpstreamProfile = 'generic' | 'braidpool';

/**
 * Which shares an upstream wants that never sent a difficulty: those of difficulty 1, or only block
 * solutions.
 */
export type ShareTargetRule = 'difficulty' | 'network';

type ProfileTraits = {
  /** Braidpool parses `version-rolling.min-bit-count` as eight hex digits only; BIP310 has an integer. */
  readonly minBitCount: number | string;
  readonly shareTarget: ShareTargetRule;
  /** Silence after which the connection is taken for dead. Pools repeat work every 30 to 55 s. */
  readonly silenceMs: number;
  /** A request that changes nothing is sent after half of `silenceMs`: any answer proves life. */
  readonly probe: boolean;
  /**
   * After `set_extranonce` without a notify for this long, the last job is given out again with the new
   * one.
   */
  readonly extranonceRepeatMs: number | undefined;
  /**
   * Takes `mining.suggest_difficulty`. Braidpool answers it with a `set_difficulty` that changes nothing
   * in its own judgement, and would so make us send it shares it refuses.
   */
  readonly takesSuggestion: boolean;
  /** Resumes a session by the id of its subscribe reply; Braidpool's ids are the same for everybody. */
  readonly resumes: boolean;
  /** Age at which a job is taken for a sign of trouble. Braidpool sends templates on a new tip only. */
  readonly jobAgeLimitMs: number;
};

export const PROFILES: Readonly<Record<UpstreamProfile, ProfileTraits>> = {
  generic: {
    minBitCount: 2,
    shareTarget: 'difficulty',
    silenceMs: 180_000,
    probe: false,
    extranonceRepeatMs: undefined,
    takesSuggestion: true,
    resumes: true,
    jobAgeLimitMs: LIMITS.jobAgeMs,
  },
  braidpool: {
    minBitCount: '00000002',
    shareTarget: 'network',
    silenceMs: 180_000,
    probe: true,
    extranonceRepeatMs: 250,
    takesSuggestion: false,
    resumes: false,
    jobAgeLimitMs: 2 * 3600_000,
  },
};
