/** Where a bead is drawn. */
export type Place = { readonly column: number; readonly row: number };

/** Cohorts in columns, oldest first; beads of none stand behind the last. */
export function placesOf(
  cohorts: readonly { readonly beads: readonly string[] }[],
  beads: readonly { readonly hash: string }[],
): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  for (const [column, cohort] of cohorts.entries())
    for (const [row, hash] of cohort.beads.entries()) places.set(hash, { column, row });
  const rest = beads.filter(({ hash }) => !places.has(hash));
  for (const [row, { hash }] of rest.entries()) places.set(hash, { column: cohorts.length, row });
  return places;
}
