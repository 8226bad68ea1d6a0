import type { z } from 'zod';
import { toHex } from '../base/bytes.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { Refused } from '../http/reply.ts';
import { wired } from './wire.ts';

/** What outlives a daemon: how each hour ended, oldest first. */
export type Hours = { readonly rows: readonly Row[]; readonly keep: (row: Row) => void };
export type FeedDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly hours: Hours;
};

type Sample = Readonly<Record<string, unknown>>;
export type Row = { readonly sequence: number; readonly at_ms: number } & Sample;

const LOOK_MS = 1_000;
/** Looks between two rows of history, of which six hours are kept: ten seconds. */
const LOOKS_A_ROW = 10;
const ROWS_KEPT = 2_160;
/** Changes that a client may have missed and still be told: a quarter of an hour, at one a second. */
const CHANGES_KEPT = 900;
const HOUR_MS = 3_600_000;
const FOLLOWERS_MOST = 16;
const HEARTBEAT_MS = 15_000;
/** After which a client that lost its connection is to come back. */
const RETRY_MS = 2_000;

type Follower = {
  /** The last change it was told; undefined before all. */ at: number | undefined;
  isGone: boolean;
};

/**
 * What a daemon shows of itself as time goes by: a ring of rows, one for each hour that is kept, and a stream
 * of server-sent events, first a `snapshot` and then each `change` of it, that goes on where a client left
 * off. A client that is slow costs nothing but a number: what it missed is in the ring, or it is told all
 * anew.
 */
export class Feed {
  readonly #schema: z.ZodObject;
  readonly #look: () => object;
  readonly #deps: FeedDeps;
  /** Events of another process are none of this one. */
  readonly #run: string;
  readonly #rows: Row[] = [];
  readonly #changes: string[] = [];
  readonly #followers = new Map<Follower, () => void>();
  #now: Sample;
  #looks = 0;
  /** The hour of Unix time. */
  #hour: number;
  #changed = 0;
  #timer: Timer | undefined;

  /** @param look what is shown, in the names of its schema or in camel case */
  constructor(schema: z.ZodObject, look: () => object, deps: FeedDeps) {
    this.#schema = schema;
    this.#look = look;
    this.#deps = deps;
    this.#run = toHex(deps.random.bytes(4));
    this.#now = this.#seen();
    this.#hour = this.#hourNow;
  }

  start(): void {
    this.#timer = this.#deps.timers.every(LOOK_MS, () => this.look());
    this.#keepRow();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#wake();
  }

  /** Oldest first. */
  get rows(): readonly Row[] {
    return this.#rows;
  }

  get hours(): readonly Row[] {
    return this.#deps.hours.rows;
  }

  get #hourNow(): number {
    return Math.floor(this.#deps.clock.nowMs() / HOUR_MS);
  }

  /** Looks as often as a row is due; each second while somebody follows. */
  look(): void {
    this.#looks += 1;
    const isRowDue = this.#looks % LOOKS_A_ROW === 0;
    if (!isRowDue && this.#followers.size === 0) return;
    const before = this.#now;
    this.#now = this.#seen();
    const changed = Object.entries(this.#now).filter(([name, value]) => value !== before[name]);
    if (changed.length > 0) this.#keepChange(Object.fromEntries(changed));
    if (isRowDue) this.#keepRow();
  }

  /**
   * The events after one that a client has seen. Throws `too_many_requests` where too many follow.
   * @param lastEventId undefined for a client that has seen none
   */
  follow(lastEventId?: string): ReadableStream<Uint8Array> {
    if (this.#followers.size >= FOLLOWERS_MOST)
      throw new Refused('too_many_requests', `${FOLLOWERS_MOST} streams are open`, { 'retry-after': '15' });
    const follower: Follower = { at: this.#placeOf(lastEventId), isGone: false };
    this.#followers.set(follower, () => {});
    return new ReadableStream(
      {
        pull: async (out) => {
          const text = await this.#nextOf(follower);
          if (!follower.isGone) out.enqueue(new TextEncoder().encode(text));
        },
        cancel: () => {
          follower.isGone = true;
          this.#followers.get(follower)?.();
          this.#followers.delete(follower);
        },
      },
      { highWaterMark: 0 },
    );
  }

  #seen(): Sample {
    return wired(this.#schema, this.#look()) as Sample;
  }

  #keepRow(): void {
    const sequence = this.#looks / LOOKS_A_ROW;
    this.#rows.push({ sequence, at_ms: this.#deps.clock.nowMs(), ...this.#now });
    if (this.#rows.length > ROWS_KEPT) this.#rows.shift();
    if (this.#hour !== this.#hourNow)
      this.#deps.hours.keep({ ...this.#now, sequence: this.#hour, at_ms: this.#deps.clock.nowMs() });
    this.#hour = this.#hourNow;
  }

  #keepChange(change: Sample): void {
    this.#changed += 1;
    this.#changes.push(this.#event('change', change));
    if (this.#changes.length > CHANGES_KEPT) this.#changes.shift();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#followers.values()) wake();
  }

  #event(name: string, data: Sample): string {
    return `id: ${this.#run}-${this.#changed}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  /** Undefined where what came after is not known any more, or never was. */
  #placeOf(lastEventId: string | undefined): number | undefined {
    const [, run, at = ''] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(lastEventId ?? '') ?? [];
    const place = Number(at);
    return run === this.#run && place <= this.#changed && place >= this.#changed - this.#changes.length
      ? place
      : undefined;
  }

  async #nextOf(follower: Follower): Promise<string> {
    const oldest = this.#changed - this.#changes.length;
    if (follower.at === undefined || follower.at < oldest) {
      follower.at = this.#changed;
      return `retry: ${RETRY_MS}\n${this.#event('snapshot', this.#now)}`;
    }
    if (follower.at === this.#changed) await this.#waitFor(follower);
    const missed = this.#changed - follower.at;
    if (missed <= 0) return ':\n\n';
    if (missed > this.#changes.length) return await this.#nextOf(follower);
    follower.at += 1;
    return this.#changes.at(-missed)!;
  }

  /** Until something changes, the client leaves, or it is time to show that the connection lives. */
  async #waitFor(follower: Follower): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#followers.set(follower, resolve);
    const heartbeat = this.#deps.timers.after(HEARTBEAT_MS, resolve);
    await promise;
    heartbeat.cancel();
  }
}
