import type { Logger } from '../../src/log/logger.ts';

export type LogLine = readonly [level: string, fields: Readonly<Record<string, unknown>>, message: string];

/** A logger that keeps what is said. */
export function recorder(): { readonly lines: LogLine[]; readonly log: Logger } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: LogLine[1], message: string) =>
    void lines.push([level, fields, message]);
  const log: Logger = {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    child: () => log,
  };
  return { lines, log };
}
