import type { Timers } from '../base/clock.ts';
import type { Logger } from '../log/logger.ts';

export type StatusLine = Readonly<Record<string, unknown>>;

/** Time in ms between two lines. */
export const STATUS_LINE_MS = 60_000;

/** Says once a minute, in one line, how a daemon fares. */
export function sayStatus(
  undo: AsyncDisposableStack,
  { timers, log }: { readonly timers: Timers; readonly log: Logger },
  line: () => StatusLine,
): void {
  const timer = timers.every(STATUS_LINE_MS, () => log.info(line(), 'status'));
  undo.defer(async () => timer.cancel());
}
