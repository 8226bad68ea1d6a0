/** A session as far as its speed is known. */
export type SpeedOfSession = {
  readonly id: number;
  /** Measured by its accepted shares; of few it says little. */
  readonly hashesPerSecond: number;
  readonly accepted: number;
  /** What machines of its name do; undefined where the name does not tell. */
  readonly guessed: number | undefined;
  readonly connectedForMs: number;
};

export type SlowSessionsOptions = {
  /** A contract is left below so many of its shares a minute, ... */
  readonly leaveBelow: number;
  /** ... and returned to above so many. */
  readonly returnAbove: number;
  /** Accepted shares, and time, below which a measured hashrate is as good as unknown. */
  readonly measuredShares: number;
  readonly measuredMs: number;
  /** Who has sent fewer by then is too slow, whatever it calls itself. */
  readonly silentMs: number;
};

export const SLOW_SESSIONS: SlowSessionsOptions = {
  leaveBelow: 0.5,
  returnAbove: 1,
  measuredShares: 8,
  measuredMs: 60_000,
  silentMs: 16 * 60_000,
};

export type SlowSessionsState = {
  /** Of each that is too slow, the shares a minute it would find for the contracts, as far as is known. */
  readonly slow: ReadonlyMap<number, number>;
};

export type SlowSessionsEvent =
  /** All sessions, and the hashes of the hardest share that a contract wants; undefined without one. */
  | {
      readonly type: 'look';
      readonly sessions: readonly SpeedOfSession[];
      readonly shareHashes: number | undefined;
    }
  /** One that has come. */
  | { readonly type: 'came'; readonly session: SpeedOfSession; readonly shareHashes: number };

/** It is to be sent elsewhere than before. */
export type SlowSessionsEffect = { readonly type: 'changed'; readonly session: number };

export type SlowSessionsTransition = {
  readonly state: SlowSessionsState;
  readonly effects: readonly SlowSessionsEffect[];
};

export const NONE_SLOW: SlowSessionsState = { slow: new Map() };

/**
 * Which sessions would find a share of a contract so seldom that they are worth more at the miner's own
 * pool, whose shares are as easy as they need. Pure.
 * @param _nowMs says nothing here: what has passed is in the event
 */
export function transition(
  options: SlowSessionsOptions,
  state: SlowSessionsState,
  event: SlowSessionsEvent,
  _nowMs: number,
): SlowSessionsTransition {
  if (event.type === 'came') {
    const { session, shareHashes } = event;
    const rate = slowRate(options, state, session, shareHashes);
    if (rate === undefined) return { state, effects: [] };
    return { state: { slow: new Map([...state.slow, [session.id, rate]]) }, effects: [] };
  }
  const { sessions, shareHashes } = event;
  const slow = new Map<number, number>();
  if (shareHashes !== undefined) {
    for (const session of sessions) {
      const rate = slowRate(options, state, session, shareHashes);
      if (rate !== undefined) slow.set(session.id, rate);
    }
  }
  const changed = sessions.filter(({ id }) => slow.has(id) !== state.slow.has(id));
  return { state: { slow }, effects: changed.map(({ id }) => ({ type: 'changed', session: id })) };
}

/** Its shares a minute where they are too few; undefined where it is fast enough, or nothing is known yet. */
function slowRate(
  options: SlowSessionsOptions,
  state: SlowSessionsState,
  session: SpeedOfSession,
  shareHashes: number,
): number | undefined {
  const { accepted, connectedForMs } = session;
  const isMeasured = accepted >= options.measuredShares && connectedForMs >= options.measuredMs;
  const hashesPerSecond = isMeasured ? session.hashesPerSecond : session.guessed;
  if (hashesPerSecond === undefined) return connectedForMs >= options.silentMs ? 0 : undefined;
  const sharesPerMinute = (hashesPerSecond * 60) / shareHashes;
  const limit = state.slow.has(session.id) ? options.returnAbove : options.leaveBelow;
  return sharesPerMinute < limit ? sharesPerMinute : undefined;
}
