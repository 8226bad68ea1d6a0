import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { CodedError, codeOf } from '../base/errors.ts';
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
  /** Writes out what is buffered, synchronously; the last call before the process ends. */
  flush(): void;
  setLevel(level: LogLevel): void;
};

/** Anything that takes whole lines; tests pass an array writer. */
export type LogSink = DestinationStream & { flushSync?(): void };

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

/**
 * JSON lines: ISO time, level as a word, secrets replaced, errors as `{message, stack}` with their stable
 * code beside them in `code`. Lines are buffered; call `flush` before the process ends.
 */
export function createLogger(options: LogOptions, deps: { readonly sink?: LogSink } = {}): RootLogger {
  const sink = deps.sink ?? openSink(options.output ?? 'stdout');
  const target = options.pretty === true ? { write: (line: string) => sink.write(prettyLine(line)) } : sink;
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: plainFields, bindings: plainFields },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    },
    target,
  );
  return {
    ...wrap(logger),
    flush: () => flushSink(sink),
    setLevel: (level) => {
      logger.level = level;
    },
  };
}

function wrap(logger: PinoLogger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(plainFields({ ...fields }))),
  };
}

function openSink(output: 'stdout' | 'stderr'): LogSink {
  return pino.destination({
    dest: output === 'stdout' ? 1 : 2,
    sync: false,
    minLength: 4096,
    periodicFlush: 200,
  });
}

/**
 * A sink that is not open yet has written nothing and cannot be flushed: that is no reason to fail an exit.
 */
function flushSink(sink: LogSink): void {
  try {
    sink.flushSync?.();
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('not ready'))) throw error;
  }
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
  if (error instanceof CodedError) return { message: error.message, hint: error.hint, ...cause };
  return { message: error.message, stack: error.stack, ...cause };
}
