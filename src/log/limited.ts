import type { Clock } from '../base/clock.ts';
import type { Logger } from './logger.ts';

/** Messages are constants, so this is never reached by an honest program; it bounds one that builds them. */
const MAX_MESSAGES = 256;

type RepeatedMessage = { untilMs: number; suppressed: number };

/**
 * The same logger, saying each warning and error at most once per interval. The next line that goes out
 * carries `suppressed`: how many equal ones (same level, message and `code`) were held back. Children share
 * the count, so that a thousand sessions with one trouble make one line. Debug and info pass.
 */
export function limited(log: Logger, intervalMs: number, clock: Clock): Logger {
  return wrap(log, intervalMs, clock, new Map());
}

function wrap(
  log: Logger,
  intervalMs: number,
  clock: Clock,
  messages: Map<string, RepeatedMessage>,
): Logger {
  const writeLimited = (
    level: 'warn' | 'error',
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): void => {
    const key = `${level}:${message}:${String(fields['code'])}`;
    const now = clock.monotonicMs();
    const entry = messages.get(key);
    if (entry !== undefined && now < entry.untilMs) {
      entry.suppressed += 1;
      log.hold?.(fields);
      return;
    }
    const suppressed = entry?.suppressed ?? 0;
    messages.delete(key);
    for (const oldest of messages.keys()) {
      if (messages.size < MAX_MESSAGES) break;
      messages.delete(oldest);
    }
    messages.set(key, { untilMs: now + intervalMs, suppressed: 0 });
    log[level](suppressed > 0 ? { ...fields, suppressed } : fields, message);
  };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => writeLimited('warn', fields, message),
    error: (fields, message) => writeLimited('error', fields, message),
    hold: (fields) => log.hold?.(fields),
    child: (fields) => wrap(log.child(fields), intervalMs, clock, messages),
  };
}
