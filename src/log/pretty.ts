import { isRecord } from '../base/json.ts';

const HIDDEN = new Set(['time', 'level', 'msg']);

/**
 * A JSON log line as one line for a terminal: `12:00:01.123 WARN  pool closed  target=main
 * code=upstream_closed`. Values stay JSON, so a hostile name cannot move the cursor. A line that is not JSON
 * passes unchanged.
 */
export function prettyLine(line: string): string {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return line;
  }
  if (!isRecord(record)) return line;
  const time = String(record['time'] ?? '').slice(11, 23);
  const level = String(record['level'] ?? '')
    .toUpperCase()
    .padEnd(5);
  const fields = Object.keys(record)
    .filter((key) => !HIDDEN.has(key))
    .map((key) => `${key}=${shortValue(record[key])}`);
  const stack = stackOf(record);
  return `${[time, level, String(record['msg'] ?? ''), '', ...fields].join(' ').trimEnd()}\n${stack}`;
}

function shortValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/+@-]+$/.test(value)) return value;
  if (isRecord(value) && typeof value['message'] === 'string') return JSON.stringify(value['message']);
  return JSON.stringify(value) ?? 'undefined';
}

function stackOf(record: Record<string, unknown>): string {
  for (const value of Object.values(record)) {
    if (isRecord(value) && typeof value['stack'] === 'string') return `${value['stack']}\n`;
  }
  return '';
}
