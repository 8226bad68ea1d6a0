import { LRUCache } from 'lru-cache';
import { assert } from '../../base/assert.ts';
import { toHex } from '../../base/bytes.ts';
import type { Random } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { type SessionIdRange, SessionIds } from '../../stratum/extranonce.ts';
import type { JobId } from '../../stratum/job-id.ts';

const TOKEN_BYTES = 8;

/** Who a session is, over all its connections. */
export class Identity {
  /** Its bytes, big-endian, are the extranonce1. */
  readonly id: number;
  /** The session id of the subscribe reply. Only who got it can know it: it is worth the work of a miner. */
  readonly token: string;
  readonly #ids: SessionIds;

  constructor(id: number, ids: SessionIds, random: Random) {
    this.id = id;
    this.#ids = ids;
    this.token = toHex(this.extranonce1) + toHex(random.bytes(TOKEN_BYTES));
  }

  /** Made anew each time: kept, it would be the largest thing a session has here. */
  get extranonce1(): Uint8Array {
    return this.#ids.bytesOf(this.id);
  }

  /** Its id is free for others, once it has rested. */
  release(monotonicMs: number): void {
    this.#ids.release(this.id, monotonicMs);
  }

  /** Its id is of these. */
  isOf(ids: SessionIds): boolean {
    return this.#ids === ids;
  }
}

/** What a session that ended left behind, for the miner's next connection. */
export type SessionMemory = {
  /** The jobs it may still submit with their difficulties, oldest first. */
  readonly sent: readonly { readonly jobId: JobId; readonly difficulty: number }[];
  /** Of its next job. */
  readonly difficulty: number;
  /** It earned something, so there may be more to come. */
  readonly hasEarned: boolean;
};

export type IdentitiesOptions = {
  readonly idSize: 1 | 2 | 3 | 4;
  /** Ids rest as long as jobs of their sessions can live. */
  readonly quarantineMs: number;
  /** How long a session can be resumed after its connection ended. */
  readonly resumeMs?: number;
  /** Sessions that can be resumed; of more the oldest is forgotten, and 0 keeps none. */
  readonly resumable?: number;
};

type Departed = { readonly identity: Identity; readonly memory: SessionMemory };

const RESUME_MS = 600_000;

/**
 * Gives sessions their ids and keeps those of ended sessions for a while, to give them back to the same
 * miner. At any time an id belongs to at most one session, live or resumable, and rests between owners.
 */
export class Identities<Holder> {
  readonly #options: Pick<IdentitiesOptions, 'idSize' | 'quarantineMs'>;
  #ids: SessionIds;
  readonly #random: Random;
  readonly #now: () => number;
  #resumable: number;
  readonly #live = new Map<string, Holder>();
  readonly #departed: LRUCache<string, Departed>;
  /** Those of which there was no more room. */
  readonly stats = { forgotten: 0 };

  constructor(
    options: IdentitiesOptions,
    deps: { readonly random: Random; readonly monotonicMs: () => number },
  ) {
    this.#options = options;
    this.#random = deps.random;
    this.#ids = this.#idsOf(undefined);
    this.#now = deps.monotonicMs;
    this.#resumable = options.resumable ?? LIMITS.resumableSessions;
    this.#departed = new LRUCache({
      max: this.#resumable || LIMITS.resumableSessions,
      ttl: options.resumeMs ?? RESUME_MS,
      ttlResolution: 0,
      perf: { now: deps.monotonicMs },
      dispose: ({ identity }, _token, reason) => {
        if (reason === 'delete') return;
        if (reason === 'evict') this.stats.forgotten += 1;
        identity.release(this.#now());
      },
    });
  }

  /** Of sessions that end from now on; one that waits already keeps its time, unless none may be resumed. */
  setResuming({ resumable, resumeMs }: Pick<IdentitiesOptions, 'resumable' | 'resumeMs'>): void {
    this.#resumable = resumable ?? LIMITS.resumableSessions;
    this.#departed.ttl = resumeMs ?? RESUME_MS;
  }

  /**
   * New sessions have ids of this range from now on; what ended sessions left behind is forgotten. Sessions
   * that are live keep theirs: their holders.
   */
  setRange(range: SessionIdRange | undefined): readonly Holder[] {
    this.#ids = this.#idsOf(range);
    this.#departed.clear();
    return [...this.#live.values()];
  }

  #idsOf(range: SessionIdRange | undefined): SessionIds {
    const { idSize: size, quarantineMs } = this.#options;
    return new SessionIds({ size, quarantineMs, range }, this.#random);
  }

  get liveCount(): number {
    return this.#live.size;
  }

  /** Sessions without a connection that can be resumed. */
  get departedCount(): number {
    return this.#departed.size;
  }

  /** A new identity; undefined when no id is free. */
  open(holder: Holder): Identity | undefined {
    const id = this.#allocate();
    if (id === undefined) return undefined;
    const identity = new Identity(id, this.#ids, this.#random);
    this.#live.set(identity.token, holder);
    return identity;
  }

  /** The live session of a token. It has to leave before another can resume it. */
  holderOf(token: string): Holder | undefined {
    return this.#live.get(token);
  }

  /** The identity that a session left behind, once. */
  resume(token: string, holder: Holder): { identity: Identity; memory: SessionMemory } | undefined {
    const departed = this.#resumable === 0 ? undefined : this.#departed.get(token);
    if (departed === undefined) return undefined;
    this.#departed.delete(token);
    this.#live.set(token, holder);
    return departed;
  }

  /**
   * The session ended. @param memory absent when it may not be resumed. When many come and go, those that
   * never earned anything do not push out those that did.
   */
  leave(identity: Identity, memory: SessionMemory | undefined): void {
    assert(this.#live.delete(identity.token), 'identity_live', identity.id);
    const isCrowded = this.#departed.size >= this.#resumable / 2;
    const isResumable = memory !== undefined && this.#resumable > 0 && identity.isOf(this.#ids);
    const isKept = isResumable && (memory.hasEarned || !isCrowded);
    if (!isKept) {
      identity.release(this.#now());
    } else this.#departed.set(identity.token, { identity, memory });
  }

  /** Forgets whose time is over; to be called every few seconds. */
  expire(): void {
    this.#departed.purgeStale();
  }

  #allocate(): number | undefined {
    try {
      return this.#ids.allocate(this.#now());
    } catch (error) {
      if (error instanceof CodedError) return undefined;
      throw error;
    }
  }
}
