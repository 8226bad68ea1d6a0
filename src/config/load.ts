import { dirname, resolve } from 'node:path';
import { auditorConfigOf } from './auditor-config.ts';
import { AUDITOR_OPTIONS } from './auditor-options.ts';
import { type Context, contextOf, type Env } from './common-config.ts';
import type { AuditorConfig, MakerConfig, ProxyConfig, Role } from './config.ts';
import { makerConfigOf } from './maker-config.ts';
import { MAKER_OPTIONS } from './maker-options.ts';
import { envName, fileKey, type Input, type Nodes } from './options.ts';
import { configError, type Problem, type Source } from './problems.ts';
import { proxyConfigOf } from './proxy-config.ts';
import { PROXY_OPTIONS } from './proxy-options.ts';
import { Reader, tomlValue } from './reader.ts';
import { type Entries, type Entry, readEnv, readFlags, readTomlFile } from './sources.ts';

/** Where values come from, weakest first: defaults, then the file, the environment, the flags. */
export type ConfigInput = {
  /** Path of a TOML file. */
  readonly file?: string;
  readonly env: Env;
  /** By option path: `{ 'stratum.listen': '0.0.0.0:3333' }`. */
  readonly flags?: Readonly<Record<string, string | boolean>>;
};

export type ConfigOf<R extends Role> = {
  readonly proxy: ProxyConfig;
  readonly maker: MakerConfig;
  readonly auditor: AuditorConfig;
}[R];

/**
 * The whole configuration of a role, checked and frozen. Throws `config_unreadable`, or `config_invalid`
 * naming every problem at once with its line, variable or flag (also in `meta.problems`).
 */
export function loadConfig<R extends Role>(role: R, input: ConfigInput): ConfigOf<R> {
  return checked(role, input, givenBy(input)) as ConfigOf<R>;
}

/**
 * Where the keys of a role are, and for which network, from a configuration of which nothing else need be
 * right yet. Throws as `loadConfig`.
 */
export function loadKeyPlace(
  role: Role,
  input: ConfigInput,
): Pick<ProxyConfig, 'network' | 'dataDir' | 'keys'> {
  const { config, problems } = read(role, input, givenBy(input));
  const own = problems.filter(
    ({ path, source }) => source?.type !== 'default' && (!path.includes('.') || path.startsWith('keys.')),
  );
  if (own.length > 0) throw configError(own, input.file);
  return config;
}

/** A configuration that still knows where its values came from. */
export type OpenedConfig<R extends Role> = {
  readonly config: ConfigOf<R>;
  readonly file: string | undefined;
  /** What it was made of. */
  readonly given: Entries;
  readonly sourceOf: (path: string) => Source;
  /** Of a destination, by its name. */
  readonly destinationPath: (name: string) => string;
};

/** As `loadConfig`, for checks that come after it and say what line they mean. */
export function openConfig<R extends Role>(role: R, input: ConfigInput): OpenedConfig<R> {
  return openedOf(role, input, givenBy(input));
}

/** As `openConfig`, of values that were read before. */
export function openedOf<R extends Role>(role: R, input: ConfigInput, given: Entries): OpenedConfig<R> {
  const config = checked(role, input, given);
  const { values, sections } = given;
  const sourceOf = (path: string): Source =>
    values.get(path)?.source ?? sections.get(path) ?? { type: 'default' };
  const destinationPath = (name: string): string => {
    const [row] = [...values].find(([path, { value }]) => NAME_PATH.test(path) && value === name) ?? [];
    return row?.replace(/\.name$/, '') ?? 'destination';
  };
  return { config: config as ConfigOf<R>, file: input.file, given, sourceOf, destinationPath };
}

const NAME_PATH = /^destination\.\d+\.name$/;

export type ExplainedOption = {
  readonly path: string;
  readonly env: string;
  /** As TOML; `undefined` when the option has no value, "(hidden)" for a secret that was set. */
  readonly value: string | undefined;
  readonly source: Source['type'];
};

/**
 * Every option in force and where it came from, secrets hidden: for `config print --effective`. Throws as
 * `loadConfig`.
 */
export function explainConfig(role: Role, input: ConfigInput): ExplainedOption[] {
  const given = givenBy(input);
  checked(role, input, given);
  return explainGiven(role, given);
}

/** As `explainConfig`, of values that are known to be right. */
export function explainGiven(role: Role, { values }: Entries): ExplainedOption[] {
  return explain(optionsOf(role), '', values);
}

export function optionsOf(role: Role): Nodes {
  return { proxy: PROXY_OPTIONS, maker: MAKER_OPTIONS, auditor: AUDITOR_OPTIONS }[role];
}

/** The values of a file, of the environment and of flags, the later over the earlier. */
export function givenBy(input: ConfigInput): Entries {
  const none: Entries = { values: new Map(), sections: new Map() };
  const { values, sections } = input.file === undefined ? none : readTomlFile(input.file);
  return {
    values: new Map<string, Entry>([...values, ...readEnv(input.env), ...readFlags(input.flags ?? {})]),
    sections,
  };
}

function checked(role: Role, input: ConfigInput, given: Entries): ConfigOf<Role> {
  const { config, problems } = read(role, input, given);
  if (problems.length > 0) throw configError(problems, input.file);
  return deepFreeze(config);
}

function read(
  role: Role,
  input: ConfigInput,
  given: Entries,
): { readonly config: ConfigOf<Role>; readonly problems: readonly Problem[] } {
  const reader = new Reader(given);
  const base = input.file === undefined ? process.cwd() : dirname(resolve(input.file));
  const context = contextOf(base, input.env, (path, message) => reader.refuse(path, message));
  const config = configOf(role, reader, context);
  return { config, problems: reader.problems };
}

function configOf(role: Role, reader: Reader, context: Context): ConfigOf<Role> {
  if (role === 'proxy') return proxyConfigOf(reader.read(PROXY_OPTIONS), context);
  if (role === 'maker') return makerConfigOf(reader.read(MAKER_OPTIONS), context);
  return auditorConfigOf(reader.read(AUDITOR_OPTIONS), context);
}

function explain(nodes: Nodes, prefix: string, values: ReadonlyMap<string, Entry>): ExplainedOption[] {
  return Object.entries(nodes).flatMap(([key, node]): ExplainedOption[] => {
    const path = prefix + fileKey(key);
    if (node.node === 'section') return explain(node.rows, `${path}.`, values);
    if (node.node === 'tables') {
      const used = [...values.keys()].filter((known) => known.startsWith(`${path}.`));
      const indexes = [...new Set(used.map((known) => known.slice(path.length + 1).split('.')[0]!))].sort();
      return indexes.flatMap((index) => explain(node.rows, `${path}.${index}.`, values));
    }
    const entry = values.get(path);
    const input = (entry?.value as Input | undefined) ?? node.default;
    const shown = input === undefined ? undefined : tomlValue(input);
    const value = node.secret === true && entry !== undefined ? '(hidden)' : shown;
    return [{ path, env: envName(path), value, source: entry?.source.type ?? 'default' }];
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
