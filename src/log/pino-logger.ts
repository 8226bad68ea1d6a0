import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { systemClock } from '../base/clock.ts';
import { CodedError, codeOf, ERROR_TABLE, type ErrorCode } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import { LineSink } from './line-sink.ts';
import type { Logger } from './logger.ts';
import { prettyLine } from './pretty.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogOptions = {
  readonly level: LogLevel;
  /** Where lines go; commands that print a result on stdout log to stderr. Default stdout. */
  readonly output?: 'stdout' | 'stderr';
  /** One readable line instead of JSON, for a terminal. */
  readonly pretty?: boolean;
};

/** The logger of the process, with the two things only the process itself needs. */
export type RootLogger = Logger & {
  /**
   * Lines that could not be written, and are lost; whether the last write failed; warnings and errors by
   * their code, those held back too. A code that is not in the table counts as `internal`.
   */
  readonly stats: {
    readonly droppedLines: number;
    readonly isBlocked: boolean;
    readonly errors: Readonly<Partial<Record<ErrorCode | 'internal', number>>>;
    /** The last warnings and errors, oldest first: their constant texts alone. */
    readonly recent: readonly RecentLine[];
  };
  /** Writes out what is buffered, as far as that goes at once; the last call before the process ends. */
  flush(): void;
  /** Resolves when what is buffered is written, or after `ms`. */
  drain(ms: number): Promise<void>;
  level(): LogLevel;
  /** Of its children too. */
  setLevel(level: LogLevel): void;
};

export type RecentLine = {
  readonly at_ms: number;
  readonly level: 'warn' | 'error';
  readonly code: string | null;
  readonly message: string;
};
/** Of them. */
const RECENT = 100;

/** Anything that takes whole lines; tests pass an array writer. */
export type LogSink = DestinationStream & Partial<Pick<LineSink, 'flushSync' | 'drain' | 'stats'>>;

const SECRET_KEYS = [
  'seed',
  'mnemonic',
  'password',
  'passphrase',
  'token',
  'secret',
  'privateKey',
  'private_key',
  'xprv',
  'wif',
  'cookie',
  'authorization',
] as const;

/** Fixed here and nowhere else: a path taken from input could be made to hide evidence. Three levels deep. */
const REDACTED_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

type ErrorCounts = Partial<Record<ErrorCode | 'internal', number>>;

/**
 * JSON lines: ISO time, level as a word, secrets replaced, errors as `{message, stack}` with their stable
 * code beside them in `code`, and what the table says to do in `hint`. Nothing waits for them to be written;
 * call `flush` before the process ends.
 */
export function createLogger(options: LogOptions, deps: { readonly sink?: LogSink } = {}): RootLogger {
  const sink: LogSink =
    deps.sink ??
    new LineSink(options.output === 'stderr' ? 2 : 1, {
      ...{ clock: systemClock, timers: systemTimers },
      onDropped: (lines) => logger.warn({ code: 'log_dropped', lines }, 'log lines were dropped'),
    });
  const target = options.pretty === true ? { write: (line: string) => sink.write(prettyLine(line)) } : sink;
  const logger: PinoLogger = pino(
    {
      level: 'debug',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: plainFields, bindings: plainFields },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    },
    target,
  );
  const errors: ErrorCounts = {};
  const recent: RecentLine[] = [];
  const shared: Shared = { errors, recent, least: LOG_LEVELS.indexOf(options.level) };
  const { stats = { droppedLines: 0, isBlocked: false } } = sink;
  return {
    ...wrap(logger, shared),
    stats: {
      ...{ errors, recent },
      get droppedLines() {
        return stats.droppedLines;
      },
      get isBlocked() {
        return stats.isBlocked;
      },
    },
    flush: () => sink.flushSync?.(),
    drain: async (ms) => sink.drain?.(ms),
    level: () => LOG_LEVELS[shared.least]!,
    setLevel: (level) => {
      shared.least = LOG_LEVELS.indexOf(level);
    },
  };
}

/** Of a logger and all its children; with the place of the least level that is written among the levels. */
type Shared = { readonly errors: ErrorCounts; readonly recent: RecentLine[]; least: number };

function wrap(logger: PinoLogger, shared: Shared): Logger {
  const { errors, recent } = shared;
  const isSaid = (level: LogLevel): boolean => LOG_LEVELS.indexOf(level) >= shared.least;
  const hold = (fields: Readonly<Record<string, unknown>>): void => {
    const code = codeIn(fields);
    if (code === undefined) return;
    const known = isKnown(code) ? code : 'internal';
    errors[known] = (errors[known] ?? 0) + 1;
  };
  const counted = (
    level: RecentLine['level'],
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): object => {
    hold(fields);
    const code = codeIn(fields);
    recent.push({ at_ms: systemClock.nowMs(), level, code: code ?? null, message });
    if (recent.length > RECENT) recent.shift();
    const hasHint = code === undefined || !isKnown(code) || fields['hint'] !== undefined;
    return hasHint ? fields : { ...fields, hint: ERROR_TABLE[code].hint };
  };
  return {
    debug: (fields, message) => {
      if (isSaid('debug')) logger.debug(fields, message);
    },
    info: (fields, message) => {
      if (isSaid('info')) logger.info(fields, message);
    },
    warn: (fields, message) => {
      const said = counted('warn', fields, message);
      if (isSaid('warn')) logger.warn(said, message);
    },
    error: (fields, message) => logger.error(counted('error', fields, message), message),
    hold,
    child: (fields) => wrap(logger.child(plainFields({ ...fields })), shared),
  };
}

/** The code of a line: its own, or that of the first error it carries. */
function codeIn(fields: Readonly<Record<string, unknown>>): string | undefined {
  const { code } = fields;
  if (typeof code === 'string') return code;
  const error = Object.values(fields).find((value) => value instanceof Error);
  return error === undefined ? undefined : codeOf(error);
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_TABLE, code);
}

/**
 * Bigints as decimal strings, errors as plain data, and the code of an error where the reader looks for it.
 */
function plainFields(fields: Record<string, unknown>): Record<string, unknown> {
  let plain: Record<string, unknown> | undefined;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    if (typeof value === 'bigint') {
      plain ??= { ...fields };
      plain[key] = value.toString();
    } else if (value instanceof Error) {
      plain ??= { ...fields };
      plain[key] = describeError(value);
      plain['code'] ??= codeOf(value);
    }
  }
  return plain ?? fields;
}

/**
 * A coded error is an event of the world: its code and message say it all. Anything else is a bug and needs
 * its stack.
 */
function describeError(error: Error): Record<string, unknown> {
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  if (error instanceof CodedError) return { message: error.message, ...cause };
  return { message: error.message, stack: error.stack, ...cause };
}
