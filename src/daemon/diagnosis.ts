import type { Timers } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';

/** What a check found, and what to do about it where there is something to do. */
export type Diagnosis = {
  readonly check: string;
  readonly verdict: 'ok' | 'warn' | 'fail';
  /** What was found. */
  readonly text: string;
  /** Of a fault that has one. */
  readonly code?: ErrorCode;
  readonly hint?: string;
};

export type DoctorDeps = {
  readonly timers: Timers;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall time in ms since the epoch. */
  readonly nowMs: () => number;
  /** A check that takes longer has failed. */
  readonly timeoutMs: number;
};

/** A check that could not be made. */
export function failed(check: string, error: unknown): Diagnosis {
  if (!(error instanceof CodedError))
    return { check, verdict: 'fail', text: error instanceof Error ? error.message : String(error) };
  const { code, hint, message } = error;
  return { check, verdict: 'fail', text: message.replace(`${code}: `, ''), code, hint };
}

/** The worst of all. */
export function verdictOf(found: readonly Diagnosis[]): Diagnosis['verdict'] {
  if (found.some(({ verdict }) => verdict === 'fail')) return 'fail';
  return found.some(({ verdict }) => verdict === 'warn') ? 'warn' : 'ok';
}
