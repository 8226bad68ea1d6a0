import { CodedError } from '../base/errors.ts';

export type Page = { readonly items: readonly unknown[]; readonly next_cursor: string | null };

/**
 * The rows after a cursor, in the order of their keys. A cursor names the last row of the page before: what
 * comes or goes meanwhile neither repeats nor hides another. Throws `bad_cursor`.
 */
export function pageOf(
  rows: readonly unknown[],
  keyOf: (row: unknown) => string,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
): Page {
  const after = cursor === undefined ? undefined : keyIn(cursor);
  const keyed = rows.map((row) => ({ row, key: keyOf(row) }));
  const rest = keyed.filter(({ key }) => after === undefined || key > after);
  const page = rest.toSorted((a, b) => (a.key < b.key ? -1 : 1)).slice(0, limit);
  const last = rest.length > page.length ? page.at(-1) : undefined;
  return { items: page.map(({ row }) => row), next_cursor: last === undefined ? null : cursorOf(last.key) };
}

/** Of a number, so that keys are in its order. */
export function numberKey(value: number): string {
  return String(value).padStart(16, '0');
}

const MARK = 'k:';
const cursorOf = (key: string): string => Buffer.from(MARK + key).toString('base64url');

function keyIn(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (text.startsWith(MARK) && Buffer.from(text).toString('base64url') === cursor)
    return text.slice(MARK.length);
  throw new CodedError('bad_cursor', 'the cursor is none of ours');
}
