import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, request } from './api.ts';
import { EventLines } from './event-lines.ts';

/** `locked`: a token is needed. `stale`: what is shown is old. */
export type Connection = 'connecting' | 'live' | 'stale' | 'locked';
export type Live = {
  readonly connection: Connection;
  /** Undefined before the first. */
  readonly sample: Readonly<Record<string, unknown>> | undefined;
  /** When the daemon was last heard. */
  readonly asOfMs: number;
};

const RETRY_MS = 2_000;
/** The daemon says at least each 15 seconds that it is there. */
const SILENCE_MS = 20_000;

/** What is shown before anything was heard. */
export const UNHEARD: Live = { connection: 'connecting', sample: undefined, asOfMs: 0 };
export const LiveContext = createContext<Live>(UNHEARD);

export function useLive(): Live {
  return useContext(LiveContext);
}

/**
 * Follows what the daemon shows of itself, and comes back after the last event it has seen. A page that
 * nobody sees follows nothing, and leaves the connection to others.
 * @param key another one begins anew
 */
export function useEvents(key: unknown): Live {
  const [live, setLive] = useState<Live>(UNHEARD);
  useEffect(() => {
    const gone = new AbortController();
    const later = (change: (before: Live) => Live): void => {
      if (!gone.signal.aborted) setLive(change);
    };
    void follow(gone.signal, later);
    return () => gone.abort();
  }, [key]);
  return live;
}

async function follow(gone: AbortSignal, change: (step: (before: Live) => Live) => void): Promise<void> {
  let last: string | undefined;
  while (!gone.aborted) {
    await seen(gone);
    try {
      last = await followOnce(last, gone, change);
    } catch (error) {
      const isLocked = error instanceof ApiError && error.status === 401;
      change((before) => ({ ...before, connection: isLocked ? 'locked' : 'stale' }));
      if (isLocked) return;
    }
    if (!document.hidden) change((before) => ({ ...before, connection: 'stale' }));
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Until the connection ends. Returns the id of the last event. */
async function followOnce(
  before: string | undefined,
  gone: AbortSignal,
  change: (step: (before: Live) => Live) => void,
): Promise<string | undefined> {
  const cut = new AbortController();
  const onHidden = (): void => {
    if (document.hidden) cut.abort();
  };
  document.addEventListener('visibilitychange', onHidden);
  let silence = setTimeout(() => cut.abort(), SILENCE_MS);
  let last = before;
  try {
    const headers = {
      accept: 'text/event-stream',
      ...(last === undefined ? {} : { 'last-event-id': last }),
    };
    const answer = await request('/events', { headers, signal: AbortSignal.any([gone, cut.signal]) });
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    const lines = new EventLines();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(silence);
      silence = setTimeout(() => cut.abort(), SILENCE_MS);
      for (const { id, event, data } of lines.push(part.value)) {
        last = id;
        const heard = JSON.parse(data) as Readonly<Record<string, unknown>>;
        change(({ sample }) => ({
          ...{ connection: 'live', asOfMs: Date.now() },
          sample: event === 'snapshot' ? heard : { ...sample, ...heard },
        }));
      }
      change((now) => ({ ...now, connection: 'live', asOfMs: Date.now() }));
    }
  } catch (error) {
    if (!cut.signal.aborted) throw error;
  } finally {
    clearTimeout(silence);
    document.removeEventListener('visibilitychange', onHidden);
  }
  return last;
}

/** Resolves when somebody sees the page. */
function seen(gone: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.hidden && !gone.aborted) return;
      document.removeEventListener('visibilitychange', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    gone.addEventListener('abort', look, { once: true });
  });
}

/** Something that is shown and could not be read anew. */
export type Late = { readonly asOfMs: number; readonly error: ApiError };
/** Told of each thing that is polled whether it is late, by a key of its own. */
export const LateContext = createContext<(key: object, late: Late | undefined) => void>(() => {});
/** Longer than any read of a daemon that is well. */
const ANSWER_MS = 20_000;

export type Polled<T> = {
  readonly value: T | undefined;
  readonly error: ApiError | undefined;
  /** Asks again now. */
  readonly again: () => void;
};

/**
 * What `load` gives, again and again while the page is seen. What was there stays while it is asked for anew.
 * @param key another one begins anew
 */
export function usePolled<T>(
  load: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  key = '',
): Polled<T> {
  const [state, setState] = useState<Pick<Polled<T>, 'value' | 'error'> & { readonly asOfMs: number }>({
    ...{ value: undefined, error: undefined, asOfMs: 0 },
  });
  useLate(state);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      await seen(gone.signal);
      if (gone.signal.aborted) return;
      try {
        const value = await load(AbortSignal.any([gone.signal, AbortSignal.timeout(ANSWER_MS)]));
        if (!gone.signal.aborted) setState({ value, error: undefined, asOfMs: Date.now() });
      } catch (error) {
        if (gone.signal.aborted) return;
        const told = error instanceof ApiError ? error : new ApiError(0, 'page', String(error), '');
        setState((before) => ({ ...before, error: told }));
      }
      if (!gone.signal.aborted) timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [everyMs, key, turn]);
  return { ...state, again: () => setTurn((before) => before + 1) };
}

/** Says that what is shown is old, as long as it is. What was never read says so in its place. */
function useLate({
  value,
  error,
  asOfMs,
}: Pick<Polled<unknown>, 'value' | 'error'> & { asOfMs: number }): void {
  const tell = useContext(LateContext);
  const key = useRef({});
  useEffect(() => {
    if (error === undefined || value === undefined) return;
    tell(key.current, { asOfMs, error });
    return () => tell(key.current, undefined);
  }, [error, asOfMs]);
}

/** The time, told anew each second. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
