/**
 * A function of one argument that remembers what it gave, never `undefined`: for so many arguments, and then
 * it forgets them all.
 */
export function memo<K, V>(kept: number, compute: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    const value = compute(key);
    if (known.size >= kept) known.clear();
    known.set(key, value);
    return value;
  };
}
