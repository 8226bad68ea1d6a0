import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Role } from '../config/config.ts';
import type { OptionChange, Reread } from '../config/in-force.ts';
import type { DaemonLog } from './shared-metrics.ts';

/** Where the configuration of a running daemon comes from: see `ConfigInForce`. */
export type RereadSource<R extends Role> = { readonly reread: () => Reread<R> };

/** What came of a reload, or would. */
export type ReloadAnswer = {
  readonly dry_run: boolean;
  readonly changed: readonly OptionChange[];
  readonly needs_restart: readonly OptionChange[];
  readonly unchanged: number;
};

/** A part of a daemon that can go by another configuration while it runs. */
export type LivePart<R extends Role> = {
  readonly name: string;
  /** What it goes by now. */
  readonly inForce: () => unknown;
  /** @returns what puts another in force, and cannot fail. Throws coded errors for what it cannot take */
  readonly prepare: (next: Reread<R>) => () => void;
};

/** Makes a set hold these and no others. */
export function replaceAll<T>(set: Set<T>, members: readonly T[]): void {
  set.clear();
  for (const member of members) set.add(member);
}

/** Reads the configuration anew, and has all parts go by it or none. */
export class Reload<R extends Role> {
  readonly #source: RereadSource<R> | undefined;
  readonly #parts: LivePart<R>[] = [];
  readonly #log: DaemonLog;

  /** @param source undefined where there is nothing to be read */
  constructor(source: RereadSource<R> | undefined, log: DaemonLog) {
    this.#source = source;
    this.#log = log;
    this.add({
      name: 'log',
      inForce: () => log.level?.(),
      prepare:
        ({ config }) =>
        () =>
          log.setLevel?.(config.log.level),
    });
  }

  add(...parts: readonly LivePart<R>[]): void {
    this.#parts.push(...parts);
  }

  /** Throws `config_unreadable`, `config_invalid` and what a part cannot take; then nothing has changed. */
  run(isDryRun = false): ReloadAnswer {
    if (this.#source === undefined) throw new CodedError('config_unreadable', 'it is of no file');
    const next = this.#source.reread();
    const { changed, needsRestart, unchanged } = next;
    const applies = this.#parts.map(({ prepare }) => prepare(next));
    if (!isDryRun) {
      next.accept();
      for (const apply of applies) apply();
      const named = (rows: readonly OptionChange[]): string[] => rows.map(({ option }) => option);
      const said = { changed: named(changed), needs_restart: named(needsRestart), unchanged };
      this.#log.info(said, 'the configuration was read anew');
    }
    return { dry_run: isDryRun, changed, needs_restart: needsRestart, unchanged };
  }

  /** What each part goes by now. */
  get inForce(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(this.#parts.map(({ name, inForce }) => [name, inForce()]));
  }

  /** `POST /api/v1/config/reload`. */
  get actions(): Readonly<Record<'config/reload', Action>> {
    return { 'config/reload': (input) => this.run(isRecord(input) && input['dry_run'] === true) };
  }
}
