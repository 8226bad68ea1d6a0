import type { Clock } from '../base/clock.ts';
import type { Logger } from './logger.ts';

/** Messages are constants, so this is never reached by an honest program; it bounds one that builds them. */
const MAX_MESSAGES = 256;

type Seen = { untilMs: number; suppressed: number };

/**
 * The same logger, saying each warning and error at most once per interval. The next line that goes out
 * carries `suppressed`: how many equal ones (same level, message and `code`) were held back. Children share
 * the count, so that a thousand sessions with one trouble make one line. Debug and info pass.
 */
export function limited(log: Logger, intervalMs: number, clock: Clock): Logger {
  return wrap(log, intervalMs, clock, new Map());
}

function wrap(log: Logger, intervalMs: number, clock: Clock, seen: Map<string, Seen>): Logger {
  const say = (
    level: 'warn' | 'error',
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): void => {
    const key = `${level}:${message}:${String(fields['code'])}`;
    const now = clock.monotonicMs();
    const entry = seen.get(key);
    if (entry !== undefined && now < entry.untilMs) {
      entry.suppressed += 1;
      return;
    }
    const suppressed = entry?.suppressed ?? 0;
    seen.delete(key);
    for (const oldest of seen.keys()) {
      if (seen.size < MAX_MESSAGES) break;
      seen.delete(oldest);
    }
    seen.set(key, { untilMs: now + intervalMs, suppressed: 0 });
    log[level](suppressed > 0 ? { ...fields, suppressed } : fields, message);
  };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => say('warn', fields, message),
    error: (fields, message) => say('error', fields, message),
    child: (fields) => wrap(log.child(fields), intervalMs, clock, seen),
  };
}
