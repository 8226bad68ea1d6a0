/** Texts are compared up to here. */
const COMPARED_CHARS = 80;

/** Edits (insert, delete, replace) from one text to the other. */
export function editDistance(from: string, to: string): number {
  const a = from.slice(0, COMPARED_CHARS);
  const b = to.slice(0, COMPARED_CHARS);
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replace, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** The end of a refusal: which known word a mistyped one is near enough to; empty where none is. */
export function didYouMean(word: string, known: readonly string[], prefix = ''): string {
  const limit = Math.max(1, Math.floor(word.length / 3));
  const near = known
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? '' : `; did you mean ${prefix}${near.name}?`;
}
