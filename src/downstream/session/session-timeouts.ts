import type { Session } from './session.ts';

export type SessionTimeoutOptions = {
  readonly subscribeTimeoutMs?: number;
  readonly authorizeTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
};

const SUBSCRIBE_MS = 15_000;
const AUTHORIZE_MS = 60_000;
const IDLE_MS = 15 * 60_000;

/** What the time says of a session: whether it is to be ended, or asked for a sign of life. */
export function dueTimeout(
  session: Pick<
    Session,
    'isAuthorized' | 'connectedAtMonotonicMs' | 'seenAtMonotonicMs' | 'isPinged' | 'isSubscribed'
  >,
  options: SessionTimeoutOptions,
  monotonicMs: number,
): 'end' | 'ping' | 'nothing' {
  const { subscribeTimeoutMs = SUBSCRIBE_MS, authorizeTimeoutMs = AUTHORIZE_MS } = options;
  const { idleTimeoutMs = IDLE_MS } = options;
  const ageMs = monotonicMs - session.connectedAtMonotonicMs;
  if (!session.isSubscribed && ageMs > subscribeTimeoutMs) return 'end';
  if (!session.isAuthorized && ageMs > authorizeTimeoutMs) return 'end';
  const silentMs = monotonicMs - session.seenAtMonotonicMs;
  if (silentMs > idleTimeoutMs) return 'end';
  return !session.isPinged && silentMs > idleTimeoutMs / 2 ? 'ping' : 'nothing';
}
