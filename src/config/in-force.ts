import { CodedError } from '../base/errors.ts';
import type { Role } from './config.ts';
import {
  type ConfigInput,
  type ConfigOf,
  type ExplainedOption,
  explainGiven,
  givenBy,
  type OpenedConfig,
  openedOf,
  optionsOf,
} from './load.ts';
import { isLive } from './options.ts';
import { type Entries, readFlags } from './sources.ts';

/** Values of options by their paths, over those of the file and the environment. */
export type Settings = Readonly<Record<string, string>>;

/** An option that the file says otherwise than it is in force. Values as TOML; secrets are hidden. */
export type OptionChange = {
  /** Members of lists that have a name are named by it: `destination.own.url`. */
  readonly option: string;
  /** Null where it has none. */
  readonly before: string | null;
  readonly after: string | null;
};

/** What a daemon would run by, now that its configuration was read anew. */
export type Reread<R extends Role> = {
  readonly config: ConfigOf<R>;
  /** With other values over it. Throws as `loadConfig`. */
  readonly load: (settings: Settings) => ConfigOf<R>;
  /** Options that hold from now on. */
  readonly changed: readonly OptionChange[];
  /** Options that stay as they are until the next start. */
  readonly needsRestart: readonly OptionChange[];
  /** How many options are as before. */
  readonly unchanged: number;
  /** It is in force now. */
  accept(): void;
};

/**
 * The configuration that a daemon runs by: as it was read at the start, and of options that are live as it
 * was read last.
 */
export class ConfigInForce<R extends Role> {
  readonly #role: R;
  readonly #input: ConfigInput;
  readonly #check: (opened: OpenedConfig<R>) => void;
  #opened: OpenedConfig<R>;

  /**
   * Throws as `loadConfig`.
   * @param check what else a daemon wants of its configuration; throws coded errors
   */
  constructor(role: R, input: ConfigInput, check: (opened: OpenedConfig<R>) => void = () => {}) {
    this.#role = role;
    this.#input = input;
    this.#check = check;
    this.#opened = this.#checked(givenBy(input));
  }

  get config(): ConfigOf<R> {
    return this.#opened.config;
  }

  /** It with other values over it. Throws as `loadConfig`. */
  load(settings: Settings): ConfigOf<R> {
    return this.#with(this.#opened.given, settings);
  }

  /** Every option, with other values over what is in force, and where each came from. */
  explain(settings: Settings): readonly ExplainedOption[] {
    return explainGiven(this.#role, withSettings(this.#opened.given, settings));
  }

  /**
   * Reads the file anew, and says what would change; nothing does before `accept`. Throws
   * `config_unreadable`, and `config_invalid` too where what may change does not go with what may not.
   */
  reread(): Reread<R> {
    const role = this.#role;
    const before = this.#opened.given;
    const read = givenBy(this.#input);
    this.#checked(read);
    const given = mixed(role, before, read);
    const opened = this.#checkedMix(given);
    const [old, mix, file] = [before, given, read].map((each) => optionsIn(role, each));
    return {
      ...{ config: opened.config, changed: differences(old!, mix!) },
      load: (settings) => this.#with(given, settings),
      needsRestart: differences(mix!, file!),
      unchanged: [...file!].filter(([option, { compared }]) => old!.get(option)?.compared === compared)
        .length,
      accept: () => {
        this.#opened = opened;
      },
    };
  }

  #checked(given: Entries): OpenedConfig<R> {
    const opened = openedOf(this.#role, this.#input, given);
    this.#check(opened);
    return opened;
  }

  /** What is wrong with it does not go with what is in force until the next start: the file is right. */
  #checkedMix(given: Entries): OpenedConfig<R> {
    try {
      return this.#checked(given);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const detail = error.message.replace(`${error.code}: `, '');
      throw new CodedError(error.code, `with what stays until a restart: ${detail}`, {}, { cause: error });
    }
  }

  #with(given: Entries, settings: Settings): ConfigOf<R> {
    return this.#checked(withSettings(given, settings)).config;
  }
}

function withSettings({ values, sections }: Entries, settings: Settings): Entries {
  return { values: new Map([...values, ...readFlags(settings)]), sections };
}

/** Live options of the one, all others of the other. */
function mixed(role: Role, before: Entries, after: Entries): Entries {
  const nodes = optionsOf(role);
  const mix = <T>(old: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([
      ...[...old].filter(([path]) => !isLive(nodes, path)),
      ...[...now].filter(([path]) => isLive(nodes, path)),
    ]);
  return { values: mix(before.values, after.values), sections: mix(before.sections, after.sections) };
}

type ShownOptions = ReadonlyMap<string, Shown>;
type Shown = { readonly shown: string | null; readonly compared: string };

/** Every option by its name, as it is shown and by what it is told from another value. */
function optionsIn(role: Role, given: Entries): ShownOptions {
  const { values } = given;
  return new Map(
    explainGiven(role, given).map(({ path, value }): [string, Shown] => {
      const shown = value ?? null;
      return [
        namedPath(path, values),
        { shown, compared: JSON.stringify(values.get(path)?.value ?? shown) },
      ];
    }),
  );
}

/** `destination.0.url` by the name of that destination, where it has one. */
function namedPath(path: string, values: Entries['values']): string {
  const keys = path.split('.');
  const named = keys.map((key, at) => {
    const name = /^\d+$/.test(key) ? values.get([...keys.slice(0, at + 1), 'name'].join('.'))?.value : key;
    return typeof name === 'string' ? name : key;
  });
  return named.join('.');
}

function differences(old: ShownOptions, now: ShownOptions): OptionChange[] {
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((option) => {
    const [one, other] = [old.get(option), now.get(option)];
    if (one?.compared === other?.compared) return [];
    return [{ option, before: one?.shown ?? null, after: other?.shown ?? null }];
  });
}
