/** Rows beyond what is seen, above and below. */
const AROUND = 12;
/** The most rows that are in the document at a time. */
const ROWS_MOST = 200;

/** Which of many rows stand in the document, and the empty space before and after them. */
export type Window = {
  readonly from: number;
  readonly to: number;
  readonly above: number;
  readonly below: number;
};

/** @param top how far the table is scrolled, px */
export function windowOf(count: number, rowPx: number, top: number, viewPx: number): Window {
  const first = Math.floor(Math.max(0, top) / rowPx) - AROUND;
  const seen = Math.ceil(viewPx / rowPx) + 2 * AROUND;
  const from = Math.max(0, Math.min(first, count - 1));
  const to = Math.min(count, from + Math.min(seen, ROWS_MOST));
  return { from, to, above: from * rowPx, below: (count - to) * rowPx };
}
