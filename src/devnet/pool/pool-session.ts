import { u32hex } from '../../base/bytes.ts';
import { isRecord } from '../../base/json.ts';
import { targetOfDifficulty } from '../../bitcoin/target.ts';
import type { PoolVardiff } from './pool-vardiff.ts';

type Since<T> = { readonly fromJob: number; readonly value: T };

/** A value that changes with jobs: each job is judged by what was in force when it was sent. */
export class JobScoped<T> {
  #history: Since<T>[];

  constructor(value: T) {
    this.#history = [{ fromJob: 0, value }];
  }

  /** What the next job will have. */
  get latest(): T {
    return this.#history[this.#history.length - 1]!.value;
  }

  /** In force from a job on. */
  set(fromJob: number, value: T): void {
    this.#history = this.#history.filter((entry) => entry.fromJob < fromJob);
    this.#history.push({ fromJob, value });
    if (this.#history.length > MAX_HISTORY) this.#history.shift();
  }

  at(job: number): T {
    const entries = this.#history.filter((entry) => entry.fromJob <= job);
    return (entries[entries.length - 1] ?? this.#history[0]!).value;
  }
}

const MAX_HISTORY = 64;

export type PoolDifficulty = { readonly difficulty: number; readonly target: bigint };

export function poolDifficulty(difficulty: number): PoolDifficulty {
  return { difficulty, target: targetOfDifficulty(difficulty) };
}

export type PoolExtranonce = { readonly extranonce1: Uint8Array; readonly extranonce2Size: number };

/** What a pool knows of a miner; it outlives the connection for a while. */
export type PoolSession = {
  /** Given as the subscription's id; who sends it back gets the same extranonce1 again. */
  readonly id: string;
  readonly extranonce: JobScoped<PoolExtranonce>;
  readonly difficulty: JobScoped<PoolDifficulty>;
  readonly vardiff: PoolVardiff | undefined;
  mask: number;
  configured: boolean;
  subscribed: boolean;
  /** The names authorised on this connection. */
  readonly workers: Set<string>;
};

export function isPoolReady(session: PoolSession): boolean {
  return session.subscribed && session.workers.size > 0;
}

/** `mining.configure`: answers what was asked for and nothing else. */
export function configurePool(
  session: PoolSession,
  params: readonly unknown[],
  ownMask: number,
): Record<string, unknown> {
  const [extensions, values] = params;
  const result: Record<string, unknown> = {};
  for (const extension of Array.isArray(extensions) ? extensions : []) result[String(extension)] = false;
  if (result['version-rolling'] === undefined) return result;
  const asked = isRecord(values) ? values['version-rolling.mask'] : undefined;
  const requested = typeof asked === 'string' ? Number.parseInt(asked, 16) : 0xffffffff;
  session.mask = (requested & ownMask) >>> 0;
  if (session.mask === 0) return result;
  session.configured = true;
  return { ...result, 'version-rolling': true, 'version-rolling.mask': u32hex(session.mask) };
}

type Kept = { readonly session: PoolSession; readonly untilMs: number };

/** Sessions whose connection ended, for as long as they may come back. */
export class ResumableSessions {
  readonly #sessions = new Map<string, Kept>();
  readonly #keepMs: number;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  keep(session: PoolSession, nowMs: number): void {
    if (this.#keepMs > 0) this.#sessions.set(session.id, { session, untilMs: nowMs + this.#keepMs });
    for (const [id, { untilMs }] of this.#sessions) {
      if (untilMs > nowMs && this.#sessions.size <= MAX_KEPT) break;
      this.#sessions.delete(id);
    }
  }

  take(id: unknown, nowMs: number): PoolSession | undefined {
    if (typeof id !== 'string') return undefined;
    const kept = this.#sessions.get(id);
    this.#sessions.delete(id);
    return kept !== undefined && kept.untilMs > nowMs ? kept.session : undefined;
  }

  clear(): void {
    this.#sessions.clear();
  }
}

const MAX_KEPT = 10_000;
