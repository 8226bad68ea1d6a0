import { closeSync, openSync, readSync } from 'node:fs';
import { parse, TomlDate, TomlError } from 'smol-toml';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { ENV_PREFIX } from './options.ts';
import { configError, type Source } from './problems.ts';

export type Entry = { readonly value: unknown; readonly source: Source };

/**
 * Values by dotted path (`destination.0.url`), and the sections that were written though they hold nothing.
 */
export type Entries = { readonly values: Map<string, Entry>; readonly sections: Map<string, Source> };

/** Not options: the path of the file, the commit of a build, and what tests and reports need. */
const RESERVED_ENV = new Set(
  ['CONFIG', 'COMMIT', 'CRASH_AT', 'STACK'].map((name) => `${ENV_PREFIX}${name}`),
);

const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Reads a TOML file. Throws `config_unreadable` when it cannot be read and `config_invalid`, with line and
 * column, when it is not TOML.
 */
export function readTomlFile(file: string): Entries {
  let text: string;
  try {
    text = readBounded(file);
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError(
      'config_unreadable',
      `${file}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
    );
  }
  return parseToml(text, file);
}

/** Pipes are read too, and what never ends is not. */
function readBounded(file: string): string {
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
  const descriptor = openSync(file, 'r');
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    if (length === bytes.length) throw new CodedError('config_unreadable', `${file}: over 1 MiB`);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(descriptor);
  }
}

/** The entries of TOML text; `file` only names it in errors. */
export function parseToml(text: string, file: string): Entries {
  let root: unknown;
  try {
    root = parse(text, { maxDepth: 20 });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = error.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '');
    const source: Source = { type: 'file', line: error.line };
    throw configError([{ path: `column ${error.column}:`, source, message }], file);
  }
  const entries: Entries = { values: new Map(), sections: new Map() };
  flatten(root, '', locate(text), entries);
  return entries;
}

function flatten(value: unknown, path: string, lines: ReadonlyMap<string, number>, into: Entries): void {
  const source = fileSource(path, lines);
  const items = tableItems(value);
  if (items === undefined) {
    into.values.set(path, { value, source });
    return;
  }
  if (path !== '') into.sections.set(path, source);
  for (const [key, item] of items) flatten(item, path === '' ? key : `${path}.${key}`, lines, into);
}

/** The members of a table or of an array of tables; undefined for a value. */
function tableItems(value: unknown): [string, unknown][] | undefined {
  if (Array.isArray(value)) {
    const list = value as readonly unknown[];
    const areTables =
      list.length > 0 && list.every((item) => isRecord(item) && !(item instanceof TomlDate));
    return areTables ? list.map((item, index) => [String(index), item]) : undefined;
  }
  return isRecord(value) && !(value instanceof TomlDate) ? Object.entries(value) : undefined;
}

function fileSource(path: string, lines: ReadonlyMap<string, number>): Source {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const line = lines.get(at);
    if (line !== undefined) return { type: 'file', line };
  }
  return { type: 'file' };
}

/**
 * The line of each path, as far as a line-by-line reading finds it: the parser tells lines for syntax errors
 * only.
 */
function locate(text: string): Map<string, number> {
  const lines = new Map<string, number>();
  const counts = new Map<string, number>();
  let prefix = '';
  text.split('\n').forEach((line, index) => {
    const header = /^\s*(\[\[?)([^\]]+)\]/.exec(line);
    const key = /^\s*([\w."'-]+)\s*=/.exec(line);
    if (header !== null) {
      let path = plainKey(header[2]!);
      if (header[1] === '[[') {
        const count = counts.get(path) ?? 0;
        counts.set(path, count + 1);
        lines.set(path, lines.get(path) ?? index + 1);
        path = `${path}.${count}`;
      }
      lines.set(path, index + 1);
      prefix = `${path}.`;
    } else if (key !== null) {
      lines.set(prefix + plainKey(key[1]!), index + 1);
    }
  });
  return lines;
}

function plainKey(text: string): string {
  return text
    .split('.')
    .map((part) => part.trim().replaceAll(/^["']|["']$/g, ''))
    .join('.');
}

/** `SHARESTREAM_STRATUM__LISTEN=...` as `stratum.listen`. Empty values count as not set. */
export function readEnv(env: Readonly<Record<string, string | undefined>>): Map<string, Entry> {
  const values = new Map<string, Entry>();
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || RESERVED_ENV.has(name) || value === undefined || value === '')
      continue;
    const path = name.slice(ENV_PREFIX.length).toLowerCase().replaceAll('__', '.');
    values.set(path, { value, source: { type: 'env', name } });
  }
  return values;
}

/** Flags are keyed by path already: `{ 'stratum.listen': '0.0.0.0:3333' }`. */
export function readFlags(flags: Readonly<Record<string, string | boolean>>): Map<string, Entry> {
  return new Map(Object.entries(flags).map(([path, value]) => [path, { value, source: { type: 'flag' } }]));
}
