/** Where a bead is drawn. */
export type Place = { readonly column: number; readonly row: number };

/** Cohorts in columns, oldest first; behind the last what follows it and is in none. Older have no place. */
export function placesOf(
  cohorts: readonly { readonly beads: readonly string[] }[],
  beads: readonly { readonly hash: string; readonly parents: readonly string[] }[],
): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  for (const [column, cohort] of cohorts.entries())
    for (const [row, hash] of cohort.beads.entries()) places.set(hash, { column, row });
  const last = new Set(cohorts.at(-1)?.beads);
  const rest = beads.filter(
    ({ hash, parents }) => !places.has(hash) && parents.some((parent) => last.has(parent)),
  );
  for (const [row, { hash }] of rest.entries()) places.set(hash, { column: cohorts.length, row });
  return places;
}
