import type { Clock, Timer, Timers } from '../base/clock.ts';

/** Something of a daemon that has one of several values, and has had others. */
export type Fact<Type extends string> = {
  readonly type: Type;
  /** Two of one type and subject are one fact; empty where there is but one of the type. */
  readonly subject: string;
  readonly value: string;
  readonly contract?: string;
  /** Told with it, and no part of what it is. */
  readonly note?: string;
};

/** That a fact has another value; null where it was not there, or is not any more. */
export type Happening<Type extends string> = {
  /** Counted from 1 since the start. */
  readonly number: number;
  readonly at_ms: number;
  readonly type: Type;
  readonly subject: string;
  readonly contract: string | null;
  readonly before: string | null;
  readonly after: string | null;
  readonly note: string | null;
};

const LOOK_MS = 1_000;
/** Looks between two at what changes all the time. */
const LOOKS_SLOW = 60;
const KEPT = 500;

/** What happened at a daemon since it started: what a look each second finds changed. In memory alone. */
export class Timeline<Type extends string> {
  readonly #look: () => readonly Fact<Type>[];
  readonly #slow: ReadonlySet<Type>;
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #rows: Happening<Type>[] = [];
  #known: ReadonlyMap<string, Fact<Type>>;
  #looks = 0;
  #last = 0;

  /**
   * @param look what stands now; what stands at the start is no news
   * @param slow types that are looked at once a minute
   */
  constructor(
    look: () => readonly Fact<Type>[],
    slow: readonly Type[],
    { clock, timers }: { readonly clock: Clock; readonly timers: Timers },
  ) {
    this.#look = look;
    this.#slow = new Set(slow);
    this.#clock = clock;
    this.#known = byKey(look());
    this.#timer = timers.every(LOOK_MS, () => this.#compare());
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** Oldest first, the newest 500. */
  get rows(): readonly Happening<Type>[] {
    return this.#rows;
  }

  /** Tells what no look finds. */
  add(fact: Fact<Type>): void {
    this.#tell(undefined, fact);
  }

  #compare(): void {
    this.#looks += 1;
    const isSlowDue = this.#looks % LOOKS_SLOW === 0;
    const known = new Map(this.#known);
    const isLooked = ({ type }: Fact<Type>): boolean => isSlowDue || !this.#slow.has(type);
    const now = byKey(this.#look().filter(isLooked));
    for (const [key, fact] of now) {
      const before = known.get(key);
      if (before?.value !== fact.value) this.#tell(before, fact);
      known.set(key, fact);
    }
    for (const [key, fact] of this.#known) {
      if (now.has(key) || !isLooked(fact)) continue;
      this.#tell(fact, undefined);
      known.delete(key);
    }
    this.#known = known;
  }

  #tell(before: Fact<Type> | undefined, after: Fact<Type> | undefined): void {
    const { type, subject, contract = null, note = null } = (after ?? before)!;
    this.#last += 1;
    this.#rows.push({
      ...{ number: this.#last, at_ms: this.#clock.nowMs(), type, subject, contract, note },
      ...{ before: before?.value ?? null, after: after?.value ?? null },
    });
    if (this.#rows.length > KEPT) this.#rows.shift();
  }
}

function byKey<Type extends string>(facts: readonly Fact<Type>[]): ReadonlyMap<string, Fact<Type>> {
  return new Map(facts.map((fact) => [`${fact.type} ${fact.subject}`, fact]));
}
