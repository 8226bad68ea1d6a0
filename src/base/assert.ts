/** A broken invariant of ours. Never caught to go on: it ends the process with its code and state. */
export class InvariantError extends Error {
  readonly state: unknown;
  constructor(code: string, state?: unknown) {
    super(`invariant broken: ${code}`);
    this.name = 'InvariantError';
    this.state = state;
  }
}

/**
 * An invariant, checked in production too: throws `InvariantError`. `code` is a short snake_case name of
 * the invariant; `state` goes into the crash log.
 */
export function assert(condition: unknown, code: string, state?: unknown): asserts condition {
  if (!condition) throw new InvariantError(code, state);
}

/** The default branch of an exhaustive switch; throws `InvariantError`. */
export function unreachable(value: never): never {
  throw new InvariantError('unreachable', value);
}
