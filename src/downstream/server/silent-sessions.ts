import type { CloseReason } from '../session/close-reason.ts';

/** What is looked at of a session. */
export type SilentSession = {
  readonly isClosed: boolean;
  readonly accepted: number;
  readonly address: string;
  readonly seenAtMonotonicMs: number;
  close(reason: CloseReason): void;
};

export type SilentSessionsDeps<S> = {
  readonly sessions: () => Iterable<S>;
  readonly onFull: (facts: { readonly silent: number; readonly longestMs: number }) => void;
};

/** Silence after which a session may go; one that earns finds a share in far less than the second. */
const NEWCOMER_MS = 10_000;
const EARNING_MS = 120_000;
/** How often all sessions are looked at, however many come. */
const LOOK_EVERY_MS = 1_000;
const LOOKED_UP = 2_048;

/** Makes room where there are too many connections: the session that was silent longest goes first. */
export class SilentSessions<S extends SilentSession> {
  readonly #deps: SilentSessionsDeps<S>;
  /** The one that is silent longest is the last. */
  #found: S[] = [];
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: SilentSessionsDeps<S>) {
    this.#deps = deps;
  }

  /** Ends one session, where one is silent. */
  makeRoom(monotonicMs: number): void {
    if (this.#found.length === 0 && monotonicMs - this.#lookedAtMs >= LOOK_EVERY_MS)
      this.#look(monotonicMs);
    for (let next = this.#found.pop(); next !== undefined; next = this.#found.pop()) {
      if (next.isClosed || !isSilent(next, monotonicMs)) continue;
      next.close('session_limit');
      return;
    }
  }

  #look(monotonicMs: number): void {
    this.#lookedAtMs = monotonicMs;
    // Of two that are silent for as long the older goes first.
    this.#found = [...this.#deps.sessions()]
      .reverse()
      .filter((session) => isSilent(session, monotonicMs))
      .sort((a, b) => b.seenAtMonotonicMs - a.seenAtMonotonicMs)
      .slice(-LOOKED_UP);
    const longestMs = monotonicMs - (this.#found.at(-1)?.seenAtMonotonicMs ?? monotonicMs);
    this.#deps.onFull({ silent: this.#found.length, longestMs });
  }
}

function isSilent({ seenAtMonotonicMs, accepted }: SilentSession, monotonicMs: number): boolean {
  return monotonicMs - seenAtMonotonicMs >= (accepted > 0 ? EARNING_MS : NEWCOMER_MS);
}
