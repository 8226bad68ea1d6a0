type At = { readonly at_ms: number };

/** Longer than between any two rows of a daemon that runs: an hour, and what a clock is set by. */
const GAP_MS = 5_400_000;

/** What came earlier, by the hour, and from the first row on the rows. */
export function joined<T extends At>(hours: readonly T[], rows: readonly T[]): readonly T[] {
  const [first] = rows;
  return [...hours.filter(({ at_ms }) => first === undefined || at_ms < first.at_ms), ...rows];
}

/** Rows as lines of a chart, which break where the daemon did not run. */
export function plotted<T extends At>(
  rows: readonly T[],
  lines: readonly ((row: T) => number)[],
): { readonly times: readonly number[]; readonly values: readonly (readonly (number | null)[])[] } {
  const points = rows.flatMap((row, at): readonly (readonly [number, T | undefined])[] => {
    const before = rows[at - 1]?.at_ms ?? row.at_ms;
    const own = [row.at_ms / 1000, row] as const;
    return row.at_ms - before > GAP_MS ? [[before / 1000 + 1, undefined], own] : [own];
  });
  return {
    times: points.map(([time]) => time),
    values: lines.map((of) => points.map(([, row]) => (row === undefined ? null : of(row)))),
  };
}
