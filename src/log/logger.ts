type Fields = Readonly<Record<string, unknown>>;

/**
 * Structured log: fields first, then a constant message. Levels: error = act now, warn = may become that,
 * info = state changes.
 */
export type Logger = {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  /** Counts a warning or an error that is held back: it happened, although nothing is written. */
  readonly hold?: (fields: Fields) => void;
  /** A logger that adds these fields to every line. */
  child(fields: Fields): Logger;
};

const nothing = (): void => {};

/** Says nothing: for tests and for programs that draw a screen. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
};
